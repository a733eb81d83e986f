"""A feeder that every peer can express: IEEE 123's tree with three transposed wires throughout.

No peer but OpenDSS knows lines of one or two phases, single-phase regulators and loads between two
phases. So here every line has three phases and the mean impedances of its line code, no
capacitance; switches, regulators and the transformer are short lines; a load between two phases is
half on each; every load is constant power. Source: ideal but for 1e-7 of the network's impedance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.feeder.records import Bus, Line, LineCode, Load, Matrix, Source

KV = 4.16  # line to line
FREQUENCY = 60.0
SHORT = 1e-3  # ohm, resistance and reactance of what is no line
SHORT_CIRCUIT_MVA = 1e8
FEET = {"kft": 1.0, "ft": 1e-3, "mi": 5.28}
PHASES = (1, 2, 3)


@dataclass(frozen=True)
class SharedCase:
    """The network.

    Attributes:
        buses: names; the first is the source's.
        lines: (lines, 2) rows of `buses`, from the source outwards.
        impedance: (lines, 2) complex ohm, positive and zero sequence.
        loaded: rows of `buses` that have a load.
        nominal_power: (loaded buses, 3) complex kVA drawn by each phase.
    """

    buses: tuple[str, ...]
    lines: NDArray[np.int64]
    impedance: NDArray[np.complex128]
    loaded: NDArray[np.int64]
    nominal_power: NDArray[np.complex128]

    @property
    def short_circuit_ohm(self) -> float:
        """Of the source."""
        return KV**2 / SHORT_CIRCUIT_MVA

    def draw_power(self, batch: int, seed: int = 0) -> NDArray[np.complex128]:
        """(batch, loaded buses, 3) kVA: 0.5 to 1.5 of nominal, each by itself."""
        random = np.random.default_rng(seed)
        return self.nominal_power * random.uniform(0.5, 1.5, (batch, *self.nominal_power.shape))


def shared_case() -> SharedCase:
    """Of IEEE 123."""
    original = load_feeder("ieee123")
    edges = _edges(original)
    order = _outwards(original.source.bus, list(edges))
    buses = (original.source.bus, *(far for _, far in order))
    row = {bus: k for k, bus in enumerate(buses)}
    power = np.zeros((len(buses), 3), dtype=complex)
    for load in original.loads:
        ends = [phase for branch in load.branches for phase in branch if phase]
        for phase in ends:
            power[row[load.bus], phase - 1] += complex(load.kw, load.kvar) / len(ends)
    loaded = np.flatnonzero(power.any(axis=1))
    return SharedCase(
        buses,
        np.array([(row[near], row[far]) for near, far in order]),
        np.array([edges[frozenset(pair)] for pair in order]),
        loaded,
        power[loaded],
    )


def as_feeder(case: SharedCase) -> Feeder:
    """The case for our own solver: one load for each phase of each loaded bus, in their order."""
    to_ground = KV / math.sqrt(3.0)
    ohm = case.short_circuit_ohm / math.sqrt(2.0)
    codes, lines = [], []
    for k, ((near, far), z) in enumerate(zip(case.lines, case.impedance, strict=True)):
        zero: Matrix = ((0.0,) * 3,) * 3
        codes.append(
            LineCode(f"c{k}", 3, _transposed(z.real), _transposed(z.imag), zero, None, "none")
        )
        ends = case.buses[near], case.buses[far]
        lines.append(Line(f"l{k}", *ends, PHASES, PHASES, f"c{k}", 1.0, "none"))
    loads = [
        Load(f"{case.buses[bus]}.{phase}", case.buses[bus], (phase,), "wye", "constant_power",
             to_ground, power.real, power.imag, vmin_pu=0.5, vmax_pu=1.5, vlow_pu=0.0)
        for bus, powers in zip(case.loaded, case.nominal_power, strict=True)
        for phase, power in zip(PHASES, powers.tolist(), strict=True)
    ]  # fmt: skip
    return Feeder(
        name="shared",
        frequency=FREQUENCY,
        source=Source(case.buses[0], PHASES, KV, 1.0, 0.0, ohm, ohm, ohm, ohm),
        buses=tuple(Bus(name, PHASES, to_ground) for name in case.buses),
        line_codes=tuple(codes),
        lines=tuple(lines),
        loads=tuple(loads),
    )


def _edges(feeder: Feeder) -> dict[frozenset[str], tuple[complex, complex]]:
    """Sequence impedances in ohm of whatever joins two buses."""
    short = complex(SHORT, SHORT)
    edges = {frozenset((s.from_bus, s.to_bus)): (short, short) for s in feeder.switches if s.closed}
    for transformer in feeder.transformers:
        edges[frozenset(winding.bus for winding in transformer.windings)] = (short, short)
    codes = {code.name: code for code in feeder.line_codes}
    for line in feeder.lines:
        code = codes[line.line_code]
        matrix = np.array(code.resistance) + 1j * np.array(code.reactance)
        length = line.length * FEET[line.length_unit] / FEET[code.length_unit]
        own = complex(matrix.diagonal().mean()) * length
        others = code.phases * (code.phases - 1)
        mutual = complex(matrix.sum() - matrix.trace()) / others * length if others else 0j
        edges[frozenset((line.from_bus, line.to_bus))] = (own - mutual, own + 2.0 * mutual)
    return edges


def _outwards(source: str, edges: list[frozenset[str]]) -> list[tuple[str, str]]:
    """The edges in order from the source, each from its nearer end to its farther one."""
    neighbours: dict[str, list[str]] = {}
    for edge in edges:
        a, b = sorted(edge)
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    seen, order = [source], []
    for bus in seen:  # grows on the way
        for other in neighbours[bus]:
            if other not in seen:
                seen.append(other)
                order.append((bus, other))
    return order


def _transposed(sequences: NDArray[np.float64]) -> Matrix:
    """Phase matrix of (positive, zero) sequence."""
    positive, zero = (float(value) for value in sequences)
    own, mutual = (zero + 2.0 * positive) / 3.0, (zero - positive) / 3.0
    return ((own, mutual, mutual), (mutual, own, mutual), (mutual, mutual, own))

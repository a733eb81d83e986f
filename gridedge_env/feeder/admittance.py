"""From a feeder to its network: the nodal admittance matrix, the source and the branches.

Each element contributes a small primitive admittance over the nodes that it touches; the network is
their sum. Loads are left out: the power flow adds their currents.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gridedge_env.feeder.model import (
    TAP_STEP,
    Capacitor,
    Feeder,
    Line,
    LineCode,
    Source,
    Switch,
    Transformer,
    Winding,
    terminal_pairs,
)
from gridedge_env.feeder.primitive import (
    ComplexArray,
    FloatArray,
    coil_admittance,
    line_admittance,
    source_admittance,
)

METRES = {
    "mi": 1609.344,
    "kft": 304.8,
    "km": 1000.0,
    "m": 1.0,
    "ft": 0.3048,
    "in": 0.0254,
    "cm": 0.01,
}


@dataclass(frozen=True)
class Network:
    """The equations of a feeder: `nodal_admittance @ voltage = source_current - load currents`.

    Attributes:
        node_names: (nodes) bus.phase, in the feeder's order.
        nodal_admittance: (nodes, nodes) complex, S, with the source's, without the loads'.
        source_current: (nodes,) complex, A: Norton current of the source.
        source_nodes: (3,) nodes that the source feeds.
        source_admittance: (3, 3) complex, S, of the source alone.
        voltage_base: (nodes,) V line to neutral.
        branch_names: (branch_phases) element.phase of every line, switch and transformer, the phase
            being that of the from terminal or of winding 1.
        branch_current: (branch_phases, nodes) complex, S: times the voltages in V, the current in A
            that enters each branch at its from terminal or at winding 1.
        branch_rating: (branch_phases,) A; infinite where the branch is not rated.
        branch_terminals: (branch_phases, 2) from node, to node.
        three_phase_buses: (three_phase_buses) names of the buses with phases 1, 2 and 3.
        three_phase_nodes: (three_phase_buses, 3) their nodes of phases 1, 2, 3.
    """

    node_names: tuple[str, ...]
    nodal_admittance: sparse.csc_array
    source_current: ComplexArray
    source_nodes: NDArray[np.int64]
    source_admittance: ComplexArray
    voltage_base: FloatArray
    branch_names: tuple[str, ...]
    branch_current: sparse.csr_array
    branch_rating: FloatArray
    branch_terminals: NDArray[np.int64]
    three_phase_buses: tuple[str, ...]
    three_phase_nodes: NDArray[np.int64]


@dataclass(frozen=True)
class Element:
    """A primitive admittance (nodes, nodes) in S over named nodes.

    A series element has branches: its first `len(ratings)` nodes are the from terminal, and
    `to_nodes` are their counterparts.
    """

    name: str
    nodes: tuple[str, ...]
    admittance: ComplexArray
    to_nodes: tuple[str, ...] = ()
    ratings: tuple[float, ...] = ()


def build_network(feeder: Feeder) -> Network:
    """Assemble the network of a feeder.

    Raises:
        ValueError: when nodes have no path to the source; names them.
    """
    node_names = tuple(feeder.node_names)
    index = {name: position for position, name in enumerate(node_names)}
    elements = list(_elements(feeder))
    series = [element for element in elements if element.ratings]
    nodal_admittance = _assemble_nodal_admittance(elements, index)
    _require_connected(nodal_admittance, index, feeder.source)
    three_phase = [bus.name for bus in feeder.buses if {1, 2, 3} <= set(bus.phases)]
    return Network(
        node_names=node_names,
        nodal_admittance=nodal_admittance,
        source_current=_source_current(feeder.source, index),
        source_nodes=np.array([index[node] for node in source_element(feeder.source).nodes]),
        source_admittance=source_element(feeder.source).admittance,
        voltage_base=np.array([1e3 * bus.base_kv for bus in feeder.buses for _ in bus.phases]),
        branch_names=tuple(
            f"{element.name}.{node.rpartition('.')[2]}"
            for element in series
            for node in element.nodes[: len(element.ratings)]
        ),
        branch_current=_assemble_branch_current(series, index),
        branch_rating=np.array([rating for element in series for rating in element.ratings]),
        branch_terminals=np.array(
            [
                (index[start], index[end])
                for element in series
                for start, end in zip(element.nodes, element.to_nodes, strict=False)
            ],
            dtype=np.int64,
        ).reshape(-1, 2),
        three_phase_buses=tuple(three_phase),
        three_phase_nodes=np.array(
            [[index[f"{name}.{phase}"] for phase in (1, 2, 3)] for name in three_phase],
            dtype=np.int64,
        ).reshape(-1, 3),
    )


def _elements(feeder: Feeder) -> Iterator[Element]:
    line_codes = {code.name: code for code in feeder.line_codes}
    taps = {
        (regulator.transformer, regulator.winding): 1 + TAP_STEP * regulator.tap_position
        for regulator in feeder.regulators
    }
    for line in feeder.lines:
        yield line_element(line, line_codes[line.line_code], feeder.frequency)
    for switch in feeder.switches:
        if switch.closed:
            yield switch_element(switch)
    for transformer in feeder.transformers:
        yield transformer_element(
            transformer,
            [
                taps.get((transformer.name, number), winding.tap)
                for number, winding in enumerate(transformer.windings, start=1)
            ],
        )
    for capacitor in feeder.capacitors:
        yield capacitor_element(capacitor)
    yield source_element(feeder.source)


def line_element(line: Line, code: LineCode, frequency: float) -> Element:
    """A line of its line code, lengths brought to the code's unit."""
    length = line.length * (METRES[line.length_unit] / METRES[code.length_unit])
    start = _nodes(line.from_bus, line.from_phases)
    end = _nodes(line.to_bus, line.to_phases)
    rating = math.inf if code.ampacity is None else code.ampacity
    return Element(
        name=f"line.{line.name}",
        nodes=start + end,
        admittance=line_admittance(
            resistance=np.array(code.resistance) * length,
            reactance=np.array(code.reactance) * length,
            capacitance=np.array(code.capacitance) * (1e-9 * length),
            frequency=frequency,
        ),
        to_nodes=end,
        ratings=(rating,) * len(start),
    )


def switch_element(switch: Switch) -> Element:
    """A closed switch."""
    start = _nodes(switch.from_bus, switch.phases)
    end = _nodes(switch.to_bus, switch.phases)
    conductance = np.eye(len(start)) / switch.resistance_ohm
    return Element(
        name=f"switch.{switch.name}",
        nodes=start + end,
        admittance=np.block([[conductance, -conductance], [-conductance, conductance]]) + 0j,
        to_nodes=end,
        ratings=(math.inf,) * len(start),
    )


def transformer_element(transformer: Transformer, taps: Sequence[float]) -> Element:
    """A transformer from the admittance of one phase's coils and where their ends are tied.

    Args:
        transformer: its data.
        taps: (windings) in per unit.
    """
    windings = transformer.windings
    power = 1e3 * windings[0].kva / transformer.phases
    rated = [1e3 * _coil_kv(winding, transformer.phases) for winding in windings]
    coils = coil_admittance(
        resistance=[winding.resistance_percent / 100 for winding in windings],
        reactance=[percent / 100 for percent in transformer.reactance_percent],
        power=power,
        voltage=[volt * tap for volt, tap in zip(rated, taps, strict=True)],
    )
    nodes = tuple(node for winding in windings for node in _nodes(winding.bus, winding.phases))
    incidence = _coil_incidence(transformer, nodes)  # (phases, windings, nodes)
    admittance = np.einsum("pwn,wv,pvm->nm", incidence, coils, incidence)
    # Half of it stands at each end of a coil.
    shunt = -0.5e-6j * transformer.antifloat_ppm * power / np.square(rated)
    admittance += np.diag(np.einsum("pwn,w->n", np.abs(incidence), shunt))
    return Element(
        name=f"transformer.{transformer.name}",
        nodes=nodes,
        admittance=admittance,
        to_nodes=_nodes(windings[1].bus, windings[1].phases[: transformer.phases]),
        ratings=(_rated_line_current(windings[0], transformer.phases),) * transformer.phases,
    )


def capacitor_element(capacitor: Capacitor) -> Element:
    """A capacitor bank."""
    branches = capacitor.branches
    admittance = 1e-3j * capacitor.kvar / len(branches) / capacitor.branch_kv**2
    nodes = _nodes(capacitor.bus, capacitor.phases)
    incidence = _incidence(capacitor.bus, branches, nodes)
    return Element(
        name=f"capacitor.{capacitor.name}",
        nodes=nodes,
        admittance=np.asarray(admittance * (incidence.T @ incidence), dtype=np.complex128),
    )


def source_element(source: Source) -> Element:
    """The source's short-circuit impedance to ground."""
    return Element(
        name="source",
        nodes=_nodes(source.bus, (1, 2, 3)),
        admittance=source_admittance(complex(source.r1, source.x1), complex(source.r0, source.x0)),
    )


def _source_current(source: Source, index: dict[str, int]) -> ComplexArray:
    element = source_element(source)
    magnitude = 1e3 * source.base_kv * source.per_unit / math.sqrt(3)
    voltage = np.array(
        [cmath.rect(magnitude, math.radians(source.angle_degrees - 120 * k)) for k in range(3)]
    )
    current = np.zeros(len(index), dtype=np.complex128)
    current[[index[node] for node in element.nodes]] = element.admittance @ voltage
    return current


def _nodes(bus: str, phases: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{bus}.{phase}" for phase in phases)


def _coil_kv(winding: Winding, phases: int) -> float:
    return winding.kv / math.sqrt(3) if phases == 3 and winding.connection == "wye" else winding.kv


def _rated_line_current(winding: Winding, phases: int) -> float:
    return winding.kva / (winding.kv * (math.sqrt(3) if phases == 3 else 1.0))


def _coil_incidence(transformer: Transformer, nodes: Sequence[str]) -> FloatArray:
    """(phases, windings, nodes): the nodes at the two ends of each coil, +1 and -1."""
    step = _delta_step(transformer)
    ends = [
        _incidence(winding.bus, _coil_ends(winding, transformer.phases, step), nodes)
        for winding in transformer.windings
    ]
    return np.stack(ends, axis=1)


def _coil_ends(winding: Winding, phases: int, step: int) -> tuple[tuple[int, int], ...]:
    if phases == 1:
        return ((winding.phases[0], winding.phases[1] if len(winding.phases) == 2 else 0),)
    return terminal_pairs(winding.phases, winding.connection, step)


def _delta_step(transformer: Transformer) -> int:
    """Which way round deltas are wound so that the low-voltage side lags or leads as it should."""
    first, second = transformer.windings[:2]
    if first.connection == second.connection:
        return 1
    delta_on_high_side = (first if first.kv >= second.kv else second).connection == "delta"
    return 1 if delta_on_high_side == (transformer.lead_lag == "lead") else -1


def _incidence(bus: str, pairs: Sequence[tuple[int, int]], nodes: Sequence[str]) -> FloatArray:
    """(pairs, nodes): +1 at the first phase of each pair, -1 at the second unless it is ground."""
    matrix = np.zeros((len(pairs), len(nodes)))
    for row, (start, end) in enumerate(pairs):
        matrix[row, nodes.index(f"{bus}.{start}")] += 1
        if end:
            matrix[row, nodes.index(f"{bus}.{end}")] -= 1
    return matrix


def _assemble_nodal_admittance(
    elements: Sequence[Element], index: dict[str, int]
) -> sparse.csc_array:
    rows = [[index[node] for node in element.nodes] for element in elements]
    return _scatter([e.admittance for e in elements], rows, rows, (len(index), len(index))).tocsc()


def _assemble_branch_current(series: Sequence[Element], index: dict[str, int]) -> sparse.csr_array:
    counts = [len(element.ratings) for element in series]
    offsets = np.cumsum([0, *counts])
    rows = [list(range(start, end)) for start, end in pairwise(offsets)]
    columns = [[index[node] for node in element.nodes] for element in series]
    blocks = [e.admittance[:count] for e, count in zip(series, counts, strict=True)]
    return _scatter(blocks, rows, columns, (int(offsets[-1]), len(index))).tocsr()


def _scatter(
    blocks: Sequence[ComplexArray],
    rows: Sequence[Sequence[int]],
    columns: Sequence[Sequence[int]],
    shape: tuple[int, int],
) -> sparse.coo_array:
    """Add dense blocks into a sparse matrix at their rows and columns."""
    if not blocks:
        return sparse.coo_array(shape, dtype=np.complex128)
    values = np.concatenate([block.ravel() for block in blocks])
    row = np.concatenate([np.repeat(r, len(c)) for r, c in zip(rows, columns, strict=True)])
    column = np.concatenate([np.tile(c, len(r)) for r, c in zip(rows, columns, strict=True)])
    return sparse.coo_array((values, (row, column)), shape=shape)


def _require_connected(
    nodal_admittance: sparse.csc_array, index: dict[str, int], source: Source
) -> None:
    _, island = sparse.csgraph.connected_components(abs(nodal_admittance), directed=False)
    sources = {island[index[node]] for node in _nodes(source.bus, (1, 2, 3))}
    lost = [name for name, position in index.items() if island[position] not in sources]
    if lost:
        raise ValueError(
            f"feeder: {len(lost)} nodes have no path to the source at bus {source.bus!r}: "
            f"{', '.join(lost[:10])}{', ...' if len(lost) > 10 else ''}"
        )

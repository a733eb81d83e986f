"""The elements of a feeder, each as a primitive admittance over the nodes that it touches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gridedge_env.feeder.primitive import (
    ComplexArray,
    FloatArray,
    coil_difference,
    leakage_impedance,
    line_admittance,
    source_admittance,
)
from gridedge_env.feeder.records import (
    Admittance,
    Capacitor,
    Line,
    LineCode,
    Source,
    Switch,
    Transformer,
    branch_kv,
    terminal_pairs,
)

METRES = {
    "mi": 1609.344,
    "kft": 304.8,
    "km": 1000.0,
    "m": 1.0,
    "ft": 0.3048,
    "in": 0.0254,
    "cm": 0.01,
    "none": 1.0,
}


@dataclass(frozen=True)
class Element:
    """A primitive admittance (nodes, nodes) in S over named nodes; "bus.0" is the ground.

    A series element has branches: its first `len(ratings)` nodes are the from terminal, and
    `to_nodes` are their counterparts.
    """

    name: str
    nodes: tuple[str, ...]
    admittance: ComplexArray
    to_nodes: tuple[str, ...] = ()
    ratings: tuple[float, ...] = ()


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
    ends = [coil_ends(transformer, number) for number in range(2)]
    from_nodes, to_nodes = (
        tuple(f"{winding.bus}.{start or end}" for start, end in pairs)
        for winding, pairs in zip(transformer.windings, ends, strict=False)
    )
    touched = (
        f"{winding.bus}.{phase}"
        for number, winding in enumerate(transformer.windings)
        for pair in coil_ends(transformer, number)
        for phase in pair
        if phase
    )
    nodes = tuple(dict.fromkeys((*from_nodes, *touched)))
    incidence = coil_incidence(transformer, nodes)
    voltage = rated_coil_voltage(transformer)
    power = coil_power(transformer)
    difference = coil_difference(voltage * np.asarray(taps))
    coils = power * difference.T @ coil_leakage(transformer) @ difference
    coils[1, 1] += power * coil_magnetising(transformer) / (voltage[1] * taps[1]) ** 2
    admittance = np.einsum("pwn,wv,pvm->nm", incidence, coils, incidence)
    # Half of it stands at each end of a coil, and as much again at the star point of a wye.
    shunt = -0.5e-6j * transformer.antifloat_ppm * power / voltage**2
    ends = np.abs(incidence).sum(axis=0)  # (windings, nodes)
    for number, winding in enumerate(transformer.windings):
        star = coil_ends(transformer, number)[0][1]
        if winding.connection == "wye" and star:
            ends[number, nodes.index(f"{winding.bus}.{star}")] += 1
    admittance += np.diag(shunt @ ends)
    return Element(
        name=f"transformer.{transformer.name}",
        nodes=nodes,
        admittance=admittance,
        to_nodes=to_nodes,
        ratings=(_rated_line_current(transformer),) * transformer.phases,
    )


def coil_power(transformer: Transformer) -> float:
    """Rated power of one phase, VA: the base of its per-unit admittances."""
    return 1e3 * transformer.windings[0].kva / transformer.phases


def rated_coil_voltage(transformer: Transformer) -> FloatArray:
    """(windings,) V across each coil."""
    return np.array(
        [
            1e3 * branch_kv(winding.kv, range(transformer.phases), winding.connection)
            for winding in transformer.windings
        ]
    )


def coil_leakage(transformer: Transformer) -> ComplexArray:
    """(windings - 1, windings - 1) short-circuit admittance of one phase, per unit."""
    impedance = leakage_impedance(
        [winding.resistance_percent / 100 for winding in transformer.windings],
        [percent / 100 for percent in transformer.reactance_percent],
    )
    return np.asarray(np.linalg.inv(impedance), dtype=np.complex128)


def coil_magnetising(transformer: Transformer) -> complex:
    """Magnetising admittance of one phase, per unit; it lies across the coil of winding 2."""
    return complex(transformer.no_load_loss_percent, -transformer.magnetising_percent) / 100


def coil_ends(transformer: Transformer, number: int) -> tuple[tuple[int, int], ...]:
    """The phases at the two ends of each coil of winding `number`, from 0; 0 is ground."""
    winding = transformer.windings[number]
    if transformer.phases == 1 and len(winding.phases) == 2:
        return ((winding.phases[0], winding.phases[1]),)
    step = _delta_step(transformer)
    return terminal_pairs(winding.phases, winding.connection, winding.neutral, step)


def coil_incidence(transformer: Transformer, nodes: Sequence[str]) -> FloatArray:
    """(phases, windings, nodes): which nodes each coil lies between, +1 and -1."""
    return np.stack(
        [
            _incidence(winding.bus, coil_ends(transformer, number), nodes)
            for number, winding in enumerate(transformer.windings)
        ],
        axis=1,
    )


def capacitor_element(capacitor: Capacitor) -> Element:
    """A capacitor bank."""
    branches = capacitor.branches
    admittance = 1e-3j * capacitor.kvar / len(branches) / capacitor.branch_kv**2
    touched = dict.fromkeys(phase for pair in branches for phase in pair if phase)
    nodes = _nodes(capacitor.bus, tuple(touched))
    incidence = _incidence(capacitor.bus, branches, nodes)
    return Element(
        name=f"capacitor.{capacitor.name}",
        nodes=nodes,
        admittance=np.asarray(admittance * (incidence.T @ incidence), dtype=np.complex128),
    )


def admittance_element(admittance: Admittance) -> Element:
    """An element given by its admittance; in series if it has a second terminal."""
    return Element(
        name=admittance.name,
        nodes=admittance.from_nodes + admittance.to_nodes,
        admittance=np.array(admittance.conductance) + 1j * np.array(admittance.susceptance),
        to_nodes=admittance.to_nodes,
        ratings=(math.inf,) * len(admittance.from_nodes) if admittance.to_nodes else (),
    )


def source_element(source: Source) -> Element:
    """The source's short-circuit impedance to ground."""
    first = complex(source.r1, source.x1)
    return Element(
        name="source",
        nodes=_nodes(source.bus, source.phases),
        admittance=(
            source_admittance(first, complex(source.r0, source.x0))
            if len(source.phases) == 3
            else np.array([[1 / first]])
        ),
    )


def _nodes(bus: str, phases: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{bus}.{phase}" for phase in phases)


def _rated_line_current(transformer: Transformer) -> float:
    winding = transformer.windings[0]
    return winding.kva / (winding.kv * (math.sqrt(3) if transformer.phases > 1 else 1.0))


def _delta_step(transformer: Transformer) -> int:
    """Which way round deltas are wound so that the low-voltage side lags or leads as it should."""
    first, second = transformer.windings[:2]
    if (first.connection == "wye") == (second.connection == "wye"):
        return 1
    delta_on_high_side = (first if first.kv >= second.kv else second).connection == "delta"
    return 1 if delta_on_high_side == (transformer.lead_lag == "lead") else -1


def _incidence(bus: str, pairs: Sequence[tuple[int, int]], nodes: Sequence[str]) -> FloatArray:
    """(pairs, nodes): +1 at the first phase of each pair, -1 at the second, none at the ground."""
    matrix = np.zeros((len(pairs), len(nodes)))
    for row, pair in enumerate(pairs):
        for phase, sign in zip(pair, (1.0, -1.0), strict=True):
            if phase:
                matrix[row, nodes.index(f"{bus}.{phase}")] += sign
    return matrix

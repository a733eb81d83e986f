"""Whether a record of ours is the element that OpenDSS has: nothing is imported unchecked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gridedge_env.feeder.admittance import build_network
from gridedge_env.feeder.elements import Element, source_element
from gridedge_env.feeder.feeder import Feeder
from gridedge_env.feeder.opendss.circuit import CircuitElement
from gridedge_env.feeder.primitive import ComplexArray, FloatArray
from gridedge_env.feeder.records import Load, Source

ROUNDING = 1e-12
"""Largest difference of two primitives, per unit of the geometric mean of their diagonals."""
LAW_TOLERANCE = 100.0
"""Largest relative difference of two currents, times the tolerance of OpenDSS's solution."""
NO_CURRENT = 1e-9
"""A."""


def same_admittance(ours: Element, theirs: CircuitElement) -> bool:
    """Whether two primitives agree to rounding at every node but the ground.

    Entry (i, j) is measured by what stands on the diagonal at i and j, so that the high-voltage
    side of a transformer counts as much as its low-voltage side.
    """
    nodes = sorted({node for node in (*ours.nodes, *theirs.nodes) if not node.endswith(".0")})
    wanted = nodal(theirs.nodes, theirs.admittance, nodes)
    size = np.sqrt(np.abs(np.diag(wanted)))
    difference = np.abs(nodal(ours.nodes, ours.admittance, nodes) - wanted)
    return bool((difference <= ROUNDING * np.outer(size, size)).all())


def same_source(ours: Source, theirs: CircuitElement) -> bool:
    """Whether a source has OpenDSS's impedance, and its voltage behind it."""
    if not same_admittance(source_element(ours), theirs):
        return False
    count = len(ours.phases)
    block = theirs.admittance[:count, :count]
    behind = np.linalg.solve(block, (theirs.admittance @ theirs.voltage - theirs.current)[:count])
    order = [theirs.nodes.index(f"{ours.bus}.{phase}") for phase in ours.phases]
    wanted = _source_voltage(ours)
    return bool(np.abs(behind[order] - wanted).max() <= 1e-9 * np.abs(wanted).max())


def _source_voltage(source: Source) -> ComplexArray:
    magnitude = 1e3 * source.base_kv * source.per_unit
    if len(source.phases) == 3:
        magnitude /= math.sqrt(3)
    angle = np.radians(source.angle_degrees - 120.0 * np.arange(len(source.phases)))
    return np.asarray(magnitude * np.exp(1j * angle))


def same_charging(ours: Element, theirs: CircuitElement) -> bool:
    """Whether two lines agree in their shunts, which their series admittance drowns."""
    count = len(theirs.nodes) // 2
    difference = np.abs(_charging(ours.admittance, count) - _charging(theirs.admittance, count))
    size = np.abs(_charging(theirs.admittance, count)).max()
    rounding = 1e-14 * np.abs(theirs.admittance).max()
    return bool(difference.max() <= 1e-9 * size + rounding)


def _charging(admittance: ComplexArray, count: int) -> ComplexArray:
    return admittance[:count, :count] + admittance[:count, count:]


def nodal(nodes: Sequence[str], admittance: ComplexArray, order: Sequence[str]) -> ComplexArray:
    """A primitive summed over the conductors of each node of `order`; the rest is left out."""
    index = {node: position for position, node in enumerate(order)}
    kept = [conductor for conductor, node in enumerate(nodes) if node in index]
    position = [index[nodes[conductor]] for conductor in kept]
    total = np.zeros((len(order), len(order)), dtype=np.complex128)
    np.add.at(total, np.ix_(position, position), admittance[np.ix_(kept, kept)])
    return total


def same_injection(load: Load, theirs: CircuitElement, tolerance: float) -> bool:
    """Whether a load draws the current that OpenDSS's element draws where it is."""
    current = drawn_current(load, theirs.nodes, theirs.voltage)
    wrong = np.abs(current - theirs.current).max()
    return bool(wrong <= tolerance * np.abs(current).max() + NO_CURRENT)


def drawn_current(load: Load, nodes: Sequence[str], voltage: ComplexArray) -> ComplexArray:
    """(nodes,) A that a load draws from each; only the ground may be missing from the nodes."""
    incidence = np.zeros((len(load.branches), len(nodes)))
    for row, ends in enumerate(load.branches):
        for phase, sign in zip(ends, (1.0, -1.0), strict=True):
            if f"{load.bus}.{phase}" in nodes:
                incidence[row, nodes.index(f"{load.bus}.{phase}")] += sign
    across = incidence @ voltage
    p_factor, q_factor = _admittance_factors(load, np.abs(across) / (1e3 * load.branch_kv))
    admittance = (load.kw * p_factor - 1j * load.kvar * q_factor) / (1e3 * load.branch_kv**2)
    return np.asarray(incidence.T @ (admittance / len(load.branches) * across))


def _admittance_factors(load: Load, voltage: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What each branch makes of its nominal conductance and susceptance at a voltage in pu."""
    if load.model == "constant_impedance":
        return np.ones_like(voltage), np.ones_like(voltage)
    exponent = 1.0 if load.model == "constant_current" else 0.0
    low, least, most = load.vlow_pu, load.vmin_pu, load.vmax_pu
    rising = low + (least ** (exponent - 1) - low) * (voltage - low) / (least - low)
    outside = np.where(voltage > most, most ** (exponent - 2), rising / np.maximum(voltage, 1e-9))
    outside = np.where(voltage <= low, 1.0, outside)
    inside = (voltage > least) & (voltage <= most)
    within = np.clip(voltage, least, most)
    p_exponent, q_exponent = (
        exponent if own is None else own for own in (load.p_exponent, load.q_exponent)
    )
    return (
        np.where(inside, within ** (p_exponent - 2), outside),
        np.where(inside, within ** (q_exponent - 2), outside),
    )


def unbalanced_nodes(feeder: Feeder, voltage: ComplexArray, tolerance: float) -> list[str]:
    """Nodes where OpenDSS's voltages leave currents of ours over; the source's are not looked at.

    Args:
        feeder: with its loads.
        voltage: (nodes,) V to ground.
        tolerance: per unit of the currents of the loads there.
    """
    network = build_network(feeder)
    index = {node: position for position, node in enumerate(network.node_names)}
    drawn = np.zeros(len(index), dtype=np.complex128)
    allowed = 1e-12 * (abs(network.nodal_admittance) @ np.abs(voltage)) + NO_CURRENT
    for load in feeder.loads:
        phases = dict.fromkeys(phase for pair in load.branches for phase in pair if phase)
        nodes = [f"{load.bus}.{phase}" for phase in phases]
        at = [index[node] for node in nodes]
        current = drawn_current(load, nodes, voltage[at])
        drawn[at] += current
        allowed[at] += tolerance * np.abs(current).max()
    left_over = network.nodal_admittance @ voltage + drawn
    wrong = np.abs(left_over) > allowed
    wrong[network.source_nodes] = False
    return [node for node, is_wrong in zip(network.node_names, wrong, strict=True) if is_wrong]

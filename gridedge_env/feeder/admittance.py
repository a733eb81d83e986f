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

from gridedge_env.feeder.elements import (
    Element,
    admittance_element,
    capacitor_element,
    line_element,
    source_element,
    switch_element,
    transformer_element,
)
from gridedge_env.feeder.feeder import Feeder
from gridedge_env.feeder.primitive import ComplexArray, FloatArray
from gridedge_env.feeder.records import Source

# A row of admittances adds up to nothing if its sum is rounding of the entries.
NOTHING = 1e-15


@dataclass(frozen=True)
class Network:
    """The equations of a feeder: `nodal_admittance @ voltage = source_current - load currents`.

    A part without a path to the source or to ground leaves the matrix singular: `at_rest` says that
    its voltage is 0.

    Attributes:
        node_names: (nodes) bus.phase, in the feeder's order.
        nodal_admittance: (nodes, nodes) complex, S, with the source's, without the loads'.
        exact_admittance: the same before rounding, in extended precision: beside a switch of 1e7 S,
            double precision knows an antifloat shunt of 1e-7 S to 1 % only.
        source_current: (nodes,) complex, A: Norton current of the source.
        source_nodes: (source phases,) nodes that the source feeds.
        source_admittance: (source phases, source phases) complex, S, of the source alone.
        energised: (nodes,) bool: whether a path leads to the source.
        voltage_base: (nodes,) V line to neutral.
        branch_names: (branch_phases) element.phase of every line, closed switch, transformer and
            series admittance, the phase being that of the from terminal or of winding 1.
        branch_current: (branch_phases, nodes) complex, S: times the voltages in V, the current in A
            that enters each branch at its from terminal or at winding 1.
        branch_rating: (branch_phases,) A; infinite where the branch is not rated.
        branch_terminals: (branch_phases, 2) from node, to node; -1 for the ground.
        three_phase_buses: (three_phase_buses) names of the buses with phases 1, 2 and 3.
        three_phase_nodes: (three_phase_buses, 3) their nodes of phases 1, 2, 3.
    """

    node_names: tuple[str, ...]
    nodal_admittance: sparse.csc_array
    exact_admittance: sparse.csc_array
    source_current: ComplexArray
    source_nodes: NDArray[np.int64]
    source_admittance: ComplexArray
    energised: NDArray[np.bool_]
    voltage_base: FloatArray
    branch_names: tuple[str, ...]
    branch_current: sparse.csr_array
    branch_rating: FloatArray
    branch_terminals: NDArray[np.int64]
    three_phase_buses: tuple[str, ...]
    three_phase_nodes: NDArray[np.int64]


def build_network(feeder: Feeder) -> Network:
    """Assemble the network of a feeder."""
    node_names = tuple(feeder.node_names)
    index = {name: position for position, name in enumerate(node_names)}
    elements = list(_elements(feeder))
    series = [element for element in elements if element.ratings]
    source = source_element(feeder.source)
    source_nodes = _positions(source.nodes, index)
    exact_admittance = _assemble_nodal_admittance(elements, index)
    nodal_admittance = exact_admittance.astype(complex)
    three_phase = [bus.name for bus in feeder.buses if {1, 2, 3} <= set(bus.phases)]
    return Network(
        node_names=node_names,
        nodal_admittance=nodal_admittance,
        exact_admittance=exact_admittance,
        source_current=_source_current(feeder.source, source_nodes, len(index)),
        source_nodes=source_nodes,
        source_admittance=source.admittance,
        energised=reached(nodal_admittance, source_nodes),
        voltage_base=np.array([1e3 * bus.base_kv for bus in feeder.buses for _ in bus.phases]),
        branch_names=tuple(
            f"{element.name}.{node.rpartition('.')[2]}"
            for element in series
            for node in element.nodes[: len(element.ratings)]
        ),
        branch_current=_assemble_branch_current(series, index),
        branch_rating=np.array([rating for element in series for rating in element.ratings]),
        branch_terminals=np.concatenate(
            [np.zeros((0, 2), dtype=np.int64)]
            + [
                np.stack(
                    [
                        _positions(element.nodes[: len(element.to_nodes)], index),
                        _positions(element.to_nodes, index),
                    ],
                    axis=1,
                )
                for element in series
            ]
        ),
        three_phase_buses=tuple(three_phase),
        three_phase_nodes=np.array(
            [[index[f"{name}.{phase}"] for phase in (1, 2, 3)] for name in three_phase],
            dtype=np.int64,
        ).reshape(-1, 3),
    )


def _elements(feeder: Feeder) -> Iterator[Element]:
    line_codes = {code.name: code for code in feeder.line_codes}
    taps = {
        (regulator.transformer, regulator.winding): regulator.tap for regulator in feeder.regulators
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
    for admittance in feeder.admittances:
        yield admittance_element(admittance)
    yield source_element(feeder.source)


def _source_current(source: Source, nodes: NDArray[np.int64], count: int) -> ComplexArray:
    magnitude = 1e3 * source.base_kv * source.per_unit
    if len(source.phases) == 3:
        magnitude /= math.sqrt(3)
    voltage = np.array(
        [
            cmath.rect(magnitude, math.radians(source.angle_degrees - 120 * k))
            for k in range(len(nodes))
        ]
    )
    current = np.zeros(count, dtype=np.complex128)
    current[nodes] = source_element(source).admittance @ voltage
    return current


def _positions(nodes: Sequence[str], index: dict[str, int]) -> NDArray[np.int64]:
    """Positions of nodes; -1 for the ground."""
    return np.array([-1 if n.endswith(".0") else index[n] for n in nodes], dtype=np.int64)


def _assemble_nodal_admittance(
    elements: Sequence[Element], index: dict[str, int]
) -> sparse.csc_array:
    rows = [_positions(element.nodes, index) for element in elements]
    blocks = [element.admittance.astype(np.clongdouble) for element in elements]
    return _scatter(blocks, rows, rows, (len(index), len(index))).tocsc()


def _assemble_branch_current(series: Sequence[Element], index: dict[str, int]) -> sparse.csr_array:
    counts = [len(element.ratings) for element in series]
    offsets = np.cumsum([0, *counts])
    rows = [np.arange(start, end) for start, end in pairwise(offsets)]
    columns = [_positions(element.nodes, index) for element in series]
    blocks = [e.admittance[:count] for e, count in zip(series, counts, strict=True)]
    return _scatter(blocks, rows, columns, (int(offsets[-1]), len(index))).tocsr()


def _scatter(
    blocks: Sequence[NDArray[np.complexfloating]],
    rows: Sequence[NDArray[np.int64]],
    columns: Sequence[NDArray[np.int64]],
    shape: tuple[int, int],
) -> sparse.coo_array:
    """Add dense blocks into a sparse matrix at their rows and columns; -1 is left out."""
    if not blocks:
        return sparse.coo_array(shape, dtype=np.complex128)
    values = np.concatenate([block.ravel() for block in blocks])
    row = np.concatenate([np.repeat(r, len(c)) for r, c in zip(rows, columns, strict=True)])
    column = np.concatenate([np.tile(c, len(r)) for r, c in zip(rows, columns, strict=True)])
    kept = (row >= 0) & (column >= 0)
    return sparse.coo_array((values[kept], (row[kept], column[kept])), shape=shape)


def reached(
    nodal_admittance: sparse.csc_array, source_nodes: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(nodes,) bool: whether each node has a path to the source."""
    _, island = sparse.csgraph.connected_components(abs(nodal_admittance), directed=False)
    return np.isin(island, island[source_nodes])


def at_rest(
    nodal_admittance: sparse.csc_array, source_nodes: NDArray[np.int64]
) -> sparse.csc_array:
    """The same matrix, with V = 0 as the equation of every part with no path to source or ground.

    Nothing leads from such a part to ground if a common voltage drives no current in it.
    """
    _, island = sparse.csgraph.connected_components(abs(nodal_admittance), directed=False)
    to_ground = np.abs(nodal_admittance @ np.ones(nodal_admittance.shape[1]))
    held = np.zeros(island.max() + 1, dtype=bool)
    np.logical_or.at(held, island, to_ground > NOTHING * np.abs(nodal_admittance.diagonal()))
    held[island[source_nodes]] = True
    alive = held[island].astype(float)
    pinned = sparse.diags_array(alive) @ nodal_admittance @ sparse.diags_array(alive)
    return (pinned + sparse.diags_array(1.0 - alive)).tocsc()

"""Elimination of a network's nodes: a symmetric factor L D L^T of its admittance, for kernels.

Two things set it apart from a general sparse factor.

*The order.* Nodes without devices whose elimination hardly fills the rest go first: the ends of
feeders, and the buses along a line. No current is ever injected there, so that the sweeps of a
power flow leave them out; on IEEE 123 these are more than half the nodes.

*The digits.* It is computed in extended precision and rounded once. The pivots of a radial network
are sums of admittances of which little cancels, and a factor that is right entry by entry to the
last digit loses little in a substitution. What does cancel is the zero sequence of a part that
stands on nothing but its antifloat shunts of 1e-6 of a rating, behind a delta winding. There the
last node of the part has a *weak* pivot. What flows into it are sums of delta currents, nothing but
rounding, of which a weak pivot makes volts. For weak pivots there is therefore what each device
really adds to that sum, computed in extended precision: `Elimination.into_weak`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# Pairs of neighbours that the elimination of a node without devices may newly couple, beyond the
# couplings that it removes. A bus of three phases along a line: 9 - 8, then -7, then -6. With 0 the
# European feeder keeps 3,000 couplings, with 10 it keeps 424, with no limit 1,485.
MOST_FILL = 10

# Of a node's weakest coupling: below this a pivot is what cancellation has left of it.
WEAK_PIVOT = 1e-3

# Of a node's diagonal: what is no coupling but rounding.
NO_COUPLING = 1e-14

ZERO = np.clongdouble(0.0)


@dataclass(frozen=True)
class Elimination:
    """Y = P^T L D L^T P for a symmetric Y of n nodes; L has a unit diagonal.

    Attributes:
        node: (n,) node at each place of the order.
        idle: how many of the first places inject no current.
        pivot: (n,) complex, the diagonal of D.
        lower: (n, n) complex, L without its diagonal.
        weak: (weak pivots,) their places.
        into_weak: (weak pivots, devices) complex: rows of L^-1 P C^T, for currents of devices that
            enter the nodes by C^T.
    """

    node: NDArray[np.int64]
    idle: int
    pivot: NDArray[np.complex128]
    lower: sparse.csr_array
    weak: NDArray[np.int64]
    into_weak: NDArray[np.complex128]


def eliminate(admittance: sparse.csr_array, incidence: sparse.csr_array) -> Elimination:
    """Eliminate all nodes.

    Args:
        admittance: (nodes, nodes) Y in extended precision, symmetric.
        incidence: (devices, nodes) real, C.
    """
    rows = _rows(admittance)
    busy = set(np.unique(incidence.indices).tolist())
    weakest = {
        node: min((abs(y) for k, y in row.items() if k != node), default=0.0)
        for node, row in rows.items()
    }
    idle = _in_turn(rows, set(rows) - busy, lambda fill, degree: fill <= degree + MOST_FILL)
    order = idle + _in_turn(rows, set(rows), lambda fill, degree: True)
    node = np.array([step.node for step in order], dtype=np.int64)
    place = np.empty(len(node), dtype=np.int64)
    place[node] = np.arange(len(node))
    pivot = np.array([step.pivot for step in order])
    weak = np.flatnonzero(np.abs(pivot) < [WEAK_PIVOT * float(weakest[k]) for k in node.tolist()])
    column = np.repeat(np.arange(len(node)), [len(step.column) for step in order])
    row = place[[later for step in order for later in step.column]]
    value = np.array([value for step in order for value in step.column.values()])
    lower = sparse.csc_array((value, (row, column)), shape=admittance.shape)
    return Elimination(
        node,
        len(idle),
        pivot.astype(complex),
        lower.tocsr().astype(complex),
        weak,
        np.array([(incidence[:, node] @ _to_row(lower, k)).astype(complex) for k in weak.tolist()]),
    )


@dataclass(frozen=True)
class _Step:
    """One node's elimination: its pivot, and its column of L by later node."""

    node: int
    pivot: np.clongdouble
    column: dict[int, np.clongdouble]


def _rows(matrix: sparse.csr_array) -> dict[int, dict[int, np.clongdouble]]:
    rows = {}
    for k, (begin, end) in enumerate(pairwise(matrix.indptr)):
        row = dict(zip(matrix.indices[begin:end].tolist(), matrix.data[begin:end], strict=True))
        least = NO_COUPLING * abs(row[k])
        rows[k] = {j: value for j, value in row.items() if abs(value) > least}
    return rows


def _in_turn(
    rows: dict[int, dict[int, np.clongdouble]],
    nodes: set[int],
    wanted: Callable[[int, int], bool],
) -> list[_Step]:
    """Eliminate nodes, the one that fills least next, as long as its fill and degree are wanted.

    `rows` is left with the rows of those that remain.
    """
    fill = {node: _fill(rows, node) for node in nodes}
    queue = [(count, node) for node, count in fill.items()]
    heapq.heapify(queue)
    steps: list[_Step] = []
    while queue:
        count, node = heapq.heappop(queue)
        if fill.get(node) != count:
            continue
        if not wanted(count, len(rows[node]) - 1):
            break
        steps.append(_eliminate(rows, node))
        del fill[node]
        for neighbour in steps[-1].column:
            if neighbour in fill:
                fill[neighbour] = _fill(rows, neighbour)
                heapq.heappush(queue, (fill[neighbour], neighbour))
    return steps


def _fill(rows: dict[int, dict[int, np.clongdouble]], node: int) -> int:
    """Pairs of neighbours that are not coupled yet."""
    neighbours = rows[node].keys() - {node}
    coupled = sum(len(rows[k].keys() & neighbours) - 1 for k in neighbours)
    return (len(neighbours) * (len(neighbours) - 1) - coupled) // 2


def _eliminate(rows: dict[int, dict[int, np.clongdouble]], node: int) -> _Step:
    row = rows.pop(node)
    pivot = row.pop(node)
    column = {k: value / pivot for k, value in row.items()}
    for k, factor in column.items():
        target = rows[k]
        del target[node]
        for j, value in row.items():
            target[j] = target.get(j, ZERO) - factor * value
    return _Step(node, pivot, column)


def _to_row(lower: sparse.csc_array, place: int) -> NDArray[np.clongdouble]:
    """L^-T e: what of a current at every place comes to this one."""
    share = np.zeros(lower.shape[0], dtype=np.clongdouble)
    share[place] = 1.0
    for k in range(place - 1, -1, -1):
        entries = slice(lower.indptr[k], lower.indptr[k + 1])
        share[k] = -(lower.data[entries] @ share[lower.indices[entries]])
    return share

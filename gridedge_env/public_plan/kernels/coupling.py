"""Once a day: the inverses that iterations multiply with."""

from __future__ import annotations

from typing import Any

from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import load, store
from gridedge_env.public_plan.kernels.layout import KNOWN, LANES, PER_FALL, PER_RISE


@kernel
def couple(work: Any) -> None:
    """Factorise the matrices of the classes, and invert the one that ties them together."""
    for c in range(work.classes):
        if work.stores[c]:
            _factorise(work, c)
        _respond(work, c)
    _invert(work)


@kernel
def _factorise(work: Any, c: int) -> None:
    """Eliminate the later steps from a class's matrix with three diagonals, from the last on."""
    steps, kept, own = work.steps, work.kept[c], work.own[c]
    over, beside = pointer(work.over, c * steps), pointer(work.beside, c * (steps + 1))
    left = 0.0
    for t in range(steps - 1, -1, -1):
        before = kept / work.penalty[t - 1] if t > 0 else 0.0
        diagonal = 1.0 / work.penalty[t] + kept * before + 2.0 / own
        over[t] = 1.0 / (diagonal - left)
        beside[t] = -before * over[t]
        left = before * before * over[t]


@kernel
def _respond(work: Any, c: int) -> None:
    """Add to the coupling's lower half how a class answers when something is asked of it."""
    steps, own = work.steps, work.own[c]
    over, beside = pointer(work.over, c * steps), pointer(work.beside, c * (steps + 1))
    share = load(work.weight, c * LANES, LANES) * (work.tie / own)
    series = pointer(work.series, c * steps * KNOWN)
    diagonal = 0.0
    for u in range(steps):
        rise, fall = series[u * KNOWN + PER_RISE], series[u * KNOWN + PER_FALL]
        place = (u * steps + u) * LANES
        alone = share * (rise * rise + fall * fall)
        store(work.coupling, place, load(work.coupling, place, LANES) + alone)
        if not work.stores[c]:
            continue
        # The inverse of the matrix with three diagonals, along its diagonal and down from there.
        diagonal = over[u] + beside[u] * beside[u] * diagonal
        inner = -diagonal * (rise + fall) / own
        for t in range(u, steps):
            if t > u:
                inner = -inner * beside[t]
            both = series[t * KNOWN + PER_RISE] + series[t * KNOWN + PER_FALL]
            place = (t * steps + u) * LANES
            store(work.coupling, place, load(work.coupling, place, LANES) + share * (inner * both))


@kernel
def _invert(work: Any) -> None:
    """The coupling: the inverse of one plus all answers, in place, both halves.

    Sweeps of the lower half without exchanging rows: the matrix is positive definite.
    """
    steps, matrix, column = work.steps, work.coupling, work.spare
    for t in range(steps):
        place = (t * steps + t) * LANES
        store(matrix, place, load(matrix, place, LANES) + 1.0)
    for k in range(steps):
        pivot = 1.0 / load(matrix, (k * steps + k) * LANES, LANES)
        for t in range(steps):
            place = max(k, t) * steps + min(k, t)
            store(column, t * LANES, load(matrix, place * LANES, LANES))
        for t in range(steps):
            times = load(column, t * LANES, LANES) * pivot
            for u in range(t + 1):
                place = (t * steps + u) * LANES
                left = load(matrix, place, LANES) - times * load(column, u * LANES, LANES)
                store(matrix, place, left)
        for t in range(steps):
            place = max(k, t) * steps + min(k, t)
            store(matrix, place * LANES, load(column, t * LANES, LANES) * pivot)
        store(matrix, (k * steps + k) * LANES, 0.0 - pivot)
    for t in range(steps):
        for u in range(t + 1):
            value = 0.0 - load(matrix, (t * steps + u) * LANES, LANES)
            store(matrix, (t * steps + u) * LANES, value)
            store(matrix, (u * steps + t) * LANES, value)

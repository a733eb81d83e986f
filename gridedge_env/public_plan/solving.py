"""How the public plan's program is solved for many episodes: by a compiled kernel, where it can be.

A gateway solves it in NumPy, day by day, and both find the same plan.
"""

from __future__ import annotations

from operator import attrgetter

import numpy as np

from gridedge_env.compiled.running import numba_is_there, run_blocks
from gridedge_gateway.alternating import (
    NET_PENALTY,
    PRICE_ITERATIONS,
    RELAXATION,
    Array,
    Solver,
    Terms,
    by_matrices,
)

# Groups at most that the kernel takes.
MOST_GROUPS = 8


def solver() -> Solver:
    """The quickest that there is."""
    return by_kernel if numba_is_there() else by_matrices


def by_kernel(terms: Terms, iterations: int) -> tuple[Array, ...]:
    """As `by_matrices`, compiled; for `MOST_GROUPS` at most."""
    from gridedge_env.public_plan.kernels.days import plan_days
    from gridedge_env.public_plan.kernels.layout import LANES, SERIES

    classes, days, steps = terms.into.shape
    limits, groups = terms.pull.shape
    filled = -(-limits // LANES) * LANES
    weight, pull, slope = (
        np.zeros(shape) for shape in ((classes, LANES), (groups, filled), (filled, LANES))
    )
    weight[:, :groups] = terms.weight.T
    pull[:, :limits] = terms.pull.T
    slope[:limits, :groups] = terms.slope / NET_PENALTY
    room, prices = np.ones((days, steps, filled)), np.zeros((days, steps, filled))
    room[..., :limits] = terms.room.swapaxes(1, 2)
    series = np.empty((days, classes, steps, len(SERIES)))
    for number, name in enumerate(SERIES):
        series[..., number] = attrgetter(name)(terms).swapaxes(0, 1)
    flows, draws = np.empty((days, classes, 3, steps, LANES)), np.zeros((days, steps, LANES))
    dearest = np.zeros((days, filled))
    dearest[:, :limits] = terms.dearest
    rules = (NET_PENALTY, RELAXATION, terms.price_step, iterations, PRICE_ITERATIONS)
    run_blocks(
        plan_days,
        days,
        series,
        np.ascontiguousarray(terms.bound.T),
        np.ascontiguousarray(terms.own.T),
        terms.kept,
        terms.stores,
        terms.penalty,
        weight,
        pull,
        slope,
        slope[:, :groups] @ pull,
        room,
        dearest,
        np.array(rules, dtype=np.float64),
        flows,
        draws,
        prices,
    )
    draw, feed, store = flows[..., :groups].transpose(2, 1, 0, 4, 3)
    price = prices[..., :limits].swapaxes(1, 2)
    return draw, feed, store, draws[..., :groups].swapaxes(1, 2), price

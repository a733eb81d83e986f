"""How the public plan's program is solved for many episodes: by a compiled kernel, where it can be.

A gateway solves it in NumPy, day by day, and both find the same plan.
"""

from __future__ import annotations

import numpy as np

from gridedge_env.compiled.running import numba_is_there, run_blocks
from gridedge_gateway.program import (
    BOUND_PENALTY,
    NET_PENALTY,
    PRICE_ITERATIONS,
    RELAXATION,
    Array,
    Solver,
    Terms,
    by_matrices,
    coupling_of,
    store_inverse,
    store_matrix,
)

# Groups at most that the kernel takes.
MOST_GROUPS = 8


def solver() -> Solver:
    """The quickest that there is."""
    return by_kernel if numba_is_there() else by_matrices


def by_kernel(terms: Terms, iterations: int) -> tuple[Array, ...]:
    """As `by_matrices`, compiled; for `MOST_GROUPS` at most."""
    from gridedge_env.public_plan.program_kernel import LANES, plan_days

    classes, days, steps = terms.into.shape
    groups, limits = len(terms.weight), len(terms.pull)
    three, coupling = store_matrix(terms), coupling_of(terms, store_inverse(terms))

    def lanes(values: Array) -> Array:
        """Groups last, filled up."""
        filled = np.zeros((*values.shape[:-1], LANES))
        filled[..., :groups] = values
        return filled

    below, over = np.zeros((classes, days, steps)), np.zeros((classes, days, steps))
    over[..., 0] = 1.0 / three[..., 0, 0]
    for t in range(1, steps):
        beside = three[..., t, t - 1]
        below[..., t] = beside * over[..., t - 1]
        over[..., t] = 1.0 / (three[..., t, t] - beside * below[..., t])
    alike = np.broadcast_to(
        np.stack((terms.kept, terms.stores, np.zeros(classes)), axis=1)[:, None], (classes, days, 3)
    )
    factors = np.concatenate((terms.own[..., None], alike, below, over), axis=2)
    series = np.stack(
        (
            terms.into, terms.out, terms.most_into, terms.most_out,
            terms.lowest, terms.highest, terms.per_rise, terms.per_fall,
        ),
        axis=-1,
    )  # fmt: skip
    flows = np.zeros((days, classes, 3, steps, LANES))
    draws, prices = np.zeros((days, steps, LANES)), np.zeros((days, limits, steps))
    rules = (BOUND_PENALTY, NET_PENALTY, RELAXATION, terms.price_step, iterations, PRICE_ITERATIONS)
    run_blocks(
        plan_days,
        days,
        np.ascontiguousarray(series.swapaxes(0, 1)),
        np.ascontiguousarray(factors.swapaxes(0, 1)),
        terms.penalty,
        lanes(terms.weight.T),
        lanes(coupling.transpose(0, 2, 3, 1)),
        lanes(terms.pull),
        lanes(terms.slope),
        terms.pull @ terms.slope.T / NET_PENALTY,
        np.ascontiguousarray(terms.room),
        np.array(rules, dtype=np.float64),
        flows,
        draws,
        prices,
    )
    draw, feed, store = flows[..., :groups].transpose(2, 1, 0, 4, 3)
    return draw, feed, store, draws[..., :groups].swapaxes(1, 2), prices

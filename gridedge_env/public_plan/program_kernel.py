"""Compiled kernel of `gridedge_gateway.program`: the same method, day by day, groups in lanes.

Where the reference multiplies with matrices, the kernel walks along the steps: a store is a
recurrence, and the inverse of a class's own terms is that of a matrix with three diagonals.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import alike, load, select, store, total

# Groups at a time; fewer are filled up with groups of nothing.
LANES = 8


@kernel
def plan_days(
    series: Any,
    classes: Any,
    penalty: Any,
    weight: Any,
    coupling: Any,
    pull: Any,
    slope: Any,
    gram: Any,
    room: Any,
    rules: Any,
    flows: Any,
    draws: Any,
    prices: Any,
    first: int,
    last: int,
) -> None:
    """Plans of the days from `first` to before `last`.

    Args:
        series: (days, classes, steps, 8) cost of filling and of emptying, most of either, lowest
            and highest store, one over rise and one over fall.
        classes: (days, classes, 4 + 2 steps) own term, kept, whether there is a store, 0; factors
            of the matrix with three diagonals: what is below the diagonal, and one over it.
        penalty: (steps,) of the store.
        weight: (classes, LANES) share of a class in its group.
        coupling: (days, steps, steps, LANES).
        pull: (limits, LANES).
        slope: (limits, LANES).
        gram: (limits, limits) pull times slope over the penalty on net.
        room: (days, limits, steps).
        rules: bound penalty, net penalty, relaxation, price step, iterations, price iterations.
        flows: (days, classes, 3, steps, LANES) for draw, feed and store.
        draws: (days, steps, LANES) for net.
        prices: (days, limits, steps), likewise.
        first: number of the first day.
        last: one more than the last day's.
    """
    count, steps = series.shape[1], series.shape[2]
    limits = pull.shape[0]
    bound, tie, relax, price_step = rules[0], rules[1], rules[2], rules[3]
    iterations, price_iterations = int(rules[4]), int(rules[5])
    size, width = count * steps * LANES, steps * LANES
    numbers = np.zeros(8 * size + 7 * width)
    into, out, held = pointer(numbers, 0), pointer(numbers, size), pointer(numbers, 2 * size)
    into_dual, out_dual = pointer(numbers, 3 * size), pointer(numbers, 4 * size)
    held_dual = pointer(numbers, 5 * size)
    filling, emptying = pointer(numbers, 6 * size), pointer(numbers, 7 * size)
    net, net_dual = pointer(numbers, 8 * size), pointer(numbers, 8 * size + width)
    drawn, push = pointer(numbers, 8 * size + 2 * width), pointer(numbers, 8 * size + 3 * width)
    asked, work = pointer(numbers, 8 * size + 4 * width), pointer(numbers, 8 * size + 5 * width)
    more = pointer(numbers, 8 * size + 6 * width)
    weights, pulls = weight.reshape(-1), pull.reshape(-1)
    slopes, matrix = slope.reshape(-1), coupling.reshape(-1)
    gap = np.zeros(limits)
    none = load(net, 0, LANES) * 0.0
    for day in range(first, last):
        numbers[:] = 0.0
        at, price, factors = day * steps * steps * LANES, prices[day], classes[day]
        price[:] = 0.0
        for _ in range(iterations):
            for place in range(0, width, LANES):
                store(drawn, place, none)
            for c in range(count):
                own, kept, has_store = factors[c, 0], factors[c, 1], factors[c, 2] > 0.0
                share, row = load(weights, c * LANES, LANES), c * width
                back = none
                for t in range(steps - 1, -1, -1):
                    k, s = row + t * LANES, series[day, c, t]
                    if has_store:
                        back = back * kept + (
                            load(held, k, LANES) * penalty[t] - load(held_dual, k, LANES)
                        )
                    x = load(into, k, LANES) * bound - load(into_dual, k, LANES) - s[0] + back
                    y = load(out, k, LANES) * bound - load(out_dual, k, LANES) - s[1] - back
                    store(filling, k, x)
                    store(emptying, k, y)
                    store(work, t * LANES, x - y)
                if has_store:
                    _solve(factors[c], steps, work, none)
                for t in range(steps):
                    k, s = row + t * LANES, series[day, c, t]
                    shared = load(work, t * LANES, LANES) * (factors[c, 2] / own)
                    x = (load(filling, k, LANES) - shared) * (1.0 / own)
                    y = (load(emptying, k, LANES) + shared) * (1.0 / own)
                    store(filling, k, x)
                    store(emptying, k, y)
                    store(
                        drawn,
                        t * LANES,
                        load(drawn, t * LANES, LANES) + share * (x * s[6] - y * s[7]),
                    )
            for place in range(0, width, LANES):
                away = load(net, place, LANES) - load(drawn, place, LANES)
                store(push, place, away * tie - load(net_dual, place, LANES))
                store(drawn, place, none)
            for t in range(steps):
                asks = none
                for u in range(steps):
                    asks = asks + load(matrix, at + (t * steps + u) * LANES, LANES) * load(
                        push, u * LANES, LANES
                    )
                store(asked, t * LANES, asks)
            for c in range(count):
                own, kept, has_store = factors[c, 0], factors[c, 1], factors[c, 2] > 0.0
                share, row = load(weights, c * LANES, LANES), c * width
                for t in range(steps):
                    s = series[day, c, t]
                    store(work, t * LANES, load(asked, t * LANES, LANES) * (s[6] + s[7]))
                if has_store:
                    _solve(factors[c], steps, work, none)
                there = none
                for t in range(steps):
                    k, s = row + t * LANES, series[day, c, t]
                    asks = load(asked, t * LANES, LANES)
                    shared = load(work, t * LANES, LANES) * (factors[c, 2] / own)
                    x = load(filling, k, LANES) + (asks * s[6] - shared) * (1.0 / own)
                    y = load(emptying, k, LANES) - (asks * s[7] - shared) * (1.0 / own)
                    store(
                        drawn,
                        t * LANES,
                        load(drawn, t * LANES, LANES) + share * (x * s[6] - y * s[7]),
                    )
                    _settle(into, into_dual, k, x, bound, relax, 0.0, s[2])
                    _settle(out, out_dual, k, y, bound, relax, 0.0, s[3])
                    if has_store:
                        there = there * kept + (x - y)
                        _settle(held, held_dual, k, there, penalty[t], relax, s[4], s[5])
            for t in range(steps):
                place = t * LANES
                old = load(net, place, LANES)
                ahead = old + (load(drawn, place, LANES) - old) * relax
                wanted = ahead + load(net_dual, place, LANES) * (1.0 / tie)
                binds = False
                for limit in range(limits):
                    gap[limit] = (
                        total(load(pulls, limit * LANES, LANES) * wanted) - room[day, limit, t]
                    )
                    binds = binds or gap[limit] > 0.0 or price[limit, t] > 0.0
                new = wanted
                if binds:
                    _raise_prices(price, t, gap, gram, price_step, price_iterations)
                    for limit in range(limits):
                        new = new - load(slopes, limit * LANES, LANES) * (price[limit, t] / tie)
                store(net, place, new)
                store(net_dual, place, load(net_dual, place, LANES) + (ahead - new) * tie)
        result = flows[day].reshape(-1)
        for c in range(count):
            kept, there = factors[c, 1], none
            share = load(weights, c * LANES, LANES)
            for t in range(steps):
                k, s = c * width + t * LANES, series[day, c, t]
                x, y = load(into, k, LANES), load(out, k, LANES)
                there = there * kept + (x - y) * factors[c, 2]
                place = 3 * c * width + t * LANES
                store(result, place, x * s[6])
                store(result, place + width, y * s[7])
                store(result, place + 2 * width, there)
                before = load(more, t * LANES, LANES)
                store(more, t * LANES, before + share * (x * s[6] - y * s[7]))
        result = draws[day].reshape(-1)
        for place in range(0, width, LANES):
            store(result, place, load(more, place, LANES))
    numbers[0] = 0.0  # what pointers point to must live until here


@kernel
def _solve(factors: Any, steps: int, values: Any, none: Any) -> None:
    """Solve with a matrix of three diagonals, in place."""
    below, over = 4, 4 + steps
    carried = none
    for t in range(steps):
        carried = load(values, t * LANES, LANES) - carried * factors[below + t]
        store(values, t * LANES, carried)
    carried = none
    for t in range(steps - 1, -1, -1):
        following = factors[below + t + 1] if t + 1 < steps else 0.0
        carried = load(values, t * LANES, LANES) * factors[over + t] - carried * following
        store(values, t * LANES, carried)


@kernel
def _settle(
    copies: Any,
    duals: Any,
    k: int,
    found: Any,
    penalty: float,
    relax: float,
    low: float,
    high: float,
) -> None:
    """The copy that keeps to its bounds, and its multiplier."""
    old, dual = load(copies, k, LANES), load(duals, k, LANES)
    ahead = old + (found - old) * relax
    new = ahead + dual * (1.0 / penalty)
    new = select(new < low, alike(low, new), new)
    new = select(new > high, alike(high, new), new)
    store(copies, k, new)
    store(duals, k, dual + (ahead - new) * penalty)


@kernel
def _raise_prices(
    price: Any, t: int, gap: Any, gram: Any, price_step: float, iterations: int
) -> None:
    """Projected ascent of the multipliers of one step."""
    limits = len(gap)
    now = np.empty(limits)
    for _ in range(iterations):
        for limit in range(limits):
            left = gap[limit]
            for other in range(limits):
                left -= gram[limit, other] * price[other, t]
            now[limit] = max(price[limit, t] + price_step * left, 0.0)
        for limit in range(limits):
            price[limit, t] = now[limit]

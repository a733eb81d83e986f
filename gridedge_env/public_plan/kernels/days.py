"""Plans of days, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import load, store
from gridedge_env.public_plan.kernels.coupling import couple
from gridedge_env.public_plan.kernels.iterating import alone, ask, keep_limits, settled, together
from gridedge_env.public_plan.kernels.layout import (
    INTO,
    KNOWN,
    LANES,
    OUT,
    PER_FALL,
    PER_RISE,
    Feeder,
    Work,
)


@kernel
def plan_days(
    series: Any,
    bound: Any,
    own: Any,
    kept: Any,
    stores: Any,
    penalty: Any,
    weight: Any,
    pull: Any,
    slope: Any,
    gram: Any,
    room: Any,
    dearest: Any,
    rules: Any,
    flows: Any,
    draws: Any,
    prices: Any,
    first: int,
    last: int,
) -> None:
    """Plans of the days from `first` to before `last`.

    Args:
        series: (days, classes, steps, KNOWN).
        bound: (days, classes) penalty on copies that keep to their bounds.
        own: likewise, own quadratic term.
        kept: (classes,).
        stores: (classes,) whether there is a store.
        penalty: (steps,) of the store.
        weight: (classes, LANES) share of a class in its group.
        pull: (groups, limits); the limits are a multiple of LANES.
        slope: (limits, LANES) over the penalty on net.
        gram: (limits, limits) by how much a price of the first relieves the second.
        room: (days, steps, limits).
        dearest: (days, limits) greatest prices.
        rules: net penalty, relaxation, price step, iterations, price iterations.
        flows: (days, classes, 3, steps, LANES) for draw, feed and store.
        draws: (days, steps, LANES) for net.
        prices: (days, steps, limits) zeros, for the multipliers.
        first: number of the first day.
        last: one more than the last day's.
    """
    classes, steps = series.shape[1], series.shape[2]
    groups, limits = pull.shape
    iterations = int(rules[3])
    width = steps * LANES
    size, factors = classes * width, classes * (2 * steps + 1)
    numbers = np.zeros(5 * size + (5 + steps) * width + factors + 2 * limits + LANES)
    shared = pointer(numbers, 5 * size)
    over = pointer(shared, (5 + steps) * width)
    beyond = pointer(over, factors)
    for day in range(first, last):
        numbers[:] = 0.0
        work = Work(
            classes,
            steps,
            pointer(bound.reshape(-1), day * classes),
            rules[0],
            rules[1],
            pointer(series.reshape(-1), day * classes * steps * KNOWN),
            pointer(own.reshape(-1), day * classes),
            pointer(kept, 0),
            pointer(stores, 0),
            pointer(weight.reshape(-1), 0),
            pointer(penalty, 0),
            over,
            pointer(over, classes * steps),
            pointer(numbers, 0),
            pointer(numbers, size),
            pointer(numbers, 2 * size),
            pointer(numbers, 3 * size),
            pointer(numbers, 4 * size),
            shared,
            pointer(shared, width),
            pointer(shared, 2 * width),
            pointer(shared, 3 * width),
            pointer(shared, 4 * width),
            pointer(shared, 5 * width),
        )
        feeder = Feeder(
            groups,
            limits,
            rules[2],
            int(rules[4]),
            pointer(pull.reshape(-1), 0),
            pointer(slope.reshape(-1), 0),
            pointer(gram.reshape(-1), 0),
            pointer(room.reshape(-1), day * steps * limits),
            pointer(dearest.reshape(-1), day * limits),
            pointer(prices.reshape(-1), day * steps * limits),
            beyond,
            pointer(beyond, limits),
            pointer(beyond, 2 * limits),
        )
        couple(work)
        for c in range(classes):
            alone(work, c, 0.0)
        for iteration in range(iterations):
            ask(work)
            for t in range(steps):
                keep_limits(work, feeder, t)
            for c in range(classes):
                together(work, c, 1.0 if iteration > 0 else 0.0)
                alone(work, c, 1.0)
        result = pointer(flows.reshape(-1), day * classes * 3 * width)
        total = pointer(draws.reshape(-1), day * width)
        for c in range(classes):
            _tell(work, c, pointer(result, 3 * c * width), total)
    numbers[0] = 0.0  # what pointers point to must live until here


@kernel
def _tell(work: Any, c: int, flows: Any, net: Any) -> None:
    """Draw, feed and store of a class, and its share of what groups draw."""
    steps, width = work.steps, work.steps * LANES
    share = load(work.weight, c * LANES, LANES)
    there = share * 0.0
    for t in range(steps):
        k, s = t * LANES, pointer(work.series, (c * steps + t) * KNOWN)
        x = settled(load(work.into, c * width + k, LANES), pointer(s, INTO))
        y = settled(load(work.out, c * width + k, LANES), pointer(s, OUT))
        draw, feed = x * s[PER_RISE], y * s[PER_FALL]
        if work.stores[c]:
            there = there * work.kept[c] + (x - y)
        store(flows, k, draw)
        store(flows, width + k, feed)
        store(flows, 2 * width + k, there)
        store(net, k, load(net, k, LANES) + share * (draw - feed))

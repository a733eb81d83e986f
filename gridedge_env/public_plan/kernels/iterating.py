"""Once an iteration: the steps of classes, and of groups within the limits."""

from __future__ import annotations

from typing import Any

from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import load, select, somewhere, store
from gridedge_env.public_plan.kernels.layout import (
    END,
    HIGHEST,
    INTO,
    KNOWN,
    LANES,
    LOWEST,
    MOST,
    OUT,
    PER_FALL,
    PER_RISE,
    PULL,
    PUSH,
)


@kernel
def alone(work: Any, c: int, begun: float) -> None:
    """A class's step as if it were alone; `begun` is 0 while the store's copy is still 0."""
    steps, width, kept, stores = work.steps, work.steps * LANES, work.kept[c], work.stores[c]
    own, bound = 1.0 / work.own[c], work.bound[c]
    into, out = pointer(work.into, c * width), pointer(work.out, c * width)
    held = pointer(work.held, c * width)
    filling, emptying = pointer(work.filling, c * width), pointer(work.emptying, c * width)
    over, beside = pointer(work.over, c * steps), pointer(work.beside, c * (steps + 1))
    back = load(work.net, 0, LANES) * 0.0
    left, shared = back, back
    for t in range(steps - 1, -1, -1):
        k, s = t * LANES, pointer(work.series, (c * steps + t) * KNOWN)
        if stores:
            value = load(held, k, LANES)
            wanted = clipped(value, s[LOWEST], s[HIGHEST]) * 2.0 - value
            back = back * kept + wanted * (begun * work.penalty[t])
        x, y = load(into, k, LANES), load(out, k, LANES)
        # A copy less multiplier / penalty, from their sum.
        x = (settled(x, pointer(s, INTO)) * 2.0 - x) * bound - s[INTO] + back
        y = (settled(y, pointer(s, OUT)) * 2.0 - y) * bound - s[OUT] - back
        store(filling, k, x)
        store(emptying, k, y)
        if stores:
            left = (x - y) - left * beside[t + 1]
            store(work.spare, k, left)
    share = load(work.weight, c * LANES, LANES)
    for t in range(steps):
        k, s = t * LANES, pointer(work.series, (c * steps + t) * KNOWN)
        if stores:
            shared = load(work.spare, k, LANES) * over[t] - shared * beside[t]
        x = (load(filling, k, LANES) - shared * own) * own
        y = (load(emptying, k, LANES) + shared * own) * own
        store(filling, k, x)
        store(emptying, k, y)
        drawn = share * (x * s[PER_RISE] - y * s[PER_FALL])
        store(work.drawn, k, load(work.drawn, k, LANES) + drawn)


@kernel
def ask(work: Any) -> None:
    """What is asked of a group's classes, and what they then draw together.

    The coupling is one over 1 + tie · answer: what they answer is what it leaves, over tie.
    """
    steps, width, asked = work.steps, work.steps * LANES, work.asked
    none = load(work.net, 0, LANES) * 0.0
    for k in range(0, width, LANES):
        away = load(work.net, k, LANES) - load(work.drawn, k, LANES)
        store(work.spare, k, away * work.tie - load(work.net_dual, k, LANES))
        store(asked, k, none)
    for u in range(steps):
        push, row = load(work.spare, u * LANES, LANES), u * width
        for k in range(0, width, LANES):
            store(asked, k, load(asked, k, LANES) + load(work.coupling, row + k, LANES) * push)
    for k in range(0, width, LANES):
        answer = (load(work.spare, k, LANES) - load(asked, k, LANES)) * (1.0 / work.tie)
        store(work.drawn, k, load(work.drawn, k, LANES) + answer)


@kernel
def keep_limits(work: Any, feeder: Any, t: int) -> None:
    """The copy of what groups draw in a step, within the limits, and both multipliers."""
    k, limits, beyond = t * LANES, feeder.limits, feeder.beyond
    old, drawn = load(work.net, k, LANES), load(work.drawn, k, LANES)
    store(work.drawn, k, old * 0.0)
    ahead = old + (drawn - old) * work.relax
    new = ahead + load(work.net_dual, k, LANES) * (1.0 / work.tie)
    store(feeder.wanted, 0, new)
    room, price = pointer(feeder.room, t * limits), pointer(feeder.price, t * limits)
    binds = False
    for place in range(0, limits, LANES):
        over = 0.0 - load(room, place, LANES)
        for g in range(feeder.groups):
            over = over + load(feeder.pull, g * limits + place, LANES) * feeder.wanted[g]
        store(beyond, place, over)
        binds = binds or somewhere((over > 0.0) | (load(price, place, LANES) > 0.0))
    if binds:
        for _ in range(feeder.iterations):
            _raise_prices(feeder, price)
        for limit in range(limits):
            if price[limit] > 0.0:
                new = new - load(feeder.slope, limit * LANES, LANES) * price[limit]
    store(work.net, k, new)
    store(work.net_dual, k, load(work.net_dual, k, LANES) + (ahead - new) * work.tie)


@kernel
def _raise_prices(feeder: Any, price: Any) -> None:
    """A step of projected ascent of the multipliers in a step of the day."""
    limits, left = feeder.limits, feeder.left
    for place in range(0, limits, LANES):
        store(left, place, load(feeder.beyond, place, LANES))
    for limit in range(limits):
        if price[limit] > 0.0:
            for place in range(0, limits, LANES):
                relief = load(feeder.gram, limit * limits + place, LANES) * price[limit]
                store(left, place, load(left, place, LANES) - relief)
    for place in range(0, limits, LANES):
        new = load(price, place, LANES) + load(left, place, LANES) * feeder.price_step
        dearest = load(feeder.dearest, place, LANES)
        new = select(new > dearest, dearest, new)
        store(price, place, select(new < 0.0, 0.0, new))


@kernel
def together(work: Any, c: int, begun: float) -> None:
    """Add what is asked of a class to its own step, and move its copies there."""
    steps, width, kept, stores = work.steps, work.steps * LANES, work.kept[c], work.stores[c]
    own, relax = 1.0 / work.own[c], work.relax
    into, out = pointer(work.into, c * width), pointer(work.out, c * width)
    held = pointer(work.held, c * width)
    filling, emptying = pointer(work.filling, c * width), pointer(work.emptying, c * width)
    over, beside = pointer(work.over, c * steps), pointer(work.beside, c * (steps + 1))
    left = load(work.net, 0, LANES) * 0.0
    shared, there = left, left
    if stores:
        for t in range(steps - 1, -1, -1):
            k, s = t * LANES, pointer(work.series, (c * steps + t) * KNOWN)
            both = s[PER_RISE] + s[PER_FALL]
            left = load(work.asked, k, LANES) * both - left * beside[t + 1]
            store(work.spare, k, left)
    for t in range(steps):
        k, s = t * LANES, pointer(work.series, (c * steps + t) * KNOWN)
        asked = load(work.asked, k, LANES)
        if stores:
            shared = load(work.spare, k, LANES) * over[t] - shared * beside[t]
        x = load(filling, k, LANES) + (asked * s[PER_RISE] - shared * own) * own
        y = load(emptying, k, LANES) - (asked * s[PER_FALL] - shared * own) * own
        filled, emptied = load(into, k, LANES), load(out, k, LANES)
        store(into, k, filled + (x - settled(filled, pointer(s, INTO))) * relax)
        store(out, k, emptied + (y - settled(emptied, pointer(s, OUT))) * relax)
        if stores:
            there = there * kept + (x - y)
            value = load(held, k, LANES)
            old = clipped(value, s[LOWEST], s[HIGHEST]) * begun
            store(held, k, value + (there - old) * relax)


@kernel
def clipped(value: Any, low: float, high: float) -> Any:
    """Every lane within bounds."""
    value = select(value < low, low, value)
    return select(value > high, high, value)


@kernel
def settled(value: Any, flow: Any) -> Any:
    """A copy, from the sum of it and multiplier / penalty; `flow` points to what is known of it."""
    if flow[PUSH] > 0.0:
        ahead = (flow[END] - value) * flow[PULL]
        ahead = select(ahead > flow[PUSH], flow[PUSH], ahead)
        value = value + select(ahead < 0.0, 0.0, ahead)
    return clipped(value, 0.0, flow[MOST])

"""What the kernels work with on a day."""

from __future__ import annotations

from typing import Any, NamedTuple

# Groups, or limits, at a time; fewer are filled up with groups of nothing, and limits never met.
LANES = 8
# What is known of a class in a step: of filling, of emptying, and of the store.
_OF_BEND = ("end", "pull", "push")
SERIES = (
    *("into", "most_into", "per_rise", *(f"into_bend.{name}" for name in _OF_BEND)),
    *("out", "most_out", "per_fall", *(f"out_bend.{name}" for name in _OF_BEND)),
    *("lowest", "highest"),
)
KNOWN, FLOW = len(SERIES), len(SERIES) // 2 - 1
INTO, MOST_INTO, PER_RISE = range(3)
OUT, MOST_OUT, PER_FALL = range(FLOW, FLOW + 3)
# Within what is known of a flow.
MOST, END, PULL, PUSH = 1, 3, 4, 5
LOWEST, HIGHEST = 2 * FLOW, 2 * FLOW + 1


class Work(NamedTuple):
    """What is worked with on a day: pointers, to (steps, LANES) numbers unless said.

    Attributes:
        classes: number of classes.
        steps: number of steps.
        bound: (classes,) penalty on copies that keep to their bounds.
        tie: penalty on the copy of net.
        relax: over-relaxation.
        series: (classes, steps, KNOWN).
        own: (classes,) own quadratic term.
        kept: (classes,).
        stores: (classes,) whether there is a store.
        weight: (classes, LANES) share of a class in its group.
        penalty: (steps,) on the copy of the store.
        over: (classes, steps) one over the diagonal of a class's matrix, later steps eliminated.
        beside: (classes, steps + 1) what is beside the diagonal, over the diagonal.
        into: (classes, steps, LANES) copy of what fills the store, and its multiplier.
        out: likewise, of what empties it.
        held: likewise, of the store.
        filling: likewise, what fills the store before classes are tied together.
        emptying: likewise.
        net: copy of what a group draws.
        net_dual: its multiplier.
        drawn: what classes draw before they are tied together.
        asked: what is asked of all of them to tie them together.
        spare: of whoever needs it.
        coupling: (steps, steps, LANES) inverse that ties classes together.
    """

    classes: int
    steps: int
    bound: Any
    tie: float
    relax: float
    series: Any
    own: Any
    kept: Any
    stores: Any
    weight: Any
    penalty: Any
    over: Any
    beside: Any
    into: Any
    out: Any
    held: Any
    filling: Any
    emptying: Any
    net: Any
    net_dual: Any
    drawn: Any
    asked: Any
    spare: Any
    coupling: Any


class Feeder(NamedTuple):
    """Limits on a day.

    Attributes:
        groups: number of groups.
        limits: number of limits, filled up.
        price_step: of the multipliers.
        iterations: of theirs.
        pull: (groups, limits).
        slope: (limits, LANES) over the penalty on net.
        gram: (limits, limits) by how much a price of the first relieves the second.
        room: (steps, limits).
        dearest: (limits,) greatest price.
        price: (steps, limits).
        beyond: (limits,) room that is missing without prices.
        left: likewise, at the prices so far.
        wanted: (LANES,) what groups would draw without limits.
    """

    groups: int
    limits: int
    price_step: float
    iterations: int
    pull: Any
    slope: Any
    gram: Any
    room: Any
    dearest: Any
    price: Any
    beyond: Any
    left: Any
    wanted: Any

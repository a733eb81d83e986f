# mypy: ignore-errors
"""How far the iteration of each scenario of a block has come, and when it stops."""

from __future__ import annotations

from typing import Any, NamedTuple

from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import alike, lanes_of, store

# Vectors of a `Progress`, and what laws need to work with.
RECORDS, SPARE = 6, 3


class Rule(NamedTuple):
    """When to stop: see `compiled_backend._rule`."""

    tolerance: float
    sweeps: int
    look: int
    share: float


class Progress(NamedTuple):
    """Pointers to one number of every lane.

    The latest change; 1 while under way, 0 where it stands still; the first change; the largest
    that counts as none; the latest while under way; sweeps until then.
    """

    change: Any
    moving: Any
    initial: Any
    allowed: Any
    residual: Any
    sweeps: Any


@kernel
def rule_of(rule):
    """From an array."""
    return Rule(rule[0], int(rule[1]), int(rule[2]), rule[3])


@kernel
def progress_at(like, place):
    """The first `RECORDS` vectors there, before the first sweep and with nothing allowed."""
    lanes = lanes_of(like)
    for k in range(RECORDS):
        store(place, k * lanes, like)
    store(place, lanes, alike(1.0, like))
    return Progress(
        place,
        pointer(place, lanes),
        pointer(place, 2 * lanes),
        pointer(place, 3 * lanes),
        pointer(place, 4 * lanes),
        pointer(place, 5 * lanes),
    )


@kernel
def proceed(rule, progress, used):
    """Take note of a sweep. Returns whether any scenario needs another."""
    under_way = False
    for w in range(used):
        if progress.moving[w] > 0.5:
            change = progress.change[w]
            progress.sweeps[w] += 1.0
            progress.residual[w] = change
            sweep = int(progress.sweeps[w])
            if sweep == 1:
                progress.initial[w] = change
            if _goes_on(rule, sweep, change, progress.initial[w], progress.allowed[w]):
                under_way = True
            else:
                progress.moving[w] = 0.0
    return under_way


@kernel
def _goes_on(rule, sweep, change, initial, allowed):
    """Whether a scenario needs more sweeps, and they are likely to be few."""
    slow = sweep == rule.look and change > initial * (allowed / initial) ** rule.share
    return change > allowed and sweep < rule.sweeps and not slow


@kernel
def adopt(progress, draft, used):
    """Go on from where a draft got, if it got far enough; `draft.moving` says whether it did.

    What began as near as that had better begin there again: a draft is rounded.
    """
    for w in range(used):
        good = draft.sweeps[w] > 1.0 and draft.residual[w] <= draft.allowed[w]
        draft.moving[w] = 1.0 if good else 0.0
        if good:
            progress.initial[w], progress.sweeps[w] = draft.initial[w], draft.sweeps[w]

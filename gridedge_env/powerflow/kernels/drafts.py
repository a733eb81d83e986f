# mypy: ignore-errors
"""Drafts in single precision, with which double precision begins: their sweeps cost half as much.

A draft counts only where its iteration went well; elsewhere double precision begins by itself.
"""

from __future__ import annotations

from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import (
    alike,
    lanes_of,
    load_like,
    magnitude,
    rounded,
    select,
    store,
    zeros_like,
)
from gridedge_env.powerflow.kernels.blocks import copy, copy_some, greater
from gridedge_env.powerflow.kernels.iterating import find_missing, sweep, sweep_back
from gridedge_env.powerflow.kernels.network import sections_of
from gridedge_env.powerflow.kernels.progress import RECORDS, SPARE, Rule, adopt, progress_at

# The change at which a power flow leaves its draft. Rounding is a thousandth of it, so that sweeps
# are as many as without a draft, but for two scenarios in a thousand that pass close by
# the tolerance.
DRAFT_CHANGE = 1e-4

# The same of an adjoint, relative to the largest cotangent. It has two drafts, the second of what
# the first has left.
DRAFT_ADJOINT_CHANGE = 1e-5

# Sweeps after which a draft has failed, and so many times more where each goes half the way.
DRAFT_SWEEPS = 8
RELAXED = 3


@kernel
def is_worth_it(rule):
    """Whether much remains to be done after a draft, and is allowed."""
    return rule.sweeps > DRAFT_SWEEPS and rule.tolerance < 0.01 * DRAFT_CHANGE


@kernel
def _sweeps_of(net):
    """Sweeps after which a draft has failed."""
    return DRAFT_SWEEPS if net.response[0] == 1.0 else RELAXED * DRAFT_SWEEPS


@kernel
def draft(like, index, ends, single, marks, room, used, progress, s, u):
    """The first sweeps in single precision, of lanes as they are in `_solve`."""
    light, net = zeros_like(single, like), sections_of(index, ends, single, marks)
    work, vector = pointer(room, 0), 2 * net.branches * lanes_of(like)
    spare = pointer(work, RECORDS * lanes_of(like))
    x = pointer(spare, SPARE * lanes_of(like))
    draft_u = pointer(x, 2 * net.nodes * lanes_of(like))
    draft_s, i = pointer(draft_u, vector), pointer(draft_u, 2 * vector)
    copy(light, s, like, 2 * net.branches, draft_s)
    copy(light, u, like, 2 * net.branches, draft_u)
    reached = progress_at(light, work)
    store(reached.allowed, 0, alike(DRAFT_CHANGE, light))
    rule = Rule(DRAFT_CHANGE, _sweeps_of(net), 0, 0.0)
    sweep(light, net, rule, False, used, reached, draft_s, draft_u, i, x, spare)
    adopt(progress, reached, used)
    good = load_like(reached.moving, 0, light) > 0.5
    copy_some(like, good, draft_u, light, 2 * net.branches, u)


@kernel
def draft_back(
    like, net, index, ends, single, marks, room, used, progress, slope, g, c, i, x
):  # fmt: skip
    """Find c nearly, of lanes as they are in `_adjoint`, by iterative refinement.

    Single precision solves for c, then for what is missing. Where it fails the step is a sweep's.
    """
    light, light_net = zeros_like(single, like), sections_of(index, ends, single, marks)
    work, vector = pointer(room, 0), 2 * net.branches * lanes_of(like)
    light_x = pointer(work, RECORDS * lanes_of(like))
    light_g = pointer(light_x, 2 * net.nodes * lanes_of(like))
    step, light_i = pointer(light_g, vector), pointer(light_g, 2 * vector)
    light_slope = pointer(light_g, 3 * vector)
    copy(light, slope, like, 4 * net.branches, light_slope)
    copy(like, g, like, 2 * net.branches, i)
    rule = Rule(0.0, _sweeps_of(net), 0, 0.0)
    still = load_like(progress.moving, 0, like) < 0.5
    for attempt in range(2):
        if attempt > 0:
            find_missing(like, net, still, slope, g, c, i, x)
        size = like
        for k in range(0, vector, lanes_of(like)):
            size = greater(size, magnitude(load_like(i, k, like)))
        copy(light, i, like, 2 * net.branches, light_g)
        copy(light, i, like, 2 * net.branches, step)
        reached = progress_at(light, work)
        allowed = select(still, -1.0, size * DRAFT_ADJOINT_CHANGE)
        store(reached.allowed, 0, rounded(allowed, light))
        sweep_back(
            light, light_net, rule, used, reached, light_slope, light_g, step, light_i, light_x
        )
        good = load_like(reached.residual, 0, light) <= load_like(reached.allowed, 0, light)
        for k in range(0, vector, lanes_of(like)):
            change = select(good, rounded(load_like(step, k, light), like), load_like(i, k, like))
            store(c, k, change if attempt == 0 else load_like(c, k, like) + change)

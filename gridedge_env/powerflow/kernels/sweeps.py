# mypy: ignore-errors
"""Sweeps of the power flow and of its adjoint, over blocks of scenarios.

A scenario that has settled, or is too slow to, stands still until its block is through, so that no
result depends on the others of a batch.

Tensors come as addresses, which are quicker to pass than arrays; 0 stands for none.
"""

from __future__ import annotations

import numpy as np

from gridedge_env.compiled.pointers import pointer, pointer_at
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import (
    alike,
    lanes_of,
    magnitude,
    select,
    store,
    zeros,
    zeros_like,
)
from gridedge_env.powerflow.kernels.blocks import (
    BOUND,
    get,
    greater,
    into_lanes,
    out_of_lanes,
    pairs_into_lanes,
    pairs_out_of_lanes,
    put,
)
from gridedge_env.powerflow.kernels.drafts import draft, draft_back, is_worth_it
from gridedge_env.powerflow.kernels.iterating import sweep, sweep_back
from gridedge_env.powerflow.kernels.laws import differentiate
from gridedge_env.powerflow.kernels.layout import EXTREME, UNSETTLED
from gridedge_env.powerflow.kernels.network import add_of_nodes, complete, sections_of
from gridedge_env.powerflow.kernels.progress import RECORDS, SPARE, progress_at, rule_of

# Bytes of a vector: 32 numbers in double precision, 64 in single; and for a few scenarios.
WIDE = 256
NARROW = 64

# Vectors of a branch that each kernel works with.
SOLVING, GOING_BACK = 6, 16

LOW_SQUARE = 0.25


@kernel
def solve_wide(
    index, ends, number, marks, single, rule, batch, power, begin,
    voltage, current, nodes, residual, iterations, code, first, last,
):  # fmt: skip
    """Iterate u <- u0 + Z i(u, S) in blocks `first` to `last`, then find i and V.

    Args:
        index: with `ends`, `number` and `marks`: the network, see `PackedNetwork`.
        single: `number` in single precision; None where it is.
        rule: a `Rule` as an array.
        batch: how many scenarios there are.
        power: S, (batch, 2 branches).
        begin: first guess of u, likewise.
        voltage: u is written here.
        current: i is written here, (batch, 2 branches); 0: only `rule.sweeps` sweeps within
            `BOUND`, and nothing below.
        nodes: V is written here, (batch, nodes) complex.
        residual: (batch,) last change.
        iterations: (batch,) sweeps until it was small enough.
        code: (batch,) UNSETTLED, EXTREME or both; 0 where all is well.
        first: number of the first block.
        last: the one after the last.
    """
    like, net = zeros(number, WIDE), sections_of(index, ends, number, marks)
    room = _room(like, net, number, SOLVING)
    _solve(
        like, net, room, index, ends, number, marks, single, rule_of(rule), batch, power, begin,
        voltage, current, nodes, residual, iterations, code, first, last,
    )  # fmt: skip


@kernel
def solve_narrow(
    index, ends, number, marks, single, rule, batch, power, begin,
    voltage, current, nodes, residual, iterations, code, first, last,
):  # fmt: skip
    """The same for a few scenarios."""
    like, net = zeros(number, NARROW), sections_of(index, ends, number, marks)
    room = _room(like, net, number, SOLVING)
    _solve(
        like, net, room, index, ends, number, marks, single, rule_of(rule), batch, power, begin,
        voltage, current, nodes, residual, iterations, code, first, last,
    )  # fmt: skip


@kernel
def adjoint_wide(
    index, ends, number, marks, single, rule, batch, power, voltage, of_current, of_nodes, fixed,
    of_power, unsettled, first, last,
):  # fmt: skip
    """Iterate l <- g + Z^T D^T l in blocks `first` to `last`, then find the cotangent of S.

    Args:
        index: with `ends`, `number`, `marks`, `single`, `rule`, `batch`, `first`, `last`: see
            `solve_wide`.
        power: S, (batch, 2 branches).
        voltage: u, likewise.
        of_current: cotangent of i, likewise, or 0.
        of_nodes: cotangent of V, (batch, nodes) complex, or 0.
        fixed: (batch,) other than 0 where l = g.
        of_power: the cotangent of S is written here.
        unsettled: (batch,) UNSETTLED is written where it has not settled.
    """
    like, net = zeros(number, WIDE), sections_of(index, ends, number, marks)
    room = _room(like, net, number, GOING_BACK)
    _adjoint(
        like, net, room, index, ends, number, marks, single, rule_of(rule), batch, power, voltage,
        of_current, of_nodes, fixed, of_power, unsettled, first, last,
    )  # fmt: skip


@kernel
def adjoint_narrow(
    index, ends, number, marks, single, rule, batch, power, voltage, of_current, of_nodes, fixed,
    of_power, unsettled, first, last,
):  # fmt: skip
    """The same for a few scenarios."""
    like, net = zeros(number, NARROW), sections_of(index, ends, number, marks)
    room = _room(like, net, number, GOING_BACK)
    _adjoint(
        like, net, room, index, ends, number, marks, single, rule_of(rule), batch, power, voltage,
        of_current, of_nodes, fixed, of_power, unsettled, first, last,
    )  # fmt: skip


@kernel
def _solve(
    like, net, room, index, ends, number, marks, single, rule, batch, power, begin,
    voltage, current, nodes, residual, iterations, code, first, last,
):  # fmt: skip
    lanes, branches, work = lanes_of(like), net.branches, pointer(room, 0)
    residuals, counts = pointer_at(residual, number), pointer_at(iterations, index)
    codes, bounded = pointer_at(code, np.empty(0, np.uint8)), current == 0
    spare, x = pointer(work, RECORDS * lanes), pointer(work, (RECORDS + SPARE) * lanes)
    u = pointer(x, 2 * net.nodes * lanes)
    s, i = pointer(u, 2 * branches * lanes), pointer(u, 4 * branches * lanes)
    if single is not None:
        draft_room = _room(zeros_like(single, like), net, single, SOLVING)
    for block in range(first, last):
        scenario = block * lanes
        used = min(lanes, batch - scenario)
        into_lanes(like, pointer_at(power, number), scenario, used, branches, s)
        into_lanes(like, pointer_at(begin, number), scenario, used, branches, u)
        progress = progress_at(like, work)
        store(progress.allowed, 0, alike(rule.tolerance, like))
        if single is not None and not bounded and is_worth_it(rule):
            draft(like, index, ends, single, marks, draft_room, used, progress, s, u)
        sweep(like, net, rule, bounded, used, progress, s, u, i, x, spare)
        for w in range(used):
            counts[scenario + w] = int(progress.sweeps[w])
            residuals[scenario + w] = progress.residual[w]
            settled = progress.sweeps[w] > 0.0 and progress.residual[w] <= rule.tolerance
            codes[scenario + w] = 0 if settled else UNSETTLED
        out_of_lanes(like, u, scenario, used, branches, pointer_at(voltage, number))
        if bounded:
            continue
        _find_odd(like, branches, u, progress.change, spare)
        for w in range(used):
            if progress.change[w] > 0.5:
                codes[scenario + w] |= EXTREME
            if spare[w] != 0.0:
                codes[scenario + w] |= UNSETTLED
        out_of_lanes(like, i, scenario, used, branches, pointer_at(current, number))
        complete(like, net, x)
        pairs_out_of_lanes(like, x, scenario, used, net.nodes, pointer_at(nodes, number))
    room[0] = 0.0  # keeps it until here
    if single is not None:
        draft_room[0] = 0.0


@kernel
def _adjoint(
    like, net, room, index, ends, number, marks, single, rule, batch, power, voltage,
    of_current, of_nodes, fixed, of_power, unsettled, first, last,
):  # fmt: skip
    """With vectors conjugated: transposed, in real numbers, Z is its conjugate."""
    lanes, branches, work = lanes_of(like), net.branches, pointer(room, 0)
    flags = pointer_at(fixed, np.empty(0, np.uint8))
    left = pointer_at(unsettled, np.empty(0, np.uint8))
    spare, x = pointer(work, RECORDS * lanes), pointer(work, (RECORDS + SPARE) * lanes)
    aside, vector = pointer(x, 2 * net.nodes * lanes), 2 * branches * lanes
    u = pointer(aside, 2 * net.weaks * lanes)
    s, g, c = pointer(u, vector), pointer(u, 2 * vector), pointer(u, 3 * vector)
    i, factor, slope = pointer(u, 4 * vector), pointer(u, 5 * vector), pointer(u, 6 * vector)
    if single is not None:
        draft_room = _room(zeros_like(single, like), net, single, GOING_BACK)
    for block in range(first, last):
        scenario = block * lanes
        used = min(lanes, batch - scenario)
        into_lanes(like, pointer_at(power, number), scenario, used, branches, s)
        into_lanes(like, pointer_at(voltage, number), scenario, used, branches, u)
        if of_current != 0:
            into_lanes(like, pointer_at(of_current, number), scenario, used, branches, g)
        else:
            for k in range(2 * branches):
                store(g, k * lanes, like)
        if of_nodes != 0:
            pairs_into_lanes(like, pointer_at(of_nodes, number), scenario, used, net.nodes, x)
            add_of_nodes(like, net, x, aside, g)
        size = like
        for j in range(branches):
            re, im = get(like, g, j)
            put(like, g, j, re, 0.0 - im)
            put(like, c, j, re, 0.0 - im)
            size = greater(size, greater(magnitude(re), magnitude(im)))
            differentiate(like, net, j, s, u, slope, factor, spare)
        progress = progress_at(like, work)
        store(progress.allowed, 0, size * rule.tolerance)
        for w in range(used):
            if flags[scenario + w] != 0 or progress.allowed[w] == 0.0:
                progress.moving[w] = 0.0
        if single is not None and is_worth_it(rule):
            draft_back(
                like, net, index, ends, single, marks, draft_room, used, progress, slope, g, c, i, x
            )
        sweep_back(like, net, rule, used, progress, slope, g, c, i, x)
        for w in range(used):
            if progress.residual[w] > progress.allowed[w]:
                left[scenario + w] = UNSETTLED
        blur = like
        for j in range(branches):
            c_re, c_im = get(like, c, j)
            re, im = get(like, u, j)
            by_p, by_q = get(like, factor, j)
            by_p, by_q = by_p * (im * c_im - re * c_re), by_q * (0.0 - re * c_im - im * c_re)
            blur = blur + 0.0 * by_p + 0.0 * by_q
            put(like, i, j, by_p, by_q)
        store(progress.change, 0, blur)
        for w in range(used):
            if progress.change[w] != 0.0:
                left[scenario + w] = UNSETTLED
        out_of_lanes(like, i, scenario, used, branches, pointer_at(of_power, number))
    room[0] = 0.0  # keeps it until here
    if single is not None:
        draft_room[0] = 0.0


@kernel
def _find_odd(like, branches, u, odd, blur):
    """odd <- 1 where a voltage is low or high, blur <- not 0 where one is not a finite number."""
    far, sum_of_nothing = like, like
    for j in range(branches):
        re, im = get(like, u, j)
        strange = re * re + im * im < LOW_SQUARE
        strange = strange | (magnitude(re) >= BOUND) | (magnitude(im) >= BOUND)
        far = select(strange, 1.0, far)
        sum_of_nothing = sum_of_nothing + 0.0 * re + 0.0 * im
    store(odd, 0, far)
    store(blur, 0, sum_of_nothing)


@kernel
def _room(like, net, number, per_branch):
    """Work array for so many vectors a branch, and all else, on a boundary of 64 bytes."""
    vectors = per_branch * net.branches + 2 * (net.nodes + net.weaks) + RECORDS + SPARE
    raw = np.empty(vectors * lanes_of(like) + 64 // number.itemsize, number.dtype)
    skip = (-raw.ctypes.data % 64) // number.itemsize
    return raw[skip : skip + vectors * lanes_of(like)]

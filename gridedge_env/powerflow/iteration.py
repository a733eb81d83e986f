"""Batched fixed points x = f(x): plain sweeps, and Anderson mixing for what is slow to settle.

Sweeps x <- f(x) are the cheapest way wherever f contracts well, which is nearly everywhere. The
scenarios that they are too slow for go on as a smaller batch of their own. Anderson's mixing
(D. G. Anderson, J. ACM 12, 1965; H. F. Walker and P. Ni, SIAM J. Numer. Anal. 49, 2011) remembers
the last few x and their changes f(x) - x, and goes to where the change would be least if f were
linear. It takes one evaluation of f an iteration, as a sweep does, needs no derivative, and does
not need f to contract; on a linear f it is much like GMRES. Each scenario has its own memory and
never sees the others, and leaves as soon as it has settled or gains no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor

from gridedge_env.record import Record, batch

# Most sweeps before the slow scenarios are mixed, and the sweep after which these show: they are
# those that at their rate will not settle in so many. In double precision that is a contraction
# above 0.35, where a mixed iteration, which may take as long as three sweeps, gains more than they.
PLAIN_SWEEPS = 24
FIRST_LOOK = 8
# Differences remembered. With 5, IEEE 123 at ten times its load takes nearly twice the iterations,
# and not every scenario that feeds in as much settles; with 15 it takes a tenth fewer.
WINDOW = 10
# Iterations allowed without halving the change. Power flows that settle hardly ever wait for 10.
PATIENCE = 15


class Status(IntEnum):
    """How the iteration of a scenario ended."""

    CONVERGED = 0
    ITERATION_LIMIT = 1
    DIVERGED = 2
    COLLAPSED = 3

    @property
    def reason(self) -> str:
        """In plain language, for messages."""
        return _REASONS[self]


_REASONS = {
    Status.CONVERGED: "converged",
    Status.ITERATION_LIMIT: "still converging when the iterations ran out",
    Status.DIVERGED: (
        "no operating point found: the iteration diverges, gains no more, or ends beyond 3 pu of a "
        "rated voltage"
    ),
    Status.COLLAPSED: "voltage collapse: a constant-power device ends below its least voltage",
}


class BatchedMap(Protocol):
    """The map f of every scenario of a batch."""

    def __call__(self, value: Tensor, /) -> Tensor:
        """f(x): (batch, values) -> (batch, values)."""

    def take(self, index: Tensor, /) -> BatchedMap:
        """The maps of the scenarios at `index` alone, an index tensor."""


@dataclass(frozen=True)
class Settled:
    """Where the iteration of every scenario ended.

    Attributes:
        value: f(x) at the last x: (batch, values).
        residual: (batch,) largest component of |f(x) - x|.
        iterations: (batch,) int32, evaluations of f until it settled.
        status: (batch,) int8, a `Status` each.
    """

    value: Tensor
    residual: Tensor
    iterations: Tensor
    status: Tensor


def settle(
    function: BatchedMap,
    start: Tensor,
    tolerance: Tensor,
    maximum_iterations: int,
    check_convergence: bool,
) -> Settled:
    """Find x = f(x) in every scenario.

    Args:
        function: f.
        start: (batch, values).
        tolerance: (batch,) largest |f(x) - x| of a scenario that counts as settled.
        maximum_iterations: evaluations of f after which it does not count as settled.
        check_convergence: stop when every scenario has settled, and mix the slow ones. Without
            it `maximum_iterations` sweeps are done, and the host never waits for the device.
    """
    sweeps = min(PLAIN_SWEEPS, maximum_iterations) if check_convergence else maximum_iterations
    value = start
    iterations = torch.zeros_like(start[:, 0], dtype=torch.int32)
    waiting = torch.ones_like(iterations, dtype=torch.bool)
    slow: Tensor | None = None
    for sweep in range(1, sweeps + 1):
        latest = function(value)
        iterations = iterations + waiting
        residual = _largest(latest - value)
        value = latest
        waiting = residual > tolerance
        if sweep == 1:
            first = residual
        if sweep == FIRST_LOOK and sweeps < maximum_iterations:
            slow = residual > first * (tolerance / first) ** (FIRST_LOOK / PLAIN_SWEEPS)
        worthwhile = waiting if slow is None else waiting & ~slow
        if check_convergence and not bool(worthwhile.any()):
            break
    settled = residual <= tolerance
    if check_convergence and bool(settled.all()):
        return Settled(value, residual, iterations, torch.zeros_like(iterations, dtype=torch.int8))
    nearer = residual < first
    status = torch.where(nearer, int(Status.ITERATION_LIMIT), int(Status.DIVERGED))
    status = torch.where(settled, int(Status.CONVERGED), status).to(torch.int8)
    found = Settled(value, residual, iterations, status)
    if check_convergence and sweep < maximum_iterations:
        left = (~settled).nonzero()[:, 0]
        # Sweeps that led away are forgotten.
        nearest = torch.where(nearer[left, None], value[left], start[left])
        mixed = function.take(left), nearest, tolerance[left]
        _mix(*mixed, range(sweep + 1, maximum_iterations + 1), found, left)
    return found


@dataclass(eq=False)
class _Rows(Record):
    """The scenarios under way.

    Attributes:
        place: of each in the batch, (rows,).
        tolerance: (rows,).
        value: f(x) at the latest x, (rows, values).
        change: f(x) - x, likewise.
        milestone: size of the change when it was last halved, (rows,).
        waited: iterations since, (rows,).
        values: differences of f(x) between successive x, (rows, WINDOW, values); zero where there
            is none yet, and scaled like `changes`.
        changes: differences of f(x) - x, likewise, scaled to unit length.
    """

    place: Tensor = field(metadata=batch())
    tolerance: Tensor = field(metadata=batch())
    value: Tensor = field(metadata=batch())
    change: Tensor = field(metadata=batch())
    milestone: Tensor = field(metadata=batch())
    waited: Tensor = field(metadata=batch())
    values: Tensor = field(metadata=batch())
    changes: Tensor = field(metadata=batch())


def _mix(
    function: BatchedMap,
    start: Tensor,
    tolerance: Tensor,
    iterations: range,
    found: Settled,
    place: Tensor,
) -> None:
    """Go on from `start` by Anderson mixing; write what is found to its place in `found`."""
    value = function(start)
    memory = start.new_zeros(len(start), WINDOW, start.shape[1])
    never, endless = torch.zeros_like(tolerance), torch.full_like(tolerance, torch.inf)
    rows = _Rows(place, tolerance, value, value - start, endless, never, memory, memory.clone())
    for iteration in iterations:
        residual = _largest(rows.change)
        settled, gained = residual <= rows.tolerance, residual <= 0.5 * rows.milestone
        rows.milestone = torch.where(gained, residual, rows.milestone)
        rows.waited = torch.where(gained, 0.0, rows.waited + 1.0)
        stuck = (rows.waited > PATIENCE) | ~residual.isfinite()
        done = settled | stuck | (iteration == iterations[-1])
        if bool(done.any()):
            status = torch.where(stuck, int(Status.DIVERGED), int(Status.ITERATION_LIMIT))
            status = torch.where(settled, int(Status.CONVERGED), status).to(torch.int8)
            ended, rest = rows.place[done], (~done).nonzero()[:, 0]
            found.value[ended] = rows.value[done]
            found.residual[ended] = residual[done]
            found.iterations[ended] = iteration
            found.status[ended] = status[done]
            if not len(rest):
                break
            rows, function = rows.take(rest), function.take(rest)
        _step(rows, function, iteration % WINDOW)


def _step(rows: _Rows, function: BatchedMap, slot: int) -> None:
    """Evaluate f where the change should be least; remember the difference in place `slot`."""
    limits = torch.finfo(rows.change.dtype)
    # Differences have unit length: the ridge counts only among those that rounding can no longer
    # tell apart, and leaves empty places out.
    ridge = (
        16.0 * limits.eps * torch.eye(WINDOW, dtype=rows.change.dtype, device=rows.change.device)
    )
    gram, along = rows.changes @ rows.changes.mT, rows.changes @ rows.change[:, :, None]
    share = torch.linalg.solve_ex(gram + ridge, along)[0]
    start = rows.value - (rows.values.mT @ share)[:, :, 0]
    value = function(start)
    change = value - start
    difference = change - rows.change
    length = difference.norm(dim=-1, keepdim=True).clamp(min=limits.tiny)
    rows.values[:, slot] = (value - rows.value) / length
    rows.changes[:, slot] = difference / length
    rows.value, rows.change = value, change


def _largest(change: Tensor) -> Tensor:
    return change.abs().amax(dim=-1)

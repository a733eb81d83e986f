"""A device's state over several steps, differentiable without a graph of every step.

The next state of a device, f(state, inputs), follows from each element of the last by itself. An
unrolled graph would have a node for each operation of each step. Here the states are found without
a graph; then f runs once more, for all steps together, and its slopes carry cotangents back:

    adjoint[t] = cotangent[t] + slope[t] · adjoint[t + 1]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Following = Callable[..., Tensor]


def states_before(following: Following, start: Tensor, *inputs: Tensor) -> Tensor:
    """States before each of several steps, (once) differentiable in `start` and `inputs`.

    Args:
        following: f, which acts on each element of a state by itself, with any leading axes.
        start: (batch, n) state before the first step.
        inputs: of f besides the state; (steps, batch or 1, n or 1) each.

    Returns:
        (steps, batch, n); the first is `start`.
    """
    steps = len(inputs[0])
    if steps == 1:
        return start[None]
    # Nothing here depends on the last step: its outcome comes after it.
    earlier = (values[:-1] for values in inputs)
    full = (steps - 1, *start.shape)
    states: Tensor = _States.apply(
        following, start, *(x.expand(full) if x.requires_grad else x for x in earlier)
    )
    return states


class _States(torch.autograd.Function):
    """States before each step, as a function of the first and of the inputs of all but the last."""

    @staticmethod
    def forward(ctx: Any, following: Following, start: Tensor, *inputs: Tensor) -> Tensor:
        """(batch, n) and (steps - 1, batch or 1, n or 1) each -> (steps, batch, n)."""
        states = [start]
        for step in zip(*(values.unbind() for values in inputs), strict=True):
            states.append(following(states[-1], *step))
        known = torch.stack(states)
        _, _, *ctx.wanted = ctx.needs_input_grad
        if any(ctx.needs_input_grad):
            before = known[:-1].detach().requires_grad_()
            with torch.enable_grad():
                fresh = [
                    values.detach().requires_grad_(wanted)
                    for values, wanted in zip(inputs, ctx.wanted, strict=True)
                ]
                after = following(before, *fresh)
            sources = [before, *(values for values in fresh if values.requires_grad)]
            ctx.save_for_backward(*torch.autograd.grad(after, sources, torch.ones_like(after)))
        return known

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """Cotangent of the states -> cotangents of the first one and of the inputs."""
        slope, *of_inputs = ctx.saved_tensors
        *earlier, adjoint = cotangent.unbind()
        adjoints = [adjoint]
        for direct, factor in zip(reversed(earlier), reversed(slope.unbind()), strict=True):
            adjoint = torch.addcmul(direct, factor, adjoint)
            adjoints.append(adjoint)
        first, *later = reversed(adjoints)
        after, slopes = torch.stack(later), iter(of_inputs)
        return None, first, *(next(slopes) * after if wanted else None for wanted in ctx.wanted)

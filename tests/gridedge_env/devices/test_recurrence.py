"""States over several steps against the same recurrence unrolled."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gridedge_env.devices.recurrence import states_before

# Both multiply the same slopes in the same order but for sums of two or three terms.
TOLERANCE = {"rtol": 1e-13, "atol": 1e-14}


def following(state: Tensor, push: Tensor, drift: Tensor) -> Tensor:
    """Not linear in the state, with a kink, and each element by itself."""
    return torch.relu(0.9 * state + push) + 0.1 * torch.sin(state) * drift


def unrolled(start: Tensor, push: Tensor, drift: Tensor) -> Tensor:
    states = [start]
    for step in range(len(push) - 1):
        states.append(following(states[-1], push[step], drift[step]))
    return torch.stack(states)


def problem(steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Start (3, 4), an input of its shape for each step, and one that all of a batch share."""
    random = torch.Generator().manual_seed(steps)
    shapes = ((3, 4), (steps, 3, 4), (steps, 1, 4))
    start, push, drift = (
        torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes
    )
    return start, push, drift


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("wanted", [(0,), (1,), (0, 1, 2)], ids=["start", "input", "everything"])
def test_values_and_gradients_are_those_of_the_unrolled_steps(
    steps: int, wanted: tuple[int, ...]
) -> None:
    arguments = problem(steps)
    for which in wanted:
        arguments[which].requires_grad_()
    sources = [arguments[which] for which in wanted]
    weight = torch.randn(steps, 3, 4, generator=torch.Generator().manual_seed(9)).double()
    found, expected = states_before(following, *arguments), unrolled(*arguments)
    torch.testing.assert_close(found, expected, **TOLERANCE)

    def gradients(states: Tensor) -> tuple[Tensor | None, ...]:
        # A quadratic use of the states, so that the cotangent depends on them.
        objective = (weight * states * states).sum()
        if not objective.requires_grad:  # the only state is the start, whatever the inputs
            return (None,) * len(sources)
        return torch.autograd.grad(objective, sources, allow_unused=True)

    for which, ours, theirs in zip(wanted, gradients(found), gradients(expected), strict=True):
        if steps == 1 and which > 0:
            assert ours is None
        else:
            torch.testing.assert_close(ours, theirs, **TOLERANCE)


def test_the_graph_does_not_grow_with_the_steps() -> None:
    def nodes(steps: int) -> int:
        start, push, drift = problem(steps)
        todo = [states_before(following, start, push.requires_grad_(), drift).grad_fn]
        seen = set()
        while todo:
            node = todo.pop()
            if node is not None and node not in seen:
                seen.add(node)
                todo.extend(parent for parent, _ in node.next_functions)
        return len(seen)

    assert nodes(40) == nodes(4)


def test_without_gradients_there_is_no_graph() -> None:
    start, push, drift = problem(5)
    assert states_before(following, start, push, drift).grad_fn is None
    with torch.no_grad():
        assert states_before(following, start, push.requires_grad_(), drift).grad_fn is None

"""What a decentralised policy is, and how one is played against the exact physics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from gridedge_env.simulator import Simulator
from gridedge_env.state import Result, SimulatorState


class Policy(Protocol):
    """Every agent's decision from its own observation, for a batch of days at once."""

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """Decide.

        Args:
            private: (batch, agents, private fields), row k known to agent k alone.
            shared: (batch, shared fields), known to all.

        Returns:
            (batch, agents, action_size) in [-1, 1].
        """


@torch.no_grad()
def play(
    simulator: Simulator, policy: Policy, state: SimulatorState
) -> Iterator[tuple[SimulatorState, Tensor, Result]]:
    """Play the rest of the day; yields (state before, action, result) of every step."""
    while state.step < simulator.clock.steps:
        action = policy(*simulator.observe_parts(state))
        before = state
        state, result = simulator.step(state, action)
        yield before, action, result

"""Days as homes that share parameters see them: global state, and what each is to answer for."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium.spaces import Box, Dict
from gymnasium.vector.utils import batch_space
from torch import Tensor

from baselines.rllib.config import Credit
from baselines.rllib.environment import JointDays, Observation
from baselines.rllib.shared.policies import Correction
from gradmap_trainer.objective import price_spread
from gridedge_env.day import Window
from gridedge_env.global_state import global_state
from gridedge_env.observation import OBSERVATION_BOUND
from gridedge_env.simulator import Simulator
from gridedge_env.state import Result, SimulatorState


class SharedDays(JointDays):
    """As `JointDays`; outputs correct the public plan where there is one, as GradMAP's do.

    An agent's reward is minus what its devices add to its home's bill, over the day's spread of
    prices (as in GradMAP's J), minus what it is charged for violations of the training case's
    limits. Each kind of limit has a price, € per unit: the case's penalty over the number of
    agents, and a multiplier. An agent is charged

    - "equal": the whole network's, as in the environment's own reward;
    - "marginal": that part which is gone, to first order, if it alone rests or follows the plan: a
      difference reward (Wolpert & Tumer, 2001), by the power flow's derivative.

    Args:
        simulator: the training case.
        num_envs: days at once.
        price_variation: as in `TrainConfig`.
        central: whether observations have "network" for a centralised critic, (entries,): what the
            global state holds beside "shared" and "private".
        credit: how agents are charged.

    Attributes:
        multipliers: € per unit of violation that every agent pays, by kind of limit.
        violations: since midnight, mean over days, in units of their scale, by kind of limit.
    """

    def __init__(
        self,
        simulator: Simulator,
        num_envs: int,
        price_variation: float,
        central: bool,
        credit: Credit,
    ) -> None:
        super().__init__(simulator, num_envs, price_variation)
        self._correction = Correction.of(simulator)
        self._central, self._credit = central, credit
        self._price = simulator.case.penalty / simulator.num_agents
        self._result: Result | None = None
        self.multipliers = {kind.name: 0.0 for kind in simulator.case.limits}
        self.violations = dict.fromkeys(self.multipliers, 0.0)
        if central:
            spaces = self.single_observation_space
            assert isinstance(spaces, Dict)
            state = global_state(simulator, simulator.reset())
            size = state.shape[1] - sum(math.prod(own.shape or ()) for own in spaces.values())
            network = Box(-OBSERVATION_BOUND, OBSERVATION_BOUND, (size,), np.float32)
            self.single_observation_space = Dict({**spaces.spaces, "network": network})
            self.observation_space = batch_space(self.single_observation_space, num_envs)

    def _play(self, outputs: Tensor) -> Tensor:
        assert self._state is not None
        state, simulator, marginal = self._state, self.simulator, self._credit == "marginal"
        private, _ = simulator.observe_parts(state)
        action = self._correction.action(private, outputs)
        with torch.set_grad_enabled(marginal):
            following, result = simulator.step(state, action.requires_grad_(marginal))
            violations = {
                kind: x.sum(dim=-1)
                for kind, x in result.scaled_violations(simulator.case.limits).items()
            }
            prices = {kind: self._price + more for kind, more in self.multipliers.items()}
            charged = torch.stack([prices[kind] * x for kind, x in violations.items()]).sum(dim=0)
        if marginal:
            (slope,) = torch.autograd.grad(charged.sum(), action)
            default = self._correction.action(private, 0.0)
            charge = (slope * (action.detach() - default)).sum(dim=-1)
        else:
            charge = charged[:, None]
        self._state, self._result = following.detach(), result.detach()
        for kind, x in violations.items():
            before = self.violations[kind] if state.step else 0.0
            self.violations[kind] = before + float(x.detach().mean())
        return -self._own_cost(state, self._result) - charge

    def _own_cost(self, state: SimulatorState, result: Result) -> Tensor:
        """(days, agents) € at usual prices that devices add to their homes' bills."""
        window = Window(state.day, state.step, 1)
        demand = state.day.demand[None, :, state.step]
        without = window.with_electricity(torch.zeros_like(demand), demand)[0]
        return (result.cost - without) / price_spread(state.day)[:, None]

    def _observe(self) -> Observation:
        if not self._central:
            return super()._observe()
        assert self._state is not None
        simulator = self.simulator
        result = self._result if self._state.step else None
        state = global_state(simulator, self._state, result)
        agents, private_size = simulator.num_agents, simulator.private_size
        shared_size = len(simulator.observation_fields) - private_size
        network_size = state.shape[1] - shared_size - agents * private_size
        shared, private, network = state.split(
            (shared_size, agents * private_size, network_size), dim=1
        )
        parts = {"private": private.unflatten(1, (agents, private_size)), "shared": shared}
        return {name: part.numpy() for name, part in {**parts, "network": network}.items()}

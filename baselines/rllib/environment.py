"""What RLlib sees: many days at once with the fleet as one agent, or PettingZoo's environment."""

from __future__ import annotations

from collections.abc import KeysView, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from gymnasium.spaces import Box, Dict
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from ray.rllib.env import multi_agent_env_runner
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from torch import Tensor

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.policies import to_action
from gradmap_trainer.training_days import draw_state
from gridedge_env.observation import OBSERVATION_BOUND
from gridedge_env.parallel import GridEdgeParallelEnv
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

Observation = dict[str, NDArray[np.float32]]
AGENT_REWARDS = "agent_rewards"


class JointDays(VectorEnv[Observation, NDArray[np.float32], NDArray[np.float32]]):
    """A batch of days, each one environment whose single agent is the whole fleet.

    All days go through the batched simulator together; no Python runs per agent. The days are
    drawn as GradMAP draws them.

    An observation is {"private": (days, agents, private fields), "shared": (days, shared fields)};
    an action the outputs of the agents' networks, (days, agents, action_size), any real number:
    they become the simulator's by `gradmap_trainer.policies.to_action`, so that all learners start
    from devices at rest. The reward is the fleet's, in €; each agent's own is in the infos.

    Args:
        simulator: the case.
        num_envs: days at once.
        price_variation: as in `TrainConfig`.
    """

    def __init__(self, simulator: Simulator, num_envs: int, price_variation: float = 0.0) -> None:
        self._draw = TrainConfig(
            batch_days=num_envs, price_variation=price_variation, minibatches=1
        )
        self._state: SimulatorState | None = None
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.simulator = simulator
        self.num_envs = num_envs
        agents, bound = simulator.num_agents, OBSERVATION_BOUND
        shared_size = len(simulator.observation_fields) - simulator.private_size
        self.single_observation_space = Dict(
            private=Box(-bound, bound, (agents, simulator.private_size), np.float32),
            shared=Box(-bound, bound, (shared_size,), np.float32),
        )
        self.single_action_space = Box(-np.inf, np.inf, (agents, simulator.action_size), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin new days, all at midnight.

        Args:
            seed: of the first call, chooses these days and all later ones; a list counts as a
                whole. RLlib gives the same seed before every batch: were it heeded, the same days
                would come again and again.
            options: count for nothing.
        """
        if seed is not None and self._state is None:
            self._np_random = np.random.default_rng(seed)
        self._state = draw_state(self._draw, self.simulator, self.np_random)
        return self._observe(), {}

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Advance one step; or, after midnight, begin new days whatever the actions.

        Raises:
            ValueError: no days are under way, or the actions do not fit.
        """
        if self._state is None:
            raise ValueError("no day has begun, expected reset() first")
        running = np.zeros(self.num_envs, dtype=bool)
        if self._state.step == self.simulator.clock.steps:
            observation, infos = self.reset()
            return observation, np.zeros(self.num_envs), running, running, infos
        rewards = self._play(torch.from_numpy(np.asarray(actions))).numpy()
        over = running | (self._state.step == self.simulator.clock.steps)
        fleet_reward = rewards.sum(axis=1, dtype=np.float64)
        return self._observe(), fleet_reward, over, running, {AGENT_REWARDS: rewards}

    @torch.no_grad()
    def _play(self, outputs: Tensor) -> Tensor:
        """A step of all days; returns the agents' rewards, (days, agents)."""
        assert self._state is not None
        self._state, result = self.simulator.step(self._state, to_action(outputs))
        return result.reward

    def _observe(self) -> Observation:
        assert self._state is not None
        private, shared = self.simulator.observe_parts(self._state)
        return {"private": private.numpy(), "shared": shared.numpy()}


class PettingZooDays(ParallelPettingZooEnv):
    """RLlib's wrapper of a PettingZoo environment, put right in two ways.

    The agents come in the environment's order: RLlib's own goes through a set, whose order changes
    from process to process, and with it which random number goes to which agent. And RLlib's seeds
    count for nothing: its check of environments gives every copy 42, and its runners give the same
    again before every batch.

    Args:
        env: the environment.
        seed: chooses the days; without one no two copies play the same.
    """

    def __init__(self, env: GridEdgeParallelEnv, seed: int | None = None) -> None:
        super().__init__(env)
        self.agents = list(env.possible_agents)
        self.possible_agents = list(env.possible_agents)
        self._seed = seed

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Any]:
        """Begin another day."""
        first, self._seed = self._seed, None
        return super().reset(seed=first, options=options)


class OrderedEpisode(MultiAgentEpisode):
    """RLlib's, whose agents come in the environment's order, and not in that of a set of names.

    So it is settled which random number goes to which agent, and which agents learn together.
    """

    @property
    def agent_ids(self) -> KeysView[str]:
        """All agents."""
        return self.agent_episodes.keys()

    def get_agents_that_stepped(self) -> KeysView[str]:
        """Those with an observation of the last step."""
        return self.get_observations(-1).keys()


class OrderedRunner(MultiAgentEnvRunner):
    """RLlib's, of such episodes."""

    def _new_episode(self, env_index: int, episodes: Any = None) -> None:
        with mock.patch.object(multi_agent_env_runner, "MultiAgentEpisode", OrderedEpisode):
            super()._new_episode(env_index, episodes)

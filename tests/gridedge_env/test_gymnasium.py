"""One home of the PettingZoo view as a Gymnasium environment: Gymnasium's own checks pass."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import PassiveEnvChecker

from gridedge_env import GridEdgeParallelEnv, parallel_env

STEPS = 48


class OneHome(gymnasium.Env[np.ndarray, np.ndarray]):
    """All other homes are at rest."""

    def __init__(self, env: GridEdgeParallelEnv, agent: str) -> None:
        self.env, self.agent = env, agent
        self.observation_space = env.observation_space(agent)
        self.action_space = env.action_space(agent)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        observations, infos = self.env.reset(seed, options)
        return observations[self.agent], infos[self.agent]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        actions = dict.fromkeys(self.env.agents, np.zeros_like(action)) | {self.agent: action}
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        found = (observations, rewards, terminated, truncated, infos)
        return tuple(part[self.agent] for part in found)  # type: ignore[return-value]


@pytest.fixture(scope="module", params=["battery_0", "heat_pump_2", "generator_1"])
def home(request: pytest.FixtureRequest) -> OneHome:
    return OneHome(parallel_env(num_agents=9, reactive_power=True), request.param)


def test_gymnasiums_checker_passes(home: OneHome) -> None:
    """It warns where it does not refuse; of its own registry, in which nothing is, it may."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*(spec|registry|registered).*")
        check_env(home, skip_render_check=True)


def test_its_passive_checker_watches_whole_days(home: OneHome) -> None:
    watched = PassiveEnvChecker(home)
    watched.action_space.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for day in range(2):
            watched.reset(seed=day)
            ends = [watched.step(watched.action_space.sample())[2:4] for _ in range(STEPS)]
            assert ends == [*[(False, False)] * (STEPS - 1), (True, False)]

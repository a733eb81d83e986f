"""Days of RLlib's runners: each runner and each copy has its own, whatever RLlib seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from ray.tune.registry import register_env

import gridedge_env
from baselines.rllib.algorithm import make_pettingzoo_days
from baselines.rllib.environment import PettingZooDays

CASE = gridedge_env.default_case("ieee13", num_agents=3)
RUNNERS, COPIES, BATCHES = 2, 2, 3


def seeds_of_runners(make: Callable[[EnvContext], Any], **environment: Any) -> list[list[int]]:
    """Seeds of the episodes of all copies, after each batch of each runner."""
    register_env("days", make)
    config = (
        PPOConfig()
        .environment("days", env_config={"case": CASE, "seed": 3}, **environment)
        .env_runners(
            num_env_runners=RUNNERS,
            num_envs_per_env_runner=COPIES,
            batch_mode="complete_episodes",
        )
        .multi_agent(policies={"all"}, policy_mapping_fn=lambda *args, **kwargs: "all")
    )
    found = []
    for worker in range(1, RUNNERS + 1):
        runner = MultiAgentEnvRunner(config=config, worker_index=worker)
        copies = [env.unwrapped.par_env for env in runner.env.envs]
        for _ in range(BATCHES):
            runner.sample(num_episodes=COPIES, random_actions=True)
            found.append([copy.episode_seed for copy in copies])
    return found


def test_the_view_keeps_the_agents_order_and_brings_new_days():
    env = gridedge_env.parallel_env(num_agents=30)
    view = PettingZooDays(env, seed=5)
    assert view.possible_agents == env.possible_agents
    assert view.agents == env.possible_agents
    first, second = view.reset(seed=1)[0], view.reset(seed=1)[0]
    assert list(first) == env.possible_agents
    assert any((first[agent] != second[agent]).any() for agent in first), "the same day again"
    other = PettingZooDays(gridedge_env.parallel_env(num_agents=30), seed=5)
    again = other.reset(seed=42)[0]
    assert all((again[agent] == first[agent]).all() for agent in first)


@pytest.mark.parametrize(
    ("make", "environment"),
    [
        (lambda context: PettingZooDays(gridedge_env.parallel_env(case=CASE)), {}),
        (
            lambda context: ParallelPettingZooEnv(gridedge_env.parallel_env(case=CASE)),
            {"disable_env_checking": True},
        ),
    ],
    ids=["ours", "RLlib's own, unchecked"],
)
def test_no_two_copies_begin_the_same_episode(make, environment):
    """RLlib's check of environments would seed them all alike."""
    seeds = [seed for batch in seeds_of_runners(make, **environment) for seed in batch]
    assert len(set(seeds)) == RUNNERS * COPIES * BATCHES


def test_runners_of_a_seeded_training_play_days_of_their_own_and_repeat_them():
    """The copies of one runner share its seed: our own trainings have one in each."""
    seeds = seeds_of_runners(make_pettingzoo_days)
    assert seeds == seeds_of_runners(make_pettingzoo_days)
    assert len({batch[0] for batch in seeds}) == RUNNERS * BATCHES

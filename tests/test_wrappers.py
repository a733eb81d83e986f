"""The environment under other people's wrappers and loops, beside the plain one in lockstep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import supersuit
from pettingzoo.test import parallel_api_test

import gridedge_env
from gridedge_env import GridEdgeParallelEnv

SEED, STEPS = 7, 5
# Powers large enough for limits to be broken, so that rewards hold more than money.
SIMULATOR = gridedge_env.make_simulator(num_agents=6, home_scale=60.0)
FIELDS = [field.name for field in SIMULATOR.observation_fields]

Wrapper = Callable[[GridEdgeParallelEnv], Any]
WRAPPERS: dict[str, Wrapper] = {
    "frame_stack": lambda env: supersuit.frame_stack_v2(env, 3),
    "delay_observations": lambda env: supersuit.delay_observations_v0(env, 2),
    "dtype": lambda env: supersuit.dtype_v0(env, np.float64),
    "normalize_obs": lambda env: supersuit.normalize_obs_v0(env),
    "clip_actions": lambda env: supersuit.clip_actions_v0(env),
    "scale_actions": lambda env: supersuit.scale_actions_v0(env, 0.5),
    "clip_reward": lambda env: supersuit.clip_reward_v0(env, -0.5, 0.5),
    "reward_lambda": lambda env: supersuit.reward_lambda_v0(env, lambda reward: reward / 10.0),
    "agent_indicator": lambda env: supersuit.agent_indicator_v0(env),
}


def plain() -> GridEdgeParallelEnv:
    return GridEdgeParallelEnv(SIMULATOR)


def play(env: Any, actions: list[dict[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Observations (steps + 1, agents, entries) and rewards (steps, agents)."""
    observed, _ = env.reset(seed=SEED)
    # Copies: a frame stack is changed in place.
    observations, rewards = [np.array(list(observed.values()))], []
    for action in actions:
        observed, reward, *_ = env.step(action)
        observations.append(np.array(list(observed.values())))
        rewards.append(list(reward.values()))
    return np.array(observations), np.array(rewards)


@pytest.fixture(scope="module")
def actions() -> list[dict[str, np.ndarray]]:
    """Of a few steps, at random."""
    random = np.random.default_rng(SEED)
    return [
        {agent: random.uniform(-1.0, 1.0, 1).astype(np.float32) for agent in SIMULATOR.fleet.names}
        for _ in range(STEPS)
    ]


@pytest.fixture(scope="module")
def expected(actions) -> tuple[np.ndarray, np.ndarray]:
    """What the plain environment shows and pays."""
    return play(plain(), actions)


# --- SuperSuit, one environment -------------------------------------------------------------------


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_api_holds_under_every_wrapper(name):
    parallel_api_test(WRAPPERS[name](plain()), num_cycles=60)


@pytest.mark.parametrize("name", ["frame_stack", "delay_observations", "dtype", "normalize_obs"])
def test_wrapped_observations(name, actions, expected):
    """Only observations change: the last three, that of two steps ago, another type, 0 to 1.

    Before anything was seen, a stack repeats the first observation; a delay shows zeros.
    """
    observations, rewards = play(WRAPPERS[name](plain()), actions)
    assert np.array_equal(rewards, expected[1])
    latest = expected[0]
    first = latest[:1]
    match name:
        case "frame_stack":
            before = np.concatenate((first, first, latest))
            stacked = np.concatenate((before[:-2], before[1:-1], latest), axis=-1)
            assert np.array_equal(observations, stacked)
        case "delay_observations":
            delayed = np.concatenate((0.0 * first, 0.0 * first, latest[:-2]))
            assert np.array_equal(observations, delayed)
        case "dtype":
            assert observations.dtype == np.float64
            assert np.array_equal(observations, latest)
        case "normalize_obs":  # ±10 to 0..1; single precision
            np.testing.assert_allclose(observations, latest / 20.0 + 0.5, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "asked", "taken"),
    [
        ("clip_actions", lambda value: 9.0 * value, lambda value: (9.0 * value).clip(-1.0, 1.0)),
        ("scale_actions", lambda value: value, lambda value: 0.5 * value),
    ],
)
def test_wrapped_actions(name, asked, taken, actions):
    """Nine times too large: the nearer end. Scaled by a half: half."""

    def changed(change: Callable[[np.ndarray], np.ndarray]) -> list[dict[str, np.ndarray]]:
        return [{agent: change(value) for agent, value in action.items()} for action in actions]

    wrapped = play(WRAPPERS[name](plain()), changed(asked))
    unwrapped = play(plain(), changed(taken))
    assert np.array_equal(wrapped[0], unwrapped[0])
    assert np.array_equal(wrapped[1], unwrapped[1])


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("clip_reward", lambda reward: np.clip(reward, -0.5, 0.5)),
        ("reward_lambda", lambda reward: reward / 10.0),
    ],
)
def test_wrapped_rewards(name, function, actions, expected):
    observations, rewards = play(WRAPPERS[name](plain()), actions)
    assert (np.abs(expected[1]) > 0.5).any(), "nothing to clip"
    assert np.array_equal(observations, expected[0])
    assert np.array_equal(rewards, function(expected[1]))


def test_an_indicator_tells_a_shared_policy_who_it_is(actions, expected):
    """A one among zeros, at the observations' scale: their bound is 10."""
    observations, _ = play(WRAPPERS["agent_indicator"](plain()), actions)
    assert np.array_equal(observations[..., :-6], expected[0])
    assert np.array_equal(observations[..., -6:], np.tile(10.0 * np.eye(6), (STEPS + 1, 1, 1)))


@pytest.mark.parametrize("skipped", [4, (2, 5)])
def test_skipping_frames(skipped):
    """A day of rest costs the same in fewer steps; how many, where it varies, is the seed's."""
    rest = {agent: np.zeros(1, np.float32) for agent in plain().agents}

    def day(environment: Any) -> tuple[int, float]:
        environment.reset(seed=SEED)
        steps, total = 0, 0.0
        while environment.agents:
            total += sum(environment.step(rest)[1].values())
            steps += 1
        return steps, total

    steps, total = day(supersuit.frame_skip_v0(plain(), skipped))
    assert (steps, total) == day(supersuit.frame_skip_v0(plain(), skipped))
    assert 48 // 5 <= steps <= 48 // 2
    # The same rewards in another order of adding; Python's double precision.
    assert total == pytest.approx(day(plain())[1], rel=1e-12)


# --- SuperSuit, many environments at once ---------------------------------------------------------


@pytest.mark.parametrize("processes", [0, 2])
def test_vector_environment(processes, actions, expected):
    """Agents of two environments side by side; the first gets the seed given."""
    vector = supersuit.pettingzoo_env_to_vec_env_v1(plain())
    vector = supersuit.concat_vec_envs_v1(vector, 2, num_cpus=processes, base_class="gymnasium")
    try:
        observed, _ = vector.reset(seed=SEED)
        assert observed.shape == (12, 35)
        assert np.array_equal(observed[:6], expected[0][0])
        assert not np.array_equal(observed[6:], observed[:6]), "both play the same day"
        for step, action in enumerate(actions):
            values = np.array(list(action.values()))
            observed, reward, *_ = vector.step(np.concatenate((values, values)))
            assert np.array_equal(observed[:6], expected[0][step + 1])
            np.testing.assert_allclose(reward[:6], expected[1][step], rtol=1e-6)  # to float32
    finally:
        vector.close()


def test_a_vector_environment_goes_on_after_midnight():
    """The 48th step terminates everybody; what is shown then is the next day's midnight."""
    vector = supersuit.pettingzoo_env_to_vec_env_v1(plain())
    vector = supersuit.concat_vec_envs_v1(vector, 1, base_class="gymnasium")
    clock = FIELDS.index("cosine_1_day")
    vector.reset(seed=SEED)
    rest = np.zeros((6, 1), np.float32)
    for step in range(1, 51):
        observed, _, terminated, truncated, _ = vector.step(rest)
        assert terminated.tolist() == [step == 48] * 6
        assert not truncated.any()
        # Single precision.
        assert observed[:, clock] == pytest.approx(np.cos(2.0 * np.pi * step / 48.0), abs=1e-6)


# --- Stable-Baselines3 ----------------------------------------------------------------------------


def test_stable_baselines3():
    """SuperSuit asks Gymnasium for a method that it no longer has; given one, a seed decides all.

    Once this no longer fails without it, `docs/learners.md` and its example can do without, too.
    """
    pytest.importorskip("stable_baselines3", reason="the extra `learners` is not installed")
    from stable_baselines3 import PPO

    def homes() -> Any:
        vector = supersuit.pettingzoo_env_to_vec_env_v1(plain())
        return supersuit.concat_vec_envs_v1(vector, 2, base_class="stable_baselines3")

    def learned(seed: int) -> np.ndarray:
        vector = homes()
        days = vector.venv
        days.seed = lambda seed: days.reset(seed=seed)
        model = PPO("MlpPolicy", vector, n_steps=48, batch_size=288, n_epochs=1, seed=seed)
        model.learn(2 * 48 * vector.num_envs)
        weights = model.policy.state_dict().values()
        return np.concatenate([weight.numpy().ravel() for weight in weights])

    with pytest.raises(AttributeError, match="'ConcatVecEnv' object has no attribute 'seed'"):
        PPO("MlpPolicy", homes(), seed=3)
    assert np.array_equal(learned(3), learned(3))
    assert not np.array_equal(learned(3), learned(4))


# --- TorchRL --------------------------------------------------------------------------------------


def test_torchrl(actions, expected):
    """One group for each kind of device, in the order of the agents; the same numbers."""
    pytest.importorskip("torchrl", reason="the extra `learners` is not installed")
    import torch
    from tensordict import TensorDict
    from torchrl.envs import check_env_specs
    from torchrl.envs.libs.pettingzoo import PettingZooWrapper

    env = PettingZooWrapper(plain(), use_mask=False, categorical_actions=False)
    check_env_specs(env, seed=SEED)
    kinds = ["battery", "heat_pump", "generator"]
    assert list(env.group_map) == kinds
    env.set_seed(SEED)
    state: TensorDict = env.reset(seed=SEED)
    for step, action in enumerate(actions):
        observed = torch.cat([state[kind, "observation"] for kind in kinds]).numpy()
        assert np.array_equal(observed, expected[0][step])
        values = torch.tensor(np.array(list(action.values()))).split(2)
        for kind, value in zip(kinds, values, strict=True):
            state[kind, "action"] = value
        state = env.step(state)["next"]
        rewards = torch.cat([state[kind, "reward"] for kind in kinds])[:, 0].numpy()
        np.testing.assert_allclose(rewards, expected[1][step], rtol=1e-6)  # to float32


# --- A loop of one's own --------------------------------------------------------------------------


class PriceRank:
    """A user's own controller of one agent, which knows nothing but what it is shown."""

    def __init__(self, env: GridEdgeParallelEnv, agent: str) -> None:
        self.shape = env.action_space(agent).shape

    def act(self, observation: np.ndarray) -> np.ndarray:
        return np.full(self.shape, -observation[FIELDS.index("price_rank")], dtype=np.float32)


def test_a_loop_of_ones_own():
    """An object per agent, two days in a row; returns add up to what the simulator says."""
    env = plain()
    controllers = {agent: PriceRank(env, agent) for agent in env.possible_agents}
    rank = FIELDS.index("price_rank")
    for day in (20, 200):
        observations, _ = env.reset(seed=SEED, options={"day": day})
        returns = dict.fromkeys(env.agents, 0.0)
        while env.agents:
            actions = {agent: controllers[agent].act(observations[agent]) for agent in env.agents}
            observations, rewards, terminations, _, _ = env.step(actions)
            for agent, reward in rewards.items():
                returns[agent] += reward
        assert all(terminations.values())

        state = SIMULATOR.reset(days=[day], seed=SEED)
        total = 0.0
        while state.step < SIMULATOR.clock.steps:
            state, result = SIMULATOR.step(state, -SIMULATOR.observe(state)[..., rank, None])
            total += float(result.reward.sum())
        assert sum(returns.values()) == pytest.approx(total, rel=1e-5)  # single precision

"""`step_array` is `step` without dictionaries."""

import numpy as np
import pytest
import torch

import gridedge_env


@pytest.fixture(scope="module")
def env():
    return gridedge_env.parallel_env("ieee13", num_agents=12)


def test_an_episode_is_the_same_through_arrays_and_through_dictionaries(env):
    actions = np.random.default_rng(0).uniform(-1.5, 1.5, (48, 12, 1)).astype(np.float32)
    env.reset(seed=5)
    expected = []
    for action in actions:
        observations, rewards, *_ = env.step(dict(zip(env.agents, action, strict=True)))
        expected.append((np.array(list(observations.values())), list(rewards.values())))
    env.reset(seed=5)
    for k, (action, (observations, rewards)) in enumerate(zip(actions, expected, strict=True)):
        seen, gained, over = env.step_array(action)
        assert seen.dtype == np.float32
        assert np.array_equal(seen, observations)
        assert gained.tolist() == rewards
        gained[:] = 0.0  # which is the caller's
        assert env.result.reward[0].tolist() == rewards
        assert over is (k == 47)
    with pytest.raises(ValueError, match=r"over, expected reset\(\)"):
        env.step_array(actions[0])


def test_faulty_arrays_are_refused_and_change_nothing(env):
    env.reset(seed=5)
    with pytest.raises(ValueError, match=r"actions: got shape \(11, 1\), expected \(12, 1\)"):
        env.step_array(np.zeros((11, 1)))
    with pytest.raises(ValueError, match="actions: contains NaN or infinity"):
        env.step_array(np.full((12, 1), np.nan))
    with pytest.raises(ValueError, match="actions: got dict, expected a NumPy array"):
        env.step_array(dict.fromkeys(env.agents, np.zeros(1)))
    with pytest.raises(ValueError, match="actions: got complex128, expected a NumPy array"):
        env.step_array(np.zeros((12, 1), complex))
    with pytest.raises(ValueError, match="actions: got Tensor, expected a NumPy array"):
        env.step_array(torch.zeros(12, 1))
    with pytest.raises(ValueError, match="actions: got MaskedArray, expected a NumPy array"):
        env.step_array(np.ma.zeros((12, 1)))
    masked = np.ma.array([0.0], mask=[True])
    with pytest.raises(ValueError, match=r"actions\['battery_0'\]: got an array with a mask"):
        env.step(dict.fromkeys(env.agents, masked))
    assert env.simulator_state.step == 0

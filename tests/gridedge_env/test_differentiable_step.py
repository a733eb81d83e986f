"""The PettingZoo view's differentiable step: the same step, and gradients through a whole day."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gridedge_env import parallel_env


@pytest.fixture
def env():
    return parallel_env(num_agents=10)


def test_differentiable_step_is_step_with_a_graph(env):
    generator = np.random.default_rng(6)
    env.reset(seed=11)
    values = generator.uniform(-1.0, 1.0, (3, 10, 1)).astype(np.float32)
    days = [dict(zip(env.agents, action, strict=True)) for action in values]
    stepped = [env.step(actions) for actions in days]
    following = env.step(days[0])
    env.reset(seed=11)
    for actions, (_, rewards, _, _, infos) in zip(days, stepped, strict=True):
        action = torch.tensor(np.stack(list(actions.values())), requires_grad=True)
        result = env.differentiable_step(action)
        assert result.reward.requires_grad
        assert result.reward[0].tolist() == list(rewards.values())
        assert result.cost[0].tolist() == [info["cost"] for info in infos.values()]
    assert env.simulator_state.step == 3
    observations, rewards, *_ = env.step(days[0])
    assert rewards == following[1]
    for agent, seen in observations.items():
        assert np.array_equal(seen, following[0][agent])


def test_gradients_reach_back_to_the_actions_of_earlier_steps():
    """A battery sells what it stored at first when it runs empty, an hour and a half later.

    Against a central difference in double precision, h = 1e-5: its error is about h² = 1e-10, and
    rounding adds 1e-16 · 1e2 € / h = 1e-9 €. A tolerance of 1e-6 leaves room.
    """
    env = parallel_env(num_agents=10, dtype=torch.float64)
    start = torch.full((10, 1), 0.3, dtype=torch.float64)
    sell = torch.full((10, 1), -1.0, dtype=torch.float64)

    def later_reward(first):
        env.reset(seed=2)
        for action in (first, sell, sell):
            env.differentiable_step(action)
        return env.differentiable_step(sell).reward.sum()

    first = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(later_reward(first), first)
    nudge = torch.zeros_like(start)
    nudge[0] = 1e-5
    slope = (later_reward(start + nudge) - later_reward(start - nudge)) / 2e-5
    assert slope > 1.0  # €
    assert gradient[0].item() == pytest.approx(slope.item(), rel=1e-6)


def test_a_faulty_tensor_is_refused(env):
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action: got shape \(10,\), expected \(10, 1\)"):
        env.differentiable_step(torch.zeros(10))
    with pytest.raises(ValueError, match="action: contains NaN"):
        env.differentiable_step(torch.full((10, 1), torch.nan))
    assert env.simulator_state is not None
    assert env.simulator_state.step == 0


def test_reactive_power_is_a_second_action():
    env = parallel_env(num_agents=10, reactive_power=True)
    env.reset(seed=0)
    assert env.action_space("battery_0").shape == (2,)
    env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    assert env.differentiable_step(torch.zeros(10, 2)).cost.shape == (1, 10)


@pytest.mark.parametrize("regulator_control", [False, True])
def test_a_graph_can_begin_at_a_state_that_step_left(regulator_control):
    """The same gradients as from a state that was never without a graph.

    Voltages of the two states differ by rounding, and so do the gradients: 1e-15 of them, which
    power flows solved to 1e-12 raise to 1e-9 at most.
    """
    env = parallel_env(num_agents=10, dtype=torch.float64, regulator_control=regulator_control)
    gradients = []
    for first in (
        lambda: env.step(dict.fromkeys(env.agents, np.full(1, 0.3))),
        lambda: env.differentiable_step(torch.full((10, 1), 0.3, dtype=torch.float64)),
    ):
        env.reset(seed=2)
        first()
        action = torch.full((10, 1), -0.2, dtype=torch.float64, requires_grad=True)
        reward = env.differentiable_step(action).reward.sum()
        observed = env.simulator.observe(env.simulator_state).sum()
        gradients.append(torch.autograd.grad(reward + observed, action)[0])
    ours, theirs = gradients
    assert ours.abs().max() > 0.0
    assert torch.allclose(ours, theirs, rtol=1e-9)

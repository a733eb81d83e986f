"""The simulator with regulators that move."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gridedge_env import Simulator, make_simulator
from gridedge_env.evaluation import evaluate
from gridedge_env.reference import Idle, PriceFollowing, perfect_foresight, play


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    """A source at 0.97 pu, so that the taps have something to do."""
    return make_simulator(
        num_agents=12, regulator_control=True, source_voltage=0.97, dtype=torch.float64
    )


def test_taps_move_between_steps(simulator: Simulator) -> None:
    """The first step is taken at the starting positions, the second further up."""
    state = simulator.reset(batch_size=2)
    assert state.tap_position is not None
    assert not state.tap_position.any()
    action = torch.zeros(2, 12, 1, dtype=torch.float64)
    following, first = simulator.step(state, action)
    assert following.tap_position is not None
    assert following.tap_position.sum(dim=1).min() >= 1
    _, second = simulator.step(following, action)
    assert second.voltage_magnitude.mean() > first.voltage_magnitude.mean() + 0.005


def test_a_day_at_once_is_the_same_as_step_by_step(simulator: Simulator) -> None:
    """To the rounding of products with more rows."""
    state = simulator.reset(batch_size=2, seed=3)
    actions = torch.rand(5, 2, 12, 1, generator=torch.Generator().manual_seed(0)).double()
    whole = simulator.simulate(state, actions)
    for k, action in enumerate(actions):
        state, result = simulator.step(state, action)
        torch.testing.assert_close(whole.voltage[k], result.voltage, rtol=0.0, atol=1e-13)
        torch.testing.assert_close(whole.reward[k], result.reward, rtol=1e-10, atol=1e-10)
        assert torch.equal(whole.cost[k], result.cost)


def test_a_glance_moves_the_taps_too(simulator: Simulator) -> None:
    state, action = simulator.reset(), torch.zeros(1, 12, 1, dtype=torch.float64)
    seen, stepped = simulator.glance(state, action).tap_position, simulator.step(state, action)[0]
    assert seen is not None
    assert stepped.tap_position is not None
    assert torch.equal(seen, stepped.tap_position)


def test_gradients_flow_through_the_continuous_part(simulator: Simulator) -> None:
    """Against central differences, h = 1e-5, over three steps whose taps the step does not change.

    Truncation is of the order of h² = 1e-10; rounding 1e-11 of tolerance over 2 h times the penalty
    of 100 € per unit of some hundred nodes: 1e-11 · 1e4 / 2e-5 = 5e-3 of gradients around 10.
    """
    state = simulator.reset(seed=1)
    actions = torch.full((3, 1, 12, 1), 0.2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(simulator.simulate(state, actions).reward.sum(), actions)
    step = torch.zeros_like(actions)
    step[1, 0, 2, 0] = 1e-5
    with torch.no_grad():
        more, less = (
            simulator.simulate(state, actions + sign * step).reward.sum() for sign in (1, -1)
        )
    assert gradient[1, 0, 2, 0].item() == pytest.approx(float(more - less) / 2e-5, rel=1e-3)


# What plays whole days ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> Simulator:
    """IEEE 13, whose one bank of regulators feeds all of it."""
    return make_simulator(
        "ieee13", num_agents=6, regulator_control=True, source_voltage=0.97, home_scale=60.0
    )


def test_a_day_is_evaluated_as_it_is_played(small: Simulator) -> None:
    """To the bit; and voltages are those of taps that move: without control they are lower."""
    found = evaluate(small, {"own": PriceFollowing(small)}, [40, 200], foresight_iterations=2)
    assert list(found.episodes) == [
        "own",
        "idle",
        "thermostat",
        "price_following",
        "perfect_foresight",
    ]
    state, taps, voltages = small.reset(split="test", days=[40, 200]), [], []
    for before, _, result in play(small, PriceFollowing(small), state):
        assert before.tap_position is not None
        taps.append(before.tap_position)
        voltages.append(result.voltage_magnitude)
    assert len(torch.stack(taps).unique()) > 2
    for method in ("own", "price_following"):
        episode = found.episodes[method]
        played = torch.stack(voltages, dim=1).numpy()
        assert np.array_equal(episode.quantities["voltage"], played)
        assert episode.converged.all()
    frozen = make_simulator("ieee13", num_agents=6, source_voltage=0.97, home_scale=60.0)
    still = evaluate(frozen, {}, [40, 200], foresight_iterations=0).episodes["idle"]
    controlled = found.episodes["idle"].quantities["voltage"].mean()
    assert controlled > still.quantities["voltage"].mean() + 0.01


def test_perfect_foresight_plans_with_taps_that_move(small: Simulator) -> None:
    """Thirty iterations: cheaper than rest, and less outside the limits than the first plan."""
    state = small.reset(split="test", days=[40])
    assert state.tap_position is not None
    hasty, plan = (perfect_foresight(small, state, iterations) for iterations in (1, 30))
    assert plan.shape == (48, 1, 6, 1)
    before, after = (small.simulate(state, actions) for actions in (hasty, plan))
    idle = sum(result.cost.sum() for _, _, result in play(small, Idle(small), state))
    assert after.converged.all()
    assert after.cost.sum() < idle
    assert after.violation.sum() < 0.5 * before.violation.sum()

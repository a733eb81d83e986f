"""Perfect foresight: a floor on cost that respects the network."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from gridedge_env import Simulator, make_simulator
from gridedge_env.reference import Idle, PriceFollowing, Thermostat, perfect_foresight, play
from gridedge_env.state import Result, SimulatorState

ITERATIONS = 100


@pytest.fixture(scope="module")
def case() -> tuple[Simulator, SimulatorState]:
    """A winter's day of 2024 for twelve sites of thirty homes each: price-following overloads."""
    simulator = make_simulator(num_agents=12, home_scale=30.0)
    return simulator, simulator.reset(split="test", days=[40], seed=1)


@pytest.fixture(scope="module")
def plan(case: tuple[Simulator, SimulatorState]) -> Tensor:
    return perfect_foresight(*case, iterations=ITERATIONS)


@pytest.fixture(scope="module")
def rules(case: tuple[Simulator, SimulatorState]) -> dict[str, Result]:
    simulator, state = case
    return {
        rule.__name__: simulator.simulate(
            state,
            torch.stack([action for _, action, _ in play(simulator, rule(simulator), state)]),
        )
        for rule in (Idle, Thermostat, PriceFollowing)
    }


def test_it_respects_the_limits_that_price_following_breaks(
    case: tuple[Simulator, SimulatorState], plan: Tensor, rules: dict[str, Result]
) -> None:
    simulator, state = case
    result = simulator.simulate(state, plan)
    assert plan.shape == (48, 1, 12, 1)
    assert (plan.abs() <= 1.0).all()
    assert not plan.requires_grad
    assert result.converged.all()
    assert result.violation.sum() == 0.0
    assert rules["PriceFollowing"].violation.sum() > 10.0


def test_it_costs_less_than_every_rule(
    case: tuple[Simulator, SimulatorState], plan: Tensor, rules: dict[str, Result]
) -> None:
    """Even than price-following, which pays no heed to limits."""
    simulator, state = case
    cost = simulator.simulate(state, plan).cost.sum()
    for name, result in rules.items():
        assert cost < result.cost.sum(), name


def test_more_iterations_are_better(case: tuple[Simulator, SimulatorState], plan: Tensor) -> None:
    simulator, state = case
    done: list[float] = []
    hasty = perfect_foresight(simulator, state, 20, progress=done.append)
    assert done == [k / 20 for k in range(1, 21)]
    rewards = [simulator.simulate(state, actions).reward.sum() for actions in (hasty, plan)]
    assert rewards[0] < rewards[1]


def test_whoever_is_absent_is_planned_around(
    case: tuple[Simulator, SimulatorState], plan: Tensor
) -> None:
    """They do as idle, and the others what is best then: a quarter of the effort is enough for it.

    The plan that counts on them breaks limits without them, or costs more.
    """
    simulator, state = case
    absent = torch.arange(12) % 3 == 0
    idle = torch.stack([action for _, action, _ in play(simulator, Idle(simulator), state)])
    around = perfect_foresight(simulator, state, ITERATIONS // 4, absent=absent)
    assert torch.equal(around[:, :, absent], idle[:, :, absent])
    counted_on = torch.where(absent[:, None], idle, plan)
    rewards = [simulator.simulate(state, actions).reward.sum() for actions in (around, counted_on)]
    assert rewards[0] > rewards[1]


def test_days_are_planned_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day's plan does not depend on which other days are planned with it.

    Up to rounding, which descent amplifies: in five iterations to no more than 1e-6. Nor does it
    matter how many are planned at once.
    """
    simulator = make_simulator(num_agents=3, dtype=torch.float64, home_scale=100.0)
    one, other = (simulator.reset(days=[day]) for day in (20, 180))
    both = SimulatorState.cat([one, other])
    together = perfect_foresight(simulator, both, 5)
    for k, state in enumerate((one, other)):
        alone = perfect_foresight(simulator, state, 5)
        torch.testing.assert_close(together[:, [k]], alone, rtol=0.0, atol=1e-6)
    done: list[float] = []
    monkeypatch.setattr(sys.modules[perfect_foresight.__module__], "AT_ONCE", 1)
    in_turns = perfect_foresight(simulator, both, 5, done.append)
    torch.testing.assert_close(in_turns, together, rtol=0.0, atol=1e-6)
    assert done == pytest.approx([k / 10 for k in range(1, 11)])


def test_no_iterations_are_refused(case: tuple[Simulator, SimulatorState]) -> None:
    with pytest.raises(
        ValueError, match="iterations: got 0, expected a whole number of at least 1"
    ):
        perfect_foresight(*case, iterations=0)

"""Rules: what each does in situations that are made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gridedge_env import Simulator, make_simulator
from gridedge_env.observation import SHARED_FIELDS, shared_observations
from gridedge_env.powerflow import FixedPoint
from gridedge_env.reference import Idle, Policy, PriceFollowing, Thermostat, play
from gridedge_env.state import SimulatorState

RULES: list[Callable[[Simulator], Policy]] = [Idle, Thermostat, PriceFollowing]


def whole_day(
    simulator: Simulator, policy: Policy, state: SimulatorState
) -> tuple[list[SimulatorState], Tensor]:
    """States before each step, and (48, batch, agents, action_size) actions."""
    steps = list(play(simulator, policy, state))
    assert len(steps) == 48
    return [before for before, _, _ in steps], torch.stack([action for _, action, _ in steps])


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_a_decentralised_policy(
    simulator: Simulator, rule: Callable[[Simulator], Policy]
) -> None:
    """Actions within their range; nobody's depends on what only another knows."""
    policy = rule(simulator)
    state = replace(simulator.reset(batch_size=3, seed=1), step=30)
    private, shared = simulator.observe_parts(state)
    action = policy(private, shared)
    assert action.shape == (3, 12, 1)
    assert (action.abs() <= 1.0).all()
    for agent in range(12):
        other = private.clone()
        other[:, agent] -= 0.4
        same = policy(other, shared) == action
        same[:, agent] = True
        assert same.all()


@pytest.mark.parametrize("rule", RULES)
def test_rules_leave_reactive_power_alone(rule: Callable[[Simulator], Policy]) -> None:
    simulator = make_simulator(num_agents=3, reactive_power=True)
    action = rule(simulator)(*simulator.observe_parts(simulator.reset()))
    assert action.shape == (1, 3, 2)
    assert not action[..., 1].any()


def test_play_is_the_simulator_step_by_step(simulator: Simulator) -> None:
    state = simulator.reset(batch_size=2)
    policy = PriceFollowing(simulator)
    current = replace(state, step=45)
    results = []
    for before, action, result in play(simulator, policy, current):
        assert torch.equal(simulator.observe(before), simulator.observe(current))
        current, expected = simulator.step(current, action)
        assert torch.equal(result.cost, expected.cost)
        assert not result.cost.requires_grad
        results.append(result)
    assert len(results) == 3
    assert torch.is_grad_enabled()


def test_idle_does_nothing_that_it_need_not(simulator: Simulator) -> None:
    """Batteries stay half full, generators off, rooms fall to the lower edge and stay there."""
    states, actions = whole_day(simulator, Idle(simulator), simulator.reset(days=[5, 20]))
    result = simulator.simulate(states[0], actions)
    half = 0.5 * simulator.fleet.group("battery").parameters.capacity
    assert all(torch.equal(state.devices[0].energy, half.expand(2, -1)) for state in states)
    assert not any(state.devices[2].loading.any() for state in states)
    demand = states[0].day.demand.transpose(0, 1)
    torch.testing.assert_close(result.power[..., :4], demand[..., :4])
    torch.testing.assert_close(result.power[..., 8:], demand[..., 8:])

    lowest = simulator.fleet.group("heat_pump").parameters.lowest_temperature
    assert all((state.devices[1].temperature >= lowest - 1e-9).all() for state in states)
    assert (states[-1].devices[1].temperature <= lowest + 1e-9).any()
    # No schedule heats less: whoever is warm does not heat at all.
    found = 0
    for before, after, drawn in zip(states, states[1:], result.power, strict=False):
        heating = drawn[:, 4:8] - before.day.demand[:, before.step, 4:8]
        warm = after.devices[1].temperature > lowest + 1e-9
        found += int(warm.sum())
        assert (heating[warm].abs() < 1e-9).all()
    assert found > 0


def test_thermostat_by_hand(simulator: Simulator) -> None:
    """-2 x the distance from the middle in half bands: full power half-way to the lower edge."""
    policy = Thermostat(simulator)
    private, shared = simulator.observe_parts(simulator.reset())
    private[0, 4:8, 0] = torch.tensor([-0.7, -0.25, 0.0, 0.25], dtype=torch.float64)
    action = policy(private, shared)[0, :, 0].tolist()
    assert action[4:8] == pytest.approx([1.0, 0.5, 0.0, -0.5])
    assert action[:4] == [0.0] * 4
    assert action[8:] == [-1.0] * 4


def test_thermostat_holds_the_middle(simulator: Simulator) -> None:
    """On a winter's day rooms end nearer to it than they began, and far from the edges."""
    states, _ = whole_day(simulator, Thermostat(simulator), simulator.reset(days=[5, 20], seed=2))
    pumps = simulator.fleet.group("heat_pump").parameters
    middle = 0.5 * (pumps.lowest_temperature + pumps.highest_temperature)
    half = 0.5 * (pumps.highest_temperature - pumps.lowest_temperature)
    off = [((state.devices[1].temperature - middle) / half).abs() for state in states]
    assert off[0].max() > 0.6
    assert off[-1].max() < 0.6
    assert off[-1].mean() < 0.5 * off[0].mean()


def test_price_following_by_hand(simulator: Simulator) -> None:
    """A price that rises by 0.01 €/kWh each step from 0.10: the cheapest three hours come first."""
    state = simulator.reset(days=[0])
    table = simulator.days("train").select(torch.tensor([0]))
    retail = 0.10 + 0.01 * torch.arange(48, dtype=torch.float64)[None]
    tariff = simulator.case.tariff
    traded = (retail - tariff.adder) / tariff.tax_factor
    table = replace(table, day_ahead_price=traded)
    shared = shared_observations(SHARED_FIELDS, table, tariff, simulator.clock)
    state = replace(state, day=replace(state.day, shared_observation=shared))
    policy = PriceFollowing(simulator)
    actions = torch.stack(
        [policy(*simulator.observe_parts(replace(state, step=t)))[0, :, 0] for t in range(48)]
    )
    battery = [1.0] * 6 + [0.0] * 36 + [-1.0] * 6
    heat_pump = [1.0] * 24 + [-1.0] * 24
    for k in range(4):
        assert actions[:, k].tolist() == battery
        assert actions[:, 4 + k].tolist() == heat_pump
    generators = simulator.fleet.group("generator").parameters
    loading = 0.5 * (actions[:, 8:] + 1.0)
    marginal = generators.linear_cost + 2.0 * generators.quadratic_cost * loading
    price = retail[0, :, None].expand_as(loading)
    running, spare = loading > 0.0, loading < 1.0
    torch.testing.assert_close(marginal[running & spare], price[running & spare])
    assert (marginal[~running] >= price[~running] - 1e-12).all()
    assert (marginal[~spare] <= price[~spare] + 1e-12).all()
    assert (running & spare).any()


def test_price_following_pays_less_and_breaks_limits() -> None:
    """What makes the default case hard: three sunny days of 2023 at its real size."""
    simulator = make_simulator(num_agents=300)
    state = simulator.reset(days=[150, 165, 180])
    cost, outside = {}, {}
    for rule in (Idle, PriceFollowing):
        _, actions = whole_day(simulator, rule(simulator), state)
        result = simulator.simulate(state, actions)
        # A GPU, which does a fixed number of iterations, does enough of them from a cold start.
        on_gpu = FixedPoint.default(simulator.dtype, torch.device("cuda"))
        assert result.solution.iterations.max() <= on_gpu.maximum_iterations
        cost[rule] = result.cost.sum(dim=(0, 2))
        outside[rule] = (result.violation > 0.0).double().mean()
    assert (cost[PriceFollowing] < cost[Idle]).all()
    assert outside[PriceFollowing] > 0.02
    assert outside[Idle] < 0.5 * outside[PriceFollowing]

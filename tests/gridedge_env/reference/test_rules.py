"""Rules: what each does in situations that are made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env import Simulator, default_case, load_feeder, make_simulator
from gridedge_env.devices import DeviceGroup, Devices, make_fleet, sample_fleet
from gridedge_env.devices.battery import BatteryState
from gridedge_env.devices.generator import GeneratorState
from gridedge_env.devices.heat_pump import HeatPumpState
from gridedge_env.observation import shared_observations
from gridedge_env.powerflow import FixedPoint
from gridedge_env.reference import Idle, PlanFollowing, Policy, PriceFollowing, Thermostat, play
from gridedge_env.scenarios import (
    DayAheadFeedIn,
    ExportPrice,
    Fixed,
    Flat,
    NetMetering,
    Nothing,
    Period,
    Tariff,
    TimeOfUse,
)
from gridedge_env.state import SimulatorState
from tests.gridedge_env.device_states import state_of

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
    assert all(
        torch.equal(state_of(state, BatteryState).energy, half.expand(2, -1)) for state in states
    )
    assert not any(state_of(state, GeneratorState).loading.any() for state in states)
    demand = states[0].day.demand.transpose(0, 1)
    torch.testing.assert_close(result.power[..., :4], demand[..., :4])
    torch.testing.assert_close(result.power[..., 8:], demand[..., 8:])

    lowest = simulator.fleet.group("heat_pump").parameters.lowest_temperature
    assert all(
        (state_of(state, HeatPumpState).temperature >= lowest - 1e-9).all() for state in states
    )
    assert (state_of(states[-1], HeatPumpState).temperature <= lowest + 1e-9).any()
    # No schedule heats less: whoever is warm does not heat at all.
    found = 0
    for before, after, drawn in zip(states, states[1:], result.power, strict=False):
        heating = drawn[:, 4:8] - before.day.demand[:, before.step, 4:8]
        warm = state_of(after, HeatPumpState).temperature > lowest + 1e-9
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
    off = [((state_of(state, HeatPumpState).temperature - middle) / half).abs() for state in states]
    assert off[0].max() > 0.6
    assert off[-1].max() < 0.6
    assert off[-1].mean() < 0.5 * off[0].mean()


def test_price_following_by_hand(simulator: Simulator) -> None:
    """A price that rises by 0.01 €/kWh each step from 0.10: the cheapest three hours come first."""
    state = simulator.reset(days=[0])
    table = simulator.days("train").select(torch.tensor([0]))
    retail = 0.10 + 0.01 * torch.arange(48, dtype=torch.float64)[None]
    tariff = simulator.case.tariff
    traded = (retail - 0.15) / 1.21
    table = replace(table, day_ahead_price=traded)
    fields = simulator.observation_fields[simulator.private_size :]
    shared = shared_observations(fields, table, tariff, simulator.clock)
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


@pytest.fixture(scope="module")
def informed() -> Simulator:
    """Agents observe the public plan; the first has two devices, the others one, as tables say."""
    fleet = sample_fleet(load_feeder("ieee13"), {"battery": 2, "heat_pump": 2}, 0, 1.0)
    tables = {
        "battery": Devices(("a", "b"), columns_of(fleet.group("battery"))),
        "heat_pump": Devices(("a", "c"), columns_of(fleet.group("heat_pump"))),
    }
    places = dict(zip(("a", "b", "c"), fleet.places, strict=False))
    case = default_case("ieee13", 3, reactive_power=True, public_plan=True)
    return make_simulator(case=replace(case, fleet=make_fleet(places, tables)))


def columns_of(group: DeviceGroup) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in vars(group.parameters).items()}


def test_plan_following_by_hand(informed: Simulator) -> None:
    """Each device as asked, less than 0.02 as rest; no reactive power."""
    private, shared = informed.observe_parts(informed.reset(days=[40]))
    names = [field.name for field in informed.observation_fields]
    first = names.index("planned_action_1")
    asked = torch.tensor([[-1.0, 0.0199], [0.02, 0.0], [0.5, 0.0]])
    private[0, :, first : first + 2] = asked
    action = PlanFollowing(informed)(private, shared)
    assert action.shape == (1, 3, 4)
    assert torch.equal(action[0, :, :2], torch.tensor([[-1.0, 0.0], [0.02, 0.0], [0.5, 0.0]]))
    assert not action[..., 2:].any()


def test_there_is_nothing_to_follow_without_a_plan(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="^public_plan: got False, expected True for a rule"):
        PlanFollowing(simulator)


TIMES = TimeOfUse(0.25, (Period(0.1, "00:00", "06:00"), Period(0.4, "17:00", "22:00")))


@pytest.mark.parametrize("exports", [NetMetering(), Fixed(0.08), DayAheadFeedIn(), Nothing()])
def test_price_following_by_time_of_use(exports: ExportPrice) -> None:
    """All of the cheapest hours and all of the dearest, though they are more than three.

    Rooms are heated ahead in the six cheap hours and in the thirteen between, of which a quarter of
    the day is cheaper. A generator minds what feeding in earns.
    """
    simulator = make_simulator(num_agents=3, dtype=torch.float64, tariff=Tariff(TIMES, exports))
    state = simulator.reset(days=[10])
    _, actions = whole_day(simulator, PriceFollowing(simulator), state)
    assert actions.isfinite().all()
    assert actions[:, 0, 0, 0].tolist() == [1.0] * 12 + [0.0] * 22 + [-1.0] * 10 + [0.0] * 4
    assert actions[:, 0, 1, 0].tolist() == [1.0] * 34 + [-1.0] * 10 + [1.0] * 4
    generator = simulator.fleet.group("generator").parameters
    margin = state.day.export_price[0] - generator.linear_cost
    loading = (margin / (2.0 * generator.quadratic_cost)).clamp(0.0, 1.0)
    torch.testing.assert_close(actions[:, 0, 2, 0], 2.0 * loading - 1.0)


def test_at_one_price_there_is_nothing_to_follow() -> None:
    """Batteries rest and rooms are kept just warm: as idle does."""
    simulator = make_simulator(num_agents=6, dtype=torch.float64, tariff=Tariff(Flat(0.3)))
    state = simulator.reset(days=[10, 200])
    _, actions = whole_day(simulator, PriceFollowing(simulator), state)
    assert not actions[:, :, :2].any()
    assert (actions[:, :, 2:4] == -1.0).all()


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

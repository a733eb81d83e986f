"""The lower bound on a known day's cost: against rules of duality, hand calculations and search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import optimize, sparse
from torch import Tensor

from gridedge_env import Case, Simulator, make_simulator
from gridedge_env.constraints import Limits
from gridedge_env.devices import Devices, make_fleet
from gridedge_env.devices.heat_pump import HeatPumpState
from gridedge_env.feeder import Feeder
from gridedge_env.feeder.records import Bus, Line, LineCode, Source
from gridedge_env.reference import (
    Idle,
    LowerBound,
    PriceFollowing,
    lower_bound,
    perfect_foresight,
    play,
)
from gridedge_env.reference.fleet_program import actions_for, fleet_programs
from gridedge_env.reference.network_tangents import FleetNetwork
from gridedge_env.scenarios import Tariff
from gridedge_env.state import SimulatorState

HOURS = 0.5
DAY = 278
# The solver's tolerance, 1e-7 for each of some thousand rows, at prices below 1 € a unit.
SOLVED = 1e-4


@pytest.fixture(scope="module")
def case() -> tuple[Simulator, SimulatorState]:
    """An autumn day of 2024 for twelve sites of thirty homes each: the network binds."""
    simulator = make_simulator(num_agents=12, home_scale=30.0, dtype=torch.float64)
    return simulator, simulator.reset(split="test", days=[DAY], seed=1)


@pytest.fixture(scope="module")
def plan(case: tuple[Simulator, SimulatorState]) -> Tensor:
    """Nothing clever, but within the limits."""
    simulator, state = case
    return torch.stack([action for _, action, _ in play(simulator, Idle(simulator), state)])


@pytest.fixture(scope="module")
def bound(case: tuple[Simulator, SimulatorState], plan: Tensor) -> LowerBound:
    return lower_bound(*case, plan)


def total(simulator: Simulator, state: SimulatorState, plan: Tensor) -> float:
    return float(simulator.simulate(state, plan).cost.sum())


def test_the_optimum_lies_between_the_bound_and_the_plan_found(
    case: tuple[Simulator, SimulatorState], bound: LowerBound
) -> None:
    """The bracket is a few thousandths of the cost wide, and all plans are on the right side."""
    simulator, state = case
    foresight = perfect_foresight(simulator, state, iterations=40)
    for actions in (foresight, bound.actions):
        result = simulator.simulate(state, actions)
        assert result.converged.all()
        assert result.violation.sum() == 0.0
    lowest, found = bound.cost[0], total(simulator, state, bound.actions)
    assert bound.curvature[0] < 1e-2 * lowest
    assert lowest - bound.curvature[0] <= found < 1.005 * lowest
    assert found < total(simulator, state, foresight)


def test_the_network_only_raises_the_bound(
    case: tuple[Simulator, SimulatorState], plan: Tensor, bound: LowerBound
) -> None:
    """Clearly on this day, and not at all where the limits are out of reach."""
    assert bound.cost[0] > 1.1 * bound.cost_without_network[0]
    simulator = make_simulator(
        num_agents=12, home_scale=30.0, dtype=torch.float64, limits=Limits(0.5, 1.5, 1e3, 1e3)
    )
    state = simulator.reset(split="test", days=[DAY], seed=1)
    free = lower_bound(simulator, state, plan)
    assert free.cost_without_network[0] == pytest.approx(bound.cost_without_network[0])
    # The second solution puts the fuel's tangents elsewhere, no worse than at the first's optimum.
    assert free.cost[0] == pytest.approx(free.cost_without_network[0], abs=SOLVED)
    assert total(simulator, state, free.actions) == pytest.approx(free.cost[0], rel=1e-5)
    assert free.curvature[0] == 0.0


@pytest.mark.parametrize("day", [40, 200])
@pytest.mark.parametrize("tariff", [Tariff(), Tariff(net_metering=False)])
def test_whatever_the_fleet_does_is_in_the_programs_at_the_same_cost_or_less(
    day: int, tariff: Tariff
) -> None:
    """Random actions in winter and in summer, under one price and two.

    With the devices' power given, batteries and heat pumps cost the same, since the rest of their
    variables follow, while fuel may only come out lower: by less than c p (1/2)² an hour for a
    generator, c the quadratic cost, since the tangents at no load and full load are among its own.
    """
    simulator = make_simulator(num_agents=12, dtype=torch.float64, tariff=tariff)
    state = simulator.reset(split="test", days=[day], seed=3)
    random = torch.Generator().manual_seed(0)
    actions = 2.0 * torch.rand(48, 1, 12, 1, generator=random, dtype=torch.float64) - 1.0
    cost = (
        simulator.simulate(state, actions).cost[:, 0].sum(dim=0).split(simulator.fleet.counts, -1)
    )
    output = np.split(FleetNetwork(simulator, state).output(actions), [4, 8], axis=1)
    costs = []
    for program, drawn in zip(fleet_programs(simulator, state), output, strict=True):
        found = optimize.linprog(
            program.cost,
            A_eq=sparse.vstack((program.equality, program.output)),
            b_eq=np.concatenate((program.target, drawn.ravel())),
            bounds=np.stack((program.lowest, program.highest), axis=1),
        )
        assert found.success, found.message
        costs.append(found.fun + program.constant)
    for relaxed, played in zip(costs[:2], cost[:2], strict=True):
        assert relaxed == pytest.approx(float(played.sum()), abs=SOLVED)
    generators = simulator.fleet.group("generator").parameters
    most = 48 * HOURS * (generators.quadratic_cost * generators.maximum_power).sum() / 4.0
    fuel = float(cost[2].sum())
    assert fuel - float(most) <= costs[2] <= fuel + SOLVED


@pytest.mark.parametrize("day", [40, 200])
def test_actions_draw_what_the_plan_says(day: int) -> None:
    """Of batteries to within a thousandth of full power: the least room of `action_for_change`."""
    simulator = make_simulator(num_agents=12, dtype=torch.float64)
    state = simulator.reset(split="test", days=[day], seed=3)
    random = torch.Generator().manual_seed(0)
    actions = 2.0 * torch.rand(48, 1, 12, 1, generator=random, dtype=torch.float64) - 1.0
    network = FleetNetwork(simulator, state)
    output = network.output(actions)
    again = network.output(actions_for(simulator, state, output))
    full = simulator.fleet.group("battery").parameters.maximum_power.numpy()
    np.testing.assert_array_less(
        np.abs(again - output)[:, :4], np.broadcast_to(1e-3 * full, (48, 4))
    )
    np.testing.assert_allclose(again[:, 4:], output[:, 4:], rtol=0.0, atol=1e-9)


def test_generators_alone_follow_from_marginal_cost(
    case: tuple[Simulator, SimulatorState],
) -> None:
    """b + 2 c x = price, within 0 and 1: earnings (price - b - c x) x p_max an hour."""
    simulator, state = case
    generators = simulator.fleet.group("generator").parameters
    price = state.day.import_price[0, :, None]
    linear, quadratic = generators.linear_cost, generators.quadratic_cost
    loading = ((price - linear) / (2.0 * quadratic)).clamp(0.0, 1.0)
    earned = HOURS * (price - linear - quadratic * loading) * loading * generators.maximum_power
    bill = HOURS * (price * state.day.demand[0, :, 8:]).sum()
    program = fleet_programs(simulator, state)[2]
    lowest = np.minimum(program.cost * program.highest, 0.0).sum() + program.constant
    assert lowest == pytest.approx(float(bill - earned.sum()), rel=1e-12)


def test_a_room_at_its_lower_edge_stays_there(case: tuple[Simulator, SimulatorState]) -> None:
    """Prices and weather constant, no sun: nothing is gained by heating early or late.

    A room at the edge is worth nothing at midnight and needs ((T - T_out) / R - gain) / COP all
    day long; heat above the edge is credited at what it cost, less what leaked.
    """
    simulator, state = case
    pumps = simulator.fleet.group("heat_pump").parameters
    flat = torch.full_like(state.day.import_price, 0.3)
    day = replace(
        state.day,
        import_price=flat,
        export_price=flat,
        outdoor_temperature=torch.zeros_like(flat),
        irradiance=torch.zeros_like(flat),
    )
    cold = HeatPumpState(pumps.lowest_temperature[None])
    state = replace(state, day=day, devices=(state.devices[0], cold, state.devices[2]))
    program = fleet_programs(simulator, state)[1]
    bounds = np.stack((program.lowest, program.highest), axis=1)
    found = optimize.linprog(
        program.cost, A_eq=program.equality, b_eq=program.target, bounds=bounds
    )
    # hplib's fit at 0 °C outdoors: (7.16 - 0.0905 T_supply) x the unit's own factor, 1 to 6.
    performance = (7.16 - 0.0905 * pumps.supply_temperature) * pumps.performance
    heat = pumps.lowest_temperature / pumps.resistance - pumps.internal_gain
    power = heat / performance
    assert (power > 0.0).all()
    assert (power < pumps.maximum_power).all()
    demand = day.demand[0, :, 4:8].sum() * HOURS
    expected = 0.3 * float(demand + 24.0 * power.sum())
    assert found.fun + program.constant == pytest.approx(expected, rel=1e-6)


def test_one_generator_behind_a_limit_against_search() -> None:
    """With batteries and heat pumps too small to matter, every step stands alone.

    The generator's best is its cheapest loading or, where that is outside the limits, the limit
    itself, found by bisection with the simulator. It is rated so that the limit binds.
    """
    simulator = make_simulator(
        num_agents=3, dtype=torch.float64, home_scale=10.0, limits=Limits(0.9, 1.1, 0.5, 1.0)
    )
    fleet = simulator.fleet
    tiny = torch.full((1,), 1e-6, dtype=torch.float64)
    changes = (
        {"maximum_power": tiny, "capacity": tiny, "minimum_energy": tiny * 0},
        {"maximum_power": tiny},
        {"maximum_power": 0.0 * tiny + 1500.0},
    )
    groups = (
        replace(group, parameters=replace(group.parameters, **change))
        for group, change in zip(fleet.groups, changes, strict=True)
    )
    simulator.fleet = replace(fleet, groups=tuple(groups))
    state = simulator.reset(split="test", days=[40], seed=0)
    linear, quadratic = (
        fleet.group("generator").parameters.linear_cost,
        fleet.group("generator").parameters.quadratic_cost,
    )
    price = state.day.import_price[0]
    low = torch.zeros(48, dtype=torch.float64)
    wanted = high = ((price - linear) / (2.0 * quadratic)).clamp(0.0, 1.0)

    def actions(loading: Tensor) -> Tensor:
        each = torch.zeros(48, 1, 3, 1, dtype=torch.float64)
        each[:, 0, 2, 0] = 2.0 * loading - 1.0
        return each

    for _ in range(40):
        middle = 0.5 * (low + high)
        result = simulator.simulate(state, actions(middle))
        inside = (result.violation[:, 0] == 0.0) & result.converged[:, 0]
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    best = torch.where(wanted - low < 1e-9, wanted, low)
    assert (best < wanted).sum() >= 4

    searched = total(simulator, state, actions(best))
    bound = lower_bound(simulator, state, actions(0.0 * best))
    assert bound.cost[0] == pytest.approx(searched, rel=1e-3)
    assert bound.cost[0] - bound.curvature[0] <= searched + SOLVED
    assert total(simulator, state, bound.actions) == pytest.approx(searched, rel=5e-3)


@pytest.fixture(scope="module")
def lone_generator() -> tuple[Simulator, SimulatorState]:
    """150 kW of fuel at 0.10 €/kWh behind 1 ohm at 1 kV; electricity is worth 0.30 €/kWh."""
    resistance = LineCode("code", 1, ((0.5,),), ((0.0,),), ((0.0,),), None, "km")
    feeder = Feeder(
        name="two buses",
        frequency=50.0,
        source=Source("a", (1,), 1.0, 1.0, 0.0, r1=0.5, x1=0.0, r0=0.0, x0=0.0),
        buses=(Bus("a", (1,), 1.0), Bus("b", (1,), 1.0)),
        line_codes=(resistance,),
        lines=(Line("ab", "a", "b", (1,), (1,), "code", 1.0, "km"),),
    )
    numbers = {"maximum_power": 150.0, "linear_cost": 0.1, "quadratic_cost": 1e-6}
    columns = {name: np.array([number]) for name, number in numbers.items()}
    fleet = make_fleet({"home": "b.1"}, {"generator": Devices(["home"], columns)})
    simulator = make_simulator(case=Case(feeder, fleet), dtype=torch.float64)
    state = simulator.reset(days=[0])
    flat = torch.full_like(state.day.import_price, 0.3)
    demand = torch.zeros_like(state.day.demand)
    day = replace(state.day, import_price=flat, export_price=flat, demand=demand)
    return simulator, replace(state, day=day)


@pytest.mark.parametrize("loading", [0.0, 0.3, 0.5, 1.0])
def test_a_generator_behind_a_resistance_by_hand(
    lone_generator: tuple[Simulator, SimulatorState], loading: float
) -> None:
    """p kW lift the voltage by p / 1000 V: V² - V = p / 1000, so that 1.05 pu are 52.5 kW.

    In 24 hours these earn 24 x 52.5 x (0.30 - 0.10) = 252 €, whether the given plan keeps the limit
    or breaks it. At full load V is (1 + √1.6) / 2 = 1.1325 and rises by 1 / (1000 √1.6) per kW: the
    tangent there allows no more than 150 - 0.0825 x 1265 = 45.7 kW. Bisections leave 97.5 / 2^12 =
    0.02 kW, from which a tangent misses the limit by 1e-6 kW; fuel's quadratic part is 4e-4 €.
    """
    simulator, state = lone_generator
    plan = torch.full((48, 1, 1, 1), 2.0 * loading - 1.0, dtype=torch.float64)
    bound = lower_bound(simulator, state, plan)
    assert bound.cost_without_network[0] == pytest.approx(-24.0 * 150.0 * 0.2, abs=0.01)
    assert bound.cost[0] == pytest.approx(-252.0, abs=1e-3)
    found = simulator.simulate(state, bound.actions)
    assert found.violation.sum() == 0.0
    assert -252.0 < found.cost.sum() < -251.0


def test_a_plan_outside_the_limits_gives_a_bound_all_the_same(
    case: tuple[Simulator, SimulatorState], bound: LowerBound
) -> None:
    """That of price-following's, which breaks many, is below a plan that keeps them all."""
    simulator, state = case
    broken = torch.stack([a for _, a, _ in play(simulator, PriceFollowing(simulator), state)])
    assert simulator.simulate(state, broken).violation.sum() > 50.0
    found = lower_bound(simulator, state, broken)
    kept = perfect_foresight(simulator, state, 100)
    assert simulator.simulate(state, kept).violation.sum() == 0.0
    assert found.cost[0] - found.curvature[0] < total(simulator, state, kept)
    assert found.cost[0] == pytest.approx(bound.cost[0], rel=1e-3)


def test_tangents_touch_their_limits(case: tuple[Simulator, SimulatorState]) -> None:
    """On the way from rest to full power, each tangent crosses zero where its limit does.

    The bisection leaves 2^-12 of the way, along which no limit changes by more than tens of units:
    0.01. On either side the tangent follows the limit for a thousandth of the way.
    """
    simulator, state = case
    network = FleetNetwork(simulator, state)
    full = np.zeros((48, 12))
    full[:, :4] = simulator.fleet.group("battery").parameters.maximum_power.numpy()
    rest, busy = (network.operate(output @ network.connection) for output in (0.0 * full, full))
    assert busy.solution.converged.all()
    place = busy.worst(0.0)
    place = place[rest.excess[place[:, 0], place[:, 1]] < 0.0]
    place = place[np.unique(place[:, 0], return_index=True)[1]]
    assert len(place) > 10
    tangents = network.tangents(rest, busy, place)
    step, limit = place.T
    way = busy.drawn[step] - rest.drawn[step]
    climb = (tangents.slope * way).sum(axis=1)
    share = (tangents.limit - (tangents.slope * rest.drawn[step]).sum(axis=1)) / climb
    for beyond in (-1e-3, 0.0, 1e-3):
        drawn = rest.drawn.copy()
        drawn[step] += (share + beyond)[:, None] * way
        excess = network.operate(drawn).excess[step, limit]
        np.testing.assert_allclose(excess, beyond * climb, rtol=0.0, atol=1e-4)


def test_days_are_bounded_apart(case: tuple[Simulator, SimulatorState]) -> None:
    simulator = make_simulator(num_agents=3)
    state = simulator.reset(batch_size=2, seed=0)
    idle = torch.stack([action for _, action, _ in play(simulator, Idle(simulator), state)])
    done: list[int] = []
    bound = lower_bound(simulator, state, idle, progress=done.append)
    assert done == [1, 2]
    assert bound.cost.shape == bound.cost_without_network.shape == bound.curvature.shape == (2,)
    assert bound.actions.shape == (48, 2, 3, 1)
    cost = simulator.simulate(state, bound.actions).cost.sum(dim=(0, 2))
    np.testing.assert_allclose(cost, bound.cost, rtol=1e-3)


def test_what_is_not_convex_is_refused(
    case: tuple[Simulator, SimulatorState], plan: Tensor
) -> None:
    simulator, state = case
    with pytest.raises(ValueError, match="rounds: got 0, expected at least 1"):
        lower_bound(simulator, state, plan, rounds=0)
    for name in ("reactive_power", "regulator_control"):
        other = make_simulator(num_agents=3, **{name: True})
        with pytest.raises(ValueError, match=f"{name}: got True, expected False"):
            lower_bound(other, other.reset(), torch.zeros(48, 1, 3, other.action_size))
    dear = replace(state, day=replace(state.day, export_price=state.day.import_price + 0.01))
    with pytest.raises(ValueError, match=r"tariff: got .* for exports .* in step 0, expected no"):
        lower_bound(simulator, dear, plan)
    sunny = replace(
        state,
        day=replace(
            state.day, export_price=state.day.import_price - 0.01, demand=state.day.demand - 1e3
        ),
    )
    with pytest.raises(ValueError, match="demand: got -.* kW, expected at least 0"):
        fleet_programs(simulator, sunny)


def test_a_plan_without_a_power_flow_is_refused() -> None:
    simulator = make_simulator(num_agents=3, home_scale=3000.0)
    with pytest.raises(ValueError, match="plan: got 48 steps without a power flow, expected none"):
        lower_bound(simulator, simulator.reset(), torch.ones(48, 1, 3, 1))


def test_a_day_without_a_plan_within_the_limits_is_refused() -> None:
    simulator = make_simulator(num_agents=3, limits=Limits(0.999, 1.0, 1.0, 0.02))
    with pytest.raises(ValueError, match="state: got day .* within its limits, expected one"):
        lower_bound(simulator, simulator.reset(), torch.zeros(48, 1, 3, 1))

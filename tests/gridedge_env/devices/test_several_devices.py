"""Homes with several devices behind one meter, against homes that have one of them each.

The farm has two batteries, a heat pump and a generator, the house a battery and a heat pump, the
flat a battery. In the village every device lives in a home of its own at the same place, and the
first one's has the demand. The network must not see which of the two it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env import Case, Simulator, default_case, make_simulator
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_env.devices.battery import BatteryState
from gridedge_env.devices.fleet import Fleet
from gridedge_env.observation import own_state_names
from gridedge_env.reference import (
    Idle,
    Policy,
    PriceFollowing,
    Thermostat,
    VoltVar,
    VoltWatt,
    perfect_foresight,
    play,
)
from gridedge_env.reference.fleet_program import fleet_programs
from gridedge_env.scenarios import DayAheadFeedIn, Fixed, Flat, Tariff
from gridedge_env.state import SimulatorState
from tests.gridedge_env.device_states import state_of

PLACES = {"farm": "634.3", "flat": "671.1", "house": "675.2"}
OWNERS = {
    "battery": ["farm", "flat", "house", "farm"],
    "heat_pump": ["house", "farm"],
    "generator": ["farm"],
}
# Home and slot of each device: devices of a home count through the kinds, those of a kind in order.
DEVICES = [
    *(("farm", 0), ("flat", 0), ("house", 0), ("farm", 1)),
    *(("house", 1), ("farm", 2)),
    ("farm", 3),
]
INVERTERS = [("farm", 0), ("farm", 1), ("farm", 3), ("flat", 0), ("house", 0)]
SLOTS, HOURS, STEPS, DAYS = 4, 0.5, 48, [15, 190]
# Of sums of up to five numbers around 100 kW, in double precision.
ROUNDING = 1e-12
# Voltages of power flows that were solved to 1e-8 pu with the same power drawn, summed otherwise.
SAME_VOLTAGE = 1e-12
HOME = list(PLACES)


def fleet_of(places: dict[str, str], owners: dict[str, list[str]]) -> Fleet:
    """Twenty times ordinary sizes, so that the feeder feels them."""
    tables = {
        kind: Devices(agents, KINDS[kind].sample(len(agents), 20.0, np.random.default_rng(1)))
        for kind, agents in owners.items()
    }
    return make_fleet(places, tables, list(PLACES.values()))


@dataclass
class Two:
    """The homes and the village: the same devices, the same days."""

    reactive_power: bool
    net_metering: bool

    def case(self, fleet: Fleet) -> Case:
        """The default case on a small feeder, but for its fleet."""
        case = default_case(
            "ieee13",
            reactive_power=self.reactive_power,
            tariff=Tariff() if self.net_metering else Tariff(exports=DayAheadFeedIn()),
        )
        return replace(case, fleet=fleet)

    @cached_property
    def homes(self) -> Simulator:
        return make_simulator(case=self.case(fleet_of(PLACES, OWNERS)), dtype=torch.float64)

    @cached_property
    def village(self) -> Simulator:
        places, owners = {}, {}
        for kind, agents in OWNERS.items():
            owners[kind] = [f"{kind}_{k}" for k in range(len(agents))]
            places |= dict(zip(owners[kind], (PLACES[agent] for agent in agents), strict=True))
        return make_simulator(case=self.case(fleet_of(places, owners)), dtype=torch.float64)

    @cached_property
    def states(self) -> tuple[SimulatorState, SimulatorState]:
        """Midnight in the homes and in the village: the first device of a home has its demand."""
        state, other = (simulator.reset(days=DAYS) for simulator in (self.homes, self.village))
        demand, mean = torch.zeros_like(other.day.demand), torch.ones_like(other.day.mean_demand)
        for k, (home, slot) in enumerate(DEVICES):
            mean[k] = state.day.mean_demand[HOME.index(home)]
            if slot == 0:
                demand[..., k] = state.day.demand[..., HOME.index(home)]
        day = replace(other.day, demand=demand, mean_demand=mean)
        return state, replace(other, day=day, devices=state.devices)

    def apart(self, actions: Tensor) -> Tensor:
        """Actions of the homes, (..., homes, 4 or 8), as those of the village: (..., 7, 1 or 2)."""
        at = [(HOME.index(home), slot) for home, slot in DEVICES]
        active = torch.stack([actions[..., home, slot] for home, slot in at], dim=-1)
        if not self.reactive_power:
            return active[..., None]
        reactive = torch.stack([actions[..., home, SLOTS + slot] for home, slot in at], dim=-1)
        return torch.stack((active, reactive), dim=-1)

    def together(self, values: Tensor) -> Tensor:
        """Of the village's agents, (..., 7), the sums of those that are one home: (..., homes)."""
        sums = torch.zeros(*values.shape[:-1], len(HOME), dtype=values.dtype)
        for k, (home, _) in enumerate(DEVICES):
            sums[..., HOME.index(home)] += values[..., k]
        return sums


@pytest.fixture(scope="module", params=[False, True], ids=["active", "reactive"])
def two(request: Any) -> Two:
    return Two(request.param, net_metering=False)


def actions_for(two: Two, *shape: int) -> Tensor:
    size = (*shape, len(HOME), two.homes.action_size)
    random = torch.Generator().manual_seed(2)
    return 2.2 * torch.rand(size, generator=random, dtype=torch.float64) - 1.1


# A home that pays and earns by hand ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("charging", "earned", "expected"),
    [(1.0, 0.05, 0.60), (0.0, 0.05, 0.125), (0.0, 0.40, -0.05), (0.0, 0.0, 0.15)],
)
def test_one_meter_by_hand(charging: float, earned: float, expected: float) -> None:
    """Demand of 2 kW, a generator at 3 kW and 0.10 €/kWh, a battery of 4 kW; 0.30 €/kWh to buy.

    Charging: 2 + 4 - 3 = 3 kW are bought, 0.45 € in half an hour, and fuel costs 0.15 €; apart, 6
    kW would be bought and 3 kW fed in. At rest 2 - 3 = -1 kW are fed in and earn half an hour's
    price: 0.15 - 0.025, and at prices above the retail one 0.15 - 0.20.
    """
    battery = {
        "capacity": [20.0],
        "maximum_power": [4.0],
        "charge_efficiency": [0.95],
        "discharge_efficiency": [0.95],
        "minimum_energy": [1.0],
        "wear_cost": [0.04],
    }
    generator = {"maximum_power": [3.0], "linear_cost": [0.1], "quadratic_cost": [1e-12]}
    tables = {"battery": Devices(["a"], battery), "generator": Devices(["a"], generator)}
    case = default_case("ieee13", tariff=Tariff(Flat(0.3), Fixed(earned)))
    case = replace(case, fleet=make_fleet({"a": "671.1"}, tables))
    simulator = make_simulator(case=case, dtype=torch.float64)
    state = simulator.reset(days=[10])
    state = replace(state, day=replace(state.day, demand=torch.full_like(state.day.demand, 2.0)))
    action = torch.tensor([[[charging, 1.0]]], dtype=torch.float64)
    _, result = simulator.step(state, action)
    assert result.power.item() == pytest.approx(4.0 * charging - 1.0)
    assert result.cost.item() == pytest.approx(expected)


# Physics and money --------------------------------------------------------------------------------


def test_an_action_has_a_number_for_each_device_and_as_many_for_reactive_power(two: Two) -> None:
    assert two.homes.fleet.slots == SLOTS
    assert two.homes.action_size == SLOTS * (2 if two.reactive_power else 1)
    assert two.homes.case.action_size == two.homes.action_size
    assert two.village.fleet.one_each


def test_the_meter_is_demand_and_all_devices(two: Two) -> None:
    (state, other), actions = two.states, actions_for(two, STEPS, len(DAYS))
    whole, apart = (
        two.homes.simulate(state, actions),
        two.village.simulate(other, two.apart(actions)),
    )
    torch.testing.assert_close(whole.power, two.together(apart.power), rtol=0.0, atol=ROUNDING)
    torch.testing.assert_close(whole.voltage, apart.voltage, rtol=0.0, atol=SAME_VOLTAGE)
    assert whole.converged.all()
    assert (whole.voltage_magnitude.amax(dim=(0, 1)) - 1.0).abs().max() > 0.01  # it is felt


def test_a_day_at_once_is_the_same_as_step_by_step(two: Two) -> None:
    state, actions = two.states[0], actions_for(two, STEPS, len(DAYS))
    whole = two.homes.simulate(state, actions)
    for k, action in enumerate(actions):
        state, result = two.homes.step(state, action)
        assert torch.equal(result.power, whole.power[k])
        torch.testing.assert_close(result.cost, whole.cost[k], rtol=0.0, atol=ROUNDING)
    half = 0.5 * two.homes.fleet.group("battery").parameters.capacity
    torch.testing.assert_close(state_of(state, BatteryState).energy, half.expand(len(DAYS), -1))


def test_the_bill_is_that_of_the_meter(two: Two) -> None:
    """What one device feeds in another may draw: neither is bought nor sold.

    Of the village's costs all but its own bills are wear, discomfort and fuel.
    """
    (state, other), actions = two.states, actions_for(two, STEPS, len(DAYS))
    whole, apart = (
        two.homes.simulate(state, actions),
        two.village.simulate(other, two.apart(actions)),
    )

    def bill(power: Tensor) -> Tensor:
        buys, sells = (
            price.T[..., None] for price in (state.day.import_price, state.day.export_price)
        )
        return HOURS * torch.where(power >= 0.0, buys, sells) * power

    own = two.together(apart.cost - bill(apart.power))
    torch.testing.assert_close(whole.cost, own + bill(whole.power), rtol=0.0, atol=ROUNDING)
    netted = two.together(bill(apart.power)) - bill(whole.power)
    assert (netted >= -ROUNDING).all()
    assert (netted.sum(dim=(0, 1)) > 1.0).tolist() == [True, False, True]  # €; a flat nets nothing


def test_what_an_agent_has_no_device_for_counts_for_nothing(two: Two) -> None:
    """To the bit; and no gradient tells of it."""
    state, actions = two.states[0], actions_for(two, 3, len(DAYS))
    unused = torch.ones(len(HOME), SLOTS, dtype=torch.bool)
    for home, slot in DEVICES:
        unused[HOME.index(home), slot] = False
    if two.reactive_power:
        unused = torch.cat((unused, unused), dim=-1)
    changed = actions.where(~unused, -actions)
    one, other = (two.homes.simulate(state, chosen) for chosen in (actions, changed))
    assert torch.equal(one.cost, other.cost)
    assert torch.equal(one.voltage, other.voltage)
    leaf = (0.5 * actions).requires_grad_()
    result = two.homes.simulate(state, leaf)
    (gradient,) = torch.autograd.grad(result.cost.sum() + result.voltage_magnitude.sum(), leaf)
    felt = gradient.abs().sum(dim=(0, 1))
    assert not felt[unused].any()
    assert felt[:, :SLOTS][~unused[:, :SLOTS]].all()


def test_which_entry_is_which_device(two: Two) -> None:
    """Each entry alone moves the power of its own device, or its reactive power and no kilowatt."""
    state = two.states[0]
    start = torch.zeros(len(DAYS), len(HOME), two.homes.action_size, dtype=torch.float64)
    start[..., :SLOTS] = -0.2

    def devices_and_meters(action: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        following, result = two.homes.step(state, action)
        states = [next(iter(vars(record).values())) for record in following.devices]
        return states, result.power, result.voltage

    before, metered, voltage = devices_and_meters(start)
    for k, (home, slot) in enumerate(DEVICES):
        action = start.clone()
        action[:, HOME.index(home), slot] = 0.4
        after, power, _ = devices_and_meters(action)
        moved = torch.cat([(a != b).any(dim=0) for a, b in zip(after, before, strict=True)])
        assert moved.tolist() == [j == k for j in range(len(DEVICES))]
        assert (power != metered).any(dim=0).tolist() == [name == home for name in HOME]
        if two.reactive_power:
            action = start.clone()
            action[:, HOME.index(home), SLOTS + slot] = 0.4
            after, power, felt = devices_and_meters(action)
            assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
            assert torch.equal(power, metered)
            assert bool((felt - voltage).abs().max() > 1e-6) == ((home, slot) in INVERTERS)


def test_the_order_of_agents_is_nothing_but_an_order(two: Two) -> None:
    order = [2, 0, 1]
    places = {HOME[k]: PLACES[HOME[k]] for k in order}
    simulator = make_simulator(case=two.case(fleet_of(places, OWNERS)), dtype=torch.float64)
    assert simulator.fleet.names == ("house", "farm", "flat")
    state, actions = two.states[0], actions_for(two, 5, len(DAYS))
    day = state.day
    turned = replace(day, demand=day.demand[..., order], mean_demand=day.mean_demand[order])
    begin = replace(simulator.reset(days=DAYS), day=turned, devices=state.devices)
    one, other = two.homes.simulate(state, actions), simulator.simulate(begin, actions[:, :, order])
    torch.testing.assert_close(other.power, one.power[..., order], rtol=0.0, atol=ROUNDING)
    torch.testing.assert_close(other.cost, one.cost[..., order], rtol=0.0, atol=ROUNDING)
    torch.testing.assert_close(other.voltage, one.voltage, rtol=0.0, atol=SAME_VOLTAGE)
    assert torch.equal(simulator.observe(begin), two.homes.observe(state)[:, order])


# Observations -------------------------------------------------------------------------------------


def test_every_device_is_observed_and_empty_slots_are_nothing(two: Two) -> None:
    """Each as in a home of its own; all else of a home is that of the home."""
    names = own_state_names(SLOTS)
    fields = two.homes.observation_fields
    assert names == ["own_state_1", "own_state_2", "own_state_3", "own_state_4"]
    assert [f.name for f in fields[:6]] == [*names, "own_load", "own_voltage"]
    assert two.homes.private_size == 6
    assert [f.name for f in fields[6:]] == [f.name for f in two.village.observation_fields[3:]]
    (state, other), actions = two.states, actions_for(two, 4, len(DAYS))
    for action in actions:
        state, _ = two.homes.step(state, action)
        other, _ = two.village.step(other, two.apart(action))
    (seen, shared), (apart, also) = two.homes.observe_parts(state), two.village.observe_parts(other)
    assert torch.equal(shared, also)
    own = torch.stack([f.offset + f.scale * seen[..., k] for k, f in enumerate(fields[:4])], dim=-1)
    expected = torch.zeros_like(own)
    for k, (home, slot) in enumerate(DEVICES):
        expected[:, HOME.index(home), slot] = 0.5 + 0.5 * apart[:, k, 0]
    torch.testing.assert_close(own, expected, rtol=0.0, atol=ROUNDING)
    first = [DEVICES.index((home, 0)) for home in HOME]
    torch.testing.assert_close(seen[..., 4:], apart[:, first, 1:], rtol=0.0, atol=1e-9)


# Those that need no learning ----------------------------------------------------------------------

RULES: dict[str, Callable[[Simulator], Policy]] = {
    "idle": Idle,
    "thermostat": Thermostat,
    "price": PriceFollowing,
    "volt-watt": lambda simulator: VoltWatt(simulator, PriceFollowing(simulator)),
    "volt-var": lambda simulator: VoltVar(simulator, PriceFollowing(simulator)),
}


@pytest.mark.parametrize("rule", RULES)
def test_rules_do_with_a_device_what_they_do_with_it_alone(two: Two, rule: str) -> None:
    """Over a whole day, on which rounding of voltages, 1e-13 pu, returns by the droop's slope.

    That is 25 per pu (volt-watt), of observations over 0.05 pu; slots without a device are at rest.
    """
    if rule == "volt-var" and not two.reactive_power:
        with pytest.raises(ValueError, match="reactive_power: got False, expected True"):
            RULES[rule](two.homes)
        return
    policies = [RULES[rule](simulator) for simulator in (two.homes, two.village)]
    days = [
        list(play(simulator, policy, state))
        for simulator, policy, state in zip(
            (two.homes, two.village), policies, two.states, strict=True
        )
    ]
    for (_, action, result), (_, apart, alone) in zip(*days, strict=True):
        torch.testing.assert_close(two.apart(action), apart, rtol=0.0, atol=1e-9)
        torch.testing.assert_close(result.voltage, alone.voltage, rtol=0.0, atol=1e-11)
        assert not action[:, HOME.index("flat"), 1:SLOTS].any()


@pytest.mark.parametrize("reactive_power", [False, True])
def test_perfect_foresight_plans_the_devices_of_a_home_as_if_apart(reactive_power: bool) -> None:
    """Under net metering bills add up, so that the plans are the same.

    Voltages differ by rounding, 1e-15 pu, gradients by that times multipliers of some 1,000 € over
    a scale of 0.05 pu; Adam divides by gradients around 1: 1e-10 after a few steps.
    """
    two = Two(reactive_power, net_metering=True)
    state, other = two.states
    plan, apart = perfect_foresight(two.homes, state, 5), perfect_foresight(two.village, other, 5)
    assert plan.shape == (STEPS, len(DAYS), len(HOME), two.homes.action_size)
    torch.testing.assert_close(two.apart(plan), apart, rtol=0.0, atol=1e-8)
    assert not plan[..., HOME.index("flat"), 1:SLOTS].any()
    assert plan[..., HOME.index("farm"), :SLOTS].abs().amax(dim=(0, 1)).min() > 0.1
    planned = two.homes.simulate(state, perfect_foresight(two.homes, state, 40)).cost.sum()
    idle = sum(result.cost.sum() for _, _, result in play(two.homes, Idle(two.homes), state))
    assert planned < 0.9 * idle


def test_a_lower_bound_is_refused_and_says_why(two: Two) -> None:
    with pytest.raises(ValueError, match="fleet: got agents with several devices, expected one"):
        fleet_programs(two.homes, two.states[0].take([0]))

"""EV chargers: energy by hand, and that every car gets where it must, whatever the actions."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.day import Window
from gridedge_env.devices.charging import Ahead, EvChargers, EvChargerState, run_chargers
from gridedge_env.devices.ev_charger import EV_CHARGER, SHORTEST_ABSENCE
from gridedge_env.devices.kind import INVERTER_OVERSIZE, Seen
from gridedge_env.devices.storage import RETURN_POWER_SHARE
from tests.gridedge_env.devices.forty_cars import (
    BATCH,
    a_day,
    actions_of,
    forty_cars,
    midnight,
    tensor,
)

# Sums of 96 steps of numbers around 50 kWh: 96 · 50 · 1e-16; over a step's quarter of an hour.
ROUNDING = 1e-11
# A room of a millionth of a battery of 80 kWh is none: in half an hour, at an efficiency of 0.9.
NO_ROOM = 1e-6 * 80.0 / 0.5 / 0.88


def charger(discharge: float = 0.0, power: float = 10.0) -> EvChargers:
    """40 kWh, 0.9 in, 0.8 out, at least 12 kWh, 0.05 €/kWh, away from 8 to 18 h on 9 kWh."""
    values = (power, discharge, 40.0, 0.9, 0.8, 12.0, 0.05, 8.0, 18.0, 9.0, 0.0, 0.0)
    return EvChargers(*(tensor(value) for value in values))


def values_of(cars: EvChargers) -> list[Tensor]:
    return [getattr(cars, entry.name) for entry in fields(EvChargers)]


def standing(energy: float = 20.0, departure: float = 8.0) -> EvChargerState:
    days = (tensor(x)[None, None] for x in (departure, 18.0, 9.0))
    return EvChargerState(tensor(energy)[None], *days)


def step(
    chargers: EvChargers, state: EvChargerState, action: float, time: float, minutes: int = 30
) -> list[float]:
    """Energy, power and wear of one step that begins at an hour."""
    window = Window(a_day(minutes), round(60 * time / minutes), 1)
    after, power, wear = run_chargers(chargers, state, tensor(action)[None, None], window)
    return [after.energy.item(), power.item(), wear.item()]


@pytest.fixture(scope="module")
def cars() -> EvChargers:
    return forty_cars()


# By hand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "energy", "power"),
    # 10 kW for half an hour store 4.5 kWh; a one-way charger charges (1 + action) / 2 of that.
    [(1.0, 24.5, 10.0), (0.0, 22.25, 5.0), (-1.0, 20.0, 0.0)],
)
def test_a_step_by_hand(action: float, energy: float, power: float) -> None:
    """At midnight, when nothing presses: 21 kWh must be there at 8."""
    found = step(charger(), standing(), action, 0.0)
    assert found == pytest.approx([energy, power, 0.0], abs=ROUNDING)


@pytest.mark.parametrize(
    ("action", "energy", "power", "wear"),
    [
        (1.0, 24.5, 10.0, 0.0),
        (0.5, 22.25, 5.0, 0.0),
        (0.0, 20.0, 0.0, 0.0),
        # 5 kWh delivered take 5 / 0.8 = 6.25 from the store and wear it by 5 · 0.05 €.
        (-1.0, 13.75, -10.0, 0.25),
        (-0.4, 17.5, -4.0, 0.10),
    ],
)
def test_a_two_way_step_by_hand(action: float, energy: float, power: float, wear: float) -> None:
    found = step(charger(10.0), standing(), action, 0.0)
    assert found == pytest.approx([energy, power, wear], abs=ROUNDING)


def test_it_must_charge_before_it_leaves() -> None:
    """At 7:30 with 20 kWh, a kWh is missing: 1 / 0.9 kWh at the meter, 2.22 kW. At 7 none must.

    By 7:30 another half hour at 0.6 · 10 kW would store 2.7.
    """
    found = step(charger(), standing(), -1.0, 7.5)
    assert found == pytest.approx([21.0 - 0.0, 2.0 / 0.9, 0.0], abs=ROUNDING)
    assert step(charger(), standing(), -1.0, 7.0) == pytest.approx([20.0, 0.0, 0.0], abs=ROUNDING)


def test_no_more_than_midnight_needs() -> None:
    """A one-way charger cannot give back: 20 kWh at midnight and 9 on the way are 29 at most."""
    found = step(charger(), standing(28.0), 1.0, 3.0)
    assert found == pytest.approx([29.0, 2.0 / 0.9, 0.0], abs=ROUNDING)


def test_leaving_in_the_middle_of_a_step() -> None:
    """At 7:45 after a quarter of an hour of 10 kW: 2.25 kWh stored, 5 kW on average.

    The rest of the step uses 9 kWh · 0.25 / 10.25 of the way.
    """
    found = step(charger(), standing(20.0, departure=7.75), 1.0, 7.5)
    assert found == pytest.approx([22.25 - 9.0 * 0.25 / 10.25, 5.0, 0.0], abs=ROUNDING)


def test_away_it_does_nothing_but_drive() -> None:
    """0.9 kWh an hour."""
    for action in (-1.0, 0.3, 1.0):
        found = step(charger(10.0), standing(24.0), action, 12.0)
        assert found == pytest.approx([24.0 - 0.45, 0.0, 0.0], abs=ROUNDING)


def test_towards_midnight_by_hand() -> None:
    """At 23:00 with 15 kWh: 2.7 can be left to the last half hour, 2.3 must be charged now."""
    assert step(charger(), standing(15.0), -1.0, 23.0)[:2] == pytest.approx([17.3, 4.6 / 0.9])
    # And from above: 0.6 · 10 kW, half an hour, out of the store at 0.8: 3.75.
    assert step(charger(10.0), standing(25.0), 0.0, 23.0)[:2] == pytest.approx(
        [23.75, -2.0 * 1.25 * 0.8]
    )


@pytest.mark.parametrize(
    ("power", "trip"),
    # 40 - 12; or, at 0.6 · 0.9 = 0.54 kWh an hour, 14 hours of it; a car that is never charged.
    [(10.0, 28.0), (1.0, 7.56), (1e-9, 7.56e-9)],
)
def test_a_trip_too_long_is_shortened(power: float, trip: float) -> None:
    cars = replace(charger(power=power), trip_energy=tensor(100.0))
    state = EV_CHARGER.begin(cars, 1, torch.Generator(), Clock())
    assert state.trip_energy.item() == pytest.approx(trip)
    assert state.energy.item() == 20.0


def test_what_it_observes_by_hand() -> None:
    """At midnight 9 kWh in 14 hours at 5.4 press more than the 1 kWh that must be there in 8.

    At 7:30 that is 1 kWh in half an hour, 1 / 2.7. Away with 9 · 0.6 kWh of the trip to go and
    17 stored, it will come back with 11.6 and have 8.4 to charge in 6 hours.
    """

    def seen(cars: EvChargers, energy: float, time: float) -> float:
        window = Window(a_day(), round(2 * time), 1)
        return EV_CHARGER.observed_state(cars, standing(energy), window).item()

    assert seen(charger(), 20.0, 0.0) == pytest.approx(9.0 / (5.4 * 14.0))
    assert seen(charger(), 20.0, 7.5) == pytest.approx(1.0 / 2.7)
    assert seen(charger(), 17.0, 12.0) == pytest.approx(8.4 / (5.4 * 6.0))
    assert seen(charger(), 20.0 - 2.7, 23.5) == pytest.approx(1.0)
    assert seen(charger(10.0), 25.0, 23.5) == -1.0
    assert EV_CHARGER.stored(charger(), standing(30.0)).item() == 0.75


def test_rules_by_hand() -> None:
    """A one-way charger and a two-way one, in the day's cheapest and dearest hours and between.

    A kWh fed back costs 0.1 / (0.9 · 0.8) + 0.05 = 0.19 €: it is worth 0.2 and not 0.18.
    """
    one, two = charger(), charger(10.0)
    both = EvChargers(*(torch.cat(pair) for pair in zip(*map(values_of, (one, two)), strict=True)))

    def seen(rank: float, price: float, dearest: float, pressing: float = 0.4) -> Seen:
        told = {
            "price_rank": rank,
            "price": price,
            "price_minimum": 0.1,
            "price_maximum": dearest,
        }
        return Seen(
            Clock(), tensor(pressing, pressing)[None], lambda name: tensor(told[name])[None]
        )

    for rank, price, dearest, pressing, actions in (
        (0.2, 0.15, 0.2, 0.4, [1.0, 1.0]),
        (0.2, 0.15, 0.2, 0.0, [-1.0, 0.0]),
        (0.05, 0.15, 0.2, 0.0, [-1.0, 1.0]),
        (0.05, 0.15, 0.18, 0.0, [-1.0, 0.0]),
        (0.5, 0.16, 0.2, 0.4, [-1.0, 0.0]),
        (0.95, 0.2, 0.2, 0.4, [-1.0, -1.0]),
        (0.95, 0.18, 0.18, 0.4, [-1.0, 0.0]),
    ):
        found = EV_CHARGER.follow_price(both, seen(rank, price, dearest, pressing))
        assert found[0].tolist() == actions
    assert EV_CHARGER.idle(both, seen(0.5, 0.2, 0.2))[0].tolist() == [-1.0, 0.0]
    assert EV_CHARGER.thermostat(both, seen(0.5, 0.2, 0.2, 0.1))[0].tolist() == [1.0, 1.0]
    assert EV_CHARGER.thermostat(both, seen(0.5, 0.2, 0.2, 0.0))[0].tolist() == [-1.0, 0.0]
    least, most = EV_CHARGER.droop_range(both, tensor(0.5, 0.5)[None], tensor(0.2, 0.2)[None])
    assert least[0].tolist() == pytest.approx([-2.0, -0.5])
    assert most[0].tolist() == pytest.approx([-0.6, 0.2])
    rating = EV_CHARGER.inverter_rating(both).tolist()
    assert rating == pytest.approx([0.0, 10.0 * INVERTER_OVERSIZE])


# Whatever the actions -----------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [15, 30, 60])
@pytest.mark.parametrize("kind", ["-1", "0", "1", "random"])
def test_every_car_gets_where_it_must(cars: EvChargers, minutes: int, kind: str) -> None:
    """Half full at midnight; never below the driver's minimum, nor beyond battery or full power.

    What was stored less what was taken out is what the trip used.
    """
    day, begin = a_day(minutes, BATCH), midnight(cars)
    actions = actions_of(kind, day.clock.steps)
    state, energies, powers = begin, [], []
    for t, action in enumerate(actions):
        state, power, _ = run_chargers(cars, state, action[None], Window(day, t, 1))
        energies.append(state.energy)
        powers.append(power[0])
    energy, power = torch.stack(energies), torch.stack(powers)
    middle = 0.5 * cars.capacity.expand(BATCH, -1)
    torch.testing.assert_close(state.energy, middle, rtol=0.0, atol=ROUNDING)
    assert (energy >= cars.minimum_energy - ROUNDING).all()
    assert (energy <= cars.capacity + ROUNDING).all()
    hours = day.clock.hours
    plugged = -Ahead.of_steps(begin, Window(day, 0, day.clock.steps)).plugged.diff(dim=0) / hours
    assert (power <= plugged * cars.maximum_power + ROUNDING).all()
    assert (power >= -plugged * cars.maximum_discharge_power - ROUNDING).all()
    stored = torch.where(
        power > 0.0, power * cars.charge_efficiency, power / cars.discharge_efficiency
    )
    used = (hours * stored).sum(dim=0)
    torch.testing.assert_close(used, begin.trip_energy[0], rtol=0.0, atol=ROUNDING)
    # Nobody leaves without: what is in the store when the trip begins is the trip and the minimum.
    ends = hours * torch.arange(1, day.clock.steps + 1, dtype=torch.float64)[:, None, None]
    on_the_way = (ends >= begin.departure) & (ends <= begin.arrival)
    rest = Ahead.of(begin, ends[..., None]).trip
    enough = energy - rest >= cars.minimum_energy - ROUNDING
    assert enough[on_the_way].all()
    together, several, _ = run_chargers(cars, begin, actions, Window(day, 0, day.clock.steps))
    torch.testing.assert_close(several, power, rtol=0.0, atol=ROUNDING / hours)
    torch.testing.assert_close(together.energy, state.energy, rtol=0.0, atol=ROUNDING)


def test_both_ends_of_the_action_are_what_is_feasible(cars: EvChargers) -> None:
    """Between them power only rises, and a pressing of 1 leaves at least 0.6 of full power."""
    day = a_day(30, BATCH)
    state, _, _ = run_chargers(cars, midnight(cars), actions_of("random", 40), Window(day, 0, 40))
    window = Window(day, 40, 1)
    powers = torch.stack(
        [
            run_chargers(cars, state, torch.full_like(state.energy, a)[None], window)[1][0]
            for a in (-1.0, -0.5, 0.0, 0.5, 1.0)
        ]
    )
    assert (powers.diff(dim=0) >= -ROUNDING).all()
    pressed = EV_CHARGER.observed_state(cars, state, window) > 1.0 - 1e-12
    least = RETURN_POWER_SHARE * cars.maximum_power.expand(BATCH, -1)
    assert (powers[0] >= least - ROUNDING)[pressed].all()


def test_gradients(cars: EvChargers) -> None:
    """Of power and wear in actions, and of the last energy in the first, over a leaving."""
    few = EvChargers(*(values[:8] for values in values_of(cars)))
    day, begin = a_day(60, 1), EV_CHARGER.begin(few, 1, torch.Generator().manual_seed(4), Clock())
    actions = (0.9 * actions_of("random", 12)[:, :1, :8]).requires_grad_()
    energy = (begin.energy + 0.3).requires_grad_()

    def outcome(actions: Tensor, energy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        state = replace(begin, energy=energy)
        after, power, wear = run_chargers(few, state, actions, Window(day, 0, 12))
        return after.energy, power, wear

    assert torch.autograd.gradcheck(outcome, (actions, energy), eps=1e-6, atol=1e-6)


def test_actions_draw_what_is_asked(cars: EvChargers) -> None:
    day, state = a_day(30, BATCH), midnight(cars)
    for t, action in enumerate(actions_of("random", 48)):
        window = Window(day, t, 1)
        after, power, _ = run_chargers(cars, state, action[None], window)
        found = EV_CHARGER.action_for_power(cars, state, power[0], window)
        again = run_chargers(cars, state, found[None], window)[1]
        torch.testing.assert_close(again, power, rtol=0.0, atol=NO_ROOM)
        state = after


# What is drawn ------------------------------------------------------------------------------------


def test_samples_are_within_their_ranges() -> None:
    """The mean distance, at 0.18 kWh/km, is that of German cars: 13,602 km a year, 37.3 a day."""
    count = 4000
    values = EV_CHARGER.sample(count, 0.5, np.random.default_rng(3))
    ranges = {
        "capacity": (20.0, 40.0),
        "maximum_power": (3.7, 5.5),
        "charge_efficiency": (0.88, 0.94),
        "wear_cost": (0.02, 0.06),
        "departure": (6.0, 10.0),
        "arrival": (14.5, 20.5),
    }
    for name, (low, high) in ranges.items():
        assert low <= values[name].min() < values[name].max() <= high
    # Standard errors: 22 km / √4000 = 0.35 km; √(0.2 · 0.8 / 4000) = 0.6 %.
    assert 2.0 * values["trip_energy"].mean() / 0.18 == pytest.approx(37.3, abs=2.0)
    two_way = values["maximum_discharge_power"] > 0.0
    assert two_way.mean() == pytest.approx(0.2, abs=0.02)
    assert (values["maximum_discharge_power"][two_way] == values["maximum_power"][two_way]).all()
    assert set(values) == set(EvChargers.__dataclass_fields__)


def test_days_differ_around_the_cars_own(cars: EvChargers) -> None:
    """Half an hour and 30 % (less: draws end at 2); the same days in both precisions."""
    state = EV_CHARGER.begin(cars, 400, torch.Generator().manual_seed(1), Clock())
    assert (state.arrival - state.departure >= SHORTEST_ABSENCE - ROUNDING).all()
    apart = state.departure[0] - cars.departure
    assert apart.std().item() == pytest.approx(0.5, abs=0.05)
    assert apart.mean().item() == pytest.approx(0.0, abs=0.02)
    spread = (state.trip_energy[0] / cars.trip_energy).log().std(dim=0)
    assert 0.2 < spread.median() < 0.32
    single = EV_CHARGER.begin(
        cars.to(dtype=torch.float32), 400, torch.Generator().manual_seed(1), Clock()
    )
    torch.testing.assert_close(single.departure.double(), state.departure, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(single.trip_energy.double(), state.trip_energy, rtol=1e-5, atol=0.0)

"""Where devices stand by what is read of them: by hand, and as the simulator has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.day import Day, Window
from gridedge_env.devices.battery import BATTERY, BatteryState
from gridedge_env.devices.charging import EvChargers, EvChargerState
from gridedge_env.devices.ev_charger import EV_CHARGER
from gridedge_env.devices.heat_pump import HEAT_PUMP, HeatPumpState
from gridedge_env.devices.kinds import KINDS
from gridedge_env.devices.pv_inverter import PV_INVERTER, PvInverters, PvInverterState
from gridedge_env.devices.storage import Batteries
from tests.gridedge_env.devices.forty_cars import a_day, tensor
from tests.gridedge_env.devices.sensors import nothing_read, same_to_rounding, sensors_of

GOES_ON, BEGINS = torch.tensor(False), torch.tensor(True)
NAN = float("nan")
DEVICES = 100


def sunny_day(days: int = 1, minutes: int = 30) -> Day:
    """In steps of half an hour, everywhere the same."""
    day = a_day(minutes)
    clock = Clock.of_minutes(minutes, days)
    series = torch.full((1, clock.steps), 500.0, dtype=torch.float64)
    return replace(
        day,
        clock=clock,
        outdoor_temperature=0.01 * series,
        irradiance=series,
        direct_irradiance=0.4 * series[..., None] * tensor(0.0, -0.6, 0.8),
        import_price=0.001 * series,
        export_price=0.001 * series,
    )


def at(hour: float, days: int = 1) -> Window:
    return Window(sunny_day(days), round(2.0 * hour), 1)


def battery() -> Batteries:
    """10 kWh, of which 1 must stay, and 5 kW without losses: 0.6 of that are 3 kWh an hour."""
    return Batteries(*map(tensor, (10.0, 5.0, 1.0, 1.0, 1.0, 0.05)))


@pytest.mark.parametrize(
    ("hour", "read", "energy"),
    [
        (12.0, 52.0, 5.2),
        (12.0, NAN, 4.0),
        (12.0, 5.0, 1.0),  # below what must stay: it counts as that
        (12.0, 100.0, 10.0),
        # An hour before midnight 3 kWh can still be brought back to 5, no more.
        (23.0, 100.0, 8.0),
        (23.0, 0.0, 2.0),
    ],
)
def test_a_battery_by_its_state_of_charge(hour: float, read: float, energy: float) -> None:
    own = BatteryState(tensor(4.0)[None])
    readings = {"state_of_charge": tensor(read)[None]}
    found = BATTERY.sense(battery(), own, readings, GOES_ON, at(hour))
    assert found.energy.item() == pytest.approx(energy, abs=1e-12)


def test_a_heat_pump_by_a_thermometer() -> None:
    parameters: Any = None  # nothing of them matters
    own = HeatPumpState(tensor(20.0, 20.0)[None])
    readings = {"room_temperature": tensor(21.5, NAN)[None]}
    found = HEAT_PUMP.sense(parameters, own, readings, GOES_ON, at(3.0))
    assert found.temperature.tolist() == [[21.5, 20.0]]


@pytest.mark.parametrize(
    ("read", "available", "output"),
    [
        # Of 4 kW, 3 were thought to be there and half of full power was asked for.
        (2.0, 0.75, 0.5),
        (NAN, 0.75, 0.5),
        (1.0, 0.25, 0.25),  # less than was asked for: there was no more
        (3.4, 0.85, 0.85),  # more: at least that was there
        (-0.01, 0.0, 0.0),
    ],
)
def test_a_roof_by_what_it_fed_in(read: float, available: float, output: float) -> None:
    roof = PvInverters(*map(tensor, (4.0, 5.0, 30.0, 180.0, 0.8)))
    own = PvInverterState(tensor(0.75)[None], tensor(0.5)[None])
    found = PV_INVERTER.sense(roof, own, {"power": tensor(read)[None]}, GOES_ON, at(12.0))
    assert found.available.item() == pytest.approx(available, abs=1e-12)
    assert found.output.item() == pytest.approx(output, abs=1e-12)


def car() -> EvChargers:
    """60 kWh of which 20 stay; away from 8:00 to 17:30 for 10 kWh, the same every day."""
    values = (11.0, 0.0, 60.0, 1.0, 1.0, 20.0, 0.0, 8.0, 17.5, 10.0, 0.0, 0.0)
    return EvChargers(*map(tensor, values))


def of_days(*values: float) -> Tensor:
    return tensor(*values)[:, None, None]


def known(departure: float = 8.0, arrival: float = 17.5, trip: float = 10.0) -> EvChargerState:
    hours = (of_days(value) for value in (departure, arrival, trip))
    return EvChargerState(tensor(30.0)[None], *hours)


def read_of_car(**read: float) -> dict[str, Tensor]:
    names = [reading.name for reading in EV_CHARGER.readings]
    return {name: tensor(read.get(name, NAN))[None] for name in names}


@pytest.mark.parametrize(
    ("hour", "before", "read", "departure", "arrival"),
    [
        (5.0, {}, {"plugged": 1.0}, 8.0, 17.5),
        (12.0, {}, {"plugged": 0.0}, 8.0, 17.5),
        (19.0, {}, {"plugged": 1.0}, 8.0, 17.5),
        (17.5, {}, {}, 8.0, 17.5),
        (5.0, {}, {"departure": 9.25, "arrival": 16.75}, 9.25, 16.75),
        # It left early.
        (7.0, {}, {"plugged": 0.0}, 7.0, 17.5),
        # It has not left yet: not in this step, nor in the next one, whatever its driver said.
        (8.0, {}, {"plugged": 1.0}, 8.5, 17.5),
        (8.5, {"departure": 8.5}, {"plugged": 1.0}, 9.0, 17.5),
        (8.5, {"departure": 8.5}, {"plugged": 1.0, "departure": 8.0}, 9.0, 17.5),
        # Nor all day: just before it should be back the trip is as short as can be.
        (17.0, {"departure": 17.0}, {"plugged": 1.0}, 17.4995, 17.5),
        # It is back early.
        (12.0, {}, {"plugged": 1.0}, 8.0, 12.0),
        # It was out at night: the day's trip is still to come.
        (5.0, {"departure": 0.0}, {"plugged": 1.0}, 8.0, 17.5),
        # It is late, also on the last step of the day.
        (17.5, {}, {"plugged": 0.0}, 8.0, 18.0),
        (23.5, {"arrival": 23.5}, {"plugged": 0.0}, 8.0, 24.0),
        # Hours that cannot be: away for a moment.
        (5.0, {}, {"departure": 9.0, "arrival": 7.0}, 9.0, 9.0005),
    ],
)
def test_a_car_by_being_there_or_not(
    hour: float,
    before: dict[str, float],
    read: dict[str, float],
    departure: float,
    arrival: float,
) -> None:
    found = EV_CHARGER.sense(car(), known(**before), read_of_car(**read), GOES_ON, at(hour))
    assert found.departure.item() == pytest.approx(departure, abs=1e-12)
    assert found.arrival.item() == pytest.approx(arrival, abs=1e-12)
    assert (found.energy.item(), found.trip_energy.item()) == (30.0, 10.0)


@pytest.mark.parametrize(("target", "trip"), [(60.0, 16.0), (20.0, 0.0), (NAN, 10.0)])
def test_a_cars_energy_and_target(target: float, trip: float) -> None:
    """60 % of 60 kWh less the 20 that stay."""
    readings = read_of_car(state_of_charge=45.0, target=target)
    found = EV_CHARGER.sense(car(), known(), readings, GOES_ON, at(5.0))
    assert found.energy.item() == pytest.approx(27.0, abs=1e-12)
    assert found.trip_energy.item() == pytest.approx(trip, abs=1e-12)


def test_cars_begin_with_their_usual_day() -> None:
    """And with the energy that they have; what is read of the day comes on top."""
    own = known(departure=7.0, arrival=12.0, trip=3.0)
    found = EV_CHARGER.sense(car(), own, read_of_car(arrival=16.0), BEGINS, at(0.0))
    values = (found.energy, found.departure, found.arrival, found.trip_energy)
    assert [value.item() for value in values] == [30.0, 8.0, 16.0, 10.0]


def test_what_is_read_is_of_the_present_day() -> None:
    """The second of two: the car leaves at 7:00, at the 31st hour."""
    days = (of_days(value, value) for value in (8.0, 17.5, 10.0))
    own, read = EvChargerState(tensor(30.0)[None], *days), read_of_car(plugged=0.0, target=60.0)
    found = EV_CHARGER.sense(car(), own, read, GOES_ON, at(31.0, 2))
    assert found.departure.flatten().tolist() == [8.0, 7.0]
    assert found.arrival.flatten().tolist() == [17.5, 17.5]
    assert found.trip_energy.flatten().tolist() == [10.0, 16.0]


def sampled(name: str) -> Any:
    kind = KINDS[name]
    values = kind.sample(DEVICES, 1.0, np.random.default_rng(0))
    return kind.parameters(**{key: torch.from_numpy(value) for key, value in values.items()})


@pytest.mark.parametrize("days", [1, 2])
@pytest.mark.parametrize("name", list(KINDS))
def test_sensors_that_say_what_a_state_says_give_it_back(name: str, days: int) -> None:
    """Before every step of an episode of random actions; so does silence."""
    kind, parameters, day = KINDS[name], sampled(name), sunny_day(days, 60)
    random = torch.Generator().manual_seed(0)
    state = kind.begin(parameters, 1, random, day.clock)
    for step in range(day.clock.steps):
        window = Window(day, step, 1)
        readings = sensors_of(name, parameters, state, window)
        assert list(readings) == [reading.name for reading in kind.readings]
        for heard in (readings, nothing_read(readings)):
            found = kind.sense(parameters, state, heard, GOES_ON, window)
            assert same_to_rounding(found, state)
        action = 2.0 * torch.rand(1, 1, DEVICES, generator=random, dtype=torch.float64) - 1.0
        state, _, _ = kind.run(parameters, state, action, window)


@pytest.mark.parametrize("name", list(KINDS))
def test_whatever_is_plausible_devices_stay_within_full_power(name: str) -> None:
    """Sensors that jump anywhere, in every step, and each end of the action in the next."""
    kind, parameters, day = KINDS[name], sampled(name), sunny_day()
    full = kind.full_power(parameters)
    random = torch.Generator().manual_seed(0)
    state = kind.begin(parameters, 1, random, day.clock)
    for step in range(day.clock.steps):
        readings = {}
        for reading in kind.readings:
            share = torch.rand(1, DEVICES, generator=random, dtype=torch.float64)
            read = torch.lerp(tensor(reading.lowest), tensor(reading.highest), share)
            read = read * full if reading.unit == "kW" else read
            silent = torch.rand(1, DEVICES, generator=random) < 0.2
            readings[reading.name] = read.masked_fill(silent, torch.nan)
        window = Window(day, step, 1)
        state = kind.sense(parameters, state, readings, torch.tensor(step == 0), window)
        for action in (-1.0, 0.0, 1.0):
            asked = torch.full((1, 1, DEVICES), action, dtype=torch.float64)
            _, power, _ = kind.run(parameters, state, asked, window)
            assert (power.abs() <= full * (1.0 + 1e-12)).all()  # NaN is not
        state, _, _ = kind.run(parameters, state, asked, window)

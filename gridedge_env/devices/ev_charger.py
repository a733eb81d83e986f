"""Charger of an electric car: it leaves with what it needs, and ends where it began."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from gridedge_env.clock import HOURS_PER_DAY, Clock
from gridedge_env.day import Day, Window
from gridedge_env.devices.charging import (
    Ahead,
    EvChargers,
    EvChargerState,
    Room,
    hour_of_days,
    run_chargers,
    seen_at_plug,
)
from gridedge_env.devices.charging_schedule import charging_schedule
from gridedge_env.devices.flexibility import Earnings, Outlook, by_class
from gridedge_env.devices.kind import (
    INVERTER_OVERSIZE,
    DeviceKind,
    Reading,
    Seen,
    StoreAxis,
    as_read,
)
from gridedge_env.devices.linear_program import LinearProgram, Meters, store_program
from gridedge_env.devices.storage import RETURN_POWER_SHARE, WEAR_COST
from gridedge_gateway.program import Flexibility

# No car leaves before the first or comes back after the last of these hours, nor within an hour.
FIRST_DEPARTURE, LAST_ARRIVAL, SHORTEST_ABSENCE = 1.0, 23.0, 1.0
# Draws beyond so many standard deviations count as that many.
WIDEST_DRAW = 2.0
# Of the chargers that are sampled, how many can feed back.
TWO_WAY_SHARE = 0.2
# Hours of the day in which a car that follows the price charges what it needs, and trades.
CHARGING_HOURS, TRADING_HOURS = 6.0, 2.0


class EvCharger(DeviceKind[EvChargers, EvChargerState]):
    """See `DeviceKind` and `run_chargers`."""

    name = "ev_charger"
    plural = "EV chargers"
    at_rest = "charge as late as they may"
    for_comfort = "charge at once"
    random_stream = 5
    parameters = EvChargers
    readings = (
        Reading("state_of_charge", "%", 0.0, 100.0),
        Reading("plugged", "0 or 1", 0.0, 1.0),
        Reading("departure", "hour of the day", 0.0, 24.0),
        Reading("arrival", "hour of the day", 0.0, 24.0),
        Reading("target", "%", 0.0, 100.0),
    )

    def sample(
        self, count: int, scale: float, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Draw parameters: a car that is away by day.

        Batteries of 40 to 80 kWh; 7.4 kW (one phase, 32 A) or 11 kW (three phases, 16 A), the usual
        wall boxes; a fifth can feed back. 15 to 21 kWh per 100 km over distances whose median is
        32 km a day and whose mean is 38 km: German cars drove 13,602 km in 2019, 37 km a day
        (Kraftfahrt-Bundesamt, Verkehr in Kilometern, 2020). They leave around 8:00 and are back
        around 17:30, the peaks of the way to work and of the way home (Mobilität in Deutschland
        2017), give or take 1 and 1.5 h from car to car. Assumed, for want of a survey: half an hour
        from day to day, a trip's energy that varies by 30 %, drivers who want 30 to 45 % left when
        they come back, and 0.88 to 0.94 of the energy kept on each way. Wear as of a home battery.
        """
        capacity = random.uniform(40.0, 80.0, count) * scale
        power = random.choice([7.4, 11.0], count) * scale
        distance = 32.0 * np.exp(0.6 * _normal(count, random))
        one_way = random.uniform(0.88, 0.94, count)
        return {
            "maximum_power": power,
            "maximum_discharge_power": power * (random.uniform(size=count) < TWO_WAY_SHARE),
            "capacity": capacity,
            "charge_efficiency": one_way,
            "discharge_efficiency": one_way,
            "minimum_energy": random.uniform(0.30, 0.45, count) * capacity,
            "wear_cost": random.uniform(*WEAR_COST, count),
            "departure": 8.0 + _normal(count, random),
            "arrival": 17.5 + 1.5 * _normal(count, random),
            "trip_energy": random.uniform(0.15, 0.21, count) * distance * scale,
            "hours_spread": np.full(count, 0.5),
            "energy_spread": np.full(count, 0.3),
        }

    def full_power(self, parameters: EvChargers) -> Tensor:
        """See `DeviceKind`."""
        return torch.maximum(parameters.maximum_power, parameters.maximum_discharge_power)

    def storage(self, parameters: EvChargers) -> Tensor:
        """See `DeviceKind`."""
        return parameters.capacity

    def begin(
        self, parameters: EvChargers, batch: int, generator: torch.Generator, clock: Clock
    ) -> EvChargerState:
        """Half full, with days of its own: normal around the car's hours, lognormal in energy.

        A trip that the day's time plugged in and 0.6 of full power would not suffice for, before it
        or after it, or that the battery does not hold, is shortened to what they do: each day could
        begin and end half full.
        """
        like = parameters.capacity
        size = (3, clock.days, batch, len(like))
        drawn = torch.randn(size, generator=generator, device=like.device, dtype=torch.float32)
        return self._day(parameters, drawn.clamp(-WIDEST_DRAW, WIDEST_DRAW).to(like))

    def _day(self, parameters: EvChargers, drawn: Tensor) -> EvChargerState:
        """The begin of days as far from the usual one as (3, days, batch, chargers) says."""
        limits, (leave, back, use) = parameters.limits, drawn
        spread = parameters.hours_spread
        departure = (parameters.departure + spread * leave).clamp(
            FIRST_DEPARTURE, LAST_ARRIVAL - SHORTEST_ABSENCE
        )
        arrival = (parameters.arrival + spread * back).clamp(max=LAST_ARRIVAL)
        arrival = torch.maximum(arrival, departure + SHORTEST_ABSENCE)
        sigma = parameters.energy_spread
        trip = parameters.trip_energy * torch.exp(sigma * use - 0.5 * sigma**2)
        up = RETURN_POWER_SHARE * limits.charge
        evening = HOURS_PER_DAY - arrival
        for most in (
            parameters.capacity - limits.least,
            limits.middle - limits.least + up * departure,
            parameters.capacity - limits.middle + up * evening,
            up * (departure + evening),
        ):
            trip = torch.minimum(trip, most)
        return EvChargerState(limits.middle.expand_as(leave[0]), departure, arrival, trip)

    def run(
        self, parameters: EvChargers, state: EvChargerState, action: Tensor, window: Window
    ) -> tuple[EvChargerState, Tensor, Tensor]:
        """See `run_chargers`."""
        return run_chargers(parameters, state, action, window)

    def inverter_rating(self, parameters: EvChargers) -> Tensor:
        """Of those that can feed back; the others are rectifiers."""
        largest = self.full_power(parameters)
        return torch.where(parameters.limits.two_way, INVERTER_OVERSIZE * largest, 0.0)

    def stored(self, parameters: EvChargers, state: EvChargerState) -> Tensor:
        """State of charge."""
        return state.energy / parameters.capacity

    def observed_state(
        self, parameters: EvChargers, state: EvChargerState, window: Window
    ) -> Tensor:
        """How pressing it is: share of the time plugged in for which it will have to charge.

        At 0.6 of full power, until it leaves or the episode ends, whichever presses most; at 1 it
        must, from now on. Below 0 a two-way charger has energy to spare; from -1 to 1.
        """
        limits = parameters.limits
        ahead = Ahead.of(state, window.first * window.hours)
        up, energy = RETURN_POWER_SHARE * limits.charge, state.energy - ahead.trip
        moment = 1e-3 * window.hours
        at_end = (limits.middle - energy) / (up * ahead.plugged.clamp(min=moment))
        leaving = (limits.least - ahead.later - energy) / (up * ahead.leaving.clamp(min=moment))
        leaving = leaving.masked_fill(ahead.leaving <= 0.0, -torch.inf).amax(dim=-3)
        return torch.maximum(at_end, leaving).clamp(-1.0, 1.0)

    def store_axis(self, parameters: EvChargers, device: int) -> StoreAxis:
        """State of charge."""
        return StoreAxis("State of charge", percent=True)

    def idle(self, parameters: EvChargers, seen: Seen) -> Tensor:
        """As little as is allowed, so as late as is allowed."""
        return _rest(parameters, seen)

    def thermostat(self, parameters: EvChargers, seen: Seen) -> Tensor:
        """Charge at once."""
        return torch.where(seen.own_state > 1e-3, 1.0, _rest(parameters, seen))

    def follow_price(self, parameters: EvChargers, seen: Seen) -> Tensor:
        """Charge what is needed in the day's cheapest six hours.

        A two-way charger also trades, as a battery does: it charges in the cheapest two hours and
        feeds back in the dearest two, where that earns more than losses and wear cost.
        """
        cheaper, price = seen.shared("price_rank"), seen.shared("price")
        kept = parameters.charge_efficiency * parameters.discharge_efficiency
        worth = seen.shared("price_minimum") / kept + parameters.wear_cost
        two_way, rest = parameters.limits.two_way, _rest(parameters, seen)
        needed = (cheaper < CHARGING_HOURS / HOURS_PER_DAY) & (seen.own_state > 1e-3)
        trade = two_way & (seen.shared("price_maximum") > worth)
        charge = needed | (trade & (cheaper < TRADING_HOURS / HOURS_PER_DAY))
        feed = two_way & (cheaper >= 1.0 - TRADING_HOURS / HOURS_PER_DAY) & (price > worth)
        return torch.where(charge, 1.0, torch.where(feed, -1.0, rest))

    def droop_range(
        self, parameters: EvChargers, feed: Tensor, draw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A two-way charger draws its action, as a share; a one-way one (1 + action) / 2."""
        two_way = parameters.limits.two_way
        least = torch.where(two_way, -feed, -2.0 * feed - 1.0)
        return least, torch.where(two_way, draw, 2.0 * draw - 1.0)

    def inverter_power(self, parameters: EvChargers, action: Tensor, seen: Seen) -> Tensor:
        """Its share of full power, as if the car were there and had room."""
        full = (parameters.maximum_power, parameters.maximum_discharge_power)
        return action * torch.where(action >= 0.0, *full)

    def lone_plan(self, parameters: EvChargers, state: EvChargerState, day: Day) -> Tensor:
        """Each charger's own best schedule."""
        hours, price = day.clock.hours, day.import_price
        ahead = Ahead.of_steps(state, Window(day, 0, day.clock.steps))
        room, energy = Room.of(parameters, ahead), state.energy - ahead.trip[0]
        plan = []
        for step, target in enumerate(charging_schedule(parameters, room, energy, price, hours)):
            now = Room(*(values[step] for values in room))
            plan.append(now.action(parameters, energy, target - energy))
            energy = energy + now.change(parameters.limits.two_way, energy, plan[-1])
        return torch.stack(plan)

    def sense(
        self,
        parameters: EvChargers,
        state: EvChargerState,
        readings: Mapping[str, Tensor],
        new_episode: Tensor,
        window: Window,
    ) -> EvChargerState:
        """Days begin as the usual one; hours and target, to leave with, are of the present day.

        See `seen_at_plug` for what a car says by being there, or not.
        """
        read, target = readings["state_of_charge"], readings["target"]
        usual = self._day(parameters, torch.zeros_like(state.departure).expand(3, -1, -1, -1))
        known = EvChargerState(
            as_read(read, read / 100.0 * parameters.capacity, state.energy),
            torch.where(new_episode, usual.departure, state.departure),
            torch.where(new_episode, usual.arrival, state.arrival),
            torch.where(new_episode, usual.trip_energy, state.trip_energy),
        )
        trip = torch.relu(target / 100.0 * parameters.capacity - parameters.limits.least)
        told = EvChargerState(
            known.energy,
            as_read(readings["departure"], readings["departure"], known.departure),
            as_read(readings["arrival"], readings["arrival"], known.arrival),
            as_read(target, trip, known.trip_energy),
        )
        return seen_at_plug(readings["plugged"], window, known, told, usual)

    def readings_of(
        self, parameters: EvChargers, state: EvChargerState, window: Window
    ) -> dict[str, Tensor]:
        """See `DeviceKind`."""
        hour = hour_of_days(window, state.departure)
        today = ((hour >= 0.0) & (hour < HOURS_PER_DAY)).to(hour)
        departure, arrival, trip, hour = (
            (today * values).sum(dim=0)
            for values in (state.departure, state.arrival, state.trip_energy, hour)
        )
        away = (hour >= departure) & (hour < arrival)
        return {
            "state_of_charge": 100.0 * self.stored(parameters, state),
            "plugged": 1.0 - away.to(hour),
            "departure": departure,
            "arrival": arrival,
            "target": 100.0 * (trip + parameters.limits.least) / parameters.capacity,
        }

    def plan_order(self, parameters: EvChargers) -> Tensor:
        """By whether they feed back, then by how long the car is away."""
        away = parameters.arrival - parameters.departure
        return away + HOURS_PER_DAY * parameters.limits.two_way

    def flexibility(self, parameters: EvChargers, outlook: Outlook) -> Flexibility[Tensor]:
        """A usual day; the store counts in steps of charging at full power, from midnight on."""
        hours, full = outlook.hours, parameters.maximum_power
        room, begin = self._usual_room(parameters, outlook)
        step, price = hours * parameters.limits.charge, outlook.import_price
        kept = parameters.charge_efficiency * parameters.discharge_efficiency
        one = torch.ones_like(step)[None, None]
        return Flexibility(
            by_class((room.charge / step)[None]),
            by_class((room.discharge * parameters.discharge_efficiency / (hours * full))[None]),
            by_class(price + torch.zeros_like(one)),
            by_class(parameters.wear_cost - outlook.export_price),
            by_class(one),
            by_class((1.0 / kept)[None, None]),
            by_class(((room.lowest - begin) / step)[None]),
            by_class(((room.highest - begin) / step)[None]),
            torch.ones_like(step),
            torch.zeros_like(step),
            step.new_zeros(len(step), len(price)),
        )

    def asked_by_plan(
        self, parameters: EvChargers, outlook: Outlook, draw: Tensor, feed: Tensor, store: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `DeviceKind`; what is stored is less what the rest of the trip will use."""
        room, begin = self._usual_room(parameters, outlook)
        after = begin + outlook.hours * parameters.limits.charge * store
        before = torch.cat((begin.expand_as(after[..., :1, :]), after[..., :-1, :]), dim=-2)
        return room.action(parameters, before, after - before), before / parameters.capacity

    def follow_plan(
        self,
        parameters: EvChargers,
        state: EvChargerState,
        asked: Tensor,
        earnings: Earnings,
        window: Window,
    ) -> Tensor:
        """As the usual car, but no more than its own needs where it would feed back for less.

        A trip may use less than usual; what is left of a charge must come out before midnight.
        """
        ahead = Ahead.of_steps(state, window)
        room = Room(*(values[0] for values in Room.of(parameters, ahead)))
        energy, limits = state.energy - ahead.trip[0], parameters.limits
        enough = room.action(parameters, energy, torch.relu(limits.middle - energy))
        loses = limits.two_way & (earnings.surcharge > 0.0)
        return torch.where(loses, torch.minimum(asked, enough), asked)

    def _usual_room(self, parameters: EvChargers, outlook: Outlook) -> tuple[Room, Tensor]:
        """(steps, chargers) what is possible in each step, and (chargers,) kWh at midnight."""
        like, clock = parameters.capacity, outlook.clock
        usual = self._day(parameters, like.new_zeros(3, clock.days, 1, len(like)))
        time = clock.hours * torch.arange(clock.steps + 1, dtype=torch.float64, device="cpu")
        ahead = Ahead.of(usual, time[:, None, None, None])
        room = Room(*(values[:, 0] for values in Room.of(parameters, ahead)))
        return room, (usual.energy - ahead.trip[0])[0]

    def linear_program(
        self,
        parameters: EvChargers,
        state: EvChargerState,
        day: Day,
        meters: Meters,
        around: np.ndarray | None,
    ) -> LinearProgram:
        """See `store_program`; energies are less what the trips to come use."""
        hours = meters.hours
        ahead = Ahead.of_steps(state, Window(day, 0, day.clock.steps))
        room = Room.of(parameters, ahead)
        charge, discharge, lowest, highest = (values[:, 0] for values in room)
        return store_program(
            meters,
            charge / parameters.charge_efficiency / hours,
            discharge * parameters.discharge_efficiency / hours,
            (parameters.charge_efficiency, parameters.discharge_efficiency),
            parameters.wear_cost,
            (lowest, highest),
            (state.energy - ahead.trip[0])[0],
        )

    def action_for_power(
        self, parameters: EvChargers, state: EvChargerState, power: Tensor, window: Window
    ) -> Tensor:
        """See `DeviceKind`."""
        ahead = Ahead.of_steps(state, window)
        now = Room(*(values[0] for values in Room.of(parameters, ahead)))
        into, out_of = parameters.charge_efficiency, 1.0 / parameters.discharge_efficiency
        change = window.hours * power * torch.where(power >= 0.0, into, out_of)
        return now.action(parameters, state.energy - ahead.trip[0], change)


def _rest(parameters: EvChargers, seen: Seen) -> Tensor:
    """(batch, chargers) actions that charge, and discharge, no more than is needed."""
    rest = parameters.limits.two_way.to(seen.own_state) - 1.0
    return rest.expand_as(seen.own_state)


def _normal(count: int, random: np.random.Generator) -> np.ndarray:
    return np.clip(random.normal(size=count), -WIDEST_DRAW, WIDEST_DRAW)


EV_CHARGER = EvCharger()

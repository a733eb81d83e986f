"""A car that comes and goes, and what its charger may do: it leaves with what it needs.

All bounds follow from how much of its trips lies ahead, one a day, and from how long the car is
plugged in until it leaves and until the episode ends, so that a step costs the same whatever the
clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from gridedge_env.clock import HOURS_PER_DAY
from gridedge_env.day import Window
from gridedge_env.devices.ranges import positive, within
from gridedge_env.devices.recurrence import states_before
from gridedge_env.devices.storage import MIDNIGHT_STATE_OF_CHARGE, RETURN_POWER_SHARE
from gridedge_env.record import Record, batch


@dataclass(frozen=True, eq=False)
class EvChargers(Record):
    """Parameters of chargers and their cars; all tensors are (chargers,).

    Attributes:
        maximum_power: kW at the meter, charging.
        maximum_discharge_power: kW at the meter, feeding back; 0: one-way.
        capacity: kWh of the car's battery.
        charge_efficiency: kWh stored per kWh drawn.
        discharge_efficiency: kWh delivered per kWh taken from the store.
        minimum_energy: kWh that the driver wants left at any time, so when coming back, too.
        wear_cost: € per kWh fed back.
        departure: hour of the day, usually.
        arrival: hour of the day, usually.
        trip_energy: kWh used on the way, on average.
        hours_spread: hours, standard deviation from day to day of departure and arrival.
        energy_spread: standard deviation from day to day of the logarithm of the trip's energy.
    """

    maximum_power: Tensor = field(metadata=positive())
    maximum_discharge_power: Tensor = field(metadata=within())
    capacity: Tensor = field(metadata=positive())
    charge_efficiency: Tensor = field(metadata=positive(1.0))
    discharge_efficiency: Tensor = field(metadata=positive(1.0))
    minimum_energy: Tensor = field(metadata=within(0.0, 1.0, of="capacity"))
    wear_cost: Tensor = field(metadata=within())
    departure: Tensor = field(metadata=within(0.0, 1.0, of="arrival"))
    arrival: Tensor = field(metadata=within(0.0, 24.0))
    trip_energy: Tensor = field(metadata=within(0.0, 1.0, of="capacity"))
    hours_spread: Tensor = field(metadata=within())
    energy_spread: Tensor = field(metadata=within())

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    def limits(self) -> ChargerLimits:
        """What follows from the parameters alone."""
        middle = MIDNIGHT_STATE_OF_CHARGE * self.capacity
        return ChargerLimits(
            self.maximum_power * self.charge_efficiency,
            self.maximum_discharge_power / self.discharge_efficiency,
            middle,
            torch.minimum(self.minimum_energy, middle),
            self.maximum_discharge_power > 0.0,
        )


class ChargerLimits(NamedTuple):
    """What a charger can do, as tensors of (chargers,).

    Attributes:
        charge: kW that reach the store at full power.
        discharge: kW that leave it at full power.
        middle: kWh at midnight.
        least: kWh at any time; no more than at midnight.
        two_way: whether it can feed back.
    """

    charge: Tensor
    discharge: Tensor
    middle: Tensor
    least: Tensor
    two_way: Tensor


@dataclass(frozen=True, eq=False)
class EvChargerState(Record):
    """Where cars stand, and what their days are.

    Attributes:
        energy: (batch, chargers) kWh stored.
        departure: (days, batch, chargers) hour of each day.
        arrival: likewise.
        trip_energy: likewise, kWh that the day's trip uses, evenly from departure to arrival.
    """

    energy: Tensor = field(metadata=batch())
    departure: Tensor = field(metadata=batch(1))
    arrival: Tensor = field(metadata=batch(1))
    trip_energy: Tensor = field(metadata=batch(1))


class Ahead(NamedTuple):
    """What lies ahead of a car, (..., batch, chargers) each; of each day (..., days, batch, ...).

    Attributes:
        trip: kWh that the rest of its trips uses.
        plugged: hours plugged in until the episode ends.
        leaving: of each day, hours plugged in until it leaves.
        later: of each day, kWh that the trips of all later ones use.
    """

    trip: Tensor
    plugged: Tensor
    leaving: Tensor
    later: Tensor

    @classmethod
    def of(cls, state: EvChargerState, time: Tensor | float) -> Ahead:
        """From an hour of the episode on, (..., 1, 1, 1)."""
        departure, arrival = state.departure, state.arrival
        days = torch.arange(len(departure), device=departure.device, dtype=departure.dtype)
        of_day = time - HOURS_PER_DAY * days[:, None, None]
        away = ((arrival - of_day) / (arrival - departure)).clamp(0.0, 1.0)
        morning = torch.minimum(torch.relu(departure - of_day), departure)
        back = HOURS_PER_DAY - arrival
        evening = torch.relu(back - torch.relu(of_day - arrival))
        stay = morning + evening
        later = _sum_before(state.trip_energy.flip(0)).flip(0)
        return cls(
            (away * state.trip_energy).sum(dim=-3),
            stay.sum(dim=-3),
            morning + _sum_before(stay),
            later.expand_as(stay),
        )

    @classmethod
    def of_steps(cls, state: EvChargerState, window: Window) -> Ahead:
        """When the first step begins and when each ends: (steps + 1, batch, chargers)."""
        clock = window.day.clock
        ends = clock.steps * clock.hours - window.hours_left
        return cls.of(state, torch.cat((ends[:1] - window.hours, ends))[..., None])


def _sum_before(values: Tensor) -> Tensor:
    """Of each day, the sum over those before it: (..., days, batch, chargers)."""
    first, earlier = values[..., :1, :, :], values[..., :-1, :, :]
    return torch.cat((torch.zeros_like(first), earlier.cumsum(dim=-3)), dim=-3)


class Room(NamedTuple):
    """What is possible in a step, (..., batch, chargers) each.

    Energies are less what the trips to come will use: only charging changes them.

    Attributes:
        charge: kWh that can go into the store at most.
        discharge: kWh that can come out of it at most.
        lowest: kWh, the least from which the car gets where it must.
        highest: kWh, the most.
    """

    charge: Tensor
    discharge: Tensor
    lowest: Tensor
    highest: Tensor

    @classmethod
    def of(cls, chargers: EvChargers, ahead: Ahead) -> Room:
        """In steps that begin and end at given times, (steps + 1, batch, chargers)."""
        after = Ahead(*(x[1:] for x in ahead))
        hours, limits = ahead.plugged[:-1] - after.plugged, chargers.limits
        up = RETURN_POWER_SHARE * limits.charge
        down = RETURN_POWER_SHARE * limits.discharge
        until_departures = (after.later + after.leaving * up).amin(dim=-3)
        lowest = torch.maximum(
            limits.least - torch.minimum(after.trip, until_departures),
            limits.middle - after.plugged * up,
        )
        highest = torch.minimum(
            chargers.capacity - ahead.trip[:-1], limits.middle + after.plugged * down
        )
        return cls(hours * limits.charge, hours * limits.discharge, lowest, highest)

    def changes(self, energy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The least change of the stored energy, the one nearest zero, and the most, kWh."""
        rise, fall = torch.relu(self.lowest - energy), torch.relu(energy - self.highest)
        forced = torch.minimum(rise, self.charge) - torch.minimum(fall, self.discharge)
        most = torch.minimum(self.charge, self.highest - energy)
        least = torch.maximum(-self.discharge, self.lowest - energy)
        return forced - torch.relu(forced - least), forced, forced + torch.relu(most - forced)

    def change(self, two_way: Tensor, energy: Tensor, action: Tensor) -> Tensor:
        """By how many kWh an action changes the stored energy."""
        least, forced, most = self.changes(energy)
        out = torch.relu(-action)
        into = torch.where(two_way, action + out, 0.5 * (action + 1.0))
        return forced + into * (most - forced) + torch.where(two_way, out, 0.0) * (least - forced)

    def action(self, chargers: EvChargers, energy: Tensor, change: Tensor) -> Tensor:
        """The inverse of `change`: the action that changes it so, or the nearest to it."""
        least, forced, most = self.changes(energy)
        wanted = change.clamp(least, most) - forced
        room = torch.where(wanted >= 0.0, most - forced, forced - least)
        share = wanted / room.clamp(min=1e-6 * chargers.capacity)
        two_way = chargers.limits.two_way
        return torch.where(two_way, share, 2.0 * share - 1.0).clamp(-1.0, 1.0)


def hour_of_days(window: Window, of_days: Tensor) -> Tensor:
    """(days, 1, 1) hour of each day at which a window begins; `of_days` is (days, batch, ...)."""
    days = torch.arange(len(of_days), device=of_days.device, dtype=of_days.dtype)
    return window.first * window.hours - HOURS_PER_DAY * days[:, None, None]


def seen_at_plug(
    plugged: Tensor,
    window: Window,
    known: EvChargerState,
    told: EvChargerState,
    usual: EvChargerState,
) -> EvChargerState:
    """The present day, by whether a car is there.

    One that is not there before it should leave has left, and one that is not there when it should
    be back comes when the step ends, at the earliest. One that is there though it should be away
    has not left yet, if it was last seen when it should have been there; else it has come back: for
    good, or, before it usually leaves, from a trip that was not the day's.

    Args:
        plugged: (batch, chargers) 0 or 1; NaN: nobody knows.
        window: the step.
        known: what was known of the car before anything was read.
        told: what has been read of its hours and its trip.
        usual: its usual days.
    """
    departure, arrival, hours = told.departure, told.arrival, window.hours
    now = hour_of_days(window, departure)
    moment = 1e-3 * hours
    arrival = torch.maximum(arrival, departure + moment)
    there, gone = plugged > 0.5, plugged <= 0.5  # neither, where nobody knows
    there = there & (now >= departure) & (now < arrival)
    waits = there & (now < torch.maximum(departure, known.departure) + hours)
    early = there & ~waits & (now < usual.departure)
    back = there & ~waits & ~early
    leave = torch.where(waits, torch.minimum(now + hours, arrival - moment), departure)
    leave = torch.where(early, usual.departure, leave)
    leave = torch.where(gone & (now < departure), now, leave)
    come = torch.where(back, now, arrival)
    come = torch.where(gone & (now >= arrival), now + hours, come)
    come = torch.maximum(come, leave + moment)
    today = (now >= 0.0) & (now < HOURS_PER_DAY)
    return EvChargerState(
        told.energy,
        torch.where(today, leave, known.departure),
        torch.where(today, come, known.arrival),
        torch.where(today, told.trip_energy, known.trip_energy),
    )


def run_chargers(
    chargers: EvChargers, state: EvChargerState, action: Tensor, window: Window
) -> tuple[EvChargerState, Tensor, Tensor]:
    """One or more steps.

    An action spans what is feasible now and still gets there: by each departure to what the trip
    and the driver's minimum need, by the end of the episode to half full. The way there may take
    0.6 of full power, which leaves slack for feeders that are full. A one-way charger charges the
    least at -1, the most at +1; a two-way one discharges as far as it can at -1, does as little as
    it may at 0, and charges as far at +1. A step in which the car leaves or comes back counts for
    the hours it is there.

    Args:
        chargers: parameters.
        state: before the first step.
        action: (steps, batch, chargers) in [-1, 1].
        window: the steps.

    Returns:
        See `DeviceKind.run`; the cost is wear.
    """
    hours, two_way = window.hours, chargers.limits.two_way
    ahead = Ahead.of_steps(state, window)
    room = Room.of(chargers, ahead)

    def following(energy: Tensor, action: Tensor, *room: Tensor) -> Tensor:
        return energy + Room(*room).change(two_way, energy, action)

    stored = states_before(following, state.energy - ahead.trip[0], action, *room)
    change = room.change(two_way, stored, action)
    delivered = torch.relu(-change) * chargers.discharge_efficiency
    drawn = torch.relu(change) / chargers.charge_efficiency
    energy = stored[-1] + change[-1] + ahead.trip[-1]
    end = EvChargerState(energy, state.departure, state.arrival, state.trip_energy)
    return end, (drawn - delivered) / hours, chargers.wear_cost * delivered

"""Home battery: arbitrage in time, with losses and wear, ending the day where it began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gridedge_env.clock import HOURS_PER_DAY, Clock
from gridedge_env.day import Day, Window
from gridedge_env.devices.battery_schedule import Levels, Meter, battery_schedule
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
from gridedge_env.devices.storage import (
    MIDNIGHT_STATE_OF_CHARGE,
    MINIMUM_STATE_OF_CHARGE,
    ROUND_TRIP_EFFICIENCY,
    WEAR_COST,
    Batteries,
    action_for_change,
    energy_bounds,
    run_batteries,
    step_batteries,
)
from gridedge_env.record import Record, batch
from gridedge_gateway.program import Flexibility

# Hours of the day in which a battery that follows the price charges, and discharges.
TRADING_HOURS = 3.0
# What a planner's step is for a battery that moves on its own, over the usual one, and for one that
# rests all day: that does best near rest with the limits, too; long strides would only wear it out.
BUSY_STRIDE, RESTING_STRIDE = 0.2, 0.05


@dataclass(frozen=True, eq=False)
class BatteryState(Record):
    """Where batteries stand: (batch, batteries) kWh stored."""

    energy: Tensor = field(metadata=batch())


class Battery(DeviceKind[Batteries, BatteryState]):
    """See `DeviceKind`."""

    name = "battery"
    plural = "batteries"
    at_rest = "rest"
    rests_in_doubt = True
    random_stream = 0
    parameters = Batteries
    readings = (Reading("state_of_charge", "%", 0.0, 100.0),)

    def sample(
        self, count: int, scale: float, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Draw parameters.

        Power is that of a home battery of 5 kW together with a car that feeds back at 11 kW, 16 kW
        on average, for 1.8 to 2.6 h.
        """
        power = random.uniform(13.5, 18.5, count) * scale
        capacity = power * random.uniform(1.8, 2.6, count)
        one_way = np.sqrt(random.uniform(*ROUND_TRIP_EFFICIENCY, count))
        return {
            "capacity": capacity,
            "maximum_power": power,
            "charge_efficiency": one_way,
            "discharge_efficiency": one_way,
            "minimum_energy": MINIMUM_STATE_OF_CHARGE * capacity,
            "wear_cost": random.uniform(*WEAR_COST, count),
        }

    def full_power(self, parameters: Batteries) -> Tensor:
        """See `DeviceKind`."""
        return parameters.maximum_power

    def storage(self, parameters: Batteries) -> Tensor:
        """See `DeviceKind`."""
        return parameters.capacity

    def begin(
        self, parameters: Batteries, batch: int, generator: torch.Generator, clock: Clock
    ) -> BatteryState:
        """Half full."""
        return BatteryState((MIDNIGHT_STATE_OF_CHARGE * parameters.capacity).expand(batch, -1))

    def run(
        self, parameters: Batteries, state: BatteryState, action: Tensor, window: Window
    ) -> tuple[BatteryState, Tensor, Tensor]:
        """See `run_batteries`."""
        bounds = energy_bounds(parameters, window.hours_left)
        energy, power, wear = run_batteries(parameters, state.energy, action, window.hours, bounds)
        return BatteryState(energy[-1]), power, wear

    def inverter_rating(self, parameters: Batteries) -> Tensor:
        """See `DeviceKind`."""
        return INVERTER_OVERSIZE * parameters.maximum_power

    def stored(self, parameters: Batteries, state: BatteryState) -> Tensor:
        """State of charge."""
        return state.energy / parameters.capacity

    def store_axis(self, parameters: Batteries, device: int) -> StoreAxis:
        """State of charge."""
        return StoreAxis("State of charge", percent=True)

    def idle(self, parameters: Batteries, seen: Seen) -> Tensor:
        """Rest, or as little as is allowed."""
        return torch.zeros_like(seen.own_state)

    def follow_price(self, parameters: Batteries, seen: Seen) -> Tensor:
        """Charge in the day's cheapest three hours and discharge in its dearest three.

        At a price that holds longer, in all of its hours; at one for the whole day there is nothing
        to trade.
        """
        share = TRADING_HOURS / HOURS_PER_DAY
        cheap, dear = (
            hours.to(seen.own_state) for hours in (seen.is_cheap(share), seen.is_dear(share))
        )
        return (cheap - dear).expand_as(seen.own_state)

    def droop_range(
        self, parameters: Batteries, feed: Tensor, draw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The action is the share that it draws."""
        return -feed, draw

    def inverter_power(self, parameters: Batteries, action: Tensor, seen: Seen) -> Tensor:
        """What it will charge, by its state of charge and the clock."""
        energy = seen.own_state * parameters.capacity
        _, power, _ = step_batteries(parameters, energy, action, seen.clock.hours, seen.hours_left)
        return power

    def sense(
        self,
        parameters: Batteries,
        state: BatteryState,
        readings: Mapping[str, Tensor],
        new_episode: Tensor,
        window: Window,
    ) -> BatteryState:
        """By its state of charge, but no further from midnight's than its power can bring back."""
        read = readings["state_of_charge"]
        energy = as_read(read, read / 100.0 * parameters.capacity, state.energy)
        bounds = energy_bounds(parameters, window.hours_left[0] + window.hours)
        return BatteryState(energy.clamp(*bounds))

    def readings_of(
        self, parameters: Batteries, state: BatteryState, window: Window
    ) -> dict[str, Tensor]:
        """See `DeviceKind`."""
        return {"state_of_charge": 100.0 * self.stored(parameters, state)}

    def plan_order(self, parameters: Batteries) -> Tensor:
        """By wear: the dearer it is, the fewer swings of the price pay."""
        return parameters.wear_cost

    def flexibility(self, parameters: Batteries, outlook: Outlook) -> Flexibility[Tensor]:
        """The store counts in steps of charging at full power, from midnight's energy."""
        hours, full = outlook.hours, parameters.full_power
        step, price = hours * full.charge, outlook.import_price
        lowest, highest = energy_bounds(parameters, _hours_left(outlook))
        one = torch.ones_like(step)[None, None]
        return Flexibility(
            by_class(one),
            by_class(one),
            by_class(price + torch.zeros_like(one)),
            by_class(parameters.wear_cost - outlook.export_price),
            by_class(one),
            by_class((full.discharge / full.charge)[None, None]),
            by_class(((lowest - full.middle) / step)[None]),
            by_class(((highest - full.middle) / step)[None]),
            torch.ones_like(step),
            torch.zeros_like(step),
            step.new_zeros(len(step), len(price)),
        )

    def asked_by_plan(
        self, parameters: Batteries, outlook: Outlook, draw: Tensor, feed: Tensor, store: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `DeviceKind`; a change of the state of charge is asked for."""
        full = parameters.full_power
        after = full.middle + outlook.hours * full.charge * store
        before = torch.cat((full.middle.expand_as(after[..., :1, :]), after[..., :-1, :]), dim=-2)
        return (after - before) / parameters.capacity, before / parameters.capacity

    def follow_plan(
        self,
        parameters: Batteries,
        state: BatteryState,
        asked: Tensor,
        earnings: Earnings,
        window: Window,
    ) -> Tensor:
        """The same change of its own state of charge, whatever its capacity and that is now."""
        hours, left = window.hours, window.hours_left[0]
        change = asked * parameters.capacity
        return action_for_change(parameters, state.energy, change, hours, left).clamp(-1.0, 1.0)

    def lone_plan(self, parameters: Batteries, state: BatteryState, day: Day) -> Tensor:
        """Each battery's own best schedule, at its home's meter."""
        hours, energy = day.clock.hours, state.energy
        levels = Levels.of(parameters, hours)
        price, meter = day.import_price, None
        if not torch.equal(price, day.export_price):
            meter = Meter(day.demand, day.export_price)
        path = battery_schedule(parameters, levels, energy, price, hours, meter=meter)
        plan = []
        for target, left in zip(path, day.hours_left, strict=True):
            plan.append(action_for_change(parameters, energy, target - energy, hours, left))
            energy = target
        return torch.stack(plan)

    def plan_stride(self, plan: Tensor, usual: float) -> Tensor:
        """A battery that rests all day on its own should be moved gently."""
        busy = (plan.abs() > 1e-3).any(dim=0, keepdim=True)
        gentle = torch.full_like(plan[:1], RESTING_STRIDE * usual)
        return gentle.masked_fill(busy, BUSY_STRIDE * usual)

    def linear_program(
        self,
        parameters: Batteries,
        state: BatteryState,
        day: Day,
        meters: Meters,
        around: np.ndarray | None,
    ) -> LinearProgram:
        """See `store_program`."""
        least, most = (bound[:, 0] for bound in energy_bounds(parameters, day.hours_left))
        return store_program(
            meters,
            parameters.maximum_power,
            parameters.maximum_power,
            (parameters.charge_efficiency, parameters.discharge_efficiency),
            parameters.wear_cost,
            (least, most),
            state.energy[0],
        )

    def action_for_power(
        self, parameters: Batteries, state: BatteryState, power: Tensor, window: Window
    ) -> Tensor:
        """See `action_for_change`."""
        into, out_of = parameters.charge_efficiency, 1.0 / parameters.discharge_efficiency
        change = window.hours * power * torch.where(power >= 0.0, into, out_of)
        return action_for_change(
            parameters, state.energy, change, window.hours, window.hours_left[0]
        ).clamp(-1.0, 1.0)


def _hours_left(outlook: Outlook) -> Tensor:
    """(steps, 1) from the end of each step to the end of the episode."""
    steps = torch.arange(outlook.clock.steps - 1, -1, -1, dtype=torch.float64, device="cpu")
    return (outlook.hours * steps)[:, None]


BATTERY = Battery()

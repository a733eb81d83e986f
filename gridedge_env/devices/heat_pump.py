"""Heat pump: heats a building ahead of time, within the comfort band of its rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.day import Day, Window
from gridedge_env.devices.flexibility import Outlook, by_class
from gridedge_env.devices.heated_building import (
    DESIGN_OUTDOOR_TEMPERATURE,
    DISCOMFORT_PRICE,
    HEATING_LIMIT_TEMPERATURE,
    HeatBalance,
    HeatPumps,
    coefficient_of_performance,
    run_heat_pumps,
    step_heat_pumps,
    stored_heat_value,
)
from gridedge_env.devices.kind import (
    REACTIVE_SHARE,
    DeviceKind,
    Reading,
    Seen,
    StoreAxis,
    as_read,
)
from gridedge_env.devices.linear_program import (
    LinearProgram,
    Meters,
    diagonal,
    flat,
    step_before,
)
from gridedge_env.record import Record, batch
from gridedge_gateway.program import Flexibility


@dataclass(frozen=True, eq=False)
class HeatPumpState(Record):
    """Where the heated rooms stand: (batch, heat pumps) °C."""

    temperature: Tensor = field(metadata=batch())


class HeatPump(DeviceKind[HeatPumps, HeatPumpState]):
    """See `DeviceKind`."""

    name = "heat_pump"
    plural = "heat pumps"
    at_rest = "keep rooms just warm enough"
    for_comfort = "hold rooms mid-way in their comfort band"
    random_stream = 1
    parameters = HeatPumps
    reactive_share = REACTIVE_SHARE
    readings = (Reading("room_temperature", "°C", 0.0, 45.0),)

    def sample(
        self, count: int, scale: float, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Draw parameters.

        Buildings: lognormal through the deciles of a European stock (resistance 2.4, 4.7,
        10.4 K/kW; capacity 3.8, 6.4, 8.9 kWh/K; floor 85, 142, 198 m²); a smaller one has less loss
        and less capacity. Each heat pump is sized for its building, 1.0 to 1.2 of the loss at
        -7.5 °C outdoors and 20 °C indoors, 4 to 12 kW thermal.
        """
        resistance = _lognormal(2.4, 4.7, 10.4, count, random)
        floor_area = _lognormal(85.0, 142.0, 198.0, count, random)
        supply = random.choice([35.0, 45.0, 55.0], count)
        performance = random.uniform(0.88, 1.12, count)
        loss = (20.0 - DESIGN_OUTDOOR_TEMPERATURE) / resistance
        thermal = np.clip(random.uniform(1.0, 1.2, count) * loss, 4.0, 12.0)
        design_performance = coefficient_of_performance(
            torch.tensor(DESIGN_OUTDOOR_TEMPERATURE, dtype=torch.float64, device="cpu"),
            torch.from_numpy(supply),
            torch.from_numpy(performance),
        ).numpy()
        setpoint = random.uniform(19.0, 21.5, count)
        band = random.uniform(0.5, 1.5, count)
        return {
            "maximum_power": thermal / design_performance * scale,
            "supply_temperature": supply,
            "performance": performance,
            "resistance": resistance / scale,
            "capacity": _lognormal(3.8, 6.4, 8.9, count, random) * scale,
            "lowest_temperature": setpoint - band,
            "highest_temperature": setpoint + band,
            "internal_gain": 3e-3 * floor_area * scale,
            "solar_aperture": random.uniform(2.0, 8.0, count) * scale,
        }

    def full_power(self, parameters: HeatPumps) -> Tensor:
        """See `DeviceKind`."""
        return parameters.maximum_power

    def begin(
        self, parameters: HeatPumps, batch: int, generator: torch.Generator, clock: Clock
    ) -> HeatPumpState:
        """Rooms anywhere in their comfort bands."""
        like = parameters.lowest_temperature
        size = (batch, len(like))
        warmth = torch.rand(size, generator=generator, device=like.device, dtype=torch.float32)
        low, high = parameters.lowest_temperature, parameters.highest_temperature
        return HeatPumpState(torch.lerp(low, high, warmth.to(like)))

    def run(
        self, parameters: HeatPumps, state: HeatPumpState, action: Tensor, window: Window
    ) -> tuple[HeatPumpState, Tensor, Tensor]:
        """See `run_heat_pumps`; heat that is left at the last midnight is credited."""
        temperature, power, discomfort = run_heat_pumps(
            parameters,
            state.temperature,
            action,
            window.outdoor_temperature,
            window.irradiance,
            window.hours,
        )
        if window.ends_episode:
            day = window.day
            worth = stored_heat_value(
                parameters,
                temperature[-1],
                day.last_mean(day.outdoor_temperature),
                day.last_mean(day.import_price),
            )
            discomfort = torch.cat((discomfort[:-1], discomfort[-1:] - worth))
        return HeatPumpState(temperature[-1]), power, discomfort

    def stored(self, parameters: HeatPumps, state: HeatPumpState) -> Tensor:
        """Where the room stands in its comfort band; sun can warm it beyond."""
        band = parameters.highest_temperature - parameters.lowest_temperature
        return (state.temperature - parameters.lowest_temperature) / band

    def store_axis(self, parameters: HeatPumps, device: int) -> StoreAxis:
        """Room temperature."""
        lowest = float(parameters.lowest_temperature[device])
        band = float(parameters.highest_temperature[device]) - lowest
        return StoreAxis("Room temperature, °C; grey: comfort band", lowest, band, band=True)

    def idle(self, parameters: HeatPumps, seen: Seen) -> Tensor:
        """Keep the room just warm enough."""
        return torch.full_like(seen.own_state, -1.0)

    def thermostat(self, parameters: HeatPumps, seen: Seen) -> Tensor:
        """Steer the room to the middle of its comfort band.

        Proportional to the distance from the middle; full power half-way to the lower edge.
        """
        return -2.0 * (2.0 * seen.own_state - 1.0)

    def follow_price(self, parameters: HeatPumps, seen: Seen) -> Tensor:
        """Heat ahead in the cheaper half of the day; at one price, keep the room just warm."""
        ahead = seen.is_cheap(0.5).to(seen.own_state)
        return (2.0 * ahead - 1.0).expand_as(seen.own_state)

    def droop_range(
        self, parameters: HeatPumps, feed: Tensor, draw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """It draws (1 + action) / 2 of what it can."""
        return -2.0 * feed - 1.0, 2.0 * draw - 1.0

    def sense(
        self,
        parameters: HeatPumps,
        state: HeatPumpState,
        readings: Mapping[str, Tensor],
        new_episode: Tensor,
        window: Window,
    ) -> HeatPumpState:
        """By a thermometer in the room."""
        read = readings["room_temperature"]
        return HeatPumpState(as_read(read, read, state.temperature))

    def readings_of(
        self, parameters: HeatPumps, state: HeatPumpState, window: Window
    ) -> dict[str, Tensor]:
        """See `DeviceKind`."""
        return {"room_temperature": state.temperature}

    def plan_order(self, parameters: HeatPumps) -> Tensor:
        """By how long heat that is stored within the comfort band keeps, in K h."""
        band = parameters.highest_temperature - parameters.lowest_temperature
        return parameters.resistance * parameters.capacity * band

    def flexibility(self, parameters: HeatPumps, outlook: Outlook) -> Flexibility[Tensor]:
        """The store counts in steps of full power at a coefficient of performance of one.

        Rooms begin in the middle of their comfort bands. Where these cannot be kept, they are as
        wide as they must be.
        """
        hours, balance, unit = self._outlook(parameters, outlook)
        free, most = self._free_temperature(parameters, balance)
        lowest = torch.minimum(parameters.lowest_temperature, most)
        highest = torch.maximum(parameters.highest_temperature, free)
        one = torch.ones_like(unit)[None, None]
        last = slice(-outlook.clock.day.steps, None)
        mean = outlook.outdoor_temperature[:, last].mean(dim=1)
        performance = coefficient_of_performance(
            mean, parameters.supply_temperature, parameters.performance
        )
        worth = hours * outlook.import_price[:, last].mean(dim=1) / performance
        worth = torch.where(mean < HEATING_LIMIT_TEMPERATURE, worth, 0.0)
        return Flexibility(
            by_class(one),
            by_class(torch.zeros_like(one)),
            by_class(outlook.import_price + torch.zeros_like(one)),
            by_class(torch.zeros_like(one)),
            by_class(balance.full_rise / unit),
            by_class(one),
            by_class((lowest - free) / unit),
            by_class((highest - free) / unit),
            balance.kept,
            torch.zeros_like(unit),
            worth.T.contiguous(),
        )

    def asked_by_plan(
        self, parameters: HeatPumps, outlook: Outlook, draw: Tensor, feed: Tensor, store: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `DeviceKind`."""
        _, balance, unit = self._outlook(parameters, outlook)
        after = self._free_temperature(parameters, balance)[0][:, None] + unit * store
        middle = _middle(parameters).expand_as(after[..., :1, :])
        before = torch.cat((middle, after[..., :-1, :]), dim=-2)
        weather = outlook.outdoor_temperature[:, None], outlook.irradiance[:, None], outlook.hours
        power = draw * parameters.maximum_power
        action = _action_for_power(parameters, before, power, weather)
        return action, self.stored(parameters, HeatPumpState(before))

    def _outlook(
        self, parameters: HeatPumps, outlook: Outlook
    ) -> tuple[float, HeatBalance, Tensor]:
        """Hours of a step, what the weather does, and (devices,) K of a unit in the store."""
        hours = outlook.hours
        weather = outlook.outdoor_temperature, outlook.irradiance
        return (
            hours,
            HeatBalance.of(parameters, *weather, hours),
            parameters.building(hours).full_rise,
        )

    def _free_temperature(
        self, parameters: HeatPumps, balance: HeatBalance
    ) -> tuple[Tensor, Tensor]:
        """(days, steps, devices) °C after each step without any heating, and with all there is."""
        free = most = _middle(parameters)
        found = []
        for drift, rise in zip(
            balance.drift.unbind(dim=1), balance.full_rise.unbind(dim=1), strict=True
        ):
            free = drift + balance.kept * free
            most = drift + balance.kept * most + rise
            found.append((free, most))
        without, with_all = (torch.stack(values, dim=1) for values in zip(*found, strict=True))
        return without, with_all

    def linear_program(
        self,
        parameters: HeatPumps,
        state: HeatPumpState,
        day: Day,
        meters: Meters,
        around: np.ndarray | None,
    ) -> LinearProgram:
        """Variables: kW drawn, K above and K below the comfort band's lower edge, K let out.

        A room that sun and people warm beyond its comfort band may be heated while its windows are
        open, and they may be left shut or opened further, as long as its temperature stays between
        those that least and most heating since midnight lead to.
        """
        hours, shape, size = meters.hours, meters.demand.shape, meters.demand.size
        outdoor, sun = (series[0, :, None] for series in (day.outdoor_temperature, day.irradiance))
        edge = parameters.lowest_temperature
        performance = coefficient_of_performance(
            outdoor, parameters.supply_temperature, parameters.performance
        )
        gain = parameters.internal_gain + parameters.solar_aperture * sun * 1e-3
        kelvin_per_kw = hours / parameters.capacity * performance
        kept = 1.0 - hours / (parameters.capacity * parameters.resistance)
        drift = hours / parameters.capacity * ((outdoor - edge) / parameters.resistance + gain)

        # The next temperature rises with the last one and with the action: two days are extremes.
        midnight = coldest = warmest = state.temperature[0]
        ones, extremes = torch.ones_like(edge), []
        for t in range(shape[0]):
            weather = outdoor[t], sun[t], hours
            unheated = edge + kept * (warmest - edge) + drift[t]
            cold_day = [step_heat_pumps(parameters, coldest, a, *weather) for a in (-ones, ones)]
            warm_day = [step_heat_pumps(parameters, warmest, a, *weather) for a in (-ones, ones)]
            coldest, warmest = cold_day[0][0], warm_day[1][0]
            extremes.append(
                (warm_day[0][1], cold_day[1][1], coldest - edge, warmest - edge, unheated - warmest)
            )
        least, most, below, above, let_out = (
            torch.stack(series).numpy() for series in zip(*extremes, strict=True)
        )

        none, kelvin = np.zeros(shape), np.zeros(shape)
        kelvin[-1] = stored_heat_value(  # linear, and nothing at the edge: € per K
            parameters,
            edge + 1.0,
            day.last_mean(day.outdoor_temperature),
            day.last_mean(day.import_price),
        )[0].numpy()
        first = drift.numpy().copy()
        first[0] += (kept * (midnight - edge)).numpy()
        one = sparse.eye_array(size)
        follows = one - step_before(shape) @ diagonal(kept, shape)
        return LinearProgram(
            flat(hours * meters.imported + none, -kelvin, hours * DISCOMFORT_PRICE + kelvin, none),
            meters.bill,
            flat(least, np.maximum(below, 0.0), np.maximum(-above, 0.0), none),
            flat(most, np.maximum(above, 0.0), np.maximum(-below, 0.0), np.maximum(let_out, 0.0)),
            sparse.hstack((-diagonal(kelvin_per_kw, shape), follows, -follows, one), "csr"),
            first.ravel(),
            sparse.hstack((one, sparse.csr_array((size, 3 * size))), "csr"),
        )

    def action_for_power(
        self, parameters: HeatPumps, state: HeatPumpState, power: Tensor, window: Window
    ) -> Tensor:
        """See `DeviceKind`."""
        weather = window.outdoor_temperature[0], window.irradiance[0], window.hours
        return _action_for_power(parameters, state.temperature, power, weather)


def _action_for_power(
    parameters: HeatPumps,
    temperature: Tensor,
    power: Tensor,
    weather: tuple[Tensor, Tensor, float],
) -> Tensor:
    """The action under which power is drawn, or the nearest to it; weather as of a step."""
    least, most = (
        step_heat_pumps(parameters, temperature, torch.full_like(power, end), *weather)[1]
        for end in (-1.0, 1.0)
    )
    room = (most - least).clamp(min=1e-6 * parameters.maximum_power)
    return (2.0 * (power - least) / room - 1.0).clamp(-1.0, 1.0)


def _middle(parameters: HeatPumps) -> Tensor:
    """(devices,) °C in the middle of the comfort band."""
    return 0.5 * (parameters.lowest_temperature + parameters.highest_temperature)


def _lognormal(
    p10: float, p50: float, p90: float, count: int, random: np.random.Generator
) -> np.ndarray:
    sigma = np.log(p90 / p10) / (2.0 * 1.2815515655446004)  # standard normal decile
    return p50 * np.exp(np.clip(random.normal(0.0, sigma, count), -2.0 * sigma, 2.0 * sigma))


HEAT_PUMP = HeatPump()

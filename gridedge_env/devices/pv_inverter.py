"""Photovoltaics on a roof: what the sun gives, curtailed at will."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.day import Day, Window
from gridedge_env.devices.flexibility import Earnings, Outlook, by_class, without_store
from gridedge_env.devices.kind import (
    INVERTER_OVERSIZE,
    DeviceKind,
    Reading,
    Seen,
    StoreAxis,
    as_read,
)
from gridedge_env.devices.linear_program import LinearProgram, Meters, flat
from gridedge_env.devices.ranges import positive, within
from gridedge_env.record import Record, batch
from gridedge_env.scenarios import DayTable
from gridedge_env.scenarios.sun import plane_irradiance, plane_normal
from gridedge_gateway.program import Flexibility

# W/m² at which panels give their peak power (standard test conditions, IEC 60904-3).
STANDARD_IRRADIANCE = 1000.0
# €/kWh: what the sun gives for nothing is planned to be fed in where that earns nothing, too.
LEAST_WORTH = 0.003
# Share of full power by which an inverter feeds in less than it was told where the sun falls short.
LEAST_SHORTAGE = 1e-3


@dataclass(frozen=True, eq=False)
class PvInverters(Record):
    """Parameters of panels and their inverters; all tensors are (inverters,).

    Attributes:
        maximum_power: kW that the inverter can feed in.
        peak_power: kWp of the panels.
        tilt: ° from the horizontal.
        azimuth: ° from north, clockwise: 90 east, 180 south.
        performance_ratio: of the system: what it gives over what its peak power and the light on
            its panels would.
    """

    maximum_power: Tensor = field(metadata=positive())
    peak_power: Tensor = field(metadata=positive())
    tilt: Tensor = field(metadata=within(0.0, 90.0))
    azimuth: Tensor = field(metadata=within(0.0, 360.0))
    performance_ratio: Tensor = field(metadata=positive(1.0))

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    def normal(self) -> Tensor:
        """(inverters, 3) where the panels face: east, north, up."""
        return plane_normal(self.tilt, self.azimuth)


@dataclass(frozen=True, eq=False)
class PvInverterState(Record):
    """Where inverters stand, after the step that has ended; (batch, inverters) each.

    Attributes:
        available: share of full power that the sun offered.
        output: share of full power that was fed in.
    """

    available: Tensor = field(metadata=batch())
    output: Tensor = field(metadata=batch())


def available_power(inverters: PvInverters, irradiance: Tensor, direct: Tensor) -> Tensor:
    """kW that can be fed in: light on the panels, losses, and at most what the inverter can do.

    Args:
        inverters: parameters.
        irradiance: (..., 1) W/m², global on the horizontal.
        direct: (..., 3) W/m² straight from the sun.

    Returns:
        (..., inverters).
    """
    light = plane_irradiance(irradiance, direct, inverters.normal)
    gain = inverters.peak_power * inverters.performance_ratio / STANDARD_IRRADIANCE
    return torch.minimum(gain * light, inverters.maximum_power)


class PvInverter(DeviceKind[PvInverters, PvInverterState]):
    """See `DeviceKind`. The action spans nothing and all that there is, as a generator's does.

    What the sun will give is not known before a step: the agent observes what it gave in the last.
    """

    name = "pv_inverter"
    plural = "PV inverters"
    at_rest = "feed in all that they have"
    random_stream = 6
    feeds_at_rest = True
    parameters = PvInverters
    readings = (Reading("power", "kW", -0.1, 1.2),)

    def sample(
        self, count: int, scale: float, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Draw parameters: roofs of houses.

        3 to 10 kWp, the class of small roofs of Germany's Renewable Energy Sources Act (up to 10
        kWp), behind inverters of 0.8 to 1.0 of that. Tilts of 20 to 50°, facing from east to west
        and mostly south: what 2.8 million systems have is centred there and spread wide (Killinger
        et al., Solar Energy 173, 1087-1106, 2018). Performance ratios of 0.75 to 0.90: of some 100
        German systems 0.70 to 0.90, median 0.84 (Reich et al., Progress in Photovoltaics 20,
        717-726, 2012).
        """
        peak = random.uniform(3.0, 10.0, count) * scale
        return {
            "maximum_power": peak * random.uniform(0.8, 1.0, count),
            "peak_power": peak,
            "tilt": random.uniform(20.0, 50.0, count),
            "azimuth": random.triangular(90.0, 180.0, 270.0, count),
            "performance_ratio": random.uniform(0.75, 0.90, count),
        }

    def full_power(self, parameters: PvInverters) -> Tensor:
        """See `DeviceKind`."""
        return parameters.maximum_power

    def begin(
        self, parameters: PvInverters, batch: int, generator: torch.Generator, clock: Clock
    ) -> PvInverterState:
        """Dark."""
        none = torch.zeros_like(parameters.maximum_power).expand(batch, -1)
        return PvInverterState(none, none)

    def check_days(self, days: DayTable) -> None:
        """They must say where the sun stands."""
        if days.direct_irradiance is None:
            raise ValueError(
                "days: got none with direct_irradiance, expected it for PV inverters: [days] in "
                "case.toml must say the site, or a source of days in Python work it out with "
                "gridedge_env.scenarios.sun.direct_irradiance"
            )

    def run(
        self, parameters: PvInverters, state: PvInverterState, action: Tensor, window: Window
    ) -> tuple[PvInverterState, Tensor, Tensor]:
        """Feed in (1 + action) / 2 of what there is; free of charge."""
        available = available_power(parameters, window.irradiance, window.direct_irradiance)
        output = 0.5 * (action + 1.0) * available
        full = parameters.maximum_power
        after = PvInverterState(available[-1] / full, output[-1] / full)
        return after, -output, torch.zeros_like(output)

    def inverter_rating(self, parameters: PvInverters) -> Tensor:
        """See `DeviceKind`."""
        return INVERTER_OVERSIZE * parameters.maximum_power

    def stored(self, parameters: PvInverters, state: PvInverterState) -> Tensor:
        """Share of full power in the step before."""
        return state.output

    def observed_state(
        self, parameters: PvInverters, state: PvInverterState, window: Window
    ) -> Tensor:
        """Share of full power that the sun offered in the step before."""
        return state.available

    def store_axis(self, parameters: PvInverters, device: int) -> StoreAxis:
        """Its output."""
        return StoreAxis("Output, share of full power", percent=True, ended=True)

    def idle(self, parameters: PvInverters, seen: Seen) -> Tensor:
        """Feed in what there is."""
        return torch.ones_like(seen.own_state)

    def follow_price(self, parameters: PvInverters, seen: Seen) -> Tensor:
        """Feed in what there is, but for hours in which electricity costs less than nothing."""
        paid = seen.shared("price") >= 0.0
        return (2.0 * paid.to(seen.own_state) - 1.0).expand_as(seen.own_state)

    def droop_range(
        self, parameters: PvInverters, feed: Tensor, draw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """It feeds in (1 + action) / 2."""
        return -2.0 * draw - 1.0, 2.0 * feed - 1.0

    def inverter_power(self, parameters: PvInverters, action: Tensor, seen: Seen) -> Tensor:
        """What it would have fed in during the step before."""
        return -0.5 * (action + 1.0) * seen.own_state * parameters.maximum_power

    def sense(
        self,
        parameters: PvInverters,
        state: PvInverterState,
        readings: Mapping[str, Tensor],
        new_episode: Tensor,
        window: Window,
    ) -> PvInverterState:
        """By kW fed in during the step that has ended: what the sun offered, unless curtailed."""
        read = readings["power"]
        fed = as_read(read, (read / parameters.maximum_power).clamp(0.0, 1.0), state.output)
        # Less than it was told to feed in is all that there was, but for the rounding of policies.
        short = fed < state.output - LEAST_SHORTAGE
        available = torch.where(short, fed, torch.maximum(state.available, fed))
        return PvInverterState(available, fed)

    def readings_of(
        self, parameters: PvInverters, state: PvInverterState, window: Window
    ) -> dict[str, Tensor]:
        """See `DeviceKind`."""
        return {"power": state.output * parameters.maximum_power}

    def lone_plan(self, parameters: PvInverters, state: PvInverterState, day: Day) -> Tensor:
        """All that there is, but for steps in which feeding in costs money."""
        paid = day.export_price.T[..., None] >= 0.0
        return (2.0 * paid.to(state.available) - 1.0).expand(-1, -1, len(parameters.tilt))

    def plan_order(self, parameters: PvInverters) -> Tensor:
        """By where the panels face."""
        return parameters.azimuth

    def flexibility(self, parameters: PvInverters, outlook: Outlook) -> Flexibility[Tensor]:
        """No store."""
        share = by_class(self._available(parameters, outlook) / parameters.maximum_power)
        cost = by_class((-LEAST_WORTH - outlook.export_price).expand(-1, -1, len(parameters.tilt)))
        return without_store(share, cost, torch.zeros_like(cost[:, 0, 0]))

    def asked_by_plan(
        self, parameters: PvInverters, outlook: Outlook, draw: Tensor, feed: Tensor, store: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `DeviceKind`; where there is no sun, it is asked for all of it."""
        share = self._available(parameters, outlook)[:, None] / parameters.maximum_power
        share = share.expand_as(feed)
        action = torch.where(share > 1e-6, 2.0 * feed / share.clamp(min=1e-6) - 1.0, 1.0)
        return action.clamp(-1.0, 1.0), share

    def follow_plan(
        self,
        parameters: PvInverters,
        state: PvInverterState,
        asked: Tensor,
        earnings: Earnings,
        window: Window,
    ) -> Tensor:
        """The share of its class, or, where only homes' own use pays, as much for its home."""
        own_use = (earnings.surcharge > 0.0) & (earnings.exported < -LEAST_WORTH)
        share = 0.5 * (asked + 1.0) * torch.where(own_use, earnings.relative, 1.0)
        return 2.0 * share.clamp(max=1.0) - 1.0

    def _available(self, parameters: PvInverters, outlook: Outlook) -> Tensor:
        if outlook.direct_irradiance is None:
            raise ValueError("days: got none with direct_irradiance, expected where the sun stands")
        return available_power(parameters, outlook.irradiance, outlook.direct_irradiance)

    def linear_program(
        self,
        parameters: PvInverters,
        state: PvInverterState,
        day: Day,
        meters: Meters,
        around: np.ndarray | None,
    ) -> LinearProgram:
        """Variables: kW that save imports, and kW that are exported."""
        size, window = meters.demand.size, Window(day, 0, day.clock.steps)
        sun = available_power(parameters, window.irradiance, window.direct_irradiance)
        available, none = sun[:, 0].numpy(), np.zeros(meters.demand.shape)
        home = np.clip(meters.demand, 0.0, available)
        one = sparse.eye_array(size)
        return LinearProgram(
            flat(none - meters.hours * meters.imported, none - meters.hours * meters.exported),
            meters.bill,
            flat(none, none),
            flat(home, available - home),
            sparse.csr_array((0, 2 * size)),
            np.zeros(0),
            sparse.hstack((-one, -one), "csr"),
        )

    def action_for_power(
        self, parameters: PvInverters, state: PvInverterState, power: Tensor, window: Window
    ) -> Tensor:
        """See `DeviceKind`."""
        sun = available_power(parameters, window.irradiance, window.direct_irradiance)[0]
        least = 1e-9 * parameters.maximum_power
        return (-2.0 * power / torch.maximum(sun, least) - 1.0).clamp(-1.0, 1.0)


PV_INVERTER = PvInverter()

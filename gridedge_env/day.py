"""A batch of episodes as they will unfold, and the part that devices go through in a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.record import Record, batch


@dataclass(frozen=True, eq=False)
class Planned(Record):
    """What the public plan says of a batch of days; see `gridedge_env.public_plan`.

    Attributes:
        asked: (batch, steps, classes of devices x groups of homes) as each kind's `follow_plan`
            takes it: an action, or a change of a battery's state of charge.
        stored: likewise, before each step, from 0 to 1 of a device's range.
        congestion_price: (batch, steps, groups) €/kWh.
        net: likewise, kW drawn over the full power of all devices.
        least: as `asked`, what the rest of a home draws at least, over its device's full power.
        most: likewise, at most.
    """

    asked: Tensor = field(metadata=batch())
    stored: Tensor = field(metadata=batch())
    congestion_price: Tensor = field(metadata=batch())
    net: Tensor = field(metadata=batch())
    least: Tensor = field(metadata=batch())
    most: Tensor = field(metadata=batch())


@dataclass(frozen=True, eq=False)
class Day(Record):
    """A batch of episodes, of a day each or several; nothing in it depends on what agents do.

    Attributes:
        clock: of the episodes.
        table_row: (batch,) row of each one's first day in its split's table.
        outdoor_temperature: (batch, steps) °C.
        irradiance: (batch, steps) W/m².
        import_price: (batch, steps) €/kWh.
        export_price: (batch, steps) €/kWh.
        demand: (batch, steps, agents) kW, uncontrollable.
        mean_demand: (agents,) kW, annual mean.
        shared_observation: (batch, steps, shared fields).
        direct_irradiance: (batch, steps, 3) W/m² from the east, the north and above, of
            `scenarios.sun`; None: the days' source does not say.
        load_multiplier: (batch, steps, profiles) of the nominal power of the feeder's own loads;
            None: they draw just that.
        planned: what the public plan says; None: there is none.
    """

    clock: Clock
    table_row: Tensor = field(metadata=batch())
    outdoor_temperature: Tensor = field(metadata=batch())
    irradiance: Tensor = field(metadata=batch())
    import_price: Tensor = field(metadata=batch())
    export_price: Tensor = field(metadata=batch())
    demand: Tensor = field(metadata=batch())
    mean_demand: Tensor
    shared_observation: Tensor = field(metadata=batch())
    direct_irradiance: Tensor | None = field(default=None, metadata=batch())
    load_multiplier: Tensor | None = field(default=None, metadata=batch())
    planned: Planned | None = None

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    @torch.enable_grad()
    def conditions(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(steps, batch, 1) each, what all homes share.

        Outdoor temperature in °C, irradiance in W/m², export price in €/kWh and by how much the
        import price is above it.
        """
        above = self.import_price - self.export_price
        series = (self.outdoor_temperature, self.irradiance, self.export_price, above)
        outdoor, sun, export, surcharge = torch.stack(series).mT.unsqueeze(-1).contiguous()
        return outdoor, sun, export, surcharge

    @cached_property
    @torch.inference_mode(False)
    @torch.enable_grad()
    def sunlight(self) -> Tensor:
        """(steps, batch, 3) W/m² that come straight from the sun: from the east, north, above.

        Raises:
            ValueError: the days' source does not say.
        """
        if self.direct_irradiance is None:
            raise ValueError("days: got none with direct_irradiance, expected where the sun stands")
        return self.direct_irradiance.transpose(0, 1).contiguous()

    @cached_property
    @torch.inference_mode(False)
    def hours_left(self) -> Tensor:
        """(steps, 1, 1) from the end of each step to that of the episode, a midnight."""
        like = self.outdoor_temperature
        steps = torch.arange(self.clock.steps, device=like.device, dtype=like.dtype)
        return (self.clock.hours * steps.flip(0))[:, None, None]

    def last_mean(self, series: Tensor) -> Tensor:
        """(batch, 1) mean over the last day of a series (batch, steps)."""
        return series[:, -self.clock.day.steps :].mean(dim=1, keepdim=True)


@dataclass(frozen=True)
class Window:
    """Some steps of a batch of episodes.

    Attributes:
        day: the episodes.
        first: the first of the steps.
        steps: how many there are.
    """

    day: Day
    first: int
    steps: int

    @property
    def hours(self) -> float:
        """Length of a step."""
        return self.day.clock.hours

    @property
    def end(self) -> int:
        """Steps of the episode that are done when these are."""
        return self.first + self.steps

    @property
    def ends_episode(self) -> bool:
        """Whether the last midnight comes after these steps."""
        return self.end == self.day.clock.steps

    @property
    def hours_left(self) -> Tensor:
        """(steps, 1, 1) from the end of each step to that of the episode, a midnight."""
        return self.day.hours_left[self.first : self.end]

    @property
    def outdoor_temperature(self) -> Tensor:
        """(steps, batch, 1) °C."""
        return self._condition(0)

    @property
    def irradiance(self) -> Tensor:
        """(steps, batch, 1) W/m²."""
        return self._condition(1)

    @property
    def direct_irradiance(self) -> Tensor:
        """(steps, batch, 3) W/m² that come straight from the sun: from the east, north, above.

        Raises:
            ValueError: the days' source does not say.
        """
        return self.day.sunlight[self.first : self.end]

    @property
    def export_price(self) -> Tensor:
        """(steps, batch, 1) €/kWh."""
        return self._condition(2)

    @property
    def import_surcharge(self) -> Tensor:
        """(steps, batch, 1) €/kWh by which the import price is above it."""
        return self._condition(3)

    def with_electricity(self, cost: Tensor, power: Tensor) -> Tensor:
        """€ of every meter: a cost, and what it is billed for kW; (steps, batch, agents) each."""
        bill = torch.addcmul(cost, self.export_price, power, value=self.hours)
        return torch.addcmul(bill, self.import_surcharge, torch.relu(power), value=self.hours)

    @property
    def load_multiplier(self) -> Tensor | None:
        """(steps x batch, profiles) of the feeder's own loads, or None, as of `Day`."""
        multiplier = self.day.load_multiplier
        if multiplier is None:
            return None
        return multiplier[:, self.first : self.end].transpose(0, 1).flatten(0, 1)

    def _condition(self, number: int) -> Tensor:
        return self.day.conditions[number][self.first : self.end]

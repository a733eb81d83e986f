"""Homes that read the public plan: what it asks of their devices and says of where they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gridedge_env.day import Day, Planned, Window
from gridedge_env.devices import Fleet
from gridedge_env.devices.flexibility import Earnings
from gridedge_env.record import Record


@dataclass(frozen=True, eq=False)
class Columns(Record):
    """Where the devices of a kind read in `Planned`: between the classes on either side of theirs.

    Attributes:
        below: (devices,) column of the class below in the device's group of homes.
        above: likewise, above.
        between: (devices,) how far it is from the one to the other.
        relative: (devices,) homes that a kW of full power has for itself, over those of its class,
            and over the mean demand of a home, kW.
    """

    below: Tensor
    above: Tensor
    between: Tensor
    relative: Tensor

    def read(self, values: Tensor) -> Tensor:
        """(batch, devices) from a step of `Planned`."""
        below, above = values.index_select(-1, self.below), values.index_select(-1, self.above)
        return torch.lerp(below, above, self.between)


@dataclass(frozen=True, eq=False)
class PlannedHomes(Record):
    """The homes.

    Attributes:
        fleet: their devices.
        columns: of the devices of each kind; None: nothing is planned for them.
        group: (agents,) that each home is in.
    """

    fleet: Fleet
    columns: tuple[Columns | None, ...]
    group: Tensor

    def home(self, agent: int) -> PlannedHomes:
        """One of them, as of `Fleet.home`."""
        columns = self.fleet.of_home(self.columns, agent)
        return PlannedHomes(self.fleet.home(agent), columns, self.group[agent, None])

    def asks(
        self, window: Window, devices: tuple[Record, ...]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Actions and stores that are asked of the devices of each kind of the fleet in a step.

        Args:
            window: the step.
            devices: where the devices of each kind stand.

        Returns:
            (batch, devices) each; 0 of kinds for which nothing is planned.
        """
        day, step = window.day, window.first
        planned = _planned_of(day)
        earned = day.export_price[:, step, None] + self.congestion_price(window)
        surcharge = (day.import_price - day.export_price)[:, step, None]
        actions, stored = [], []
        for group, columns, state in zip(self.fleet.groups, self.columns, devices, strict=True):
            if columns is None:
                none = earned.new_zeros(len(earned), len(group))
                actions.append(none)
                stored.append(none)
                continue
            asked, before, least, most = (
                columns.read(values[:, step])
                for values in (planned.asked, planned.stored, planned.least, planned.most)
            )
            exported = earned.index_select(-1, group.agent)
            mean = torch.relu(day.mean_demand.index_select(-1, group.agent))
            relative = columns.relative * mean
            least, most = relative * least, relative * most
            own = Earnings(exported, surcharge.clamp(min=0.0), least, most, relative)
            actions.append(group.kind.follow_plan(group.parameters, state, asked, own, window))
            stored.append(before)
        return actions, stored

    def congestion_price(self, window: Window) -> Tensor:
        """(batch, agents) €/kWh that the feeder adds to the price of drawing, where each lives."""
        return (
            _planned_of(window.day).congestion_price[:, window.first].index_select(-1, self.group)
        )

    def net(self, window: Window) -> Tensor:
        """(batch, agents) what the homes around draw, over the full power of their devices."""
        return _planned_of(window.day).net[:, window.first].index_select(-1, self.group)


def _planned_of(day: Day) -> Planned:
    if day.planned is None:
        raise ValueError("day: got none with a plan, expected one of a case with a public plan")
    return day.planned

"""The public plan: what the whole fleet would best do within the feeder's limits, as all can tell.

At midnight every home can work it out from what is published (day-ahead prices, the weather
forecast, the mean demand of a home by month, kind of day and time of day) and what was known when
policies were installed: how many devices of which kind stand where, and what the feeder carries.
Nothing of any home's own day is in it, and nothing is communicated. What it gives each home is what
a device like its own would do, and the price of congestion where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.constraints import Limits
from gridedge_env.day import Day, Planned, Window
from gridedge_env.devices import Fleet
from gridedge_env.devices.fleet import DeviceGroup
from gridedge_env.devices.flexibility import Array, Outlook, joined
from gridedge_env.devices.kind import REACTIVE_SHARE
from gridedge_env.news import PRICE_TICK, Quotes
from gridedge_env.powerflow import PowerFlow
from gridedge_env.public_plan.classes import Classes, classes_of
from gridedge_env.public_plan.groups import groups_of
from gridedge_env.public_plan.limits import feeder_limits
from gridedge_env.public_plan.program import MOST_GROUPS, plan_fleet
from gridedge_env.record import Record
from gridedge_env.scenarios import DayTable, Tariff
from gridedge_env.wiring import Wiring

# Classes of the devices of a kind, at most.
CLASSES = 3
# By how much the plan stays inside the limits: of ratings, and pu.
LOADING_MARGIN, VOLTAGE_MARGIN = 0.04, 0.0045
# €/kWh by which the marginal cost of a class rises to its last kilowatt: devices differ.
SPREAD = 0.002
# °C and W/m²: weather is read in whole ticks, as prices are, the same in every precision.
DEGREE_TICK, SUN_TICK = 0.1, 1.0
# Whoever follows a plan takes smaller actions for rest: it is not worked out that finely.
LEAST_PLANNED_ACTION = 0.02


@dataclass(frozen=True)
class PlannedKind:
    """The devices of a kind in the plan.

    Attributes:
        group: the devices.
        classes: of them.
        below: (devices,) column of `Planned` of the class below in the device's group of homes.
        above: likewise, above.
        between: (devices,) how far it is from the one to the other.
    """

    group: DeviceGroup
    classes: Classes
    below: Tensor
    above: Tensor
    between: Tensor

    def read(self, values: Tensor) -> Tensor:
        """(batch, devices) from a step of `Planned`, between the classes on either side."""
        below, above = values.index_select(-1, self.below), values.index_select(-1, self.above)
        return torch.lerp(below, above, self.between)


class PublicPlan:
    """What is known when policies are installed, and the plans that follow from it.

    Args:
        fleet: the homes, in the precision of the simulator, on its device.
        power_flow: of the feeder.
        wiring: how homes draw there.
        limits: what it is allowed.
        clock: of the days.
        expected: (12, 2, steps of a day) kW, mean demand of a home by month and kind of day.

    Raises:
        ValueError: nothing can be planned for any device, or the plan's margins leave nothing of a
            limit.

    Attributes:
        limit_names: of the limits that can bind.
        groups: number of groups of homes.
        group: (agents,) that each home is in.
    """

    def __init__(
        self,
        fleet: Fleet,
        power_flow: PowerFlow,
        wiring: Wiring,
        limits: Limits,
        clock: Clock,
        expected: Array,
    ) -> None:
        self.clock, self._expected, self._fleet = clock, expected, fleet
        self._like = like = fleet.inverter_rating
        bright = _bright_day(clock)
        classes = [classes_of(group, CLASSES) for group in fleet.groups]
        possible = [
            group.kind.flexibility(own.parameters, bright)
            for group, own in zip(fleet.groups, classes, strict=True)
        ]
        if all(flexibility is None for flexibility in possible):
            raise ValueError("public_plan: got no kind that says what it can do, expected some")

        connections = len(fleet.connection_names)
        connection = fleet.connection.cpu().numpy()
        homes = np.bincount(connection, minlength=connections)
        base = np.concatenate((homes, REACTIVE_SHARE * homes)) * expected.mean()
        draw, feed, stands = np.zeros_like(base), np.zeros_like(base), []
        for group, own, flexibility in zip(fleet.groups, classes, possible, strict=True):
            if flexibility is None:
                continue
            power = np.zeros((len(own), connections))
            np.add.at(power, (own.member, connection[group.agent.cpu().numpy()]), own.power)
            drawn = np.concatenate((power, group.kind.reactive_share * power), axis=1)
            draw += flexibility.draw.max(axis=(1, 2)) @ drawn
            feed -= flexibility.feed.max(axis=(1, 2)) @ drawn
            stands.append(power)
        base, draw, feed = (torch.from_numpy(way).to(like) for way in (base, draw, feed))
        self._limits = feeder_limits(power_flow, wiring, _tightened(limits), base, (draw, feed))
        self._groups = groups_of(self._limits, np.concatenate(stands), homes, MOST_GROUPS)
        self.groups = len(self._groups)
        self.group = torch.from_numpy(self._groups.member[connection]).to(like.device)
        self.limit_names = self._limits.names
        self.kinds = self._planned_kinds(classes, [one is not None for one in possible])

    def _planned_kinds(
        self, classes: list[Classes], planned: list[bool]
    ) -> tuple[PlannedKind | None, ...]:
        kinds: list[PlannedKind | None] = []
        begin = 0
        for group, own, there in zip(self._fleet.groups, classes, planned, strict=True):
            if not there:
                kinds.append(None)
                continue
            home = self.group.index_select(0, group.agent)
            below, above = (
                begin + self.groups * torch.from_numpy(number).to(home) + home
                for number in (own.below, own.above)
            )
            between = torch.from_numpy(own.between).to(self._like)
            kinds.append(PlannedKind(group, own, below, above, between))
            begin += len(own) * self.groups
        return tuple(kinds)

    @torch.no_grad()
    def of_episodes(self, days: DayTable, tariff: Tariff) -> Planned:
        """Plans of episodes.

        Args:
            days: weather and prices as forecast, of each day of each episode in turn.
            tariff: what is paid.
        """
        outlook, clock, groups = _outlook(days, tariff, self.clock), self.clock, self._groups
        month, weekend = days.month.cpu().numpy(), days.weekend.cpu().numpy().astype(int)
        base = groups.base(self._expected[month, weekend].reshape(-1, 1, clock.steps))
        planned = [kind for kind in self.kinds if kind is not None]
        parts = [k.group.kind.flexibility(k.classes.parameters, outlook) for k in planned]
        plan = plan_fleet(
            joined([part for part in parts if part is not None], len(base), clock.steps, SPREAD),
            groups.network(self._limits),
            base,
            groups.taken(self._limits, base),
            clock.hours,
        )

        asked, stored, begin = [], [], 0
        for kind in planned:
            own = slice(begin, begin + len(kind.classes))
            flows = (
                torch.from_numpy(np.ascontiguousarray(values[own].transpose(1, 2, 3, 0)))
                for values in (plan.draw, plan.feed, plan.store)
            )
            asks, before = kind.group.kind.asked_by_plan(kind.classes.parameters, outlook, *flows)
            asked.append(_by_step(asks))
            stored.append(_by_step(before))
            begin = own.stop

        def moved(values: Tensor) -> Tensor:
            return values.to(self._like)

        power = torch.from_numpy(groups.power.sum(axis=1))
        return Planned(
            moved(torch.cat(asked, dim=-1)),
            moved(torch.cat(stored, dim=-1)),
            moved(torch.from_numpy(plan.congestion_price).mT),
            moved(torch.from_numpy(plan.net).mT / power),
        )

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
        actions, stored = [], []
        for group, kind, state in zip(self._fleet.groups, self.kinds, devices, strict=True):
            if kind is None:
                none = earned.new_zeros(len(earned), len(group))
                actions.append(none)
                stored.append(none)
                continue
            asked, before = (
                kind.read(values[:, step]) for values in (planned.asked, planned.stored)
            )
            own = earned.index_select(-1, group.agent)
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


def _tightened(limits: Limits) -> Limits:
    try:
        return limits.tightened(voltage=VOLTAGE_MARGIN, loading=LOADING_MARGIN)
    except ValueError as error:
        raise ValueError(
            f"public_plan: got limits of which {VOLTAGE_MARGIN} pu and {LOADING_MARGIN:.0%} of "
            f"ratings leave nothing, expected wider ones or no plan ({error})"
        ) from error


def _planned_of(day: Day) -> Planned:
    if day.planned is None:
        raise ValueError("day: got none with a plan, expected one of a case with a public plan")
    return day.planned


def _outlook(days: DayTable, tariff: Tariff, clock: Clock) -> Outlook:
    def joined_days(values: Tensor) -> Tensor:
        return values.reshape(-1, clock.steps, *values.shape[2:])

    prices = Quotes.of(days, tariff, clock.day)
    sun = days.direct_irradiance
    return Outlook(
        clock,
        joined_days(_in_ticks(prices.published_price, PRICE_TICK)),
        joined_days(_in_ticks(prices.export_price, PRICE_TICK)),
        joined_days(_in_ticks(days.outdoor_temperature, DEGREE_TICK)),
        joined_days(_in_ticks(days.irradiance, SUN_TICK)),
        None if sun is None else joined_days(_in_ticks(sun, SUN_TICK)[..., 0]),
    )


def _bright_day(clock: Clock) -> Outlook:
    """On which all devices could draw or feed in at full power; prices do not matter."""
    one = torch.ones(1, clock.steps, 1, dtype=torch.float64, device="cpu")
    sun = 1000.0 * one
    above = torch.cat((0.0 * one, 0.0 * one, sun), dim=-1)
    return Outlook(clock, 0.25 * one, 0.25 * one, 5.0 * one, sun, above)


def _in_ticks(values: Tensor, tick: float) -> Tensor:
    """(days, steps, 1) in double precision on the host."""
    return ((values.cpu().double() / tick).round() * tick)[..., None]


def _by_step(values: Tensor) -> Tensor:
    """From (days, groups, steps, classes) to (days, steps, classes x groups)."""
    return values.permute(0, 2, 3, 1).flatten(-2)

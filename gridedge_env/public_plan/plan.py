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
from gridedge_env.public_plan.classes import Classes, classes_of, grouped
from gridedge_env.public_plan.limits import feeder_limits
from gridedge_env.public_plan.program import MOST_GROUPS, Network, plan_fleet
from gridedge_env.record import Record
from gridedge_env.scenarios import DayTable, Tariff
from gridedge_env.wiring import Wiring

# Classes of the devices of a kind, at most.
CLASSES = 3
# By how much the plan stays inside the limits: of ratings, and pu.
LOADING_MARGIN, VOLTAGE_MARGIN = 0.04, 0.0045
# €/kWh by which the marginal cost of a class rises to its last kilowatt: devices differ.
SPREAD = 0.002
# Of ratings, or in units of a limit's scale: a limit with less room counts as if it had so much.
LEAST_ROOM = 0.05
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
        self.clock, self._expected = clock, expected
        like = fleet.inverter_rating
        outlook = _bright_day(clock)
        self._fleet = fleet
        found = []
        for group in fleet.groups:
            classes = classes_of(group, CLASSES)
            flexibility = group.kind.flexibility(classes.parameters, outlook)
            found.append((group, classes, flexibility))
        if all(flexibility is None for *_, flexibility in found):
            raise ValueError("public_plan: got no kind that says what it can do, expected some")

        connections = len(fleet.connection_names)
        connection = fleet.connection.cpu().numpy()
        base = np.bincount(connection, minlength=connections) * expected.mean()
        base = np.concatenate((base, REACTIVE_SHARE * base))
        draw, feed, parts = np.zeros_like(base), np.zeros_like(base), []
        for group, classes, flexibility in found:
            if flexibility is None:
                continue
            where = connection[group.agent.cpu().numpy()]
            for total, most in (
                (draw, flexibility.draw.max(axis=(1, 2))),
                (feed, -flexibility.feed.max(axis=(1, 2))),
            ):
                kw = np.bincount(where, classes.power * most[classes.member], connections)
                total[:connections] += kw
                total[connections:] += group.kind.reactive_share * kw
            stands = np.zeros((len(classes), connections))
            np.add.at(stands, (classes.member, where), classes.power)
            parts.append(stands)
        tangents = feeder_limits(
            power_flow,
            wiring,
            _tightened(limits),
            torch.from_numpy(base).to(like),
            tuple(torch.from_numpy(way).to(like) for way in (draw, feed)),
        )
        self.limit_names = tangents.names
        in_classes = np.concatenate(parts)
        power = in_classes.sum(axis=0)
        # In shares of what there is room for: what binds first tells homes apart first.
        share = tangents.slope / np.maximum(tangents.room, LEAST_ROOM)[:, None]
        group_of = grouped(share.T, in_classes, MOST_GROUPS)
        self.groups = int(group_of.max()) + 1
        homes = group_of[connection]
        self.group = torch.from_numpy(homes).to(like.device)

        members = np.eye(self.groups)[group_of] * power[:, None]
        members /= members.sum(axis=0)
        demand = np.eye(self.groups)[homes].sum(axis=0)
        lived = np.zeros((connections, self.groups))
        np.add.at(lived, (connection, homes), 1.0 / demand[homes])
        self._home_count = demand
        of_demand = tangents.slope + REACTIVE_SHARE * tangents.reactive_slope
        self._demand_slope = of_demand @ lived
        kinds: list[PlannedKind | None] = []
        power_of, begin = [], 0
        for group, classes, flexibility in found:
            if flexibility is None:
                kinds.append(None)
                continue
            own = homes[group.agent.cpu().numpy()]
            below, above = (
                begin + torch.from_numpy(number * self.groups + own).to(like.device)
                for number in (classes.below, classes.above)
            )
            between = torch.from_numpy(classes.between).to(like)
            kinds.append(PlannedKind(group, classes, below, above, between))
            in_class = np.zeros((self.groups, len(classes)))
            np.add.at(in_class, (own, classes.member), classes.power)
            power_of.append(in_class)
            begin += len(classes) * self.groups
        self.kinds = tuple(kinds)
        self._network = Network(
            np.concatenate(power_of, axis=1), tangents.slope @ members, tangents.room
        )
        self._like = like

    @torch.no_grad()
    def of_episodes(self, days: DayTable, tariff: Tariff) -> Planned:
        """Plans of episodes.

        Args:
            days: weather and prices as forecast, of each day of each episode in turn.
            tariff: what is paid.
        """
        clock = self.clock

        def joined_days(values: Tensor) -> Tensor:
            return values.reshape(-1, clock.steps, *values.shape[2:])

        prices = Quotes.of(days, tariff, clock.day)
        sun = days.direct_irradiance
        outlook = Outlook(
            clock,
            joined_days(_in_ticks(prices.published_price, PRICE_TICK)),
            joined_days(_in_ticks(prices.export_price, PRICE_TICK)),
            joined_days(_in_ticks(days.outdoor_temperature, DEGREE_TICK)),
            joined_days(_in_ticks(days.irradiance, SUN_TICK)),
            None if sun is None else joined_days(_in_ticks(sun, SUN_TICK)[..., 0]),
        )
        month, weekend = days.month.cpu().numpy(), days.weekend.cpu().numpy().astype(int)
        home = self._expected[month, weekend].reshape(-1, 1, clock.steps)
        base = self._home_count[:, None] * home
        count, steps = len(base), clock.steps
        planned = [kind for kind in self.kinds if kind is not None]
        parts = [k.group.kind.flexibility(k.classes.parameters, outlook) for k in planned]
        flexibility = joined([part for part in parts if part is not None], count, steps, SPREAD)
        network = self._network
        taken = np.einsum("lg,dgt->dlt", self._demand_slope, base)
        plan = plan_fleet(flexibility, network, base, taken, self.clock.hours)

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

        power = torch.from_numpy(network.power.sum(axis=1))
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

"""The public plan: what the whole fleet would best do within the feeder's limits, as all can tell.

At midnight every home can work it out from what is published (day-ahead prices, the weather
forecast, the mean demand of a home by month, kind of day and time of day) and what was known when
policies were installed: how many devices of which kind stand where, and what the feeder carries.
Nothing of any home's own day is in it, and nothing is communicated. What it gives each home is what
a device like its own would do, and the price of congestion where it stands.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.constraints import Limits
from gridedge_env.day import Planned
from gridedge_env.devices import Fleet
from gridedge_env.devices.flexibility import Outlook, in_arrays, joined
from gridedge_env.devices.kind import REACTIVE_SHARE
from gridedge_env.news import PRICE_TICK, Quotes
from gridedge_env.powerflow import PowerFlow
from gridedge_env.public_plan.classes import AtHome, Classes, classes_of
from gridedge_env.public_plan.groups import groups_of
from gridedge_env.public_plan.homes import Columns, PlannedHomes
from gridedge_env.public_plan.limits import feeder_limits
from gridedge_env.public_plan.solving import MOST_GROUPS, solver
from gridedge_env.scenarios import DayTable, Tariff
from gridedge_env.wiring import Wiring
from gridedge_gateway.program import FleetProgram, Flexibility, HomeDemand

# Classes of the devices of a kind, at most.
CLASSES = 3
# By how much the plan stays inside the limits: of ratings, and pu.
LOADING_MARGIN, VOLTAGE_MARGIN = 0.04, 0.0045
# €/kWh by which the marginal cost of a class rises to its last kilowatt: devices differ.
SPREAD = 0.002
# kW: homes that draw less in the mean, or feed in, count as if they drew so much.
LEAST_MEAN_DEMAND = 0.1
# °C and W/m²: weather is read in whole ticks, as prices are, the same in every precision.
DEGREE_TICK, SUN_TICK = 0.1, 1.0


class PublicPlan:
    """What is known when policies are installed, and the plans that follow from it.

    Args:
        fleet: the homes, in the precision of the simulator, on its device.
        power_flow: of the feeder.
        wiring: how homes draw there.
        limits: what it is allowed.
        clock: of the days.
        demand: of a home.

    Raises:
        ValueError: nothing can be planned for any device, or the plan's margins leave nothing of a
            limit.

    Attributes:
        program: what is solved for each episode.
        limit_names: of the limits that can bind.
        homes: that read the plans.
    """

    def __init__(
        self,
        fleet: Fleet,
        power_flow: PowerFlow,
        wiring: Wiring,
        limits: Limits,
        clock: Clock,
        demand: HomeDemand,
    ) -> None:
        self.clock = clock
        self._like = like = fleet.inverter_rating
        bright = _bright_day(clock)
        every = [classes_of(group, CLASSES) for group in fleet.groups]
        possible = [
            group.kind.flexibility(own.parameters, bright)
            for group, own in zip(fleet.groups, every, strict=True)
        ]
        classes = [None if can is None else own for own, can in zip(every, possible, strict=True)]
        if not any(possible):
            raise ValueError("public_plan: got no kind that says what it can do, expected some")

        connections = len(fleet.connection_names)
        connection = fleet.connection.cpu().numpy()
        homes = np.bincount(connection, minlength=connections)
        base = np.concatenate((homes, REACTIVE_SHARE * homes)) * demand.mean.mean()
        draw, feed, stands = np.zeros_like(base), np.zeros_like(base), []
        for group, own, flexibility in zip(fleet.groups, classes, possible, strict=True):
            if flexibility is None or own is None:
                continue
            power = np.zeros((len(own), connections))
            np.add.at(power, (own.member, connection[group.agent.cpu().numpy()]), own.power)
            drawn = np.concatenate((power, group.kind.reactive_share * power), axis=1)
            draw += flexibility.draw.amax(dim=(1, 2)).numpy() @ drawn
            feed -= flexibility.feed.amax(dim=(1, 2)).numpy() @ drawn
            stands.append(power)
        base, draw, feed = (torch.from_numpy(way).to(like) for way in (base, draw, feed))
        feeder = feeder_limits(power_flow, wiring, planned_limits(limits), base, (draw, feed))
        names = fleet.connection_names
        groups = groups_of(feeder, names, np.concatenate(stands), homes, MOST_GROUPS)
        at_home = AtHome.of(fleet, classes)
        self.program = FleetProgram(
            groups.network(feeder),
            groups.homes,
            groups.demand_slope(feeder),
            demand,
            at_home.homes_per_kw,
            at_home.beside,
            clock.hours,
        )
        self.limit_names = feeder.names
        kinds = zip(fleet.groups, classes, strict=True)
        self._planned = [(group.kind, own) for group, own in kinds if own is not None]
        place = torch.from_numpy(groups.member[connection]).to(like.device)
        columns = self._columns(fleet, place, classes, at_home)
        self.homes = PlannedHomes(fleet, columns, place)

    def _columns(
        self, fleet: Fleet, home_group: Tensor, classes: list[Classes | None], at_home: AtHome
    ) -> tuple[Columns | None, ...]:
        found: list[Columns | None] = []
        begin, groups = 0, len(self.program.homes)
        for group, own, relative in zip(fleet.groups, classes, at_home.relative, strict=True):
            if own is None or relative is None:
                found.append(None)
                continue
            home = home_group.index_select(0, group.agent)
            below, above = (
                begin + groups * torch.from_numpy(number).to(home) + home
                for number in (own.below, own.above)
            )
            over_mean = relative / max(self.program.demand.mean.mean(), LEAST_MEAN_DEMAND)
            shares = (torch.from_numpy(x).to(self._like) for x in (own.between, over_mean))
            found.append(Columns(below, above, *shares))
            begin += len(own) * groups
        return tuple(found)

    @torch.no_grad()
    def of_episodes(self, days: DayTable, tariff: Tariff) -> Planned:
        """Plans of episodes.

        Args:
            days: weather and prices as forecast, of each day of each episode in turn.
            tariff: what is paid.
        """
        outlook = outlook_of(days, tariff, self.clock)
        month, weekend = days.month.cpu().numpy(), days.weekend.cpu().numpy().astype(int)
        flexibility = in_arrays(self.flexibility(outlook))
        surcharge = outlook.surcharge[..., 0].numpy()
        plan = self.program.plan(flexibility, surcharge, month, weekend, solver())
        return self.told(outlook, *(torch.from_numpy(values) for values in vars(plan).values()))

    def flexibility(self, outlook: Outlook) -> Flexibility[Tensor]:
        """Of all classes of the kinds that are planned for."""
        parts = [kind.flexibility(own.parameters, outlook) for kind, own in self._planned]
        there = [part for part in parts if part is not None]
        return joined(there, len(outlook.import_price), self.clock.steps, SPREAD)

    def told(
        self,
        outlook: Outlook,
        draw: Tensor,
        feed: Tensor,
        store: Tensor,
        congestion_price: Tensor,
        net: Tensor,
        least: Tensor,
        most: Tensor,
    ) -> Planned:
        """What homes are told of a plan, whose parts are as in `FleetPlan`."""
        asked, stored, begin = [], [], 0
        for kind, own in self._planned:
            of_kind = slice(begin, begin + len(own))
            flows = (
                values[of_kind].permute(1, 2, 3, 0).contiguous() for values in (draw, feed, store)
            )
            asks, before = kind.asked_by_plan(own.parameters, outlook, *flows)
            asked.append(_by_step(asks))
            stored.append(_by_step(before))
            begin = of_kind.stop
        power = torch.from_numpy(self.program.network.power.sum(axis=1))
        everywhere = (values[:, :, None].expand(-1, -1, len(power), -1) for values in (least, most))
        rest = (_by_step(values.permute(1, 2, 3, 0)) for values in everywhere)
        parts = torch.cat(asked, dim=-1), torch.cat(stored, dim=-1), congestion_price.mT
        return Planned(*(values.to(self._like) for values in (*parts, net.mT / power, *rest)))


def planned_limits(limits: Limits) -> Limits:
    """What the plan stays inside of.

    Raises:
        ValueError: limits so narrow that nothing is left.
    """
    try:
        return limits.tightened(voltage=VOLTAGE_MARGIN, loading=LOADING_MARGIN)
    except ValueError as error:
        raise ValueError(
            f"public_plan: got limits of which {VOLTAGE_MARGIN} pu and {LOADING_MARGIN:.0%} of "
            f"ratings leave nothing, expected wider ones or no plan ({error})"
        ) from error


def outlook_of(days: DayTable, tariff: Tariff, clock: Clock) -> Outlook:
    """What is published of episodes: weather and prices as forecast, in whole ticks.

    Args:
        days: each day of each episode in turn.
        tariff: what is paid.
        clock: of the episodes.
    """

    def joined_days(values: Tensor) -> Tensor:
        return values.reshape(-1, clock.steps, *values.shape[2:])

    prices = Quotes.of(days, tariff, clock.day)
    surcharge = _in_ticks(prices.price - prices.export_price, PRICE_TICK)
    exported = _in_ticks(prices.export_price, PRICE_TICK)
    sun = days.direct_irradiance
    return Outlook(
        clock,
        joined_days(_in_ticks(prices.published_price, PRICE_TICK)),
        joined_days(exported + surcharge.clamp(max=0.0)),
        joined_days(surcharge.clamp(min=0.0)),
        joined_days(_in_ticks(days.outdoor_temperature, DEGREE_TICK)),
        joined_days(_in_ticks(days.irradiance, SUN_TICK)),
        None if sun is None else joined_days(_in_ticks(sun, SUN_TICK)[..., 0]),
    )


def _bright_day(clock: Clock) -> Outlook:
    """On which all devices could draw or feed in at full power; prices do not matter."""
    one = torch.ones(1, clock.steps, 1, dtype=torch.float64, device="cpu")
    sun = 1000.0 * one
    above = torch.cat((0.0 * one, 0.0 * one, sun), dim=-1)
    return Outlook(clock, 0.25 * one, 0.25 * one, 0.0 * one, 5.0 * one, sun, above)


def _in_ticks(values: Tensor, tick: float) -> Tensor:
    """(days, steps, 1) in double precision on the host."""
    return ((values.cpu().double() / tick).round() * tick)[..., None]


def _by_step(values: Tensor) -> Tensor:
    """From (days, groups, steps, classes) to (days, steps, classes x groups)."""
    return values.permute(0, 2, 3, 1).flatten(-2)

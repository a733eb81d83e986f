"""The fleet's best plan within a feeder's limits, as a convex program, for all days at once.

Devices that are much alike stand in one class, homes that do the same to the limits in one group.
Per kW of full power, a class that draws u and feeds v in a step fills its store by x = rise · u and
empties it by y = fall · v:

    store after step t    E[t] = kept · E[t-1] + x[t] - y[t],    lowest[t] <= E[t] <= highest[t]
    at the meter          p[t] = x[t] / rise[t] - y[t] / fall[t]
    in a group            net[t] = sum over classes of share · p[t]

and the plan minimises the cost of all, x and y within what is possible, where for every limit and
step  sum over groups of pull · (base + net) <= room + lack.  What is lacking costs a limit's
greatest price: there is nothing where it can be kept for less. Its multiplier is its congestion
price, up to that one.

What is drawn costs the import price, what is fed in earns the export price, but for what a home
takes from its own device: that saves it the surcharge, by which the import price is higher. How
much the rest of a home draws is known to lie between two amounts, each in between as likely. Of the
next kWh that is fed in, the surcharge is then saved at a chance that falls evenly from one amount
to the other.

`alternating.py` has the method that solves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from gridedge_gateway.alternating import (
    BOUND_PENALTY,
    ITERATIONS,
    NET_PENALTY,
    STORE_PENALTY,
    Array,
    Bend,
    Solver,
    Terms,
    by_matrices,
)

ArrayT = TypeVar("ArrayT")

# €/kWh: prices that spread by less count as if they did by this.
LEAST_PRICE_SPREAD = 0.01
# A limit's greatest price over the range of what a kWh costs, earns or is worth in an episode, none
# included. By trial: no limit that can be kept came to it, on days at three times their prices.
DEAREST = 2.0
# Of full power: homes that take less of it, at most, count as if they took this much.
LEAST_SHARE = 0.02
# The store after the last step has a bound that always binds.
LAST_STORE_PENALTY = 10.0


@dataclass(frozen=True)
class Flexibility(Generic[ArrayT]):
    """What classes of devices can do, per kW of full power; kinds tell it in tensors.

    A class that draws u and feeds v fills its store by rise · u and empties it by fall · v. All
    arrays but the last three are (classes, days, steps), days or steps 1 where all are alike. A
    store's unit is the kind's own.

    Attributes:
        draw: most that can be drawn, as a share of full power.
        feed: most that can be fed in, likewise.
        draw_cost: €/kWh drawn, the price included.
        feed_cost: €/kWh fed in, less what it earns.
        rise: by how much a step of full draw fills the store.
        fall: by how much a step of full feed empties it.
        lowest: least in the store after each step, less what would be there without draw and feed;
            -inf in classes without a store.
        highest: most, likewise.
        kept: (classes,) share of the store's deviation that is there a step later.
        steepness: (classes,) €/kWh by which the cost rises from the first kW to the last.
        worth: (classes, days) € per unit that is in the store at the end.
    """

    draw: ArrayT
    feed: ArrayT
    draw_cost: ArrayT
    feed_cost: ArrayT
    rise: ArrayT
    fall: ArrayT
    lowest: ArrayT
    highest: ArrayT
    kept: ArrayT
    steepness: ArrayT
    worth: ArrayT


@dataclass(frozen=True)
class Meters:
    """What the meters of homes bill, with the devices of each class.

    Attributes:
        surcharge: (days, steps) €/kWh by which the import price is above the export price.
        least: (classes, days, steps) what the rest of a home draws at least, over the full power of
            its device.
        most: likewise, at most.
    """

    surcharge: Array
    least: Array
    most: Array


@dataclass(frozen=True)
class Network:
    """Limits of the feeder as the groups meet them.

    Attributes:
        power: (groups, classes) kW of full power of each class in each group.
        slope: (limits, groups) by how much a kW that is drawn in a group uses up of each limit.
        room: (limits,) what is allowed.
    """

    power: Array
    slope: Array
    room: Array


@dataclass(frozen=True)
class FleetPlan:
    """The plan.

    Attributes:
        draw: (classes, days, groups, steps) share of full power.
        feed: likewise.
        store: likewise, after each step, less what would be there without draw and feed.
        congestion_price: (days, groups, steps) €/kWh that is added to the price of drawing.
        net: (days, groups, steps) kW drawn, the base included.
        least: (classes, days, steps) as in `Meters`.
        most: likewise.
    """

    draw: Array
    feed: Array
    store: Array
    congestion_price: Array
    net: Array
    least: Array
    most: Array


@dataclass(frozen=True)
class HomeDemand:
    """What a home draws, (12, 2, steps of a day) kW each, by month and kind of day.

    Attributes:
        mean: of all homes and days.
        least: it lies between this and `most`, about anywhere as likely.
        most: likewise.
    """

    mean: Array
    least: Array
    most: Array


@dataclass(frozen=True)
class FleetProgram:
    """What is known of the program when policies are installed.

    Attributes:
        network: as groups meet it.
        homes: (groups,) how many there are.
        demand_slope: (limits, groups) room that a kW takes which homes of a group draw.
        demand: of a home.
        homes_per_kw: (classes,) how many homes a kW of full power has for itself.
        beside: (classes, classes) kW of the second that feed in beside a kW of the first, in the
            same home, unless told otherwise.
        hours: length of a step.
    """

    network: Network
    homes: Array
    demand_slope: Array
    demand: HomeDemand
    homes_per_kw: Array
    beside: Array
    hours: float

    def plan(
        self,
        flexibility: Flexibility[Array],
        surcharge: Array,
        month: NDArray[np.int64],
        weekend: NDArray[np.int64],
        solve: Solver = by_matrices,
    ) -> FleetPlan:
        """Plans of episodes.

        Args:
            flexibility: of all classes.
            surcharge: as in `Meters`.
            month: (days,) of each day of each episode in turn, 0 = January.
            weekend: likewise, 1 on Saturdays and Sundays.
            solve: as in `plan_fleet`.
        """
        steps = flexibility.draw_cost.shape[-1]
        mean, least, most = (
            values[month, weekend].reshape(-1, steps) for values in vars(self.demand).values()
        )
        sun = np.einsum("ck,kdt->cdt", self.beside, flexibility.feed)
        per_kw = self.homes_per_kw[:, None, None]
        meters = Meters(surcharge, per_kw * least - sun, per_kw * most - sun)
        base = self.homes[:, None] * mean[:, None]
        taken = np.einsum("lg,dgt->dlt", self.demand_slope, base)
        return plan_fleet(flexibility, meters, self.network, base, taken, self.hours, solve=solve)


def plan_fleet(
    flexibility: Flexibility[Array],
    meters: Meters,
    network: Network,
    base: Array,
    taken: Array,
    hours: float,
    iterations: int = ITERATIONS,
    solve: Solver = by_matrices,
) -> FleetPlan:
    """Solve the program.

    Args:
        flexibility: of all classes.
        meters: of homes.
        network: limits and groups; every group has some full power.
        base: (days, groups, steps) kW that is drawn whatever the plan.
        taken: (days, limits, steps) room that it takes.
        hours: length of a step.
        iterations: how many are done; the default is within some 0.2 % of the optimum.
        solve: does them.
    """
    terms = _terms(flexibility, meters, network, taken, hours)
    draw, feed, store, share, price = solve(terms, iterations)
    return FleetPlan(
        draw,
        feed,
        store,
        np.einsum("d,lg,dlt->dgt", terms.euros, terms.slope, price) / hours,
        base + network.power.sum(axis=1)[:, None] * share,
        meters.least,
        meters.most,
    )


def _terms(
    flexibility: Flexibility[Array],
    meters: Meters,
    network: Network,
    taken: Array,
    hours: float,
) -> Terms:
    days, _, steps = taken.shape
    classes = len(flexibility.kept)

    def spread(values: Array) -> Array:
        return np.broadcast_to(values, (classes, days, steps))

    lowest, highest = spread(flexibility.lowest), spread(flexibility.highest)
    stores: NDArray[np.bool_] = np.array(np.isfinite(lowest).any(axis=(1, 2)))
    draw_cost, feed_cost = spread(flexibility.draw_cost), spread(flexibility.feed_cost)
    deviation = [cost.std(axis=2).max(axis=0) for cost in (draw_cost, feed_cost)]
    euros = hours * np.maximum(np.maximum(*deviation), LEAST_PRICE_SPREAD)
    unit = euros[:, None]
    age = np.arange(steps - 1, -1, -1)
    left = flexibility.worth[..., None] * (flexibility.kept[:, None] ** age)[:, None]
    left = left * stores[:, None, None]
    penalty = np.full(steps, STORE_PENALTY)
    penalty[-1] *= LAST_STORE_PENALTY

    saving = hours * meters.surcharge / unit
    bound = _bound_penalty(saving, spread(meters.most), spread(flexibility.rise))

    def bend(per_power: Array, begin: Array, end: Array) -> Bend:
        """By how much a unit of the store costs less that stays at home."""
        return Bend.of(
            saving / per_power, spread(begin * per_power), spread(end * per_power), bound
        )

    kw = network.power.sum(axis=1)
    used = network.slope * kw
    size = np.abs(used).sum(axis=1)
    size[size == 0.0] = 1.0
    pull, slope = used / size[:, None], network.slope / size[:, None]
    steepest = np.abs(slope).max(axis=1, initial=1e-300)
    curvature = np.linalg.eigvals(pull @ slope.T).real.max(initial=0.0) / NET_PENALTY
    return Terms(
        euros,
        (hours * draw_cost / flexibility.rise - left) / unit,
        (hours * feed_cost / flexibility.fall + left) / unit,
        spread(flexibility.draw * flexibility.rise),
        spread(flexibility.feed * flexibility.fall),
        bend(flexibility.rise, -meters.most, -meters.least),
        bend(flexibility.fall, meters.least, meters.most),
        lowest,
        highest,
        spread(1.0 / flexibility.rise),
        spread(1.0 / flexibility.fall),
        flexibility.kept,
        stores,
        bound,
        bound + hours * flexibility.steepness[:, None] / euros,
        penalty,
        network.power / kw[:, None],
        pull,
        slope,
        (network.room[:, None] - taken) / size[:, None],
        hours * _greatest_price(draw_cost, -feed_cost) / unit / steepest,
        1.0 / max(curvature, 1e-12),
    )


def _bound_penalty(saving: Array, most: Array, rise: Array) -> Array:
    """(classes, days) penalty on the distance of the copies of flows, which sets their pace.

    A home takes but a small share of what a device could feed in, and saves much by it. Where that
    is all that pays, small steps must turn large prices: the penalty is then twice the geometric
    mean, found by trial, of the usual one and by how much the cost rises along that share.
    """
    taken = most.clip(0.0, 1.0).mean(axis=2).clip(min=LEAST_SHARE)
    stiff = 2.0 * np.sqrt(BOUND_PENALTY * saving.mean(axis=1) / taken)
    return np.maximum(BOUND_PENALTY, stiff / rise.mean(axis=2) ** 2)


def _greatest_price(*values: Array) -> Array:
    """(days, 1) €/kWh of a limit at most, where a kW takes most of it, by what a kWh is worth."""
    highest = np.max([value.max(axis=(0, 2), initial=0.0) for value in values], axis=0)
    lowest = np.min([value.min(axis=(0, 2), initial=0.0) for value in values], axis=0)
    return DEAREST * np.maximum(highest - lowest, LEAST_PRICE_SPREAD)[:, None]

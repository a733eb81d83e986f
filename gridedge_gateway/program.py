"""The fleet's best plan within a feeder's limits, as a convex program, for all days at once.

Devices that are much alike stand in one class, homes that do the same to the limits in one group.
Per kW of full power, a class that draws u and feeds v in a step fills its store by x = rise · u and
empties it by y = fall · v:

    store after step t    E[t] = kept · E[t-1] + x[t] - y[t],    lowest[t] <= E[t] <= highest[t]
    at the meter          p[t] = x[t] / rise[t] - y[t] / fall[t]
    in a group            net[t] = sum over classes of share · p[t]

and the plan minimises the cost of all, x and y within what is possible, where for every limit and
step  sum over groups of pull · (base + net) <= room.  A limit's multiplier is its congestion price.

Solved by the alternating direction method of multipliers (Boyd et al., Foundations and Trends in
Machine Learning 3, 2011), with copies of (x, y), of E and of net that keep to their bounds. Each of
its steps solves for a class with a matrix that is the same for all days and groups, and couples
the classes of a group through one of (steps, steps). A fixed number of iterations, in double
precision: the same numbers for everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
ArrayT = TypeVar("ArrayT")

ITERATIONS, PRICE_ITERATIONS = 150, 3
RELAXATION = 1.6
# Penalties on the distance of the copies, where prices have a standard deviation of one, € a step.
BOUND_PENALTY, STORE_PENALTY, NET_PENALTY = 2.7, 1.2, 3.6
# €/kWh: prices that spread by less count as if they did by this.
LEAST_PRICE_SPREAD = 0.01
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
    """

    draw: Array
    feed: Array
    store: Array
    congestion_price: Array
    net: Array


@dataclass(frozen=True)
class FleetProgram:
    """What is known of the program when policies are installed.

    Attributes:
        network: as groups meet it.
        homes: (groups,) how many there are.
        demand_slope: (limits, groups) room that a kW takes which homes of a group draw.
        expected: (12, 2, steps of a day) kW, mean demand of a home by month and kind of day.
        hours: length of a step.
    """

    network: Network
    homes: Array
    demand_slope: Array
    expected: Array
    hours: float

    def plan(
        self,
        flexibility: Flexibility[Array],
        month: NDArray[np.int64],
        weekend: NDArray[np.int64],
        solve: Solver | None = None,
    ) -> FleetPlan:
        """Plans of episodes.

        Args:
            flexibility: of all classes.
            month: (days,) of each day of each episode in turn, 0 = January.
            weekend: likewise, 1 on Saturdays and Sundays.
            solve: as in `plan_fleet`.
        """
        steps = flexibility.draw_cost.shape[-1]
        home = self.expected[month, weekend].reshape(-1, 1, steps)
        base = self.homes[:, None] * home
        taken = np.einsum("lg,dgt->dlt", self.demand_slope, base)
        return plan_fleet(flexibility, self.network, base, taken, self.hours, solve=solve)


def plan_fleet(
    flexibility: Flexibility[Array],
    network: Network,
    base: Array,
    taken: Array,
    hours: float,
    iterations: int = ITERATIONS,
    solve: Solver | None = None,
) -> FleetPlan:
    """Solve the program.

    Args:
        flexibility: of all classes.
        network: limits and groups; every group has some full power.
        base: (days, groups, steps) kW that is drawn whatever the plan.
        taken: (days, limits, steps) room that it takes.
        hours: length of a step.
        iterations: how many are done; the default is within some 0.2 % of the optimum.
        solve: does them; None: `by_matrices`.
    """
    terms = _terms(flexibility, network, taken, hours)
    draw, feed, store, share, price = (solve or by_matrices)(terms, iterations)
    return FleetPlan(
        draw,
        feed,
        store,
        np.einsum("d,lg,dlt->dgt", terms.euros, terms.slope, price) / hours,
        base + network.power.sum(axis=1)[:, None] * share,
    )


@dataclass(frozen=True)
class Terms:
    """The program in numbers; € in units of the day's spread of prices.

    On days that are alike but for the size of prices, the method then takes the same steps.

    Attributes:
        euros: (days,) € of a unit.
        into: (classes, days, steps) cost of filling a store by a unit.
        out: likewise, of emptying it.
        most_into: likewise, most in a step.
        most_out: likewise.
        lowest: likewise, of the store.
        highest: likewise.
        per_rise: likewise, one over rise.
        per_fall: likewise.
        kept: (classes,).
        stores: (classes,) bool.
        own: (classes, days) quadratic terms of a class's own step.
        penalty: (steps,) of the store.
        weight: (groups, classes) share of a class in its group.
        pull: (limits, groups) of a limit's room per share of the group's full power.
        slope: (limits, groups), likewise per kW.
        room: (days, limits, steps).
        price_step: of the multipliers.
    """

    euros: Array
    into: Array
    out: Array
    most_into: Array
    most_out: Array
    lowest: Array
    highest: Array
    per_rise: Array
    per_fall: Array
    kept: Array
    stores: NDArray[np.bool_]
    own: Array
    penalty: Array
    weight: Array
    pull: Array
    slope: Array
    room: Array
    price_step: float


# From the program, and how many iterations are done, to what `by_matrices` returns.
Solver: TypeAlias = Callable[[Terms, int], tuple[Array, ...]]


def _terms(flexibility: Flexibility[Array], network: Network, taken: Array, hours: float) -> Terms:
    days, _, steps = taken.shape
    classes = len(flexibility.kept)

    def spread(values: Array) -> Array:
        return np.broadcast_to(values, (classes, days, steps))

    lowest, highest = spread(flexibility.lowest), spread(flexibility.highest)
    stores: NDArray[np.bool_] = np.array(np.isfinite(lowest).any(axis=(1, 2)))
    deviation = [
        spread(cost).std(axis=2).max(axis=0)
        for cost in (flexibility.draw_cost, flexibility.feed_cost)
    ]
    euros = hours * np.maximum(np.maximum(*deviation), LEAST_PRICE_SPREAD)
    unit = euros[:, None]
    age = np.arange(steps - 1, -1, -1)
    left = flexibility.worth[..., None] * (flexibility.kept[:, None] ** age)[:, None]
    left = left * stores[:, None, None]
    penalty = np.full(steps, STORE_PENALTY)
    penalty[-1] *= LAST_STORE_PENALTY

    kw = network.power.sum(axis=1)
    used = network.slope * kw
    size = np.abs(used).sum(axis=1)
    size[size == 0.0] = 1.0
    pull, slope = used / size[:, None], network.slope / size[:, None]
    curvature = np.linalg.eigvals(pull @ slope.T).real.max(initial=0.0) / NET_PENALTY
    return Terms(
        euros,
        (hours * spread(flexibility.draw_cost) / flexibility.rise - left) / unit,
        (hours * spread(flexibility.feed_cost) / flexibility.fall + left) / unit,
        spread(flexibility.draw * flexibility.rise),
        spread(flexibility.feed * flexibility.fall),
        lowest,
        highest,
        spread(1.0 / flexibility.rise),
        spread(1.0 / flexibility.fall),
        flexibility.kept,
        stores,
        BOUND_PENALTY + hours * flexibility.steepness[:, None] / euros,
        penalty,
        network.power / kw[:, None],
        pull,
        slope,
        (network.room[:, None] - taken) / size[:, None],
        1.0 / max(curvature, 1e-12),
    )


def store_matrix(terms: Terms) -> Array:
    """(classes, days, steps, steps) with three diagonals, whose inverse couples a class's steps.

    With E = held (x - y), where held is the inverse of B = 1 - kept · (the step before), a class's
    own quadratic terms are own on x and y, and held' penalty held on x - y. Their inverse has
    held' (1 / penalty + 2 / own · held held')^-1 held = (B B' / penalty + 2 / own)^-1 in it.
    """
    steps = len(terms.penalty)
    back = np.eye(steps) - terms.kept[:, None, None] * np.eye(steps, k=-1)
    held = (back / terms.penalty) @ back.mT
    matrix: Array = held[:, None] + 2.0 / terms.own[..., None, None] * np.eye(steps)
    return matrix


def store_inverse(terms: Terms) -> Array:
    """Its inverse; 0 of classes without a store."""
    return np.where(terms.stores[:, None, None, None], np.linalg.inv(store_matrix(terms)), 0.0)


def coupling_of(terms: Terms, inner: Array) -> Array:
    """(days, groups, steps, steps) inverse that ties the classes of a group together."""
    per_rise, per_fall = terms.per_rise, terms.per_fall
    own = terms.own[..., None, None]
    both = per_rise + per_fall
    steps = both.shape[-1]
    alone = (per_rise**2 + per_fall**2)[..., None] * np.eye(steps)
    inner = inner / own * both[..., None] * both[..., None, :]
    response = np.einsum("gc,cdtu->dgtu", terms.weight, (alone - inner) / own)
    return np.linalg.inv(np.eye(steps) + NET_PENALTY * response)


def by_matrices(terms: Terms, iterations: int) -> tuple[Array, ...]:
    """The method in NumPy.

    Returns:
        (classes, days, groups, steps) draw, feed and store, (days, groups, steps) net over full
        power, and (days, limits, steps) multipliers.
    """
    classes, days, steps = terms.into.shape
    groups = len(terms.weight)
    inner = store_inverse(terms)
    coupling = coupling_of(terms, inner)
    age = np.arange(steps)[:, None] - np.arange(steps)
    held = np.where(age >= 0, terms.kept[:, None, None] ** age.clip(min=0), 0.0)
    held = (held * terms.stores[:, None, None])[:, None]
    own, weight = terms.own[..., None, None], terms.weight.T[:, None, :, None]
    into_cost, out_cost, most_into, most_out, lowest, highest, per_rise, per_fall = (
        values[:, :, None]
        for values in (
            terms.into, terms.out, terms.most_into, terms.most_out,
            terms.lowest, terms.highest, terms.per_rise, terms.per_fall,
        )
    )  # fmt: skip
    pull, slope, room, penalty = terms.pull, terms.slope, terms.room, terms.penalty
    gram = pull @ slope.T / NET_PENALTY

    def own_step(into: Array, out: Array) -> tuple[Array, Array]:
        """The inverse of a class's own quadratic terms."""
        shared = (into - out) @ inner / own
        return (into - shared) / own, (out + shared) / own

    full = (classes, days, groups, steps)
    into, out, store, into_dual, out_dual, store_dual = (np.zeros(full) for _ in range(6))
    net, net_dual = (np.zeros((days, groups, steps)) for _ in range(2))
    price = np.zeros(room.shape)
    for _ in range(iterations):
        back = (penalty * store - store_dual) @ held
        x, y = own_step(
            BOUND_PENALTY * into - into_dual - into_cost + back,
            BOUND_PENALTY * out - out_dual - out_cost - back,
        )
        drawn = (weight * (x * per_rise - y * per_fall)).sum(axis=0)
        push = NET_PENALTY * (net - drawn) - net_dual
        asked = (push[..., None, :] @ coupling)[..., 0, :]
        more = own_step(asked * per_rise, -asked * per_fall)
        x, y = x + more[0], y + more[1]
        drawn = (weight * (x * per_rise - y * per_fall)).sum(axis=0)

        ahead = into + RELAXATION * (x - into)
        into = (ahead + into_dual / BOUND_PENALTY).clip(0.0, most_into)
        into_dual += BOUND_PENALTY * (ahead - into)
        ahead = out + RELAXATION * (y - out)
        out = (ahead + out_dual / BOUND_PENALTY).clip(0.0, most_out)
        out_dual += BOUND_PENALTY * (ahead - out)
        ahead = store + RELAXATION * ((x - y) @ held.mT - store)
        store = (ahead + store_dual / penalty).clip(lowest, highest)
        store_dual += penalty * (ahead - store)
        ahead = net + RELAXATION * (drawn - net)
        wanted = ahead + net_dual / NET_PENALTY
        beyond = pull @ wanted - room
        for _ in range(PRICE_ITERATIONS):
            price = (price + terms.price_step * (beyond - gram @ price)).clip(min=0.0)
        net = wanted - slope.T @ price / NET_PENALTY
        net_dual += NET_PENALTY * (ahead - net)
    draw, feed = into * per_rise, out * per_fall
    return draw, feed, (into - out) @ held.mT, (weight * (draw - feed)).sum(axis=0), price

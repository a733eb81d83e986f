"""The fleet's program against HiGHS, and the kernel against its reference in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from gridedge_gateway.alternating import Array, by_matrices
from gridedge_gateway.program import FleetPlan, Flexibility, Meters, Network, plan_fleet

STEPS, DAYS, GROUPS, CLASSES, HOURS = 8, 2, 2, 3, 1.0
# Of a saving that falls evenly, in a linear program.
PIECES = 40


@pytest.fixture(scope="module")
def flexibility() -> Flexibility:
    """Two classes of batteries of 3 h and one of generators, at prices with two swings a day."""
    swing = 0.1 * np.sin(np.arange(STEPS) * np.pi / 2.0 + np.arange(DAYS)[:, None])
    price = np.broadcast_to(0.3 + swing, (CLASSES, DAYS, STEPS))
    one, endless = np.ones((CLASSES, 1, 1)), np.full((CLASSES, 1, 1), np.inf)
    endless[:2] = 1.5
    endless = np.broadcast_to(endless, (CLASSES, 1, STEPS)).copy()
    endless[:2, :, -1] = 0.0  # as full at the end as at the beginning
    wear = np.array([0.02, 0.05, 0.31])[:, None, None]
    return Flexibility(
        draw=np.array([1.0, 1.0, 0.0])[:, None, None],
        feed=one,
        draw_cost=price,
        feed_cost=wear - price,
        rise=one,
        fall=np.array([1.1, 1.1, 1.0])[:, None, None],
        lowest=-endless,
        highest=endless,
        kept=np.array([1.0, 0.98, 1.0]),
        steepness=np.zeros(CLASSES),
        worth=np.zeros((CLASSES, DAYS)),
    )


@pytest.fixture(scope="module")
def network() -> Network:
    """A limit on what both groups draw, and one on what the second feeds in."""
    power = np.array([[40.0, 20.0, 10.0], [10.0, 30.0, 20.0]])
    return Network(power, np.array([[1.0, 1.0], [0.0, -2.0]]), np.array([70.0, 50.0]))


@pytest.fixture(scope="module")
def base() -> Array:
    return np.broadcast_to([[10.0], [15.0]], (DAYS, GROUPS, STEPS)).copy()


@pytest.fixture(scope="module")
def one_price() -> Meters:
    """What is fed in earns what drawing costs."""
    rest = np.full((CLASSES, DAYS, STEPS), 0.3)
    return Meters(np.zeros((DAYS, STEPS)), rest, rest)


@pytest.fixture(scope="module")
def two_prices() -> Meters:
    """Exports earn 10 to 14 ct less; homes of the second class have sun in half of the steps."""
    least = np.full((CLASSES, DAYS, STEPS), 0.1)
    least[1, :, STEPS // 2 :] = -0.5
    return Meters(np.linspace(0.10, 0.14, DAYS * STEPS).reshape(DAYS, STEPS), least, least + 0.3)


@pytest.fixture(params=["one_price", "two_prices"])
def meters(request: pytest.FixtureRequest) -> Meters:
    return request.getfixturevalue(request.param)


def planned(
    flexibility: Flexibility, meters: Meters, network: Network, base: Array, **how: object
) -> FleetPlan:
    taken = np.einsum("lg,dgt->dlt", network.slope, base)
    return plan_fleet(flexibility, meters, network, base, taken, HOURS, **how)


def saved(flow: Array, begin: Array, end: Array) -> Array:
    """Of a flow, how much saves the surcharge: all before `begin`, nothing after `end`."""

    def half(edge: Array) -> Array:
        return np.maximum(edge, 0.0) ** 2 - np.maximum(edge - flow, 0.0) ** 2

    width = np.maximum(end - begin, 1e-9)
    return (half(begin + width) - half(begin)) / (2.0 * width)


def cost(flexibility: Flexibility, meters: Meters, network: Network, plan: FleetPlan) -> Array:
    """(days,) € of the whole fleet, for marginal costs that do not rise of themselves."""
    least, most = meters.least[:, :, None], meters.most[:, :, None]
    own_use = saved(plan.feed, least, most) + saved(plan.draw, -most, -least)
    each = (
        plan.draw * flexibility.draw_cost[:, :, None]
        + plan.feed * flexibility.feed_cost[:, :, None]
        - own_use * meters.surcharge[:, None]
    )
    return np.einsum("gc,cdgt->d", HOURS * network.power, each)


def greatest_prices(flexibility: Flexibility, network: Network, day: int) -> Array:
    """(limits,) €/kWh per unit of room: twice the range of costs, where a kW takes most of it."""
    costs = np.append(flexibility.draw_cost[:, day], -flexibility.feed_cost[:, day])
    span = max(0.0, costs.max()) - min(0.0, costs.min())
    return 2.0 * span / np.abs(network.slope).max(axis=1)


def least_cost(
    flexibility: Flexibility, meters: Meters, network: Network, base: Array, day: int
) -> float:
    """HiGHS: variables are pieces of draw and of feed, the store, and what limits lack."""
    pieces = PIECES + 2
    variables: list[tuple[str, int, int, int, int]] = [
        (what, g, c, t, k)
        for what in ("draw", "feed", "store")
        for g in range(GROUPS)
        for c in range(CLASSES)
        for t in range(STEPS)
        for k in range(1 if what == "store" else pieces)
    ]
    variables += [
        ("lack", limit, 0, t, 0) for limit in range(len(network.room)) for t in range(STEPS)
    ]
    place = {key: k for k, key in enumerate(variables)}
    objective, bounds = np.zeros(len(place)), []
    dearest = greatest_prices(flexibility, network, day)

    def at(values: Array, c: int, t: int) -> float:
        return float(np.broadcast_to(values, (CLASSES, DAYS, STEPS))[c, day, t])

    def piece(what: str, c: int, t: int, k: int) -> tuple[float, float]:
        """How wide it is, and what it saves in the middle."""
        rest = at(meters.least, c, t), at(meters.most, c, t)
        begin, end = rest if what == "feed" else (-rest[1], -rest[0])
        most = at(getattr(flexibility, what), c, t)
        edges = np.clip([0.0, *np.linspace(begin, end, PIECES + 1), most], 0.0, most)
        middle = 0.5 * (edges[k] + edges[k + 1])
        share = np.clip((end - middle) / max(end - begin, 1e-9), 0.0, 1.0)
        return edges[k + 1] - edges[k], float(share) * float(meters.surcharge[day, t])

    for what, g, c, t, k in variables:
        if what == "store":
            bounds.append((at(flexibility.lowest, c, t), at(flexibility.highest, c, t)))
        elif what == "lack":
            bounds.append((0.0, np.inf))
            objective[place[what, g, c, t, k]] = HOURS * dearest[g]
        else:
            width, saving = piece(what, c, t, k)
            bounds.append((0.0, width))
            price = at(getattr(flexibility, f"{what}_cost"), c, t) - saving
            objective[place[what, g, c, t, k]] = HOURS * network.power[g, c] * price
    equal, limit, room = [], [], []
    for g in range(GROUPS):
        for c in range(CLASSES):
            for t in range(STEPS):
                row = np.zeros(len(place))
                row[place["store", g, c, t, 0]] = 1.0
                for k in range(pieces):
                    row[place["draw", g, c, t, k]] = -at(flexibility.rise, c, t)
                    row[place["feed", g, c, t, k]] = at(flexibility.fall, c, t)
                if t:
                    row[place["store", g, c, t - 1, 0]] = -flexibility.kept[c]
                equal.append(row)
    for number, (slope, most) in enumerate(zip(network.slope, network.room, strict=True)):
        for t in range(STEPS):
            row = np.zeros(len(place))
            for g in range(GROUPS):
                for c in range(CLASSES):
                    for k in range(pieces):
                        row[place["draw", g, c, t, k]] = slope[g] * network.power[g, c]
                        row[place["feed", g, c, t, k]] = -slope[g] * network.power[g, c]
            row[place["lack", number, 0, t, 0]] = -1.0
            limit.append(row)
            room.append(most - slope @ base[day, :, t])
    found = linprog(objective, limit, room, equal, np.zeros(len(equal)), bounds)
    assert found.success
    return float(found.fun)


def test_it_is_the_best(flexibility, meters, network, base):
    """Within 0.02 % of HiGHS after 3,000 iterations, and within all limits by as much.

    Pieces of a saving are as good as the whole to 0.001 % of the cost.
    """
    plan = planned(flexibility, meters, network, base, iterations=3000)
    best = [least_cost(flexibility, meters, network, base, day) for day in range(DAYS)]
    assert cost(flexibility, meters, network, plan) == pytest.approx(best, rel=2e-4)
    used = np.einsum("lg,dgt->dlt", network.slope, plan.net)
    assert (used <= 1.0002 * network.room[:, None]).all()
    assert (np.abs(plan.store[:2]) <= 1.5003).all()
    assert plan.store[:2, ..., -1] == pytest.approx(0.0, abs=3e-4)


def test_the_usual_number_of_iterations_is_near(flexibility, meters, network, base):
    """With marginal costs that rise by 1 ct, as in use: 0.2 % from where it settles."""
    steeper = replace(flexibility, steepness=np.full(CLASSES, 0.01))
    usual, settled = (
        planned(steeper, meters, network, base, **n) for n in ({}, {"iterations": 5000})
    )
    own = cost(steeper, meters, network, settled)
    assert cost(steeper, meters, network, usual) == pytest.approx(own, rel=2e-3)
    full = network.power.sum()
    assert np.abs(usual.net - settled.net).mean() < 2e-3 * full


def test_congestion_has_a_price_where_a_limit_binds(flexibility, one_price, network, base):
    """And nowhere else; with room for all there is none."""
    plan = planned(flexibility, one_price, network, base, iterations=3000)
    used = np.einsum("lg,dgt->dlt", network.slope, plan.net)
    slack = (used < 0.99 * network.room[:, None]).all(axis=1)
    assert slack.any()
    assert not slack.all()
    priced = np.abs(plan.congestion_price).max(axis=1)
    assert (priced[slack] < 1e-6).all()
    assert priced.max() > 0.01
    roomy = planned(flexibility, one_price, replace(network, room=np.array([1e3, 1e3])), base)
    assert not roomy.congestion_price.any()


def test_a_limit_that_nobody_can_keep_has_a_greatest_price(flexibility, two_prices, network, base):
    """And the plan is the best at that price of what is lacking, to 0.02 % of the cost."""
    network = replace(network, room=np.array([-60.0, 50.0]))
    plan = planned(flexibility, two_prices, network, base, iterations=3000)
    best = [least_cost(flexibility, two_prices, network, base, day) for day in range(DAYS)]
    dearest = np.array([greatest_prices(flexibility, network, day) for day in range(DAYS)])
    lack = np.einsum("lg,dgt->dlt", network.slope, plan.net) - network.room[:, None]
    lacking = HOURS * (dearest * np.maximum(lack, 0.0).sum(axis=2)).sum(axis=1)
    assert cost(flexibility, two_prices, network, plan) + lacking == pytest.approx(best, rel=2e-4)
    # In the first group there is no other price than the first limit's, whose slope is one there.
    missed, price = lack[:, 0] > 1e-3, plan.congestion_price[:, 0] / dearest[:, :1]
    assert missed.mean() > 0.5
    assert price[missed] == pytest.approx(1.0, rel=1e-9)
    assert price.max() < 1.0 + 1e-9


@pytest.mark.parametrize("other_days", [False, True])
def test_the_kernel_does_the_same(flexibility, meters, network, base, other_days):
    """In double precision, after 150 iterations.

    Also where weather changes what fills a store, one that is to be filled, and with more limits
    than go in one of the kernel's vectors, of which several bind at once, or cannot be kept.
    """
    pytest.importorskip("numba")
    from gridedge_env.public_plan.solving import by_kernel

    if other_days:
        weather = np.linspace(0.8, 1.2, DAYS)[:, None] * np.linspace(1.1, 0.9, STEPS)
        lowest = flexibility.lowest.copy()
        lowest[1] = np.linspace(-1.0, 0.9, STEPS)
        flexibility = replace(
            flexibility,
            rise=np.broadcast_to(weather, (CLASSES, DAYS, STEPS)),
            lowest=lowest,
            highest=np.abs(flexibility.highest).clip(min=1.2),
        )
        turned = np.linspace(0.0, np.pi, 11)
        network = replace(
            network,
            slope=np.stack((np.cos(turned), np.sin(turned)), axis=1),
            room=np.linspace(38.0, 42.0, 11) - 100.0 * (turned > 3.0),
        )
    one, other = (
        planned(flexibility, meters, network, base, solve=how) for how in (by_matrices, by_kernel)
    )
    assert one.congestion_price.any()
    for name, values in vars(one).items():
        assert getattr(other, name) == pytest.approx(
            values, abs=1e-9 * max(1.0, np.abs(values).max())
        )

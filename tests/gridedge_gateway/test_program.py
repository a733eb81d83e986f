"""The fleet's program against HiGHS, and the kernel against its reference in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from gridedge_gateway.program import (
    Array,
    FleetPlan,
    Flexibility,
    Network,
    by_matrices,
    plan_fleet,
)

STEPS, DAYS, GROUPS, CLASSES, HOURS = 8, 2, 2, 3, 1.0


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


def planned(flexibility: Flexibility, network: Network, base: Array, **how: object) -> FleetPlan:
    taken = np.einsum("lg,dgt->dlt", network.slope, base)
    return plan_fleet(flexibility, network, base, taken, HOURS, **how)


def cost(flexibility: Flexibility, network: Network, plan: FleetPlan) -> Array:
    """(days,) € of the whole fleet, for marginal costs that do not rise."""
    each = (
        plan.draw * flexibility.draw_cost[:, :, None]
        + plan.feed * flexibility.feed_cost[:, :, None]
    )
    return np.einsum("gc,cdgt->d", HOURS * network.power, each)


def least_cost(flexibility: Flexibility, network: Network, base: Array, day: int) -> float:
    """HiGHS: variables are draw, feed and store of each group, class and step."""
    variables: list[tuple[str, int, int, int]] = [
        (what, g, c, t)
        for what in ("draw", "feed", "store")
        for g in range(GROUPS)
        for c in range(CLASSES)
        for t in range(STEPS)
    ]
    place = {key: k for k, key in enumerate(variables)}
    objective, bounds = np.zeros(len(place)), []

    def at(values: Array, c: int, t: int) -> float:
        return float(np.broadcast_to(values, (CLASSES, DAYS, STEPS))[c, day, t])

    for what, g, c, t in variables:
        if what == "store":
            bounds.append((at(flexibility.lowest, c, t), at(flexibility.highest, c, t)))
            continue
        objective[place[what, g, c, t]] = (
            HOURS * network.power[g, c] * at(getattr(flexibility, f"{what}_cost"), c, t)
        )
        bounds.append((0.0, at(getattr(flexibility, what), c, t)))
    equal, limit, room = [], [], []
    for g in range(GROUPS):
        for c in range(CLASSES):
            for t in range(STEPS):
                row = np.zeros(len(place))
                row[place["store", g, c, t]] = 1.0
                row[place["draw", g, c, t]] = -at(flexibility.rise, c, t)
                row[place["feed", g, c, t]] = at(flexibility.fall, c, t)
                if t:
                    row[place["store", g, c, t - 1]] = -flexibility.kept[c]
                equal.append(row)
    for slope, most in zip(network.slope, network.room, strict=True):
        for t in range(STEPS):
            row = np.zeros(len(place))
            for g in range(GROUPS):
                for c in range(CLASSES):
                    row[place["draw", g, c, t]] = slope[g] * network.power[g, c]
                    row[place["feed", g, c, t]] = -slope[g] * network.power[g, c]
            limit.append(row)
            room.append(most - slope @ base[day, :, t])
    found = linprog(objective, limit, room, equal, np.zeros(len(equal)), bounds)
    assert found.success
    return float(found.fun)


def test_it_is_the_best(flexibility: Flexibility, network: Network, base: Array) -> None:
    """Within 0.02 % of HiGHS after 3,000 iterations, and within all limits by as much."""
    plan = planned(flexibility, network, base, iterations=3000)
    best = [least_cost(flexibility, network, base, day) for day in range(DAYS)]
    assert cost(flexibility, network, plan) == pytest.approx(best, rel=2e-4)
    used = np.einsum("lg,dgt->dlt", network.slope, plan.net)
    assert (used <= 1.0002 * network.room[:, None]).all()
    assert (np.abs(plan.store[:2]) <= 1.5003).all()
    assert plan.store[:2, ..., -1] == pytest.approx(0.0, abs=3e-4)


def test_the_usual_number_of_iterations_is_near(
    flexibility: Flexibility, network: Network, base: Array
) -> None:
    """With marginal costs that rise by 1 ct, as in use: 0.2 % from where it settles."""
    steeper = replace(flexibility, steepness=np.full(CLASSES, 0.01))
    usual, settled = (planned(steeper, network, base, **n) for n in ({}, {"iterations": 5000}))
    own = cost(steeper, network, settled)
    assert cost(steeper, network, usual) == pytest.approx(own, rel=2e-3)
    full = network.power.sum()
    assert np.abs(usual.net - settled.net).mean() < 2e-3 * full


def test_congestion_has_a_price_where_a_limit_binds(
    flexibility: Flexibility, network: Network, base: Array
) -> None:
    """And nowhere else; with room for all there is none."""
    plan = planned(flexibility, network, base, iterations=3000)
    used = np.einsum("lg,dgt->dlt", network.slope, plan.net)
    slack = (used < 0.99 * network.room[:, None]).all(axis=1)
    assert slack.any()
    assert not slack.all()
    priced = np.abs(plan.congestion_price).max(axis=1)
    assert (priced[slack] < 1e-6).all()
    assert priced.max() > 0.01
    roomy = planned(flexibility, replace(network, room=np.array([1e3, 1e3])), base)
    assert not roomy.congestion_price.any()


@pytest.mark.parametrize("by_day", [False, True])
def test_the_kernel_does_the_same(
    flexibility: Flexibility, network: Network, base: Array, by_day: bool
) -> None:
    """In double precision, after 150 iterations; also where weather changes what fills a store."""
    pytest.importorskip("numba")
    from gridedge_env.public_plan.solving import by_kernel

    if by_day:
        weather = np.linspace(0.8, 1.2, DAYS)[:, None] * np.linspace(1.1, 0.9, STEPS)
        flexibility = replace(flexibility, rise=np.broadcast_to(weather, (CLASSES, DAYS, STEPS)))
    one, other = (
        planned(flexibility, network, base, solve=how) for how in (by_matrices, by_kernel)
    )
    for name, values in vars(one).items():
        assert getattr(other, name) == pytest.approx(
            values, abs=1e-9 * max(1.0, np.abs(values).max())
        )

"""The fleet: who is there and where, as a function of its seed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from gridedge_env.devices import (
    KINDS,
    Fleet,
    default_counts,
    default_home_scale,
    sample_fleet,
)
from gridedge_env.devices.sampling import LARGEST_HOME_SCALE
from gridedge_env.feeder import Feeder, load_feeder


@pytest.fixture(scope="module")
def feeder() -> Feeder:
    return load_feeder("ieee123")


def build(feeder: Feeder, agents: int, seed: int = 0, scale: float = 1.0) -> Fleet:
    return sample_fleet(feeder, default_counts(agents), seed, scale)


def same_devices(one: Fleet, other: Fleet) -> list[bool]:
    """Whether the parameters of batteries, heat pumps and generators are equal."""
    groups = zip(one.groups, other.groups, strict=True)
    return [mine.parameters == yours.parameters for mine, yours in groups]


@pytest.mark.parametrize(
    ("agents", "counts"), [(1, (1,)), (2, (1, 1)), (3, (1, 1, 1)), (1000, (334, 333, 333))]
)
def test_a_third_of_each_kind(feeder: Feeder, agents: int, counts: tuple[int, ...]) -> None:
    fleet = build(feeder, agents)
    assert fleet.counts == counts
    assert fleet.names == tuple(
        f"{kind}_{k}" for kind, count in zip(KINDS, counts, strict=False) for k in range(count)
    )
    assert len(fleet.connection) == len(fleet.inverter_rating) == agents


def test_homes_are_spread_like_the_spot_loads(feeder: Feeder) -> None:
    """Every connection has its share of 1,000 homes to within one, and each kind is everywhere."""
    fleet = build(feeder, 1000)
    spots: dict[str, float] = defaultdict(float)
    for load in feeder.loads:
        for phase, other in load.branches:
            name = f"{load.bus}.{phase}.{other}" if other else f"{load.bus}.{phase}"
            spots[name] += load.kw / len(load.branches)
    assert set(fleet.connection_names) == set(spots)
    homes = Counter(fleet.connection_names[k] for k in fleet.connection.tolist())
    total = sum(spots.values())
    for name, kw in spots.items():
        assert abs(homes[name] - 1000 * kw / total) < 1.0 + 1e-9, name
    # In random order: 334 of the homes chosen at random have on average a third of those upstream.
    place = fleet.connection.double()
    spread = place.std() / 334**0.5
    assert abs(place[:334].mean() - place.mean()) < 4.0 * spread


def test_a_function_of_its_seed(feeder: Feeder) -> None:
    fleet, again, other = build(feeder, 90, 1), build(feeder, 90, 1), build(feeder, 90, 2)
    assert same_devices(fleet, again) == [True] * 3
    assert torch.equal(fleet.connection, again.connection)
    assert same_devices(fleet, other) == [False] * 3
    assert not torch.equal(fleet.connection, other.connection)


def test_the_callers_random_state_is_left_alone(feeder: Feeder) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    build(feeder, 30)
    assert expected == (random.random(), np.random.random(), torch.rand(1))  # noqa: NPY002


def test_the_scale_conserves_totals(feeder: Feeder) -> None:
    """3,000 homes of a third stand for 1,000 of one.

    Powers vary by 9 % (batteries: 3 / √12 / 16 · …) to 35 % (heat pumps): 35 % / √333 = 2 % is one
    standard error of a total.
    """
    assert default_home_scale(feeder, 1000) == pytest.approx(1.0)
    assert default_home_scale(feeder, 4000) == pytest.approx(0.25)
    assert default_home_scale(feeder, 200) == pytest.approx(5.0)
    assert default_home_scale(feeder, 3) == LARGEST_HOME_SCALE
    few, many = (build(feeder, n, 0, default_home_scale(feeder, n)) for n in (1000, 3000))
    for kind in KINDS:
        mine, yours = (fleet.group(kind).parameters.maximum_power.sum() for fleet in (few, many))
        assert mine.item() == pytest.approx(yours.item(), rel=0.08)
    mine, yours = (fleet.group("battery").parameters.capacity.sum() for fleet in (few, many))
    assert mine.item() == pytest.approx(yours.item(), rel=0.08)
    double, single = (
        build(feeder, 30, 0, scale).group("battery").parameters.maximum_power
        for scale in (2.0, 1.0)
    )
    assert double.tolist() == pytest.approx((2.0 * single).tolist())


def test_inverters_are_a_little_larger_than_their_power(feeder: Feeder) -> None:
    fleet = build(feeder, 30)
    batteries, pumps, generators = fleet.inverter_rating.split(fleet.counts)
    torch.testing.assert_close(batteries, 1.1 * fleet.group("battery").parameters.maximum_power)
    torch.testing.assert_close(generators, 1.1 * fleet.group("generator").parameters.maximum_power)
    assert not pumps.any()


def test_only_loads_that_draw_power_attract_homes(feeder: Feeder) -> None:
    """A load of nothing, or one that feeds in, is no place for a home."""
    loads = tuple(
        replace(load, kw=(0.0, -50.0, load.kw)[min(k, 2)]) for k, load in enumerate(feeder.loads)
    )
    without = build(replace(feeder, loads=loads), 500)
    names = {without.connection_names[k] for k in without.connection.tolist()}
    assert f"{loads[0].bus}.{loads[0].phases[0]}" not in names
    assert f"{loads[1].bus}.{loads[1].phases[0]}" not in names
    idle = replace(feeder, loads=tuple(replace(load, kw=0.0) for load in feeder.loads))
    for bare in (idle, feeder.without_loads()):
        with pytest.raises(ValueError, match="feeder: 'ieee123' draws no power"):
            default_home_scale(bare, 10)


def test_homes_that_share_a_connection_add_up(feeder: Feeder) -> None:
    """Against sums in Python, kW and kvar apart; each home gets its connection's cotangent."""
    fleet = build(feeder, 200)
    random = torch.Generator().manual_seed(0)
    power = torch.randn(3, 400, generator=random, dtype=torch.float64, requires_grad=True)
    places = len(fleet.connection_names)
    expected = torch.zeros(3, 2 * places, dtype=torch.float64)
    home = fleet.connection.tolist()
    for day in range(3):
        for k in range(400):
            expected[day, k // 200 * places + home[k % 200]] += power[day, k].detach()
    found = fleet.connected(power)
    # A dozen homes at most share a connection; each sum rounds to 1e-16 of a few kW.
    assert torch.allclose(found, expected, rtol=0.0, atol=1e-13)
    cotangent = torch.randn(3, 2 * places, generator=random, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(found, power, cotangent)
    both = torch.cat((fleet.connection, fleet.connection + places))
    assert torch.equal(gradient, cotangent[:, both])

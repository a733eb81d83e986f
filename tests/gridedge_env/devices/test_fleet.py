"""The fleet: who is there and where, as a function of its seed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from gridedge_env import default_case, make_simulator
from gridedge_env.day import Window
from gridedge_env.devices import (
    KINDS,
    Devices,
    Fleet,
    default_counts,
    default_home_scale,
    make_fleet,
    mixed_counts,
    sample_fleet,
)
from gridedge_env.devices.sampling import DEFAULT_KINDS, LARGEST_HOME_SCALE
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


@pytest.mark.parametrize(
    ("mix", "agents", "counts"),
    [
        ({}, 7, {"battery": 3, "heat_pump": 2, "generator": 2}),
        # 0.3 of 10 is 2.9999999999999996 agents and 3.
        ({"generator": 0.7, "battery": 0.3}, 10, {"battery": 3, "generator": 7}),
        # 3.5 and 3.5: the first of the registry gets the seventh.
        ({"pv_inverter": 0.5, "ev_charger": 0.5}, 7, {"ev_charger": 4, "pv_inverter": 3}),
        # 1.2, 1.2 and 3.6.
        (
            {"battery": 0.2, "heat_pump": 0.2, "generator": 0.6},
            6,
            {"battery": 1, "heat_pump": 1, "generator": 4},
        ),
        (
            {"battery": 1 / 3, "heat_pump": 1 / 3, "generator": 1 / 3},
            1000,
            {"battery": 334, "heat_pump": 333, "generator": 333},
        ),
        ({"battery": 1.0, "generator": 0.0}, 4, {"battery": 4, "generator": 0}),
    ],
)
def test_a_mix_by_hand(mix: dict[str, float], agents: int, counts: dict[str, int]) -> None:
    assert mixed_counts(mix, agents) == counts


def test_a_mix_changes_nothing_of_a_kind(feeder: Feeder) -> None:
    """As many batteries are the same batteries, whatever the others have."""
    usual, other = (
        sample_fleet(feeder, mixed_counts(mix, agents), 0, 1.0).group("battery").parameters
        for mix, agents in (({}, 30), ({"battery": 0.5, "ev_charger": 0.5}, 20))
    )
    assert usual == other


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


def test_the_fingerprint_is_of_who_owns_what_where(feeder: Feeder) -> None:
    """Figures do not count, which may differ in their last bits from machine to machine."""
    fleet = build(feeder, 12)
    assert len(fleet.fingerprint) == 64
    assert build(feeder, 12, scale=2.0).fingerprint == fleet.fingerprint
    assert fleet.to(dtype=torch.float32).fingerprint == fleet.fingerprint
    others = (
        build(feeder, 12, seed=1),  # other places
        build(feeder, 13),
        replace(fleet, names=(*fleet.names[:-1], "home")),
        replace(fleet, groups=fleet.groups[:2]),
    )
    assert len({other.fingerprint for other in (fleet, *others)}) == 5


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
    for kind in DEFAULT_KINDS:
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


# From tables --------------------------------------------------------------------------------------


def sampled(kind: str, owners: list[str]) -> Devices:
    return Devices(owners, KINDS[kind].sample(len(owners), 1.0, np.random.default_rng(0)))


def batteries(owners: list[str], **columns: Any) -> dict[str, Devices]:
    """A table of batteries with some columns changed, or without them: None."""
    changed = {**sampled("battery", owners).columns, **columns}
    return {"battery": Devices(owners, {k: v for k, v in changed.items() if v is not None})}


HOMES = {"ash": "671.1", "birch": "675.2"}


def test_a_sampled_fleet_is_one_of_tables(feeder: Feeder) -> None:
    fleet = build(feeder, 12, scale=2.0)
    places = {
        name: fleet.connection_names[place]
        for name, place in zip(fleet.names, fleet.connection.tolist(), strict=True)
    }
    tables = {
        group.kind.name: Devices(
            [fleet.names[agent] for agent in group.agent],
            {f.name: getattr(group.parameters, f.name).numpy() for f in fields(group.parameters)},
        )
        for group in fleet.groups
    }
    assert make_fleet(places, tables, fleet.connection_names) == fleet


def test_agents_own_what_the_tables_say() -> None:
    """Kinds in the order of the registry, devices in that of their table; slots count upwards.

    Birch's batteries come first, then its heat pump, whatever the order in which tables are given.
    """
    tables = {
        "heat_pump": sampled("heat_pump", ["birch"]),
        "battery": sampled("battery", ["birch", "ash", "birch"]),
        "generator": sampled("generator", []),
    }
    fleet = make_fleet(HOMES, tables)
    assert fleet.names == ("ash", "birch")
    assert fleet.connection_names == ("671.1", "675.2")
    assert [group.kind.name for group in fleet.groups] == ["battery", "heat_pump"]
    assert [group.agent.tolist() for group in fleet.groups] == [[1, 0, 1], [1]]
    assert [group.slot.tolist() for group in fleet.groups] == [[0, 0, 1], [2]]
    assert fleet.counts == (3, 1)
    assert (fleet.slots, fleet.one_each) == (3, False)
    assert fleet.agent_kinds == ("battery", "battery_and_battery_and_heat_pump")
    capacity = tables["battery"].columns["capacity"]
    assert fleet.group("battery").parameters.capacity.tolist() == capacity.tolist()
    with pytest.raises(ValueError, match="kind: no device is a 'generator', expected one of batt"):
        fleet.group("generator")


def test_one_each_needs_the_order_of_the_kinds_too() -> None:
    devices = {"battery": sampled("battery", ["ash"]), "generator": sampled("generator", ["birch"])}
    assert make_fleet(HOMES, devices).one_each
    other_way_round = dict(reversed(HOMES.items()))
    assert not make_fleet(other_way_round, devices).one_each


def test_split_and_actions_are_inverse_by_hand() -> None:
    """Ash has one battery, birch two and a heat pump: (agents, slots) of 2 x 3."""
    fleet = make_fleet(
        HOMES,
        {
            "battery": sampled("battery", ["birch", "ash", "birch"]),
            "heat_pump": sampled("heat_pump", ["birch"]),
        },
    )
    actions = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    parts = fleet.split(actions)
    assert [part.tolist() for part in parts] == [
        pytest.approx([0.4, 0.1, 0.5]),
        pytest.approx([0.6]),
    ]
    torch.testing.assert_close(fleet.actions(parts), actions * torch.tensor([[1, 0, 0], [1, 1, 1]]))
    by_agent = make_fleet(HOMES, batteries(["birch", "ash", "birch"])).by_agent(
        torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    )
    assert by_agent.tolist() == [10.0, 101.0]


def test_a_fleet_does_not_share_the_callers_columns() -> None:
    tables = batteries(["ash", "birch"])
    fleet = make_fleet(HOMES, tables)
    before = fleet.group("battery").parameters.capacity.tolist()
    tables["battery"].columns["capacity"][:] = 0.0
    assert fleet.group("battery").parameters.capacity.tolist() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, {}), "places: got none, expected at least one agent"),
        ((HOMES, {}), "agents: 'ash' has no device, expected at least one"),
        ((HOMES, batteries(["ash"])), "agents: 'birch' has no device"),
        ((HOMES, batteries(["ash", "cedar"])), "battery.agent: got 'cedar', expected the name of"),
        (
            ({"ash": 671}, {}),
            r"places\['ash'\]: got 671, expected 'bus.phase', 'bus.phase.phase', or",
        ),
        (({7: "671.1"}, {}), "places: got 7, expected a name in one line"),
        (({" ash": "671.1"}, {}), "places: got ' ash', expected a name in one line, without sp"),
        (({"a\nsh": "671.1"}, {}), r"places: got 'a\\nsh', expected a name in one line"),
        (({"ä" * 121: "671.1"}, {}), "places: got 'äää.*, expected a name of up to 220 bytes"),
        (
            (HOMES, {"battery": {"agent": ["ash"]}}),
            r"devices\['battery'\]: got \{.*\}, expected De",
        ),
        (
            (HOMES, {"battery": Devices("ab", {})}),
            "battery.agent: got 'ab', expected names, one per",
        ),
        (
            (HOMES, batteries(["ash", "birch"]), ["671.1", "675.2", "671.1"]),
            "connections: got .* once",
        ),
        (
            (HOMES, batteries(["ash", "birch"]), "671.1"),
            "connections: got '671.1', expected places",
        ),
        ((HOMES, {"batery": Devices([], {})}), "devices: unknown kind 'batery', expected one of b"),
        ((HOMES, batteries(["ash", "birch"], capacity=None)), "battery.capacity: no such column"),
        ((HOMES, batteries(["ash", "birch"], colour=[1, 2])), "battery: unknown column 'colour', "),
        ((HOMES, batteries(["ash", "birch"], capacity=[7.0])), r"battery.capacity: got \[7.0\], e"),
        (
            (HOMES, batteries(["ash", "birch"], capacity=[7.0, np.nan])),
            r"battery.capacity: got \[7.0, nan\], expected 2 finite numbers",
        ),
        (
            (HOMES, batteries(["ash", "birch"], capacity=["large", "small"])),
            r"battery.capacity: got \['large', 'small'\], expected 2 finite numbers",
        ),
        (
            (HOMES, batteries(["ash", "birch"]), ["671.1"]),
            "places: got '675.2' for 'birch', expected one of connections",
        ),
    ],
)
def test_faults_of_tables_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make_fleet(*arguments)


def test_a_home_alone_does_what_it_does_in_the_fleet() -> None:
    """The second home has the second heat pump and the only generator, in slots of its own."""
    owners = {"battery": ["one"], "heat_pump": ["one", "two"], "generator": ["two"]}
    tables = {
        kind: Devices(agents, KINDS[kind].sample(len(agents), 1.0, np.random.default_rng(0)))
        for kind, agents in owners.items()
    }
    fleet = make_fleet({"one": "671.1", "two": "675.2"}, tables)
    home = fleet.home(1)
    assert (home.names, home.places, home.slots) == (("two",), ("675.2",), fleet.slots)
    assert [group.kind.name for group in home.groups] == ["heat_pump", "generator"]
    assert [group.slot.tolist() for group in home.groups] == [[0], [1]]

    case = replace(default_case("ieee13", 3), fleet=fleet)
    state = make_simulator(case=case, dtype=torch.float64).reset(days=[20, 200])
    actions = torch.linspace(-1.0, 1.0, 2 * 2 * fleet.slots, dtype=torch.float64)
    actions, window = actions.reshape(1, 2, 2, fleet.slots), Window(state.day, 20, 1)
    _, power, cost = fleet.run(state.devices, actions, window)
    own = fleet.of_home(state.devices, 1)
    after, alone, own_cost = home.run(own, actions[:, :, 1:], window)
    assert torch.equal(alone, power[..., [2, 3]])
    assert torch.equal(own_cost, cost[..., [2, 3]])
    assert [type(record) for record in after] == [type(record) for record in own]

"""The plan where exports earn less than imports cost: homes take from their own devices first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

import gridedge_env
from gridedge_env.case import Case, default_case
from gridedge_env.clock import Clock
from gridedge_env.devices import Devices, make_fleet
from gridedge_env.devices.flexibility import Earnings
from gridedge_env.devices.kinds import KINDS
from gridedge_env.episodes import home_demand
from gridedge_env.public_plan.classes import AtHome, classes_of
from gridedge_env.reference import Idle, PlanFollowing, Policy, play
from gridedge_env.scenarios import (
    Calendar,
    DayAhead,
    DayAheadFeedIn,
    Fixed,
    Flat,
    GeneratedDemand,
    Homes,
    Tariff,
)
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

AGENTS, DAYS = 12, [40, 130, 220, 310]
# Half of what `DayAhead()` makes of the market's price, on all days.
HALF = DayAheadFeedIn(factor=0.605, fee=-0.075, floor=-1.0)
# Homes of ordinary size, where those of the default case stand for several.
SCALE = 5.0


def homes_with(*kinds: str, tariff: Tariff) -> Case:
    """Homes of ieee13 that have a device of each kind, whose cars can all feed back."""
    case = default_case("ieee13", AGENTS, public_plan=True, tariff=tariff)
    names, random = case.fleet.names, np.random.default_rng(0)
    devices = {}
    for kind in kinds:
        columns = KINDS[kind].sample(AGENTS, SCALE, random)
        if kind == "ev_charger":
            columns["maximum_discharge_power"] = columns["maximum_power"]
        devices[kind] = Devices(names, columns)
    places = dict(zip(names, case.fleet.places, strict=True))
    return replace(case, fleet=make_fleet(places, devices))


def cost(simulator: Simulator, rule: Policy, state: SimulatorState) -> float:
    """€ of all homes, and of the penalty on violations."""
    return sum(-float(result.reward.sum()) for _, _, result in play(simulator, rule, state))


@pytest.mark.parametrize("kinds", [(kind,) for kind in KINDS] + [("battery", "pv_inverter")])
@pytest.mark.parametrize(
    "tariff",
    [
        Tariff(DayAhead(), Fixed(0.0)),
        Tariff(DayAhead(), HALF),
        Tariff(Flat(0.3), Fixed(0.0)),
    ],
    ids=["day-ahead, nothing", "day-ahead, half", "flat, nothing"],
)
def test_following_it_is_never_worse_than_rest(kinds: tuple[str, ...], tariff: Tariff) -> None:
    """To a rounding of single precision, on all days together."""
    simulator = gridedge_env.make_simulator(case=homes_with(*kinds, tariff=tariff))
    state = simulator.reset(days=DAYS, split="validation")
    rest = cost(simulator, Idle(simulator), state)
    assert cost(simulator, PlanFollowing(simulator), state) <= rest * (1.0 + 1e-6)


@pytest.mark.parametrize("kind", ["generator", "battery", "pv_inverter"])
def test_it_saves_what_a_home_would_pay(kind: str) -> None:
    """Generators and batteries serve their homes though nothing else earns; roofs stop in time.

    A kWh that a roof feeds in costs 5 ct, one that its home takes saves 30.
    """
    exports = Fixed(-0.05 if kind == "pv_inverter" else 0.0)
    tariff = Tariff(Flat(0.3) if kind == "pv_inverter" else DayAhead(), exports)
    simulator = gridedge_env.make_simulator(case=homes_with(kind, tariff=tariff))
    state = simulator.reset(days=DAYS, split="validation")
    rest = cost(simulator, Idle(simulator), state)
    assert cost(simulator, PlanFollowing(simulator), state) < 0.995 * rest


def test_roofs_stop_where_drawing_earns() -> None:
    """At import prices below nothing, and no higher ones for exports: of no use at home, either."""
    tariff = Tariff(DayAhead(adder=-1.0), Fixed(-2.0))
    simulator = gridedge_env.make_simulator(case=homes_with("pv_inverter", tariff=tariff))
    state = simulator.reset(days=DAYS, split="validation")
    assert (state.day.import_price < 0.0).all()
    assert state.day.planned is not None
    share = state.day.planned.stored  # of what the sun gives
    assert (state.day.planned.asked[share > 0.01] == -1.0).all()


def test_what_is_worthwhile() -> None:
    """Where value less cost is greatest, by trying all shares of full power in steps of 1e-4."""
    random = np.random.default_rng(0)
    exported, surcharge, linear, least, width = random.uniform(
        [[0.0], [0.0], [0.1], [-0.2], [0.0]], [[0.2], [0.3], [0.4], [0.5], [0.6]], (5, 200)
    )
    steepness, most = random.uniform(0.04, 0.2, 200), least + width
    share = np.linspace(0.0, 1.0, 10_001)[:, None]
    at_home = np.clip((most - share) / np.maximum(width, 1e-9), 0.0, 1.0)
    marginal = exported + surcharge * at_home - linear - steepness * share
    best = share[np.cumsum(marginal, axis=0).argmax(axis=0), 0]
    known = exported, surcharge, least, most, np.ones(200)
    earnings = Earnings(*(torch.from_numpy(x) for x in known))
    found = earnings.worthwhile(torch.from_numpy(linear), torch.from_numpy(steepness))
    assert found.clamp(0.0, 1.0).numpy() == pytest.approx(best, abs=2e-4)


def test_what_devices_find_at_home() -> None:
    """By hand: the roof comes first, battery and generator share what it leaves by their power.

    Of the first home's 8 kW the battery has 6: three quarters of the home, and of the roof's 4 kW.
    """
    power = {"battery": [6.0, 3.0], "generator": [2.0], "pv_inverter": [4.0]}
    devices = {}
    for kind, full in power.items():
        columns = KINDS[kind].sample(len(full), 1.0, np.random.default_rng(0))
        columns["maximum_power"] = np.array(full)
        devices[kind] = Devices(["first", "second"][: len(full)], columns)
    fleet = make_fleet({"first": "634.1", "second": "634.2"}, devices)
    classes = [classes_of(group, 1) for group in fleet.groups]
    found = AtHome.of(fleet, classes)
    batteries = (6.0 / 8.0 + 1.0) / 9.0
    assert found.homes_per_kw == pytest.approx([batteries, 1.0 / 8.0, 1.0 / 4.0])
    beside = [6.0 / 8.0 * 4.0 / 9.0, 2.0 / 8.0 * 4.0 / 2.0, 0.0]
    assert found.beside[:, 2] == pytest.approx(beside)
    assert not found.beside[:, :2].any()
    assert found.relative[0] == pytest.approx([1.0 / 8.0 / batteries, 1.0 / 3.0 / batteries])
    assert [found.relative[kind] for kind in (1, 2)] == [pytest.approx([1.0])] * 2


@dataclass(frozen=True)
class EvenDemand:
    """Homes that draw from 1 kW to 3 kW, evenly."""

    scale = 2.0

    def assign_homes(self, split: str, count: int, seed: int, device: torch.device | str) -> Homes:
        return Homes(torch.linspace(1.0, 3.0, count, dtype=torch.float32, device=device))

    def draw(
        self, homes: Homes, calendar: Calendar, generator: torch.Generator, clock: Clock
    ) -> Tensor:
        return homes.mean_power.expand(len(calendar.month), clock.steps, -1)


def test_a_home_draws_between_two_amounts() -> None:
    """Here twice 1 to 3 kW: to the distance between two of the 51 homes that count."""
    case = default_case("ieee13", 101)
    simulator = gridedge_env.make_simulator(case=replace(case, demand=EvenDemand()))
    demand = home_demand(simulator.case, simulator._split("train"))
    assert demand.mean == pytest.approx(4.0)
    assert demand.least == pytest.approx(2.0, abs=0.08)
    assert demand.most == pytest.approx(6.0, abs=0.08)


def test_what_homes_draw_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a year of 201 homes only some: a view of them would keep all, 74 kB for each home."""
    drawn: list[StorageWeakRef] = []

    def draw(self: GeneratedDemand, *arguments: Any) -> Tensor:
        assert all(earlier.expired() for earlier in drawn[:-1])
        demand = real(self, *arguments)
        drawn.append(StorageWeakRef(demand.untyped_storage()))
        return demand

    real = GeneratedDemand.draw
    monkeypatch.setattr(GeneratedDemand, "draw", draw)
    simulator = gridedge_env.make_simulator("ieee13", num_agents=201)
    home_demand(simulator.case, simulator._split("train"))
    assert len(drawn) > 2

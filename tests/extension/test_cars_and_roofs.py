"""Homes with an EV charger or PV, which the default case has none of, from beginning to end."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test
from scipy import optimize
from torch import Tensor

from gridedge_env import Case, Simulator, default_case, make_simulator, parallel_env
from gridedge_env.devices.charging import EvChargerState
from gridedge_env.reference import (
    Idle,
    PriceFollowing,
    Thermostat,
    VoltVar,
    VoltWatt,
    lower_bound,
    perfect_foresight,
    play,
)
from gridedge_env.reference.fleet_program import actions_for, fleet_programs
from gridedge_env.reference.policies import Policy
from gridedge_env.scenarios import DayAheadFeedIn, Tariff
from tests.extension.whole_run import WholeRun, assert_complete, assert_exported, whole_run

MIX = {"battery": 0.2, "ev_charger": 0.4, "pv_inverter": 0.4}
AGENTS, SCALE = 10, 15.0
CARS, ROOFS = slice(2, 6), slice(6, 10)
SUMMER, WINTER = 170, 20


def case_of(**options: float | bool | Tariff) -> Case:
    return default_case("ieee13", AGENTS, mix=MIX, home_scale=SCALE, seed=9, **options)


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of()


@pytest.fixture(scope="module")
def simulator(case: Case) -> Simulator:
    return make_simulator(case=case, dtype=torch.float64)


@pytest.fixture(scope="module")
def run(case: Case, tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return whole_run(case, tmp_path_factory.mktemp("runs") / "cars")


def uniform(*size: int) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return 1.8 * torch.rand(size, generator=random, dtype=torch.float64) - 0.9


def test_the_mix_is_there(simulator: Simulator) -> None:
    assert simulator.fleet.counts == (2, 4, 4)
    assert simulator.fleet.names[2] == "ev_charger_0"
    assert simulator.fleet.names[-1] == "pv_inverter_3"
    usual = default_case("ieee13", AGENTS, home_scale=SCALE, seed=9).fleet
    mine, theirs = (fleet.group("battery").parameters for fleet in (simulator.fleet, usual))
    assert torch.equal(mine.maximum_power, theirs.maximum_power[:2])


@pytest.mark.parametrize("minutes", [15, 30, 60])
def test_what_it_costs_follows_the_gradient(minutes: int) -> None:
    """Through devices, power flow and bill: a step of 1e-6 along a random direction.

    The sum of costs and violations is some 100; its second derivative times 1e-6 squared is noise.
    """
    simulator = make_simulator(case=case_of(step_minutes=minutes), dtype=torch.float64)
    state, size = simulator.reset(days=[SUMMER]), (simulator.clock.steps, 1, AGENTS, 1)
    actions, way = uniform(*size), uniform(*size).flip(0)

    def objective(actions: Tensor) -> Tensor:
        result = simulator.simulate(state, actions)
        return result.cost.sum() + result.violation.sum() + result.voltage.abs().sum()

    actions.requires_grad_()
    (gradient,) = torch.autograd.grad(objective(actions), actions)
    with torch.no_grad():
        ahead, behind = (objective(actions + 1e-6 * sign * way) for sign in (1.0, -1.0))
    assert (gradient * way).sum().item() == pytest.approx((ahead - behind).item() / 2e-6, rel=1e-5)
    assert (gradient[:, 0, CARS] != 0.0).any(dim=0).all()
    assert (gradient[:, 0, ROOFS] != 0.0).any(dim=0).all()


@pytest.mark.parametrize("policy", [Idle, Thermostat, PriceFollowing])
def test_rules_play_it(simulator: Simulator, policy: Callable[[Simulator], Policy]) -> None:
    """Cars get home to half full, whatever the rule; panels are curtailed by none of them.

    But for hours in which electricity costs less than nothing, of which 20 June 2023 has none.
    """
    state = simulator.reset(days=[SUMMER])
    assert (state.day.import_price > 0.0).all()
    begin = state.devices[1]
    for before, action, after in play(simulator, policy(simulator), state):
        assert (action[0, ROOFS] == 1.0).all()
        assert isinstance(after.power, Tensor)
        last = before
    assert isinstance(begin, EvChargerState)
    own = last.devices[1]
    assert isinstance(own, EvChargerState)
    parameters = simulator.fleet.group("ev_charger").parameters
    within = 0.5 * 0.6 * parameters.limits.charge  # one more step
    assert (0.5 * parameters.capacity - own.energy <= within + 1e-9).all()


def test_charging_at_once_is_dearer_than_following_the_price(simulator: Simulator) -> None:
    state = simulator.reset(days=[WINTER])
    costs = {}
    for policy in (Thermostat, PriceFollowing):
        results = [result for _, _, result in play(simulator, policy(simulator), state)]
        costs[policy] = torch.stack([result.cost for result in results])[..., CARS].sum()
    assert costs[PriceFollowing] < costs[Thermostat]


def test_droop_asks_the_kinds() -> None:
    """At 1.08 pu half of what there is may be fed in; volt-var takes the rest of the rating."""
    simulator = make_simulator(case=case_of(reactive_power=True), dtype=torch.float64)
    private, shared = simulator.observe_parts(simulator.reset(days=[SUMMER]))
    private[..., 2] = (1.08 - 1.0) / 0.05
    action = VoltWatt(simulator, Idle(simulator))(private, shared)
    assert action[0, ROOFS, 0].tolist() == pytest.approx([0.0] * 4, abs=1e-9)
    reactive = VoltVar(simulator, Idle(simulator))(private, shared)[0, :, 1]
    two_way = simulator.fleet.group("ev_charger").parameters.limits.two_way
    assert (reactive[ROOFS] > 0.3).all()
    assert two_way.any()
    assert not two_way.all()
    assert (reactive[CARS][two_way] > 0.3).all()
    assert simulator.fleet.inverter_rating[CARS][~two_way].eq(0.0).all()


@pytest.mark.parametrize("day", [WINTER, SUMMER])
def test_perfect_foresight_and_its_certificate(simulator: Simulator, day: int) -> None:
    """The bound's plan lies between the bound and perfect foresight."""
    state = simulator.reset(split="test", days=[day])
    plan = perfect_foresight(simulator, state, 150)
    bound = lower_bound(simulator, state, plan)
    cost, found = (simulator.simulate(state, p).cost.sum().item() for p in (plan, bound.actions))
    assert bound.cost[0] - 1e-3 <= found <= cost + 1e-3
    assert found <= bound.cost[0] + 0.005 * abs(bound.cost[0])
    assert cost <= bound.cost[0] + 0.02 * abs(bound.cost[0])


def test_what_devices_do_is_in_their_programs_at_the_same_cost() -> None:
    """Without net metering, so that exports earn less: the played kilowatts prescribed.

    HiGHS keeps to 1e-7 of numbers up to 1000.
    """
    case = case_of(step_minutes=60, tariff=Tariff(exports=DayAheadFeedIn()))
    simulator = make_simulator(case=case, dtype=torch.float64)
    state = simulator.reset(days=[SUMMER])
    actions = uniform(24, 1, AGENTS, 1)
    result = simulator.simulate(state, actions)
    drawn = (result.power - state.day.demand.transpose(0, 1))[:, 0].numpy()
    for program, agents in zip(
        fleet_programs(simulator, state), (slice(0, 2), CARS, ROOFS), strict=True
    ):
        found = optimize.linprog(
            program.cost,
            None,
            None,
            np.concatenate((program.equality.toarray(), program.output.toarray())),
            np.concatenate((program.target, drawn[:, agents].ravel())),
            np.stack((program.lowest, program.highest), axis=1),
            options={"presolve": False},
        )
        assert found.status == 0, found.message
        cost = float(result.cost[..., agents].sum())
        assert found.fun + program.constant == pytest.approx(cost, abs=1e-3)


def test_actions_draw_what_a_plan_says(simulator: Simulator) -> None:
    """To a millionth of a battery of 15 · 80 kWh, in half an hour."""
    state, actions = simulator.reset(days=[SUMMER]), uniform(48, 1, AGENTS, 1)
    demand = state.day.demand.transpose(0, 1)

    def output(actions: Tensor) -> np.ndarray:
        power: np.ndarray = (simulator.simulate(state, actions).power - demand)[:, 0].numpy()
        return power

    again = output(actions_for(simulator, state, output(actions)))
    np.testing.assert_allclose(again[:, 2:], output(actions)[:, 2:], rtol=0.0, atol=3e-3)


def test_it_trains_and_is_evaluated(run: WholeRun) -> None:
    assert_complete(run)
    fleet = run.simulator.fleet
    assert [group.kind.name for group in fleet.groups] == list(MIX)
    first = np.cumsum((0, *fleet.counts[:-1]))
    # The last is before the last step, which may store 0.6 · 0.5 · 11 · 0.94 / 40 of a battery.
    early, late = (
        run.evaluation.episodes[rule].store[..., first] for rule in ("thermostat", "idle")
    )
    for car in (early[..., 1], late[..., 1]):
        assert np.allclose(car[:, 0], 0.5)
        assert np.allclose(car[:, -1], 0.5, atol=0.08)
    assert late[..., 1].min() < 0.5 < early[..., 1].max()
    assert 0.0 <= early[..., 2].min() < early[..., 2].max() <= 1.0


def test_it_is_exported(run: WholeRun) -> None:
    assert_exported(run)


def test_it_is_in_the_report(run: WholeRun) -> None:
    assert "2 batteries, 4 EV chargers and 4 PV inverters" in run.report
    for example in ("ev_charger_0", "pv_inverter_0"):
        assert f'alt="{example}"' in run.report


def test_customers_with_a_roof_and_a_car(case: Case) -> None:
    """Behind one meter, what one feeds in the other draws."""
    from gridedge_env.devices import KINDS, Devices, make_fleet

    owners = {"ev_charger": ["north", "south"], "pv_inverter": ["north", "south"]}
    tables = {
        kind: Devices(names, KINDS[kind].sample(2, SCALE, np.random.default_rng(3)))
        for kind, names in owners.items()
    }
    fleet = make_fleet({"north": "671.1", "south": "675.2"}, tables)
    simulator = make_simulator(case=replace(case, fleet=fleet), dtype=torch.float64)
    state = simulator.reset(days=[SUMMER])
    result = simulator.simulate(state, torch.ones(48, 1, 2, 2, dtype=torch.float64))
    assert result.converged.all()
    assert (result.power.amin(dim=0) < 0.0).all()
    assert simulator.observe(state).isfinite().all()


def test_the_pettingzoo_view_has_it(case: Case) -> None:
    env = parallel_env(case=case)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(env, num_cycles=100)

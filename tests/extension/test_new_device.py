"""A kind of device is one file and one line of the registry; all that follows loops over it.

`curtailable_load.py` beside this is the file; the line is one entry put into `KINDS` here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test
from scipy import optimize
from torch import Tensor

from gridedge_env import Case, Simulator, default_case, load_feeder, make_simulator, parallel_env
from gridedge_env.devices import KINDS, sample_fleet
from gridedge_env.reference import (
    Idle,
    PriceFollowing,
    Thermostat,
    VoltWatt,
    lower_bound,
    perfect_foresight,
    play,
)
from gridedge_env.reference.fleet_program import actions_for, fleet_programs
from tests.extension.curtailable_load import (
    CURTAILABLE_LOAD,
    CurtailableLoads,
    CurtailableLoadState,
)
from tests.extension.whole_run import (
    WholeRun,
    assert_complete,
    assert_deployable,
    assert_exported,
    files_that_name,
    whole_run,
)

COUNTS = {"battery": 2, "heat_pump": 2, "generator": 1, "curtailable_load": 3}
SCALE = 20.0
HOURS, STEPS = 0.5, 48
# Of sums of 48 numbers up to 100, in double precision; of HiGHS, 1e-7 of numbers up to 100.
ROUNDING, SOLVED = 1e-11, 1e-5


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    """The default case but for its fleet; the registry is as it was afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, CURTAILABLE_LOAD.name, CURTAILABLE_LOAD)
        fleet = sample_fleet(load_feeder("ieee13"), COUNTS, seed=1, home_scale=SCALE)
        yield replace(default_case("ieee13", num_agents=8), fleet=fleet)


@pytest.fixture(scope="module")
def simulator(case: Case) -> Simulator:
    return make_simulator(case=case, dtype=torch.float64)


@pytest.fixture(scope="module")
def run(case: Case, tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return whole_run(case, tmp_path_factory.mktemp("runs") / "curtailing")


def test_no_file_of_the_packages_knows_it() -> None:
    assert files_that_name("urtailable") == []
    # A built-in kind's file is known to the registry alone.
    assert files_that_name("devices.generator") == ["gridedge_env/devices/kinds.py"]


def test_the_sampled_fleet_has_it(case: Case) -> None:
    """Last, as in the registry; its sampling changes nothing of the other kinds'."""
    fleet = case.fleet
    assert [len(group) for group in fleet.groups] == list(COUNTS.values())
    assert fleet.names[5:] == tuple(f"curtailable_load_{k}" for k in range(3))
    assert isinstance(fleet.group("curtailable_load").parameters, CurtailableLoads)
    others = {kind: count for kind, count in COUNTS.items() if kind in ("battery", "heat_pump")}
    without = sample_fleet(load_feeder("ieee13"), others, seed=1, home_scale=SCALE)
    for kind in others:
        assert fleet.group(kind).parameters == without.group(kind).parameters


# The kind itself ----------------------------------------------------------------------------------


def uniform(*size: int) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return 1.8 * torch.rand(size, generator=random, dtype=torch.float64) - 0.9


def test_a_day_by_hand(simulator: Simulator) -> None:
    """Curtailing all that is possible, from midnight on, until the day's energy is spent.

    Half of 20 times 1 to 3 kW for 3 to 5 h: six to ten half-hours, the last of them in part.
    """
    state = simulator.reset(days=[15])
    parameters = simulator.fleet.group("curtailable_load").parameters
    actions = torch.ones(STEPS, 1, 8, 1, dtype=torch.float64)
    actions[:, :, 5:] = -1.0
    result = simulator.simulate(state, actions)
    drawn = (result.power - state.day.demand.transpose(0, 1))[:, 0, 5:]
    curtailed = parameters.power - drawn
    spent = (HOURS * curtailed).cumsum(dim=0)
    limit = HOURS * parameters.curtailable_power * torch.arange(1, STEPS + 1)[:, None]
    expected = torch.minimum(limit, parameters.daily_energy)
    torch.testing.assert_close(spent, expected, rtol=0.0, atol=ROUNDING)
    steps = (curtailed > ROUNDING).sum(dim=0).tolist()
    assert 6 <= min(steps) <= max(steps) <= 10
    price = state.day.import_price[0, :, None]
    cost = HOURS * (price * result.power[:, 0, 5:] + parameters.inconvenience * curtailed)
    torch.testing.assert_close(result.cost[:, 0, 5:], cost, rtol=0.0, atol=ROUNDING)


def test_gradients(simulator: Simulator) -> None:
    state, size = simulator.reset(days=[15]), (4, 1, 8, 1)
    actions = uniform(*size).requires_grad_()

    def costs(actions: Tensor) -> Tensor:
        return simulator.simulate(state, actions).cost[..., 5:]

    assert torch.autograd.gradcheck(costs, actions, eps=1e-6, atol=1e-7)


def test_what_it_observes(simulator: Simulator) -> None:
    """The share that is left: all at midnight; half of a step's possible energy is less."""
    state = simulator.reset(batch_size=2)
    before = simulator.observe(state)[:, 5:, 0]
    assert torch.equal(before, torch.ones_like(before))  # (1 - 0.5) / 0.5
    state, _ = simulator.step(state, torch.zeros(2, 8, 1, dtype=torch.float64))
    own = state.devices[3]
    assert isinstance(own, CurtailableLoadState)
    parameters = simulator.fleet.group("curtailable_load").parameters
    left = parameters.daily_energy - 0.5 * HOURS * parameters.curtailable_power
    torch.testing.assert_close(own.left, left.expand(2, -1))
    seen = simulator.observe(state)[:, 5:, 0]
    torch.testing.assert_close(0.5 + 0.5 * seen, (left / parameters.daily_energy).expand(2, -1))


# What follows from it -----------------------------------------------------------------------------


def test_rules_ask_the_kind(simulator: Simulator) -> None:
    state = simulator.reset(days=[20])
    inconvenience = simulator.fleet.group("curtailable_load").parameters.inconvenience
    curtailed = []
    for before, action, _ in play(simulator, PriceFollowing(simulator), state):
        worth = before.day.import_price[0, before.step] >= inconvenience
        assert torch.equal(action[0, 5:, 0], 1.0 - 2.0 * worth.double())
        curtailed.append(worth)
    assert 0.0 < torch.stack(curtailed).double().mean() < 1.0
    for rule in (Idle(simulator), Thermostat(simulator)):
        assert (rule(*simulator.observe_parts(state))[:, 5:] == 1.0).all()


def test_droop_asks_the_kind(simulator: Simulator) -> None:
    """At 0.92 pu, mirrored at 1 it is 1.08: half of what can be drawn, action 2 x 0.5 - 1 = 0."""
    private, shared = simulator.observe_parts(simulator.reset())
    private[..., 2] = (0.92 - 1.0) / 0.05
    action = VoltWatt(simulator, Idle(simulator))(private, shared)
    assert action[0, 5:, 0].tolist() == pytest.approx([0.0] * 3, abs=1e-9)


def test_perfect_foresight_and_its_certificate(simulator: Simulator) -> None:
    """The bound's plan lies between the bound and perfect foresight; the loads curtail in it."""
    state = simulator.reset(split="test", days=[40])
    plan = perfect_foresight(simulator, state, 150)
    bound = lower_bound(simulator, state, plan)
    cost, found = (simulator.simulate(state, p).cost.sum().item() for p in (plan, bound.actions))
    assert bound.cost[0] - 1e-3 <= found <= cost
    assert found <= 1.005 * bound.cost[0]
    inconvenience = simulator.fleet.group("curtailable_load").parameters.inconvenience
    curtailed = (bound.actions[:, 0, 5:, 0] < 0.9).any(dim=0).tolist()
    assert curtailed == (state.day.import_price.max() > inconvenience).tolist()
    assert len(set(curtailed)) == 2


def test_what_the_loads_do_is_in_their_program_at_the_same_cost(simulator: Simulator) -> None:
    """The program with the played kilowatts prescribed costs what the simulator said."""
    state = simulator.reset(days=[30])
    actions = uniform(STEPS, 1, 8, 1)
    result = simulator.simulate(state, actions)
    drawn = (result.power - state.day.demand.transpose(0, 1))[:, 0, 5:].numpy()
    program = fleet_programs(simulator, state)[3]
    found = optimize.linprog(
        program.cost,
        None,
        None,
        np.concatenate((program.equality.toarray(), program.output.toarray())),
        np.concatenate((program.target, drawn.ravel())),
        np.stack((program.lowest, program.highest), axis=1),
    )
    assert found.status == 0
    assert found.fun + program.constant == pytest.approx(
        float(result.cost[..., 5:].sum()), abs=SOLVED
    )


def test_actions_draw_what_a_plan_says(simulator: Simulator) -> None:
    state, actions = simulator.reset(days=[30]), uniform(STEPS, 1, 8, 1)
    demand = state.day.demand.transpose(0, 1)

    def output(actions: Tensor) -> np.ndarray:
        return (simulator.simulate(state, actions).power - demand)[:, 0].numpy()

    again = output(actions_for(simulator, state, output(actions)))
    np.testing.assert_allclose(again[:, 5:], output(actions)[:, 5:], rtol=0.0, atol=1e-9)


def test_it_trains_and_is_evaluated(run: WholeRun) -> None:
    """All methods play it; the table is of numbers, and saved it comes back."""
    assert_complete(run)
    assert list(run.table) == [
        "gradmap",
        "idle",
        "thermostat",
        "price_following",
        "perfect_foresight",
    ]
    assert [group.kind.name for group in run.simulator.fleet.groups] == list(COUNTS)
    first = sum(run.simulator.fleet.counts[:-1])
    store = run.evaluation.episodes["price_following"].store[..., first]
    assert (store[:, 0] == 1.0).all()
    assert (np.diff(store, axis=1) <= 0.0).all()
    assert store.min() < 0.5


def test_it_is_exported(run: WholeRun) -> None:
    assert_exported(run)


def test_a_gateway_can_run_it(run: WholeRun, tmp_path: Path) -> None:
    assert_deployable(run, tmp_path)


def test_it_is_in_the_report(run: WholeRun) -> None:
    """Counted in the headline, and a home of its own is drawn."""
    assert "2 batteries, 2 heat pumps, 1 generators and 3 curtailable loads" in run.report
    assert "curtailable_load_0 at " in run.report
    assert 'alt="curtailable_load_0"' in run.report


def test_the_pettingzoo_view_has_it(case: Case) -> None:
    env = parallel_env(case=case)
    assert env.possible_agents[-1] == "curtailable_load_2"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(env, num_cycles=2 * STEPS)


def test_without_the_entry_the_kind_is_refused_by_name() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(KINDS, CURTAILABLE_LOAD.name, raising=False)
        with pytest.raises(ValueError, match="counts: unknown 'curtailable_load', expected one of"):
            sample_fleet(load_feeder("ieee13"), COUNTS, 1, SCALE)

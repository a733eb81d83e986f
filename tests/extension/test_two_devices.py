"""Customers with two devices behind one meter go through all that a case is made for.

That physics and money are right is tested in `gridedge_env/devices/test_several_devices.py`.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from pettingzoo.test import parallel_api_test, parallel_seed_test

from gradmap_trainer.gradmap import differentiate, make_learner, roll_out
from gradmap_trainer.objective import Objective
from gradmap_trainer.run_folder import load_policies
from gradmap_trainer.training import open_run, train
from gradmap_trainer.training_days import draw_state
from gridedge_env import Case, Limits, default_case, make_simulator, parallel_env
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_env.devices.sampling import DEFAULT_KINDS
from gridedge_env.evaluation import evaluate, evaluation_days
from gridedge_env.reference import PriceFollowing, VoltVar, play
from gridedge_env.scenarios import GeneratedDemand
from tests.extension.whole_run import (
    WholeRun,
    assert_complete,
    assert_exported,
    small_config,
    whole_run,
)

# Two houses with a battery and a heat pump, and one with a heat pump alone.
PLACES = {"north": "671.1", "south": "675.2", "attic": "634.3"}
OWNERS = {"battery": ["north", "south"], "heat_pump": ["north", "south", "attic"]}
HOURS = 0.5


def case_of(reactive_power: bool) -> Case:
    tables = {
        kind: Devices(owners, KINDS[kind].sample(len(owners), 20.0, np.random.default_rng(3)))
        for kind, owners in OWNERS.items()
    }
    case = default_case("ieee13", num_agents=3, reactive_power=reactive_power)
    return replace(case, fleet=make_fleet(PLACES, tables), demand=GeneratedDemand(20.0))


@pytest.fixture(scope="module", params=[False, True], ids=["active", "reactive"])
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


@pytest.fixture(scope="module")
def run(case: Case, tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return whole_run(case, tmp_path_factory.mktemp("runs") / "two")


def test_they_train_and_are_evaluated(run: WholeRun) -> None:
    assert_complete(run)
    assert run.learner.policies.weights[-1].shape[1] == run.simulator.action_size


def test_gradients_reach_every_device_and_no_empty_slot(case: Case, tmp_path: Path) -> None:
    """Of the objective, through the meter that two devices share."""
    simulator, config = make_simulator(case=case), small_config(tmp_path / "run")
    learner = make_learner(config, simulator)
    state = draw_state(config, simulator, np.random.default_rng(0))
    rollout = roll_out(simulator, learner.policies, state, config.rollout_sweeps)
    limits = Limits(0.9999, 1.0001)  # which the smallest power breaks
    objective = Objective(limits, learner.duals, config.quadratic_penalty, days=config.batch_days)
    gradient = differentiate(simulator, rollout, objective).gradient
    felt = gradient.abs().sum(dim=(0, 1)) > 0.0
    # Heat pumps have no inverter: of their second number a millionth of a kvar is felt.
    assert felt[:, :2].tolist() == [[True, True], [True, True], [True, False]]
    if case.reactive_power:
        strong = gradient.abs().sum(dim=(0, 1))[:, 2:] > 1e-3
        assert strong.tolist() == [[True, False], [True, False], [False, False]]


def test_bills_are_the_meters(run: WholeRun) -> None:
    """Every method's cost is its meters' energy at the price, and what the devices cost besides.

    Day by day and agent by agent: of price-following, whose costs besides are worked out by the
    kinds from the same actions. Single precision: 144 bills of up to 30 €, each to 1e-7.
    """
    simulator = run.simulator
    days = evaluation_days(simulator, "test", 2)
    state = simulator.reset(split="test", days=days, seed=0)
    total = torch.zeros(2, dtype=torch.float64)
    for before, action, result in play(simulator, PriceFollowing(simulator), state):
        price = before.day.import_price[:, before.step, None]
        window = simulator._window(before, 1)
        besides = torch.zeros_like(result.cost)
        parts = simulator.fleet.split(action[None, ..., :2])
        groups = zip(simulator.fleet.groups, before.devices, parts, strict=True)
        for group, own, part in groups:
            _, _, cost = group.kind.run(group.parameters, own, part, window)
            besides.index_add_(1, group.agent, cost[0])
        total += (HOURS * price * result.power + besides).sum(dim=1)
    played = run.evaluation.episodes["price_following"]
    np.testing.assert_allclose(played.cost, total.numpy(), rtol=0.0, atol=1e-3)
    # The first home with a battery is the first with a heat pump: one meter, two devices.
    fleet = simulator.fleet
    assert [fleet.names[int(group.agent[0])] for group in fleet.groups] == ["north", "north"]
    pump = fleet.counts[0]
    for episode in run.evaluation.episodes.values():
        assert episode.power.shape[2] == len(fleet.names)
        assert not np.array_equal(episode.store[..., 0], episode.store[..., pump])


def test_they_are_exported(run: WholeRun) -> None:
    """One file for each customer, under the customer's name, with a number for each device."""
    assert_exported(run)
    model = onnx.load(run.exported[0])
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["agent"] == "north"
    names = [field["name"] for field in json.loads(metadata["observation_fields"])]
    assert names[:4] == ["own_state_1", "own_state_2", "own_load", "own_voltage"]
    (action,) = model.graph.output
    assert action.type.tensor_type.shape.dim[1].dim_value == run.simulator.action_size


def test_they_are_in_the_report(run: WholeRun) -> None:
    assert "2 batteries and 3 heat pumps" in run.report
    assert run.report.count('alt="north"') == 2


def test_pettingzoos_own_tests_pass(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(parallel_env(case=case), num_cycles=96)
        parallel_seed_test(partial(parallel_env, case=case))


def test_volt_var_and_a_method_of_ones_own_stand_in_the_table() -> None:
    """A policy that sees both devices: heat with what the battery holds.

    What stands there is what it costs to play it: sums of 144 numbers in single precision.
    """
    simulator = make_simulator(case=case_of(True))

    def policy(private: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
        action = torch.zeros(*private.shape[:2], 4)
        action[..., 0], action[..., 1] = -private[..., 1], private[..., 0]
        return action.clamp(-1.0, 1.0)

    policies = {"own": policy, "volt_var": VoltVar(simulator, PriceFollowing(simulator))}
    found = evaluate(simulator, policies, [40], foresight_iterations=0)
    assert list(found.episodes) == [*policies, "idle", "thermostat", "price_following"]
    for name, played in policies.items():
        day = play(simulator, played, simulator.reset(split="test", days=[40]))
        cost = sum(float(result.cost.sum()) for _, _, result in day)
        assert found.episodes[name].cost.item() == pytest.approx(cost, rel=1e-5)


def test_commands_know_the_homes_of_a_run_made_from_python(tmp_path: Path) -> None:
    """Of the same shape as those that its configuration tells: only the names say which."""
    config = small_config(tmp_path / "run", iterations=1)
    names = [f"home_{k}" for k in range(len(DEFAULT_KINDS))]
    tables = {
        kind: Devices([name], KINDS[kind].sample(1, 1.0, np.random.default_rng(0)))
        for kind, name in zip(DEFAULT_KINDS, names, strict=True)
    }
    fleet = make_fleet(dict.fromkeys(names, "671.1"), tables)
    assert config.case is not None
    simulator = make_simulator(case=replace(config.case.make(), fleet=fleet))
    train(config, simulator, open_run(config, simulator))
    assert load_policies(Path(config.run))[1].case == simulator.case

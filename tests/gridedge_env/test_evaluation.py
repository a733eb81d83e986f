"""The out-of-sample table is what its definitions say, and the trajectories are the simulator's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import gridedge_env
from gridedge_env.constraints import Limits, VoltageBand
from gridedge_env.devices.battery import BatteryState
from gridedge_env.devices.generator import GeneratorState
from gridedge_env.devices.heat_pump import HeatPumpState
from gridedge_env.evaluation import (
    TOLERANCE,
    Episode,
    Evaluation,
    evaluate,
    evaluation_days,
    outside_limits,
    record,
    summarise,
    worst_moment,
)
from gridedge_env.evaluation_files import (
    EPISODES_FILE,
    SUMMARY_FILE,
    load_evaluation,
    save_evaluation,
)
from gridedge_env.reference import PlanFollowing, PriceFollowing, play
from tests.gridedge_env.device_states import state_of

METHODS = ["gradmap", "idle", "thermostat", "price_following", "perfect_foresight"]
DAYS = [40, 200]


@pytest.fixture(scope="module")
def simulator():
    return gridedge_env.make_simulator(num_agents=6, dtype=torch.float64)


@pytest.fixture(scope="module")
def evaluation(simulator) -> Evaluation:
    policies = {"gradmap": PriceFollowing(simulator)}
    return evaluate(simulator, policies, DAYS, seed=3, foresight_iterations=2)


def episode(voltage, loading, unbalance, converged, cost=(0.0,)) -> Episode:
    """One day whose steps are given; one unrated branch besides, and nobody there."""
    steps = len(converged)
    return Episode(
        cost=np.array(cost),
        agent_cost=np.array(cost)[:, None],
        agent_electricity=np.array(cost)[:, None],
        agent_moved=np.zeros((1, 1)),
        quantities={
            "voltage": np.array([voltage]),
            "loading": np.array([[[0.0, x] for x in loading]]),
            "unbalance": np.array([[[x] for x in unbalance]]),
        },
        converged=np.array([converged]),
        power=np.zeros((1, steps, 0)),
        store=np.zeros((1, steps, 0)),
    )


def test_summary_by_hand():
    """Four steps: 0.94 pu is 0.01 below 0.95, 1.07 pu is 0.02 above 1.05; loadings of 1.25 and 1.5
    exceed 1; no unbalance exceeds 0.02; the first three steps break some limit; the mean of 10 and
    13 € is 11.50 €.
    """
    played = episode(
        voltage=[[1.0, 0.94], [1.07, 0.96], [0.95, 1.05], [1.0, 1.0]],
        loading=[1.25, 1.0, 1.5, 0.2],
        unbalance=[0.0, 0.02, 0.01, 0.0],
        converged=[True] * 4,
        cost=(10.0, 13.0),
    )
    row = summarise(played, Limits())
    assert row.pop("worst_voltage_violation") == pytest.approx(0.02, abs=1e-15)
    assert row == {
        "cost": 11.5,
        "voltage_steps": 0.5,
        "loading_steps": 0.5,
        "unbalance_steps": 0.0,
        "any_steps": 0.75,
        "worst_loading": 1.5,
        "worst_unbalance": 0.02,
        "nonconverged": 0,
    }


@pytest.mark.parametrize(("share_of_tolerance", "counted"), [(0.5, False), (1.5, True)])
def test_rounding_is_no_violation(share_of_tolerance, counted):
    beyond = share_of_tolerance * TOLERANCE
    played = episode([[0.95 - beyond]], [1.0 + beyond], [0.02 + beyond], [True])
    outside = outside_limits(played, Limits())
    assert {kind: bool(step[0, 0]) for kind, step in outside.items()} == {
        "voltage": counted,
        "loading": counted,
        "unbalance": counted,
    }


def test_a_power_flow_without_solution_is_a_voltage_violation():
    played = episode([[1.0], [1.0]], [0.0, 0.0], [0.0, 0.0], [True, False])
    row = summarise(played, Limits())
    assert (row["voltage_steps"], row["nonconverged"]) == (0.5, 1)
    assert row["worst_voltage_violation"] == 0.0


def test_worst_moment_is_the_furthest_outside_among_solved_steps():
    """1.07 is 0.02 out and 0.94 only 0.01; the power flow that says 0.5 pu has no solution."""
    played = episode([[0.94], [1.07], [0.5]], [0.0] * 3, [0.0] * 3, [True, True, False])
    assert worst_moment(played, VoltageBand()) == (0, 1)


def test_worst_moment_within_limits_is_the_closest_to_leaving_them():
    played = episode([[1.0], [0.96], [1.03]], [0.0] * 3, [0.0] * 3, [True] * 3)
    assert worst_moment(played, VoltageBand()) == (0, 1)


def test_days_are_spread_evenly(simulator):
    """363 days of 2024, three of them: the middles of thirds of 121, 60.5, 181.5 and 302.5."""
    assert evaluation_days(simulator, "test", 3) == [60, 181, 302]
    assert evaluation_days(simulator, "test", 363) == list(range(363))


@pytest.mark.parametrize("count", [0, -1, 364])
def test_impossible_numbers_of_days_are_refused(simulator, count):
    with pytest.raises(
        ValueError, match=f"days: got {count}, expected a whole number from 1 to 363"
    ):
        evaluation_days(simulator, "test", count)


def test_all_methods_play_the_same_days(simulator, evaluation):
    dates = simulator.days("test").dates
    assert evaluation.dates.tolist() == [dates[day].isoformat() for day in DAYS]
    assert list(evaluation.episodes) == METHODS
    assert evaluation.agents.tolist() == list(simulator.fleet.names)
    nodes = len(simulator.power_flow.node_names)
    for played in evaluation.episodes.values():
        assert played.quantities["voltage"].shape == (2, simulator.clock.steps, nodes)
        assert played.converged.all()
    # The same policy under another name has the same outcome, to the last bit.
    assert evaluation.episodes["gradmap"] == evaluation.episodes["price_following"]
    assert evaluation.episodes["gradmap"] != evaluation.episodes["idle"]


def test_where_there_is_a_plan_it_is_followed():
    informed = gridedge_env.make_simulator("ieee13", num_agents=6, public_plan=True)
    played = evaluate(informed, {}, DAYS[:1], foresight_iterations=0).episodes
    assert list(played) == [*METHODS[1:4], "plan_following"]
    state = informed.reset(split="test", days=DAYS[:1])
    assert played["plan_following"].cost == record(informed, state, PlanFollowing(informed)).cost


@pytest.mark.parametrize("name", METHODS[1:])
def test_the_name_of_a_reference_controller_is_taken(simulator, name):
    with pytest.raises(ValueError, match=f"policies: got one named '{name}', expected names that"):
        evaluate(simulator, {name: PriceFollowing(simulator)}, DAYS)


def test_progress_is_told(simulator):
    told = []
    evaluate(
        simulator, {}, DAYS[:1], foresight_iterations=2, progress=lambda *news: told.append(news)
    )
    assert [method for method, _ in told if method != "perfect_foresight"] == METHODS[1:4]
    assert told[-1] == ("perfect_foresight", 1.0)


def test_without_iterations_there_is_no_foresight(simulator):
    played = evaluate(simulator, {}, DAYS[:1], foresight_iterations=0)
    assert list(played.episodes) == METHODS[1:4]


def test_trajectories_are_those_of_the_simulator(simulator, evaluation):
    """The episode, played step by step, against one batched simulation of the same actions."""
    state = simulator.reset(split="test", days=DAYS, seed=3)
    seen = list(play(simulator, PriceFollowing(simulator), state))
    result = simulator.simulate(state, torch.stack([action for _, action, _ in seen]))
    played = evaluation.episodes["price_following"]

    def by_day(values: torch.Tensor) -> np.ndarray:
        return values.transpose(0, 1).numpy()

    # Both power flows end within 1e-11 pu (the solver's tolerance) of the same fixed point.
    close: dict[str, Any] = {"rtol": 0.0, "atol": 1e-9}
    np.testing.assert_allclose(played.cost, result.cost.sum(dim=(0, 2)).numpy(), rtol=1e-12)
    np.testing.assert_allclose(played.agent_cost, result.cost.sum(dim=0).numpy(), rtol=1e-12)
    np.testing.assert_allclose(played.quantities["voltage"], by_day(result.voltage.abs()), **close)
    np.testing.assert_allclose(played.quantities["loading"], by_day(result.loading), **close)
    np.testing.assert_allclose(played.quantities["unbalance"], by_day(result.unbalance), **close)
    np.testing.assert_allclose(played.power, by_day(result.power), rtol=1e-12)
    np.testing.assert_allclose(played.fleet_power, by_day(result.power.sum(dim=2)), rtol=1e-12)
    np.testing.assert_array_equal(evaluation.import_price, state.day.import_price.numpy())


def test_stores_are_those_of_the_devices(simulator, evaluation):
    """State of charge, place in the comfort band and share of full power, before each step."""
    state = simulator.reset(split="test", days=DAYS, seed=3)
    pumps = simulator.fleet.group("heat_pump").parameters
    capacity = simulator.fleet.group("battery").parameters.capacity
    expected = []
    for before, _, _ in play(simulator, PriceFollowing(simulator), state):
        charge = state_of(before, BatteryState).energy / capacity
        warmth = state_of(before, HeatPumpState).temperature - pumps.lowest_temperature
        band = pumps.highest_temperature - pumps.lowest_temperature
        loading = state_of(before, GeneratorState).loading
        expected.append(torch.cat((charge, warmth / band, loading), dim=1))
    played = evaluation.episodes["price_following"].store
    np.testing.assert_allclose(played, torch.stack(expected, dim=1), rtol=1e-12)


def test_saving_and_loading_changes_nothing(evaluation, simulator, tmp_path):
    save_evaluation(evaluation, Limits(), tmp_path)
    loaded = load_evaluation(tmp_path, simulator)
    assert list(loaded.episodes) == METHODS
    assert loaded == evaluation
    table = json.loads((tmp_path / SUMMARY_FILE).read_text())
    assert table == {m: summarise(played, Limits()) for m, played in loaded.episodes.items()}


def test_files_that_are_missing_or_damaged_are_named(evaluation, simulator, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"evaluation\.npz: not found.*gradmap-evaluate"):
        load_evaluation(tmp_path, simulator)
    save_evaluation(replace(evaluation, episodes={}), Limits(), tmp_path)
    path = tmp_path / EPISODES_FILE
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"evaluation\.npz: damaged"):
            load_evaluation(tmp_path, simulator)


def test_a_day_of_an_episode_is_an_episode(evaluation):
    """Days are the batch: what is true of all is true of each."""
    played, limits = evaluation.episodes["price_following"], Limits()
    parts = [summarise(played.take([day]), limits) for day in range(2)]
    whole = summarise(played, limits)
    assert whole["cost"] == pytest.approx(np.mean([part["cost"] for part in parts]), rel=1e-12)
    assert whole["worst_loading"] == max(part["worst_loading"] for part in parts)
    assert Episode.cat([played.take([0]), played.take([1])]) == played

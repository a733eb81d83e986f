"""What is of another type counts as what it says, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gradmap_trainer.config import TrainConfig, load_config, save_config
from gridedge_env import Clock, Limits, load_case, parallel_env
from gridedge_env.case import CaseSettings, default_case
from gridedge_env.evaluation import evaluate, evaluation_days
from gridedge_env.feeder import load_feeder
from gridedge_env.parallel import GridEdgeParallelEnv
from gridedge_env.powerflow import PowerFlow
from gridedge_env.scenarios import (
    ForecastErrors,
    GeneratedDemand,
    Tariff,
    Variation,
    load_metered_demand,
)
from gridedge_env.scenarios.export_prices import DayAheadFeedIn, Fixed
from gridedge_env.scenarios.import_prices import DayAhead, Flat, Period, TimeOfUse
from gridedge_env.scenarios.series import read_meters, read_prices, read_weather
from gridedge_env.wrappers import (
    DiscreteActions,
    FailingAgents,
    HiddenFields,
    KindIndicator,
    RewardFunction,
)

SMALL: Any = {"feeder": "ieee13", "num_agents": 3}


def test_numbers_of_any_type_are_python_s(tmp_path: Path) -> None:
    given = TrainConfig(learning_rate=np.float32(0.5), epochs=np.int64(2))
    save_config(given, tmp_path)
    assert load_config(tmp_path, TrainConfig) == given == TrainConfig(learning_rate=0.5, epochs=2)
    assert Variation(Fraction(1, 2)) == Variation(0.5)


# Compared with a number, or with a name, either raises an error of NumPy's own.
INCOMPARABLE = {
    "structured": np.array([(0.0,)], dtype=[("a", "f4")]),
    "two numbers": np.array([0.0, 1.0]),
}


@pytest.mark.parametrize("kind", INCOMPARABLE)
@pytest.mark.parametrize(
    ("name", "hand_over"),
    [
        ("dtype", lambda given: parallel_env(**SMALL, dtype=given)),
        ("dtype", lambda given: PowerFlow(load_feeder("ieee13"), dtype=given)),
        ("backend", lambda given: PowerFlow(load_feeder("ieee13"), backend=given)),
        ("render_mode", lambda given: parallel_env(**SMALL, render_mode=given)),
        ("split", lambda given: parallel_env(**SMALL, split=given)),
        ("unit", lambda given: read_meters("meters.csv", unit=given)),
        ("stamps", lambda given: read_meters("meters.csv", stamps=given)),
        ("unit", lambda given: read_prices("prices.csv", unit=given)),
        ("stamps", lambda given: read_prices("prices.csv", stamps=given)),
        ("stamps", lambda given: read_weather("weather.csv", stamps=given)),
        ("time_zone", lambda given: read_weather("weather.csv", time_zone=given)),
        ("unit", lambda given: load_metered_demand("homes.csv", unit=given)),
        ("feeder", lambda given: parallel_env(given, num_agents=3)),
    ],
)
def test_what_cannot_be_compared_is_none_of_the_choices(
    name: str, hand_over: Callable[[Any], object], kind: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name}: got .*expected"):
        hand_over(INCOMPARABLE[kind])


class Amount(Fraction):
    """A number of a type of one's own."""


@pytest.mark.parametrize("number", [np.float64, np.float32, np.float16, np.longdouble, Amount])
def test_a_case_of_numbers_of_any_type_is_saved_and_read_back(
    number: Callable[[float], Any], tmp_path: Path
) -> None:
    """All that a case and its settings say in numbers is Python's own from the beginning."""
    quarter, half, one = number(0.25), number(0.5), number(1.0)
    case = default_case(
        **SMALL,
        step_minutes=number(60.0),
        source_voltage=one,
        home_scale=half,
        penalty=half,
        mix={"battery": half, "generator": half},
        tariff=Tariff(TimeOfUse(quarter, (Period(half, "07:00", "08:00"),)), Fixed(quarter)),
        limits=Limits(half, maximum_loading=one),
    )
    for name, changed in {
        "flat": replace(case, tariff=Tariff(Flat(half), DayAheadFeedIn(half, quarter, quarter))),
        "clock": replace(case, clock=Clock(24, one), tariff=Tariff(DayAhead(half, quarter))),
        "demand": replace(case, demand=GeneratedDemand(half), penalty=quarter),
    }.items():
        changed.save(tmp_path / name)
        assert load_case(tmp_path / name) == changed
    config = TrainConfig(
        case=CaseSettings(
            **SMALL,
            step_minutes=number(60.0),
            source_voltage=one,
            home_scale=half,
            penalty=half,
            mix={"battery": one},
            limits={"maximum_loading": half},
            tariff=case.tariff,
        ),
        seconds=half,
        voltage_margin=number(0.03125),
        loading_margin=quarter,
    )
    save_config(config, tmp_path)
    assert load_config(tmp_path, TrainConfig) == config
    errors = ForecastErrors(case.days, half, quarter, one, np.int64(3))
    kept = errors.temperature_deviation, errors.price_deviation, errors.correlation_hours
    assert [type(value) for value in (*kept, errors.seed)] == [float, float, float, int]


def test_seeds_of_any_whole_type_are_one() -> None:
    assert default_case(**SMALL, seed=torch.tensor(3)) == default_case(**SMALL, seed=3)


def test_an_argument_of_another_type_is_said_by_name() -> None:
    """Wrappers, evaluations and power flows of what is something else."""
    env, feeder = parallel_env(**SMALL), load_feeder("ieee13")
    simulator = env.simulator
    calls: list[tuple[Callable[[Any], Any], str, tuple[Any, ...]]] = [
        *(
            (wrapper, "env", (None, 3, simulator))
            for wrapper in (
                lambda given: DiscreteActions(given, 3),
                lambda given: FailingAgents(given, 0.5),
                lambda given: HiddenFields(given, ["price"]),
                lambda given: RewardFunction(given, lambda result: -result.cost),
                KindIndicator,
            )
        ),
        (lambda given: DiscreteActions(env, given), "levels", (None, 10**12, 2.5)),
        (lambda given: HiddenFields(env, given), "names", (None, 3, "price")),
        (lambda given: RewardFunction(env, given), "function", (None, 3)),
        (GridEdgeParallelEnv, "simulator", (None, env)),
        (lambda given: evaluation_days(given, "test", 3), "simulator", (None, env)),
        (
            lambda given: evaluation_days(simulator, "test", given),
            "days",
            (None, "3", 1.5, 0, 10**12),
        ),
        (lambda given: evaluate(given, {}, [0]), "simulator", (None, env)),
        (lambda given: evaluate(simulator, given, [0]), "policies", (None, [3])),
        (lambda given: evaluate(simulator, {"a": given}, [0]), r"policies\['a'\]", (None, 3)),
        (lambda given: evaluate(simulator, {}, given), "days", (None, 3, "0", [2**70])),
        (
            lambda given: evaluate(simulator, {}, [0], foresight_iterations=given),
            "foresight_iterations",
            (None, "3", -1, 10**12),
        ),
        (
            lambda given: evaluate(simulator, {}, [0], progress=given),
            "progress",
            (None, 3),
        ),
        (PowerFlow, "feeder", (None, "ieee13", simulator)),
        (lambda given: PowerFlow(feeder, given), "injections", ("671.1", [3], {"671.1"})),
        (lambda given: PowerFlow(feeder, responses=given), "responses", ("671.1", [3])),
        (
            lambda given: PowerFlow(feeder, device=given),
            "device",
            (None, 3, "nonsense", "cuda:99"),
        ),
        (lambda given: PowerFlow(feeder, settings=given), "settings", (3, "fast")),
        (
            lambda given: simulator.simulate(simulator.reset(1), torch.zeros(1, 1, 3, 1), given),
            "(power and )?start",
            (3, torch.zeros(1)),
        ),
    ]
    for call_with, name, values in calls:
        for value in values:
            with pytest.raises(ValueError, match=rf"^{name}: got .*expected") as caught:
                call_with(value)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("several", [tuple, iter, np.array, pd.Index, pd.Series])
def test_places_come_in_whatever_has_an_order(several: Callable[[list[str]], Any]) -> None:
    feeder, places = load_feeder("ieee13"), ["671.1", "675.2"]
    assert PowerFlow(feeder, several(places)).injection_names[-2:] == places


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["dense", "factored", "compiled"])
def test_what_is_another_number_in_name_only_is_solved_as_that(
    backend: str, dtype: torch.dtype
) -> None:
    """PyTorch conjugates and negates in name: what is in memory has the other sign."""
    power_flow = PowerFlow(load_feeder("ieee13"), backend=backend, dtype=dtype)
    power = torch.tensor([[0.5], [1.0]]) * power_flow.nominal_power
    lazy = power.conj()
    assert lazy.is_conj()
    expected = power_flow.solve(lazy.resolve_conj()).voltage
    assert torch.equal(power_flow.solve(lazy).voltage, expected)
    columns = power_flow.spread(torch.cat((power.real, power.imag), dim=-1))
    start = power_flow.no_load(2)
    solved = power_flow.solve_branches(columns).voltage
    swept = power_flow.sweep_branches(columns, start, 2)
    negative = torch._neg_view(-columns)
    assert negative.is_neg()
    assert torch.equal(power_flow.solve_branches(negative).voltage, solved)
    assert torch.equal(power_flow.sweep_branches(negative, start, 2), swept)
    begun = torch._neg_view(-start)
    assert torch.equal(power_flow.solve_branches(columns, begun).voltage, solved)

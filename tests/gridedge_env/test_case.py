"""A case: the default one and its shorthand are one thing, and settings say what they mean."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gridedge_env import (
    Case,
    CaseSettings,
    Limits,
    Simulator,
    default_case,
    load_feeder,
    make_simulator,
    parallel_env,
)
from gridedge_env.case import settings_from_record
from gridedge_env.clock import Clock
from gridedge_env.devices import default_counts, default_home_scale, sample_fleet
from gridedge_env.feeder.places import loads_beside
from gridedge_env.scenarios import (
    DayAhead,
    DayAheadFeedIn,
    Flat,
    GeneratedDemand,
    NetMetering,
    ObservedDays,
    Period,
    Tariff,
    TimeOfUse,
    load_metered_demand,
)

# Each departs from the default in everything that needs no file.
OPTIONS: dict[str, Any] = {
    "seed": 3,
    "step_minutes": 60,
    "source_voltage": 1.02,
    "neutral_taps": False,
    "regulator_control": True,
    "keep_loads": True,
    "home_scale": 4.0,
    "reactive_power": True,
    "penalty": 7.0,
    "tariff": Tariff(exports=DayAheadFeedIn()),
    "mix": {"battery": 0.3, "pv_inverter": 0.7},
}
THRESHOLDS = {"minimum_voltage": 0.94, "maximum_loading": 0.8}


@pytest.fixture(scope="module")
def case() -> Case:
    return default_case("ieee13", num_agents=7, limits=Limits(**THRESHOLDS), **OPTIONS)


def day_of(simulator: Simulator) -> list[torch.Tensor]:
    """What a simulator does with a day and random actions: observations, costs, voltages."""
    state = simulator.reset(batch_size=2, seed=5)
    random = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(3):
        size = (2, simulator.num_agents, simulator.action_size)
        seen.append(simulator.observe(state))
        state, result = simulator.step(state, 2.0 * torch.rand(size, generator=random) - 1.0)
        seen += [result.cost, result.reward, result.voltage]
    return seen


# The default case ---------------------------------------------------------------------------------


def test_the_default_case_is_what_it_was() -> None:
    """As built by hand from its parts."""
    feeder = load_feeder("ieee123")
    scale = default_home_scale(feeder, 12)
    expected = Case(
        feeder=feeder.with_neutral_taps().without_loads().with_source_voltage(1.0),
        fleet=sample_fleet(feeder, default_counts(12), 0, scale),
        clock=Clock(48, 0.5),
        days=ObservedDays(),
        demand=GeneratedDemand(scale),
        tariff=Tariff(DayAhead(1.21, 0.15), NetMetering()),
        limits=Limits(0.95, 1.05, 1.0, 0.02),
        penalty=100.0,
        reactive_power=False,
        regulator_control=False,
        seed=0,
    )
    assert default_case(num_agents=12) == expected
    assert default_case(feeder, 12) == expected
    assert CaseSettings(num_agents=12).make() == expected


@pytest.mark.parametrize("options", [{}, {**OPTIONS, "limits": Limits(**THRESHOLDS)}])
def test_the_shorthand_is_the_case_to_the_bit(options: dict[str, Any]) -> None:
    short = make_simulator("ieee13", num_agents=7, **options)
    long = make_simulator(case=default_case("ieee13", num_agents=7, **options))
    assert short.case == long.case
    assert short.fleet == long.fleet
    assert short.observation_fields == long.observation_fields
    for one, other in zip(day_of(short), day_of(long), strict=True):
        assert torch.equal(one, other)


def test_options_go_where_they_belong(case: Case) -> None:
    feeder = load_feeder("ieee13")
    kept = loads_beside(feeder, case.fleet.places)
    assert 0 < len(kept) < len(feeder.loads)
    assert case.feeder == feeder.with_loads(kept).with_source_voltage(1.02)
    assert any(regulator.tap_position for regulator in case.feeder.regulators)
    assert case.fleet == sample_fleet(feeder, {"battery": 2, "pv_inverter": 5}, 3, 4.0)
    assert case.clock == Clock(24, 1.0)
    assert case.limits == Limits(**THRESHOLDS)
    assert (case.seed, case.penalty, case.tariff) == (3, 7.0, Tariff(exports=DayAheadFeedIn()))
    assert case.reactive_power is case.regulator_control is True
    assert case.action_size == 2


def test_settings_make_the_same_case(case: Case) -> None:
    settings = CaseSettings(feeder="ieee13", num_agents=7, limits=THRESHOLDS, **OPTIONS)
    assert settings.make() == case
    assert replace(settings, penalty=8.0).make() != case


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda case: pickle.loads(pickle.dumps(case)), Case.clone],
    ids=["deepcopy", "pickle", "clone"],
)
def test_a_copy_is_the_same_case(case: Case, copied: Any) -> None:
    assert copied(case) == case
    assert copied(case) is not case


def test_metered_demand_by_its_file(tmp_path: Path) -> None:
    """A year of four meters in W: a file by its name, and the same source as an object."""
    hours = pd.date_range("2018-01-01", "2018-12-31 23:00", freq="h")
    watts = np.random.default_rng(0).gamma(2.0, 250.0, (len(hours), 4)).round()
    file = tmp_path / "meters.csv"
    pd.DataFrame(watts, hours.rename("timestamp"), ["ash", "birch", "cedar", "elm"]).to_csv(file)
    options = {"demand_unit": "W", "time_zone": "UTC", "home_scale": 1.0}
    settings = CaseSettings(feeder="ieee13", num_agents=1, demand=str(file), **options)
    source = load_metered_demand(file, "W", "UTC")
    cases = (
        settings.make(),
        default_case("ieee13", num_agents=1, demand=str(file), **options),
        default_case("ieee13", num_agents=1, demand=source, home_scale=1.0),
    )
    demands = [make_simulator(case=case).reset(days=[3]).day.demand for case in cases]
    assert 0.1 < demands[0].mean() < 1.0  # gamma of 2 x 250 W, in kW
    assert torch.equal(demands[0], demands[1])
    assert torch.equal(demands[0], demands[2])
    with pytest.raises(ValueError, match="^demand_unit: got 'MW'"):
        replace(settings, demand_unit="MW").make()
    # Sites of ten homes have larger devices; what was metered stays what it was.
    large = make_simulator(case=replace(settings, home_scale=10.0).make())
    assert large.fleet.group("battery").parameters.maximum_power.item() > 100.0
    assert torch.equal(large.reset(days=[3]).day.demand, demands[0])


# One way in at a time -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shorthand",
    [{"feeder": "ieee13"}, {"num_agents": 3}, {"seed": 0}, {"penalty": 1.0}, {"colour": "red"}],
)
def test_a_case_and_shorthand_beside_it_are_refused(case: Case, shorthand: dict[str, Any]) -> None:
    (name,) = shorthand
    with pytest.raises(ValueError, match=f"case: got one and .*{name}.* beside it, expected all"):
        make_simulator(case=case, **shorthand)


def test_an_environment_of_a_case(case: Case) -> None:
    """The same as of the options that the case stands for: the same seed gives the same days."""
    env = parallel_env(case=case, split="test")
    assert env.simulator.case is case
    assert env.possible_agents == list(case.fleet.names)
    assert env.action_space("battery_0").shape == (2,)
    options = {**OPTIONS, "limits": Limits(**THRESHOLDS)}
    short = parallel_env("ieee13", num_agents=7, split="test", **options)
    for seed in (3, None):  # without one, the day that follows from the last
        one, other = env.reset(seed)[0], short.reset(seed)[0]
        assert all(np.array_equal(one[agent], other[agent]) for agent in env.agents)
    with pytest.raises(ValueError, match="seed: got 4 and a case, expected the seed in the case"):
        parallel_env(case=case, seed=4)
    with pytest.raises(ValueError, match="case: got one and num_agents=3 beside it, expected"):
        parallel_env(case=case, num_agents=3)
    with pytest.raises(ValueError, match=r"case: got one and penalty=3\.0 beside it, expected"):
        parallel_env(case=case, penalty=3.0)


@pytest.mark.parametrize("given", [CaseSettings(num_agents=3), "my_case", 5])
def test_what_is_no_case_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"case: got .*, expected a Case"):
        make_simulator(case=given)


# Faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("num_agents", 0, "num_agents: got 0, expected a whole number from 1 to 10000000"),
        ("num_agents", 2.5, "num_agents: got 2.5"),
        ("seed", -1, "seed: got -1, expected a whole number of at least 0"),
        ("step_minutes", 20, "step_minutes: got 20, expected one of 15, 30, 60"),
        ("source_voltage", 0.0, "source_voltage: got 0.0, expected a number from 0.5 to 1.5"),
        ("source_voltage", 50, "source_voltage: got 50, expected a number from 0.5 to 1.5"),
        ("demand_unit", "MW", "demand_unit: got 'MW', expected 'kW' or 'W'"),
        ("demand_unit", 1, "demand_unit: got 1"),
        ("time_zone", "Mars", "time_zone: got 'Mars', expected an IANA name"),
        ("time_zone", None, "time_zone: got None"),
        (
            "home_scale",
            float("inf"),
            r"home_scale: got inf, expected a number from 1e-06 to 1e\+06",
        ),
        ("penalty", -1.0, "penalty: got -1.0, expected a number of at least 0"),
        ("neutral_taps", 1, "neutral_taps: got 1, expected True or False"),
        ("keep_loads", "some", "keep_loads: got 'some', expected True or False"),
        ("regulator_control", "yes", "regulator_control: got 'yes', expected True or False"),
        ("reactive_power", None, "reactive_power: got None, expected True or False"),
        ("feeder", 13, "feeder: got 13, expected a name or a path"),
        ("feeder", "", "feeder: got '', expected a name or a path"),
        ("demand", None, "demand: got None, expected a name or a path"),
        ("tariff", {"adder": 0.1}, r"tariff: got \{'adder': 0.1\}, expected a Tariff"),
        ("limits", 0.95, "limits: got 0.95, expected thresholds by name"),
        ("limits", {1: 2}, r"limits: got \{1: 2\}, expected thresholds by name"),
        ("limits", {"maximum_losses": 3.0}, "limits: unknown threshold 'maximum_losses'"),
        ("limits", {"minimum_voltage": 2.0}, "limits: got voltages 2.0 to 1.05"),
        ("mix", 0.5, "mix: got 0.5, expected shares by kind of device"),
        ("mix", {"windmill": 1.0}, "mix: unknown 'windmill', expected one of battery, heat_pump"),
        ("mix", {"battery": 1.5}, "mix: got shares that add up to 1.5, expected 1"),
        ("mix", {"battery": -1.0}, "mix.battery: got -1.0, expected a number of at least 0"),
    ],
)
def test_a_setting_that_is_wrong_is_named(option: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        CaseSettings(**{option: value})
    if option != "tariff":  # which a record has as an object
        with pytest.raises(ValueError, match=rf"^case\.{message}"):
            settings_from_record({option: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, "options: unknown option 'colour', expected one of seed, step_minutes"),
        ({"limits": {"minimum_voltage": 0.9}}, r"limits: got \{.*\}, expected Limits"),
        ({"limits": 0.95}, "limits: got 0.95, expected Limits"),
        ({"seed": True}, "seed: got True"),
        ({"tariff": None}, "tariff: got None, expected a Tariff"),
        ({"feeder": "ieee14"}, "feeder"),
        ({"feeder": ""}, "feeder: got '', expected a name or a path"),
        ({"feeder": None}, "feeder: got None, expected a name or a path"),
        ({"feeder": 1}, "feeder: got 1, expected a name or a path"),
        ({"demand": None}, "demand: got None without assign_homes, draw, scale, expected a Dem"),
        ({"demand": 1}, "demand: got 1 without"),
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        default_case(**options)


def test_a_path_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"^demand: .*nope\.csv: not found, expected a file"
    ):
        default_case(num_agents=3, demand=str(tmp_path / "nope.csv"))
    with pytest.raises(
        FileNotFoundError, match=r"^feeder: .*feeder\.json' not found, expected a f"
    ):
        default_case(tmp_path, num_agents=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feeder": "ieee13"}, "feeder: got 'ieee13', expected a Feeder"),
        ({"fleet": None}, "fleet: got None, expected a Fleet"),
        ({"clock": 30}, "clock: got 30, expected a Clock"),
        ({"days": []}, r"days: got \[\] without load, expected a DaySource"),
        ({"demand": None}, "demand: got None without assign_homes, draw, scale, expected a Dem"),
        ({"tariff": {}}, r"tariff: got \{\}, expected a Tariff"),
        ({"limits": None}, "limits: got None, expected a Limits"),
        ({"seed": -2}, "seed: got -2"),
        ({"penalty": -2.0}, "penalty: got -2.0"),
        ({"reactive_power": 1}, "reactive_power: got 1, expected True or False"),
        ({"regulator_control": 0}, "regulator_control: got 0, expected True or False"),
        (
            {"public_plan": True, "limits": Limits(0.999, 1.001)},
            r"public_plan: got limits of which 0\.0045 pu and 4% of ratings leave .* to 0\.9965,",
        ),
        (
            {"tariff": Tariff(TimeOfUse(0.2, (Period(0.3, "07:30"),)))},
            "tariff.imports: got a price that changes at '07:30', expected times at which a step "
            "of 60 minutes begins",
        ),
    ],
)
def test_a_case_put_together_by_hand_is_checked(
    case: Case, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        replace(case, **change)


def test_settings_without_room_for_a_plan_are_refused() -> None:
    with pytest.raises(ValueError, match="^public_plan: got limits of which"):
        CaseSettings(public_plan=True, limits={"maximum_loading": 0.03})
    CaseSettings(limits={"maximum_loading": 0.03})


# Their record -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        CaseSettings(),
        CaseSettings(feeder="ieee13", num_agents=7, limits=THRESHOLDS, **OPTIONS),
    ],
    ids=["default", "all else"],
)
def test_settings_come_back_from_json(settings: CaseSettings) -> None:
    text = json.dumps(asdict(settings))
    assert settings_from_record(json.loads(text)) == settings


def test_what_a_record_leaves_out_is_the_default() -> None:
    assert settings_from_record({}) == CaseSettings()
    flat = {"imports": {"kind": "flat", "price": 0.2}}
    assert settings_from_record({"tariff": flat}).tariff == Tariff(imports=Flat(0.2))
    same = {"imports": {"kind": "day_ahead", "adder": 0.2}}
    assert settings_from_record({"tariff": same}).tariff == Tariff(DayAhead(1.21, 0.2))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (None, "case: got None, expected an object"),
        ([1], r"case: got \[1\], expected an object"),
        ({"agents": 3}, "case: unknown 'agents', expected one of feeder, num_agents, seed"),
        ({"tariff": 3}, "case.tariff: got 3, expected an object"),
        ({"tariff": {"tax": 2}}, "case.tariff: unknown 'tax', expected one of imports, exports"),
        ({"tariff": {"exports": "no"}}, "case.tariff.exports: got 'no', expected an object with"),
        (
            {"tariff": {"imports": {"kind": "flat", "price": -1}}},
            "case.tariff.imports.price: got -1, expected a number of at least 0",
        ),
        ({"num_agents": "many"}, "case.num_agents: got 'many'"),
    ],
)
def test_a_record_that_is_wrong_is_refused(record: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        settings_from_record(record)

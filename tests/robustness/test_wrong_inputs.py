"""A wrong input ends in a line that names it, wherever it comes in."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradmap_trainer.config import CONFIG_FILE, TrainConfig, load_config, save_config
from gridedge_env import load_case, make_simulator, parallel_env
from gridedge_env.case import Case, CaseSettings, default_case
from gridedge_env.checks import shown
from gridedge_env.feeder import load_feeder
from gridedge_env.parallel import GridEdgeParallelEnv
from gridedge_env.powerflow import PowerFlow
from gridedge_env.scenarios import GeneratedDemand, Variation
from gridedge_env.scenarios.import_prices import DayAhead, Flat
from tests.gradmap_trainer.commands.calling import assert_one_line, call

NAN, INF = math.nan, math.inf
SMALL: Any = {"feeder": "ieee13", "num_agents": 3}


@pytest.fixture(scope="module")
def case() -> Case:
    return default_case(**SMALL)


@pytest.fixture(scope="module")
def env(case: Case) -> GridEdgeParallelEnv:
    return parallel_env(case=case)


# --- Records --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: DayAhead(adder=NAN), "tariff.imports.adder: got nan"),
        (lambda: DayAhead(adder=1e39), r"tariff.imports.adder: got 1e\+39"),
        (lambda: DayAhead(factor=10**5000), "tariff.imports.factor: got int of too many digits"),
        (lambda: Variation("2"), "price_factor: got '2'"),
        (lambda: Variation(demand_factor=None), "demand_factor: got None"),
        (lambda: Variation(temperature_shift=torch.tensor([NAN])), "temperature_shift: contains"),
        (lambda: Variation(price_factor=torch.ones(2, 2)), "price_factor: got torch.float32 of"),
        (lambda: Variation(price_factor=1e39), r"price_factor: got 1e\+39"),
        (lambda: CaseSettings(step_minutes=torch.ones(())), "step_minutes: got tensor"),
        (lambda: CaseSettings(num_agents=10**30), "num_agents: got 1000"),
        (lambda: CaseSettings(seed=2**64), "seed: got 18446744073709551616"),
        (lambda: CaseSettings(penalty=np.float16("inf")), "penalty: got .*inf"),
        (lambda: CaseSettings(penalty=Fraction(10**400)), "penalty: got Fraction"),
        (lambda: CaseSettings(home_scale=1e39), r"home_scale: got 1e\+39"),
        (lambda: CaseSettings(penalty=1e308), r"penalty: got 1e\+308"),
        (
            lambda: CaseSettings(mix=torch.ones(2, 2)),
            r"mix: got tensor\(\[\[1., 1.\], \[1., 1.\]\]",
        ),
        (lambda: CaseSettings(home_scale=1e-300), "home_scale: got 1e-300"),
        (lambda: GeneratedDemand(1e-300), "scale: got 1e-300"),
        (lambda: TrainConfig(learning_rate=1e-46), "learning_rate: got 1e-46"),
        (lambda: TrainConfig(iterations=10**12), "iterations: got 1000000000000"),
        (lambda: TrainConfig(batch_days=2**70), "batch_days: got 1180591620717411303424"),
        (lambda: TrainConfig(hidden_sizes=(10**8,)), "hidden_sizes: got 100000000"),
        (lambda: TrainConfig(hidden_sizes=(16, 2**63)), "hidden_sizes: got 9223372036854775808"),
        (lambda: Flat(Decimal("0.3")), "tariff.imports.price: got Decimal"),
        (lambda: default_case(**SMALL, limits=(0.9, 1.1)), "limits: got .0.9, 1.1."),
        (lambda: default_case(**SMALL, tariff={}), "tariff: got {}"),
        (lambda: make_simulator(**SMALL, dtype="float64"), "dtype: got 'float64'"),
        (lambda: make_simulator(**SMALL, device="meta"), "device: got 'meta'"),
        (lambda: make_simulator(**SMALL).reset(split=["train"]), "split: got .'train'."),
        (lambda: make_simulator(**SMALL).reset(days=3), "days: got 3"),
        (lambda: make_simulator(**SMALL).reset(variation=None), "variation: got None"),
        (
            lambda: make_simulator(**SMALL).reset(
                2, variation=Variation(torch.ones(2, device="meta"))
            ),
            "price_factor: got a tensor on meta",
        ),
        (
            lambda: default_case("ieee13", torch.ones(1, device="meta", dtype=torch.int64)),
            r"num_agents: got tensor\(\.\.\., device='meta'",
        ),
        (
            lambda: make_simulator(**SMALL).reset(2, variation=Variation(torch.ones(3))),
            "price_factor: got one for each of 3 episodes",
        ),
    ],
)
def test_a_record_names_what_is_wrong_with_it(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}.*expected") as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *(("tariff", {}), ("limits", (0.9, 1.1)), ("demand", "x.csv"), ("penalty", NAN)),
        *(("seed", True), ("seed", 2**63)),
        # What would act on a terminal, or could not be written.
        *(("currency", f"a{sign}b") for sign in "\u202e\u2067\x1b\x85\ufeff\ud800"),
    ],
)
def test_a_case_names_what_is_wrong_with_it(case: Case, field: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field}: got"):
        replace(case, **{field: wrong})


def test_a_variation_of_double_precision_leaves_a_simulator_in_single() -> None:
    simulator = make_simulator(**SMALL)
    shift = Variation(temperature_shift=torch.zeros(2, dtype=torch.float64))
    assert simulator.reset(2, variation=shift) == simulator.reset(2)


@pytest.mark.parametrize(
    ("option", "words", "told"),
    [
        ("--tariff.imports", ["day_ahead", "adder=1e39"], "tariff.imports.adder"),
        ("--device", ["meta"], "device: got 'meta'"),
        ("--demand", ["x.csv"], "demand: x.csv: not found"),
        ("--price-variation", ["500"], "price_variation: got 500.0, expected a number from 0 to 3"),
        ("--temperature-variation", ["1e30"], "temperature_variation: got 1e+30"),
        ("--home-scale", ["1e39"], "home_scale: got 1e+39"),
        ("--num-agents", ["1" + 40 * "0"], "num_agents: got 1000"),
        ("--dual-initial", ["1e300"], "dual_initial: got 1e+300"),
    ],
)
def test_a_command_says_what_is_wrong(
    option: str, words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--feeder", "ieee13", "--num-agents", 3]
    assert call("gradmap-train", "--run", tmp_path / "run", *small, option, *words) == 2
    assert not (tmp_path / "run").exists()
    errors = capsys.readouterr().err
    assert told in " ".join(errors.split())
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("penalty = 100.0", "penalty = nan", "penalty': got nan"),
        ("penalty = 100.0", "penalty = 1e39", r"penalty': got 1e\+39"),
        ("adder = 0.15", "adder = nan", "adder': got nan"),
        ("minimum_voltage = 0.95", "minimum_voltage = 1e300", r"minimum_voltage': got 1e\+300"),
    ],
)
def test_a_folder_says_what_is_wrong(
    case: Case, old: str, new: str, told: str, tmp_path: Path
) -> None:
    case.save(tmp_path / "case")
    path = tmp_path / "case" / "case.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        load_case(tmp_path / "case")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record["case"].update(feeder=3), "case.feeder: got 3"),
        (lambda record: record.update(device=True), "device: got True"),
        (lambda record: record.update(case=3), "case: got 3"),
        (lambda record: record.update(hidden_sizes={}), "hidden_sizes: got {}"),
        (lambda record: record.update(learning_rate=10**400), "learning_rate: got 1000"),
        (lambda record: record["case"].update(limits=[0.9]), "case.limits: got .0.9."),
        (lambda record: record["case"]["tariff"].update(imports=3), "case.tariff.imports: got 3"),
    ],
)
def test_a_configuration_says_what_is_wrong(
    change: Callable[[dict[str, Any]], None], told: str, tmp_path: Path
) -> None:
    save_config(TrainConfig(), tmp_path)
    record = json.loads((tmp_path / CONFIG_FILE).read_text(encoding="utf-8"))
    change(record)
    (tmp_path / CONFIG_FILE).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError, match=told) as caught:
        load_config(tmp_path, TrainConfig)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_a_configuration_that_is_nested_is_none(
    depth: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '{"case": ' + "[" * depth + "]" * depth + "}"
    (tmp_path / CONFIG_FILE).write_text(text, encoding="utf-8")
    assert call("gradmap-report", tmp_path) == 2
    assert_one_line(capsys.readouterr().err, "is not the configuration of a GridEdge run")


@pytest.mark.parametrize("option", ["--learning-rate", "--dual-step", "--quadratic-penalty"])
def test_a_setting_that_is_too_large_trains_or_is_said(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never exit code 0 beside a log that is not finite, and no word of actions' faults."""
    run = tmp_path / "run"
    words = [
        *("--feeder", "ieee13", "--num-agents", 3, "--step-minutes", 60, "--batch-days", 1),
        *("--minibatches", 1, "--hidden-sizes", 4, "--iterations", 3, "--evaluation-days", 0),
    ]
    code = call("gradmap-train", "--run", run, *words, option, "1e15")
    if code:
        assert code == 1
        assert_one_line(capsys.readouterr().err, "expected a finite number")
        return
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())


# --- Actions and resets ---------------------------------------------------------------------------

HIGH = [
    *([7], [10**400], [Fraction(10**400)], [1e300], np.array([1e300]), np.array([200], np.uint8)),
    *(np.array([6e4], np.float16), torch.full((1,), 1e300, dtype=torch.float64), [True]),
    np.array([np.finfo(np.longdouble).max]),
]


@pytest.mark.parametrize("high", HIGH, ids=shown)
def test_finite_numbers_beyond_the_range_are_its_end(env: GridEdgeParallelEnv, high: Any) -> None:
    env.reset(seed=0)
    one = np.ones(1, np.float32)
    expected = env.step(dict.fromkeys(env.agents, one))[1]
    first, *others = env.possible_agents
    for given in (
        dict.fromkeys(env.possible_agents, high),
        {first: high} | dict.fromkeys(others, one),
    ):
        env.reset(seed=0)
        assert env.step(given)[1] == expected


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble, np.float16])
def test_an_array_beyond_the_range_is_its_end(env: GridEdgeParallelEnv, dtype: Any) -> None:
    most = np.full((3, 1), np.finfo(dtype).max, dtype)
    env.reset(seed=0)
    expected = env.step_array(np.ones((3, 1)))[1]
    env.reset(seed=0)
    np.testing.assert_array_equal(env.step_array(most)[1], expected)
    env.reset(seed=0)
    huge = torch.full((3, 1), 1e300, dtype=torch.float64)
    found = env.differentiable_step(huge).reward[0]
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize(
    "wrong",
    [
        *(np.array(["2024-01-01"], "datetime64[D]"), np.array([3], "timedelta64[s]")),
        *(np.zeros(1, [("a", "f4")]), [date(2024, 1, 1)], ["0.5"], [b"1"], [1j], [Decimal("0.5")]),
        *(torch.ones(1, requires_grad=True), torch.ones(1, device="meta"), [None], [[]], {}),
        *([-INF], [10**400, 1], torch.ones(1).to_sparse()),
    ],
    ids=shown,
)
@pytest.mark.parametrize("all_of_them", [False, True])
def test_what_is_no_action_is_refused(
    env: GridEdgeParallelEnv, wrong: Any, all_of_them: bool
) -> None:
    env.reset(seed=0)
    first = env.agents[0]
    given = dict.fromkeys(env.agents, wrong if all_of_them else np.zeros(1))
    with pytest.raises(ValueError, match=rf"^actions\['{first}'\]: got") as caught:
        env.step({**given, first: wrong})
    assert "\n" not in str(caught.value)
    assert env.simulator_state is not None
    assert env.simulator_state.step == 0


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        3,
        np.zeros((3, 1)),
        torch.zeros(3, 1, dtype=torch.complex64),
        torch.zeros(3, 1).to_sparse(),
    ],
    ids=shown,
)
def test_what_is_no_tensor_is_refused(env: GridEdgeParallelEnv, wrong: Any) -> None:
    env.reset(seed=0)
    with pytest.raises(ValueError, match="^action: got"):
        env.differentiable_step(wrong)
    with pytest.raises(ValueError, match="^action: got"):
        env.simulator.step(env.simulator.reset(), wrong)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"options": "abc"}, "options: got 'abc', expected a dictionary or None"),
        ({"options": ["day"]}, "options: got .'day'."),
        ({"options": 3}, "options: got 3"),
        ({"options": {"day": True}}, r'options\["day"\]: got True'),
        ({"options": {"day": 10**5000}}, r'options\["day"\]: got int of too many digits'),
        ({"seed": True}, "seed: got True"),
        ({"seed": np.array([1, 2])}, "seed: got array"),
    ],
)
def test_a_reset_names_what_is_wrong(
    env: GridEdgeParallelEnv, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        env.reset(**arguments)


# --- Power flows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["dense", "factored", "compiled"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_start_from_anywhere_loses_no_solution(backend: str, moved: bool) -> None:
    """Where nothing can be found from, it begins again without load; others are not touched."""
    power_flow = PowerFlow(load_feeder("ieee13"), backend=backend)
    power = power_flow.nominal_power[None].repeat(3, 1)
    taps = power_flow.tap_position.expand(3, -1) - 1.0 if moved else None
    alone = power_flow.solve(power, tap_position=taps)
    start = alone.device_voltage.clone()
    start[1] = NAN
    found = power_flow.solve(power, start, taps)
    assert found.converged.all()
    # Both are within 1e-11 pu of the solution times what a contraction of 0.7 leaves.
    torch.testing.assert_close(found.voltage, alone.voltage, rtol=0.0, atol=1e-10)
    torch.testing.assert_close(
        found.branch_current_magnitude, alone.branch_current_magnitude, rtol=1e-7, atol=1e-5
    )


def test_after_a_step_without_a_solution_the_next_one_is_found() -> None:
    """From where the iteration was left, six of them are not: homes that feed in 5.4 MW each."""
    homes = ["671.1", "645.2", "675.3"]
    power_flow = PowerFlow(load_feeder("ieee13"), homes, dtype=torch.float32)
    power = power_flow.nominal_power.repeat(61, 1)
    power[:, -len(homes) :] = torch.linspace(-12_000.0, 6_000.0, 61)[:, None]
    alone = power_flow.solve(power)
    solved = power[alone.converged]
    assert 0 < len(solved) < 61
    for left in alone.device_voltage[~alone.converged]:
        assert power_flow.solve(solved, left.expand(len(solved), -1)).converged.all()


@pytest.mark.parametrize("wrong", ["meta", "sparse"])
def test_compiled_kernels_get_no_other_memory(wrong: str) -> None:
    """Of another device, or laid out otherwise: its address would end the process."""
    flow = PowerFlow(load_feeder("ieee13"))
    start = flow.no_load(1)
    other = start.to("meta") if wrong == "meta" else start.to_sparse()
    power = flow.nominal_power[None]
    for solve in (
        lambda: flow.solve(power, other),
        lambda: flow.solve_branches(other),
        lambda: flow.solve_branches(start, other),
        lambda: flow.sweep_branches(other, start, 1),
        lambda: flow.sweep_branches(start, other, 1),
    ):
        with pytest.raises(
            ValueError, match=r"^(power|start): got torch\..* expected a real tensor"
        ):
            solve()


@pytest.mark.parametrize("backend", ["dense", "factored", "compiled"])
def test_a_feeder_without_loads_is_solved(backend: str) -> None:
    """As with a home that draws nothing."""
    feeder = load_feeder("ieee13").with_loads([])
    power_flow = PowerFlow(feeder, backend=backend)
    assert power_flow.injection_names == [f"{feeder.source.bus}.{feeder.source.phases[0]}"]
    found = power_flow.solve()
    assert found.converged.all()
    with_home = PowerFlow(feeder, ["671.1"], backend=backend)
    expected = with_home.solve()
    torch.testing.assert_close(found.voltage, expected.voltage, rtol=0.0, atol=1e-10)

"""A run survives whatever ends it, and goes on to the same bits as one that nothing ended."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.faults import TRAIN, rows
from gradmap_trainer.checkpoint import LATEST, PREVIOUS, load_checkpoint
from gradmap_trainer.config import CONFIG_FILE, TrainConfig, load_config
from gradmap_trainer.gradmap import Learner, reuse_gradient
from gradmap_trainer.lock import LOCK_FILE
from gradmap_trainer.metrics import METRICS_FILE
from gradmap_trainer.run_folder import CASE_FOLDER, load_policies
from gradmap_trainer.training import open_run, train
from gridedge_env.case import CaseSettings
from gridedge_env.scenarios import DayAhead, Tariff

ROOT = Path(__file__).parents[2]
# Checkpoints after every iteration, unless a test says otherwise.
SMALL = TrainConfig(
    case=CaseSettings(num_agents=9, home_scale=60.0),
    iterations=6,
    batch_days=1,
    minibatches=2,
    hidden_sizes=(6,),
    voltage_margin=0.02,
    rollout_sweeps=1,
    checkpoint_seconds=0.0,
    evaluation_days=0,
)
LONG = replace(SMALL, iterations=30, checkpoint_seconds=0.2)


@pytest.fixture(scope="module")
def simulator():
    return SMALL.make_simulator()


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, simulator) -> tuple[Path, Learner]:
    """Six iterations without interruption."""
    return run(replace(SMALL, run=str(tmp_path_factory.mktemp("runs") / "whole")), simulator)


@pytest.fixture(scope="module")
def whole_long_run(tmp_path_factory, simulator) -> tuple[Path, Learner]:
    """Thirty iterations without interruption."""
    return run(replace(LONG, run=str(tmp_path_factory.mktemp("runs") / "long")), simulator)


def run(config: TrainConfig, simulator, iterations: int | None = None) -> tuple[Path, Learner]:
    """Begin a run, or go on with it, for so many iterations or to its end."""
    learner = open_run(config, simulator, resume=True)
    done = 0

    def count(learner: Learner, row: dict[str, float]) -> None:
        nonlocal done
        done += 1

    return Path(config.run), train(config, simulator, learner, count, lambda: done == iterations)


def log(folder: Path) -> list[dict[str, str]]:
    """The rows of the log as written, but for what the clock says."""
    with (folder / METRICS_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(None not in row and None not in row.values() for row in rows), "ragged"
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


def assert_same(one: tuple[Path, Learner], other: tuple[Path, Learner]) -> None:
    """Weights, multipliers, moments and log, bit for bit."""
    (first_folder, first), (second_folder, second) = one, other
    assert first.iteration == second.iteration
    first_tensors, _ = load_checkpoint(first_folder)
    second_tensors, _ = load_checkpoint(second_folder)
    assert first_tensors.keys() == second_tensors.keys()
    for name, value in first_tensors.items():
        assert torch.equal(value, second_tensors[name]), name
    for a, b in zip(first.policies.parameters(), second.policies.parameters(), strict=True):
        assert torch.equal(a, b)
    assert log(first_folder) == log(second_folder)
    assert [row["iteration"] for row in log(first_folder)] == [
        str(k + 1) for k in range(first.iteration)
    ]


def test_a_checkpoint_holds_all_that_training_changes(whole_run, simulator):
    folder, learner = whole_run
    tensors, record = load_checkpoint(folder)
    assert record["iteration"] == 6
    assert record["seconds"] == learner.seconds
    for name, value in learner.policies.state_dict().items():
        assert torch.equal(tensors[f"policies.{name}"], value)
    assert list(learner.duals) == ["voltage", "loading", "unbalance"]
    for name, dual in learner.duals.items():
        assert torch.equal(tensors[f"duals.{name}"], dual)
    assert (learner.duals["voltage"] > 0.5).any(), "nothing to test: no multiplier grew"
    parameters = list(learner.policies.parameters())
    for index, moments in enumerate(learner.optimiser.state[p] for p in parameters):
        assert set(moments) == {"step", "exp_avg", "exp_avg_sq"}
        for name, value in moments.items():
            assert torch.equal(tensors[f"optimiser.{index}.{name}"], value)


def test_what_is_compiled_first_is_no_training_time(tmp_path, simulator):
    """Each process begins with an iteration of another learner, which is neither timed nor logged.

    That it changes nothing is what all the other tests here say. A run that is done has none.
    """
    config, seen = replace(SMALL, run=str(tmp_path / "run"), iterations=2), []

    def update(config, simulator, learner, *rest):
        seen.append(learner)
        return reuse_gradient(config, simulator, learner, *rest)

    begun = open_run(config, simulator)
    train(config, simulator, begun, update=update)
    assert [learner.policies is begun.policies for learner in seen] == [False, True, True]
    assert [row["iteration"] for row in log(tmp_path / "run")] == ["1", "2"]

    train(config, simulator, open_run(config, simulator, resume=True), update=update)
    assert len(seen) == 3, "nothing left to train"
    more = replace(config, iterations=3)
    train(more, simulator, open_run(more, simulator, resume=True), update=update)
    assert [learner.iteration for learner in seen] == [0, 0, 1, 0, 2]


@pytest.mark.parametrize("stop_after", [1, 3])
def test_resuming_changes_nothing(tmp_path, whole_run, simulator, stop_after):
    config = replace(SMALL, run=str(tmp_path / "run"))
    folder, half = run(config, simulator, stop_after)
    assert half.iteration == stop_after
    assert load_checkpoint(folder)[1]["iteration"] == stop_after
    assert_same(run(config, SMALL.make_simulator()), whole_run)


def test_resuming_a_finished_run_changes_nothing(whole_run, simulator):
    folder, _ = whole_run
    before, (tensors, record) = log(folder), load_checkpoint(folder)
    assert_same(run(replace(SMALL, run=str(folder)), simulator), whole_run)
    assert log(folder) == before
    saved, told = load_checkpoint(folder)
    assert told == record
    assert saved.keys() == tensors.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in tensors.items())


def test_a_damaged_checkpoint_costs_one_interval(tmp_path, whole_run, simulator):
    """The newest is of iteration 4, the one before it of iteration 3; the log has four rows."""
    config = replace(SMALL, run=str(tmp_path / "run"), checkpoint_seconds=1e6)
    folder, _ = run(config, simulator, 3)
    run(config, simulator, 1)
    newest = (folder / LATEST).read_bytes()
    (folder / LATEST).write_bytes(newest[:-100])
    with pytest.warns(UserWarning, match=f"using {PREVIOUS}"):
        resumed = run(config, simulator)
    assert_same(resumed, whole_run)


@pytest.mark.parametrize("rest", ["4,1.25,1", "4,1.25,192\n5,1.5"])
def test_a_line_cut_short_is_written_again(tmp_path, whole_run, simulator, rest):
    config = replace(SMALL, run=str(tmp_path / "run"))
    folder, _ = run(config, simulator, 3)
    with (folder / METRICS_FILE).open("a") as file:
        file.write(rest)
    assert_same(run(config, simulator), whole_run)


@pytest.mark.parametrize("header", ["", "iteration,sec"])
def test_a_header_cut_short_is_written_again(tmp_path, whole_run, simulator, header):
    """Killed in the first iteration, after the checkpoint that a run begins with."""
    config = replace(SMALL, run=str(tmp_path / "run"))
    open_run(config, simulator)
    (tmp_path / "run" / METRICS_FILE).write_text(header)
    assert_same(run(config, simulator), whole_run)


def test_a_folder_is_never_trained_into_by_mistake(whole_run, simulator):
    folder, _ = whole_run
    with pytest.raises(ValueError, match=r"run: .* already holds a run, expected --resume"):
        open_run(replace(SMALL, run=str(folder)), simulator)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("seed", 1, "config.case.seed is 0 in the checkpoint, expected 1"),
        ("num_agents", 12, "config.case.num_agents is 9 in the checkpoint, expected 12"),
        ("batch_days", 2, "config.batch_days is 1 "),
        (
            "hidden_sizes",
            (6, 6),
            r"config.hidden_sizes is \[6\] in the checkpoint, expected \[6, 6",
        ),
        ("dual_leak", 0.1, "config.dual_leak is "),
        ("reactive_power", True, "config.case.reactive_power is False "),
        (
            "tariff",
            Tariff(DayAhead(adder=0.3)),
            "config.case.tariff.imports.adder is 0.15 in the checkpoint, expected",
        ),
        ("limits", {"maximum_voltage": 1.04}, r"case.limits.maximum_voltage is 1.05 .*ed 1.04"),
    ],
)
def test_another_case_is_refused(tmp_path, whole_run, field, value, told):
    folder, _ = whole_run
    before = log(folder), (folder / CONFIG_FILE).read_text()
    config = changed(replace(SMALL, run=str(folder)), field, value)
    with pytest.raises(ValueError, match=told):
        open_run(config, config.make_simulator(), resume=True)
    assert (log(folder), (folder / CONFIG_FILE).read_text()) == before


def changed(config: TrainConfig, field: str, value: object) -> TrainConfig:
    """With another value of one of its own fields, or of its case's."""
    if hasattr(config, field):
        return replace(config, **{field: value})
    assert config.case is not None
    return replace(config, case=replace(config.case, **{field: value}))


def test_another_feeder_is_refused(whole_run, simulator):
    """By its fingerprint: whatever the name, another source voltage is another network."""
    folder, _ = whole_run
    other = changed(SMALL, "source_voltage", 1.02).make_simulator()
    assert other.feeder.fingerprint != simulator.feeder.fingerprint
    with pytest.raises(ValueError, match="feeder_fingerprint is "):
        open_run(replace(SMALL, run=str(folder)), other, resume=True)


def test_another_version_of_pytorch_may_use_but_not_resume(whole_run, simulator, monkeypatch):
    folder, learner = whole_run
    monkeypatch.setattr(torch, "__version__", "2.0.0")
    with pytest.raises(ValueError, match=r"torch is .* in the checkpoint, expected '2.0.0'"):
        open_run(replace(SMALL, run=str(folder)), simulator, resume=True)
    _, _, loaded = load_policies(folder)
    for a, b in zip(loaded.policies.parameters(), learner.policies.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_larger_budget_is_taken_up(tmp_path, whole_run, simulator):
    config = replace(SMALL, run=str(tmp_path / "run"), iterations=2)
    folder, _ = run(config, simulator)
    _, learner = run(replace(config, iterations=3), simulator)
    assert learner.iteration == 3
    assert load_config(folder, TrainConfig).iterations == 3


# --- Real signals ---------------------------------------------------------------------------------


def start_training(folder: Path) -> subprocess.Popen:
    """`gradmap-train` in a process of its own, up to its fifth iteration and second checkpoint."""
    options = [
        *("--run", str(folder), "--num-agents", "9", "--home-scale", "60"),
        *("--iterations", "30", "--batch-days", "1", "--minibatches", "2"),
        *("--hidden-sizes", "6", "--rollout-sweeps", "1", "--evaluation-days", "0"),
        *("--checkpoint-seconds", "0.2", "--no-public-plan", "--voltage-margin", "0.02"),
    ]
    process = subprocess.Popen(
        [*TRAIN, *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests were started in the background, it would ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (folder / PREVIOUS).exists() or rows(folder) < 5:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    return process


def resumed(folder: Path, simulator) -> tuple[Path, Learner]:
    config = load_config(folder, TrainConfig)
    assert config == replace(LONG, run=str(folder))
    return run(config, simulator)


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, whole_long_run, simulator):
    """Killed at whatever instant: its log may be ahead of its checkpoint, never behind it."""
    folder = tmp_path / "killed"
    process = start_training(folder)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    saved = load_checkpoint(folder)[1]["iteration"]
    assert isinstance(saved, int)
    assert saved <= rows(folder) < 30
    assert_same(resumed(folder, simulator), whole_long_run)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, whole_long_run, simulator):
    folder = tmp_path / "stopped"
    process = start_training(folder)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "--resume" in output
    assert "Traceback" not in errors
    saved = load_checkpoint(folder)[1]["iteration"]
    assert isinstance(saved, int)
    assert 5 <= saved < 30
    assert [int(row["iteration"]) for row in log(folder)] == list(range(1, saved + 1))
    assert_same(resumed(folder, simulator), whole_long_run)


# --- The configuration ----------------------------------------------------------------------------


def test_a_configuration_comes_back_as_it_was(tmp_path, whole_run):
    folder, _ = whole_run
    assert load_config(folder, TrainConfig) == replace(SMALL, run=str(folder))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [CONFIG_FILE, METRICS_FILE, LATEST, PREVIOUS, CASE_FOLDER, LOCK_FILE]
    )


NUMBERS = [name for name, value in vars(TrainConfig()).items() if type(value) in (int, float)]


@pytest.mark.parametrize("name", [*NUMBERS, "seconds"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "many"])
def test_a_number_out_of_range_is_refused_by_name(name, value):
    """At once by the configuration, or by the simulator that it describes."""
    with pytest.raises(ValueError, match=f"^{name}: got {value!r}, expected"):
        TrainConfig(**{name: value}).make_simulator()


@pytest.mark.parametrize("sizes", [(), (0,), (16, -1), (1.5,)])
def test_impossible_networks_are_refused(sizes):
    with pytest.raises(ValueError, match="^hidden_sizes: got"):
        TrainConfig(hidden_sizes=sizes)


def test_more_minibatches_than_samples_are_refused():
    TrainConfig(batch_days=1, minibatches=48)
    with pytest.raises(ValueError, match="minibatches: got 49, expected at most 48"):
        TrainConfig(batch_days=1, minibatches=49)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Expecting value"),
        ("[]", r"got \[\], expected an object"),
        ("{}", "field 'run' is missing"),
        ("\x00\x01", "Expecting value"),
    ],
)
def test_another_file_is_no_configuration(tmp_path, text, told):
    (tmp_path / CONFIG_FILE).write_text(text)
    with pytest.raises(ValueError, match=f"run: .*config.json is not the configuration .*{told}"):
        load_config(tmp_path, TrainConfig)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("case", {"num_agents": "ten"}, ": case.num_agents: got 'ten'"),
        ("case", {"depth": 3}, "case: unknown 'depth'"),
        ("case", {"tariff": {"depth": 3}}, "case.tariff: unknown 'depth'"),
        (
            "case",
            {"tariff": {"imports": {"kind": "flat", "price": "low"}}},
            ": case.tariff.imports.price: got",
        ),
        ("case", {"limits": {"depth": 3}}, ": case.limits: unknown threshold 'depth'"),
        ("hidden_sizes", 6, "hidden_sizes: got 6, expected units of each layer"),
        ("iterations", 0, "iterations: got 0, expected a whole number of at least 1"),
        ("depth", 3, "field: unknown 'depth'"),
    ],
)
def test_a_configuration_edited_badly_is_refused(tmp_path, whole_run, field, value, told):
    record = json.loads((whole_run[0] / CONFIG_FILE).read_text())
    (tmp_path / CONFIG_FILE).write_text(json.dumps({**record, field: value}))
    with pytest.raises(ValueError, match=told):
        load_config(tmp_path, TrainConfig)

"""gradmap-train as a user meets it: options, budget, resuming, and what it says to a mistake."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import fields

import numpy as np
import pytest
import torch

from gradmap_trainer.checkpoint import LATEST
from gradmap_trainer.commands.train import parse_train
from gradmap_trainer.config import CONFIG_FILE, TrainConfig, load_config, save_config
from gradmap_trainer.metrics import METRICS_FILE
from gradmap_trainer.run_folder import load_policies
from gridedge_env import CaseSettings
from tests.case_options import CASE_OPTIONS
from tests.gradmap_trainer.commands.calling import SMALL, assert_one_line, call

# --- Options --------------------------------------------------------------------------------------


def test_the_flags_of_training_are_its_configuration(capsys):
    assert call("gradmap-train", "--help") == 0
    flags = set(re.findall(r"--[\w.-]+", capsys.readouterr().out))
    options = {"tariff.imports", "tariff.exports"}
    options |= {field.name for field in (*fields(TrainConfig), *fields(CaseSettings))}
    assert {"--" + name.replace("_", "-") for name in options - {"case", "tariff"}} <= flags
    promised = "--run --num-agents --feeder --seconds --seed --device --resume"
    assert set(promised.split()) <= flags


@pytest.mark.parametrize(("arguments", "name", "value"), CASE_OPTIONS)
def test_every_option_of_the_case_can_be_given(arguments, name, value, tmp_path):
    """And comes back from the run's folder."""
    config = parse_train(arguments.split()).config
    assert getattr(config.case, name) == value != getattr(CaseSettings(), name)
    save_config(config, tmp_path)
    assert load_config(tmp_path, TrainConfig) == config


def test_no_option_of_the_case_is_forgotten():
    assert [name for _, name, _ in CASE_OPTIONS] == [field.name for field in fields(CaseSettings)]


def test_a_run_of_many_options(tmp_path, capsys):
    """Controlled regulators, hours, other limits, prices and devices: from start to end."""
    options = "--regulator-control --reactive-power --step-minutes 60 --limits maximum_voltage 1.06"
    options += " --tariff.exports nothing --iterations 2 --mix ev_charger 0.5 pv_inverter 0.5"
    assert call("gradmap-train", "--run", tmp_path / "run", *SMALL, *options.split()) == 0
    briefly = ["--days", 1, "--foresight-iterations", 5]
    assert call("gradmap-evaluate", tmp_path / "run", *briefly) == 0
    assert call("gradmap-report", tmp_path / "run") == 0
    assert call("gradmap-export", tmp_path / "run") == 0
    assert len(list((tmp_path / "run" / "policies").iterdir())) == 9
    _, simulator, learner = load_policies(tmp_path / "run")
    assert simulator.case.regulator_control
    assert simulator.clock.steps == len(learner.duals["voltage"]) == 24
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for told in ("hours out", "1.06 pu at every node", "their controls", "fed in earns nothing"):
        assert told in page.replace("\N{NON-BREAKING HYPHEN}", "-"), told


# --- A whole run ----------------------------------------------------------------------------------


def test_a_run_leaves_all_its_files(trained):
    config = json.loads((trained / CONFIG_FILE).read_text())
    assert config["case"]["num_agents"] == 9
    assert config["hidden_sizes"] == [5, 4]
    with (trained / METRICS_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["1", "2", "3"]
    assert (trained / LATEST).is_file()

    table = json.loads((trained / "evaluation.json").read_text())
    assert {"gradmap", "idle", "price_following", "perfect_foresight"} <= set(table)
    columns = {
        *("cost", "voltage_steps", "loading_steps", "unbalance_steps"),
        *("worst_voltage_violation", "nonconverged"),
    }
    for row in table.values():
        assert columns <= set(row)
        assert all(np.isfinite(value) for value in row.values())
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "perfect foresight" in page.lower()


def test_training_says_what_it_does(tmp_path, capsys):
    options = [*SMALL, "--evaluation-days", "0", "--iterations", "1"]
    assert call("gradmap-train", "--run", tmp_path / "run", *options) == 0
    output = capsys.readouterr().out
    assert "Training 9 agents (3 batteries, 3 heat pumps, 3 generators) on ieee123" in output
    assert "Trained 1 iterations in" in output
    assert not (tmp_path / "run" / "evaluation.json").exists()


# --- Budget and resuming --------------------------------------------------------------------------


def test_the_clock_ends_training(tmp_path):
    """Training time passes the budget by the last iteration at most, never by two."""
    folder = tmp_path / "run"
    options = [*SMALL, "--evaluation-days", "0", "--seconds", "0.6"]
    assert call("gradmap-train", "--run", folder, *options) == 0
    with (folder / METRICS_FILE).open(newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    assert all(before < 0.6 for before in seconds[:-1])
    assert seconds[-1] >= 0.6


def test_resuming_takes_the_runs_own_configuration(copy, capsys):
    """Nothing is said again but what changes; the rest is not the defaults but the run's."""
    options = ["--resume", "--iterations", "4", "--evaluation-days", "0"]
    assert call("gradmap-train", "--run", copy, *options) == 0
    assert "Trained 4 iterations" in capsys.readouterr().out
    config = json.loads((copy / CONFIG_FILE).read_text())
    assert config["case"]["num_agents"] == 9
    assert config["iterations"] == 4
    assert config["run"] == str(copy)


def test_resuming_where_nothing_is_begins_a_run(tmp_path):
    options = [*SMALL, "--resume", "--iterations", "1", "--evaluation-days", "0"]
    assert call("gradmap-train", "--run", tmp_path / "new", *options) == 0
    assert (tmp_path / "new" / LATEST).is_file()


# --- Mistakes -------------------------------------------------------------------------------------


TRAIN_MISTAKES = [
    (["--feeder", "nowhere"], "feeder: unknown 'nowhere'"),
    (["--num-agents", "0"], "num_agents: got 0, expected a whole number from 1 to 10000000"),
    (["--num-agents", "-3"], "num_agents: got -3"),
    (["--seed", "-1"], "seed: got -1"),
    (["--demand", "no.csv"], "error: demand: no.csv: not found, expected a file of meter"),
    (["--demand", "no.csv", "--demand-unit", "MW"], "demand_unit: got 'MW', expected 'kW' or"),
    (["--seconds", "0"], "seconds: got 0.0, expected a positive number"),
    (["--iterations", "0"], "iterations: got 0"),
    (["--learning-rate", "nan"], "learning_rate: got nan"),
    (["--home-scale", "-1"], "home_scale: got -1.0"),
    (
        ["--evaluation-days", "5000"],
        "error: evaluation_days: got 5000, expected a whole number from 1 to ",
    ),
    (["--evaluation-days", "-1"], "evaluation_days: got -1"),
    (["--device", "nonsense"], "device: got 'nonsense'"),
    (["--device", "mps:7"], "device: got 'mps:7'"),
]
if not torch.cuda.is_available():
    TRAIN_MISTAKES.append((["--device", "cuda"], "device: got 'cuda'"))


@pytest.mark.parametrize(("options", "told"), TRAIN_MISTAKES)
def test_a_mistake_in_training_is_told_in_a_line(tmp_path, capsys, options, told):
    """And leaves nothing behind that the next attempt would stumble over."""
    folder = tmp_path / "run"
    assert call("gradmap-train", "--run", folder, "--num-agents", 9, *options) == 2
    assert_one_line(capsys.readouterr().err, told)
    assert not folder.exists()


def test_a_file_is_no_folder_for_a_run(tmp_path, capsys):
    (tmp_path / "run").write_text("not a folder")
    assert call("gradmap-train", "--run", tmp_path / "run", *SMALL) == 2
    assert_one_line(capsys.readouterr().err, "run: ")


def test_a_run_is_not_overwritten(trained, capsys):
    before = {path: path.read_bytes() for path in trained.rglob("*.*")}
    assert call("gradmap-train", "--run", trained, *SMALL) == 2
    assert_one_line(capsys.readouterr().err, "already holds a run, expected --resume")
    assert {path: path.read_bytes() for path in trained.rglob("*.*")} == before


def test_another_case_is_not_resumed(copy, capsys):
    assert call("gradmap-train", "--run", copy, "--resume", "--num-agents", 12) == 2
    told = "config.case.num_agents is 9 in the checkpoint, expected 12"
    assert_one_line(capsys.readouterr().err, told)

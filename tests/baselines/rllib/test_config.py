"""The configuration of RLlib's runs: flags, files, and the case that training sees."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, fields, replace

import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

from baselines.rllib import train, tune
from baselines.rllib.config import RUN_KIND, RLConfig
from baselines.rllib.flags import RLFlags
from baselines.rllib.run import open_folder
from gradmap_trainer.config import config_from_record, load_config, save_config
from gradmap_trainer.run_folder import case_to_train
from gridedge_env.case import CaseSettings, default_case
from gridedge_env.simulator import make_simulator
from tests.case_options import CASE_OPTIONS


@pytest.mark.parametrize(("arguments", "name", "value"), CASE_OPTIONS)
def test_every_option_of_the_case_can_be_given(arguments, name, value, tmp_path):
    """And comes back from the run's folder; nothing else changes."""
    config, *_ = train._parse(arguments.replace("--penalty", "--reward-penalty").split())
    assert getattr(config.case, name) == value != getattr(CaseSettings(), name)
    assert config == RLConfig(case=CaseSettings(**{name: value}))
    save_config(config, tmp_path)
    assert load_config(tmp_path, RLConfig, RUN_KIND) == config
    assert json.loads((tmp_path / "config.json").read_text())["case"] == asdict(config.case)


def test_the_penalty_is_that_of_training():
    """Every agent pays it: all together so many times as much, on tightened limits."""
    arguments = "--penalty 3 --voltage-margin 0.01 --loading-margin 0.1"
    config, *_ = train._parse(arguments.split())
    assert config == RLConfig(training_penalty=3.0, voltage_margin=0.01, loading_margin=0.1)
    case = default_case(num_agents=4)
    seen = config.training_case(case)
    assert seen.penalty == 12.0
    tightened = {"minimum_voltage": 0.96, "maximum_voltage": 1.04, "maximum_loading": 0.9}
    assert seen.limits.thresholds == pytest.approx({**case.limits.thresholds, **tightened})
    assert seen.fleet is case.fleet
    assert case.penalty == 100.0


@pytest.mark.parametrize("command", [train, tune])
def test_flags_are_the_configuration(command, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["command", "--help"])
    with pytest.raises(SystemExit, match="0"):
        command.main()
    flags = set(re.findall(r"--[\w.-]+", capsys.readouterr().out))
    names = {field.name for field in (*fields(RLConfig), *fields(CaseSettings))}
    names |= {"tariff.imports", "tariff.exports", "reward_penalty"}
    names -= {"case", "tariff", "training_penalty"}
    assert {"--" + name.replace("_", "-") for name in names} <= flags


@pytest.mark.parametrize("flag", ["penalty", "reward-penalty"])
def test_mistakes_are_told_by_their_flags(flag, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train", f"--{flag}", "-1"])
    with pytest.raises(SystemExit, match="2"):
        train.main()
    told = f"error: {flag.replace('-', '_')}: got -1.0, expected a number of at least 0"
    assert told in capsys.readouterr().err


def test_flags_and_back():
    config = RLConfig(case=CaseSettings(num_agents=7, penalty=30.0), training_penalty=3.0)
    assert RLFlags.of(config).config == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": -1.0}, "clip: got -1.0, expected a positive number"),
        ({"penalty": 3.0}, "field: unknown 'penalty', expected one of run, algorithm"),
        ({"case": {"agents": 3}}, "case: unknown 'agents', expected one of feeder"),
        ({"case": 3}, "case: got 3, expected an object"),
    ],
)
def test_other_files_are_refused(change, message, tmp_path):
    record = {**asdict(RLConfig()), **change}
    with pytest.raises(ValueError, match=message):
        config_from_record(record, RLConfig)
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=f"is not the configuration of an RLlib run: {message}"):
        load_config(tmp_path, RLConfig, RUN_KIND)


def test_a_missing_field_is_named():
    record = asdict(RLConfig())
    del record["clip"]
    with pytest.raises(ValueError, match="field 'clip' is missing"):
        config_from_record(record, RLConfig)
    with pytest.raises(ValueError, match="got 3, expected an object"):
        config_from_record(3, RLConfig)


def test_a_case_that_was_brought_goes_with_the_run(tmp_path):
    """Its folder holds it, like GradMAP's; options of the default case do not go with it."""
    case, run = default_case("ieee13", num_agents=3), tmp_path / "run"
    case.save(tmp_path / "case")
    words = ["--run", str(run), "--case", str(tmp_path / "case")]
    config, brought, resume, _ = train._parse(words)
    assert (config.case, brought, resume) == (None, tmp_path / "case", False)
    open_folder(config, make_simulator(case=case))
    shutil.rmtree(tmp_path / "case")
    again, brought, *_ = train._parse(["--run", str(run), "--resume", "--iterations", "7"])
    assert again == replace(config, iterations=7)
    assert case_to_train(again.case, run, brought, resume=True) == case
    with pytest.raises(ValueError, match="^case: got a case of your own and options of the defau"):
        train._parse([*words, "--num-agents", "4"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"voltage_margin": 0.06}, "voltage_margin: got 0.06, expected one that leaves something"),
        ({"minibatches": 25}, "minibatches: got 25, expected at most 24"),
        ({"policies": "separate"}, "num_agents: got 101 with separate policies, expected at most"),
    ],
)
def test_what_no_training_is_possible_on_is_refused_before_anything_is_written(
    options, told, tmp_path
):
    config = replace(RLConfig(case=None, batch_days=1, run=str(tmp_path / "run")), **options)
    simulator = make_simulator(case=default_case("ieee13", num_agents=101, step_minutes=60))
    with pytest.raises(ValueError, match=f"^{told}"):
        open_folder(config, simulator)
    assert not (tmp_path / "run").exists()

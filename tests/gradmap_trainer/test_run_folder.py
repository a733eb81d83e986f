"""A run's folder knows the case that it was trained on, whatever its configuration tells."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import gridedge_env
from gradmap_trainer.config import CONFIG_FILE, TrainConfig, save_config
from gradmap_trainer.gradmap import Learner
from gradmap_trainer.run_folder import case_to_train, holds_run, load_policies
from gradmap_trainer.training import open_run, train
from gridedge_env import CaseSettings, Limits, Simulator, make_simulator
from gridedge_env.clock import Clock
from gridedge_env.scenarios import DayAhead, DayTable, ObservedDays, Tariff
from tests.gradmap_trainer.commands.calling import assert_one_line, call

CASE = CaseSettings(feeder="ieee13", num_agents=3)
CONFIG = TrainConfig(
    case=CASE,
    iterations=1,
    batch_days=1,
    minibatches=1,
    hidden_sizes=(4,),
    evaluation_days=0,
)


def run(config: TrainConfig, simulator: Simulator) -> Learner:
    """Begin a run, or go on with it, to its end."""
    return train(config, simulator, open_run(config, simulator, resume=True))


def limited(config: TrainConfig, limits: dict[str, float]) -> TrainConfig:
    return replace(config, case=replace(CASE, limits=limits))


def test_limits_that_are_no_longer_given_are_missed(tmp_path: Path) -> None:
    """What they are is compared, not what is written: usual ones may be left out."""
    config = replace(CONFIG, run=str(tmp_path / "run"))
    given = limited(config, {"maximum_voltage": 1.06, "maximum_loading": 1.0})
    run(given, given.make_simulator())
    same, usual = limited(config, {"maximum_voltage": 1.06}), limited(config, {})
    assert open_run(same, same.make_simulator(), resume=True).iteration == 1
    told = "case.limits.maximum_voltage is 1.06 in the checkpoint, expected 1.05"
    with pytest.raises(ValueError, match=told):
        open_run(usual, usual.make_simulator(), resume=True)


@dataclass(frozen=True)
class OtherDays:
    """The observed ones, from another source."""

    def load(self, split: str, clock: Clock) -> DayTable:
        return ObservedDays().load(split, clock)


def changed_case(tmp_path: Path, field: str, value: object) -> tuple[TrainConfig, Simulator]:
    """A run made from Python, on a case that its configuration does not tell."""
    config = replace(CONFIG, run=str(tmp_path / "run"))
    simulator = make_simulator(case=replace(CASE.make(), **{field: value}))
    run(config, simulator)
    return config, simulator


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tariff", Tariff(DayAhead(adder=0.3))),
        ("limits", Limits(0.9)),
        ("clock", Clock.of_minutes(60)),
        ("reactive_power", True),
        ("regulator_control", True),
    ],
)
def test_commands_know_the_case_of_a_run_made_from_python(
    tmp_path: Path, field: str, value: object
) -> None:
    """It is in the folder, whatever the configuration tells."""
    config, simulator = changed_case(tmp_path, field, value)
    assert load_policies(Path(config.run))[1].case == simulator.case
    assert run(replace(config, iterations=2), simulator).iteration == 2
    with pytest.raises(ValueError, match="case"):
        open_run(config, config.make_simulator(), resume=True)


def test_devices_of_other_sizes_are_another_case(tmp_path: Path) -> None:
    """With the same names in the same places."""
    config, simulator = changed_case(tmp_path, "penalty", 3.0)
    group = simulator.case.fleet.group("battery")
    larger = replace(
        group, parameters=replace(group.parameters, wear_cost=group.parameters.wear_cost * 2)
    )
    groups = tuple(larger if g is group else g for g in simulator.case.fleet.groups)
    other = replace(simulator.case, fleet=replace(simulator.case.fleet, groups=groups))
    with pytest.raises(ValueError, match="about another case, expected the same fleet"):
        open_run(config, make_simulator(case=other), resume=True)


def test_a_source_of_ones_own_is_refused_by_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file holds it; from Python, with its simulator, the run goes on."""
    config, simulator = changed_case(tmp_path, "days", OtherDays())
    told = "holds no case/, expected the case of the run (one with days or demand from a source"
    for command in ("evaluate", "export", "report"):
        assert call(f"gradmap-{command}", config.run) == 2
        assert_one_line(capsys.readouterr().err, told)
    other = str(tmp_path / "other")
    for words in (("--resume", "--run", config.run), ("--warm-start", config.run, "--run", other)):
        assert call("gradmap-train", "--feeder", "ieee13", "--num-agents", 3, *words) == 2
        assert_one_line(capsys.readouterr().err, told)
    assert not Path(other).exists()
    assert run(replace(config, iterations=2), simulator).iteration == 2


def by_version(folder: Path, version: str, **changes: object) -> None:
    """Let a run be as another version of GridEdge would have left it."""
    record = {**json.loads((folder / CONFIG_FILE).read_text()), "gridedge": version, **changes}
    (folder / CONFIG_FILE).write_text(json.dumps(record))


def test_runs_of_the_same_release_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an older patch of it, or read by a newer one: also to go on with."""
    config = replace(CONFIG, run=str(tmp_path / "run"))
    run(config, config.make_simulator())
    major_minor = ".".join(gridedge_env.__version__.split(".")[:2])
    by_version(Path(config.run), f"{major_minor}.0rc1")
    monkeypatch.setattr(gridedge_env, "__version__", f"{major_minor}.77")
    assert load_policies(Path(config.run))[2].iteration == 1
    more = ("--resume", "--iterations", 2, "--evaluation-days", 0)
    assert call("gradmap-train", "--run", config.run, *more) == 0
    assert json.loads((tmp_path / "run" / CONFIG_FILE).read_text())["gridedge"].endswith(".77")


def test_runs_of_another_release_are_refused_and_told_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before their fields are looked at, which may well be others; from Python, too."""
    monkeypatch.setattr(gridedge_env, "__version__", "0.1.5")
    config = replace(CONFIG, run=str(tmp_path / "run"))
    run(config, config.make_simulator())
    by_version(Path(config.run), "0.0.9", depth=3)
    told = "config.json is by GridEdge 0.0.9, expected one by 0.1.x: install 0.0.9 to go on with it"
    for command in ("evaluate", "export", "report"):
        assert call(f"gradmap-{command}", config.run) == 2
        assert_one_line(capsys.readouterr().err, told)
    assert call("gradmap-train", "--resume", "--run", config.run) == 2
    assert_one_line(capsys.readouterr().err, told)
    with pytest.raises(ValueError, match="is by GridEdge 0.0.9, expected one by"):
        open_run(config, config.make_simulator(), resume=True)
    save_config(config, Path(config.run))
    by_version(Path(config.run), "0.2.0")
    monkeypatch.setattr(gridedge_env, "__version__", "0.2.0")
    with pytest.raises(ValueError, match=r"gridedge is '0\.1' in the checkpoint, expected '0\.2'"):
        open_run(config, config.make_simulator(), resume=True)


def test_a_run_does_not_write_among_the_tables_of_its_case(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run: got .*, the folder of the case; expected another"):
        case_to_train(None, tmp_path / "over" / "..", tmp_path, resume=False)


def test_other_names_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_notes.txt").touch()
    (tmp_path / "checkpoints").mkdir()
    assert not holds_run(tmp_path)
    for name in ("checkpoint-previous.safetensors", "checkpoint_000002"):
        (tmp_path / name).mkdir()
        assert holds_run(tmp_path)
        (tmp_path / name).rmdir()

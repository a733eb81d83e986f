"""A run's folder holds a whole checkpoint of RLlib's at every instant, once it has held one."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from baselines.rllib import checkpoint
from baselines.rllib.checkpoint import MODULES, RECORD_FILE, newest_checkpoint
from baselines.rllib.config import RLConfig
from baselines.rllib.run import FolderTraining, learned, load_policy, open_folder
from gradmap_trainer.metrics import append_metrics
from gridedge_env import CaseSettings


class Algorithm:
    """Saves how often it has learned."""

    learned = 0

    def save_to_path(self, path: Path) -> None:
        (path / MODULES).mkdir(parents=True)
        (path / MODULES / "weights").write_text(str(self.learned))


@pytest.fixture
def training(tmp_path: Path) -> FolderTraining:
    """Of a run in `tmp_path` without any learning."""
    settings = CaseSettings(feeder="ieee13", num_agents=3)
    config = RLConfig(run=str(tmp_path / "run"), case=settings, validation_days=1)
    simulator = config.make_simulator()
    open_folder(config, simulator)
    state = {"config": config, "simulator": simulator, "iteration": 0, "seconds": 0.0}
    state["multipliers"] = {}
    return FolderTraining(SimpleNamespace(algorithm=Algorithm(), **state))


def learn(training: FolderTraining) -> Path:
    """An iteration, with its row of the log; the folder of the run."""
    training.training.iteration += 1
    training.training.algorithm.learned += 1
    folder = Path(training.training.config.run)
    append_metrics(folder, {"iteration": training.training.iteration, "seconds": 0.0})
    return folder


def weights(folder: Path) -> str:
    newest = newest_checkpoint(folder)
    assert newest is not None
    return (newest / MODULES / "weights").read_text()


@pytest.mark.parametrize("killed", ["as it is written", "before it has its name", "after that"])
def test_the_one_before_stays_until_the_next_one_stands(
    training: FolderTraining, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    folder = learn(training)
    training.save()
    learn(training)

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if killed == "as it is written":
            patch.setattr(checkpoint, "write_whole", kill)
        elif killed == "before it has its name":
            patch.setattr(checkpoint, "folder_to_disk", kill)
        else:
            patch.setattr(Path, "rename", then(Path.rename, kill))
        with pytest.raises(KeyboardInterrupt):
            training.save()
    assert weights(folder) == ("2" if killed == "after that" else "1")
    learn(training)
    training.save()
    assert weights(folder) == "3"
    assert learned(folder)[0] == 3
    assert len([*folder.glob("checkpoint_*")]) == 1


def then(first: Callable[..., Any], second: Callable[[], None]) -> Callable[..., None]:
    """A function that does one thing, then another."""

    def both(*arguments: object) -> None:
        first(*arguments)
        second()

    return both


def test_the_same_iteration_is_not_saved_twice(training: FolderTraining) -> None:
    """As by a run that is resumed and has nothing left to train: a kill could take the only one."""
    folder = learn(training)
    training.save()
    training.training.algorithm.learned = 7
    training.save()
    assert weights(folder) == "1"


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ("checkpoint_000001", "has a log and no checkpoint, expected the one"),
        ("metrics.csv", "is not the log that its checkpoint was saved with"),
        ("config.json", "config.json not found, expected the folder of an RLlib run"),
    ],
)
def test_what_is_no_whole_run_is_refused(training: FolderTraining, lost: str, told: str) -> None:
    folder = learn(training)
    training.save()
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    config, simulator = training.training.config, training.training.simulator
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        open_folder(config, simulator, resume=True)
    with pytest.raises(ValueError, match="already holds a run, expected --resume"):
        open_folder(config, simulator)


def test_other_names_are_no_checkpoints(training: FolderTraining) -> None:
    folder = learn(training)
    training.save()
    (folder / "checkpoint_notes.txt").touch()
    (folder / "checkpoint_old").mkdir()
    (folder / "checkpoint_000007").touch()
    learn(training)
    training.save()
    open_folder(training.training.config, training.training.simulator, resume=True)
    assert weights(folder) == "2"
    assert (folder / "checkpoint_notes.txt").exists()
    assert (folder / "checkpoint_old").is_dir()


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


WEIGHTS = MODULES / "weights"
FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no weights": (lambda folder: remove(folder / WEIGHTS), "weights: not found, expected it as"),
    "no modules": (lambda folder: remove(folder / MODULES), "weights: not found, expected it as"),
    "no learners": (lambda folder: remove(folder / "learner_group"), "weights: not found"),
    "zeros": (lambda folder: (folder / WEIGHTS).write_bytes(bytes(9)), "weights is damaged .SHA"),
    "more": (lambda folder: (folder / MODULES / "x.pkl").touch(), "x.pkl is foreign, expected"),
    "a link": (lambda folder: (folder / MODULES / "x").symlink_to(folder), "x is a link, expected"),
    "a pipe": (lambda folder: os.mkfifo(folder / "x"), "got a pipe, expected a file"),
    "no record": (lambda folder: remove(folder / RECORD_FILE), RECORD_FILE),
}


@pytest.mark.parametrize("what", FILES)
def test_checkpoints_of_other_files_are_refused(training: FolderTraining, what: str) -> None:
    """By resuming and by evaluating, before anything of them is restored."""
    folder = learn(training)
    training.save()
    change, told = FILES[what]
    change(folder / "checkpoint_000001")
    assert_refused(training, told)


def assert_refused(training: FolderTraining, told: str) -> None:
    config, simulator = training.training.config, training.training.simulator
    with pytest.raises((ValueError, OSError), match=told):
        open_folder(config, simulator, resume=True)
    with pytest.raises((ValueError, OSError), match=told):
        load_policy(Path(config.run))


RECORDS: dict[str, tuple[Any, str]] = {
    "words": ({"iteration": "two"}, "iteration: got 'two', expected a whole number"),
    "nothing": ({"seconds": None}, "seconds: got None, expected a number of at least 0"),
    "a list": ({"multipliers": [1]}, r"multipliers: got \[1\], expected an object"),
    "a debt": ({"multipliers": {"voltage": -1}}, "multipliers.voltage: got -1, expected a number"),
    "no files": ({"files": None}, "files: got None, expected an object"),
    "no digest": ({"files": {"a": 1}}, "a: not found"),
    "empty list": ([], r"record: got \[\], expected an object"),
    "empty": ({}, "iteration: got None, expected a whole number"),
}


@pytest.mark.parametrize("what", RECORDS)
def test_records_of_other_contents_are_refused(training: FolderTraining, what: str) -> None:
    folder = learn(training)
    training.save()
    path = folder / "checkpoint_000001" / RECORD_FILE
    change, told = RECORDS[what]
    record = {**json.loads(path.read_text()), **change} if change else change
    path.write_text(json.dumps(record))
    assert_refused(training, told)


def test_a_copy_under_another_name_is_refused(training: FolderTraining) -> None:
    """As the newest it would outlive those of the run that goes on from it."""
    folder = learn(training)
    training.save()
    shutil.copytree(folder / "checkpoint_000001", folder / "checkpoint_000009")
    assert_refused(training, "checkpoint_000009: expected checkpoint_000001, its own name")


def test_multipliers_of_other_limits_are_refused(training: FolderTraining) -> None:
    folder = learn(training)
    training.training.multipliers = {"frequency": 1.0}
    training.save()
    with pytest.raises(ValueError, match="multipliers in .*: unknown 'frequency', expected one of"):
        open_folder(training.training.config, training.training.simulator, resume=True)
    assert weights(folder) == "1"


def test_settings_that_no_training_can_have_leave_no_folder(tmp_path: Path) -> None:
    settings = CaseSettings(feeder="ieee13", num_agents=3)
    config = RLConfig(run=str(tmp_path / "run"), case=settings, validation_days=1000)
    with pytest.raises(ValueError, match="^validation_days: got 1000, expected"):
        open_folder(config, config.make_simulator())
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_told_by_its_path_and_takes_nothing_away(
    training: FolderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = learn(training)
    training.save()
    learn(training)

    def full(algorithm: Algorithm, path: Path) -> None:
        (path / MODULES).mkdir(parents=True)
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    monkeypatch.setattr(Algorithm, "save_to_path", full)
    with pytest.raises(OSError, match=f"Error writing bytes to file: '{folder}/unfinished'"):
        training.save()
    assert not (folder / "unfinished").exists()
    assert weights(folder) == "1"

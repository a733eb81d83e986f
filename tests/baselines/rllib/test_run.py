"""A run's folder holds a whole checkpoint of RLlib's at every instant, once it has held one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from baselines.rllib import run
from baselines.rllib.config import RLConfig
from baselines.rllib.run import MODULES, FolderTraining, learned, newest_checkpoint, open_folder
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
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    return (checkpoint / MODULES / "weights").read_text()


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
            patch.setattr(run, "write_whole", kill)
        elif killed == "before it has its name":
            patch.setattr(run, "folder_to_disk", kill)
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

"""The report of a run on days that do not come with the package."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from gradmap_trainer.checkpoint import load_checkpoint
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.identity import weights_digest
from gradmap_trainer.report import write_report
from gradmap_trainer.run_folder import policies_of
from gradmap_trainer.training import open_run, train
from gridedge_env import CaseSettings, Simulator, make_simulator
from gridedge_env.clock import Clock
from gridedge_env.evaluation import evaluate
from gridedge_env.evaluation_files import save_evaluation
from gridedge_env.reference import Thermostat
from gridedge_env.scenarios import SPLITS, DayTable, ObservedDays

SETTINGS = CaseSettings(feeder="ieee13", num_agents=3)


@dataclass(frozen=True)
class LaterDays:
    """The observed days as if training's had begun in July 2030, the others in the years after."""

    def load(self, split: str, clock: Clock) -> DayTable:
        table = ObservedDays().load(split, clock)
        first = date(2030 + SPLITS.index(split), 7, 1)
        return replace(table, dates=tuple(first + (day - table.dates[0]) for day in table.dates))


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return make_simulator(case=replace(SETTINGS.make(), days=LaterDays()))


@pytest.fixture
def folder(simulator: Simulator, tmp_path: Path) -> Path:
    """A run of one iteration, not evaluated yet."""
    config = TrainConfig(
        run=str(tmp_path / "run"), case=SETTINGS, iterations=1, batch_days=1, minibatches=1
    )
    train(config, simulator, open_run(config, simulator))
    return Path(config.run)


def evaluated(folder: Path, simulator: Simulator, split: str) -> Path:
    policies = {"gradmap": Thermostat(simulator)}
    played = evaluate(simulator, policies, [40], split, foresight_iterations=0)
    tensors, record = load_checkpoint(folder)
    weights = weights_digest(policies_of(tensors))
    played = replace(played, iteration=record["iteration"], weights=weights)
    save_evaluation(played, simulator.case.limits, folder)
    return folder


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ("test", "tested on one day of 2032 to 2033 and demand of other homes; it had learned on"),
        ("train", "evaluated on one day of 2030 to 2031, from which training drew its own"),
    ],
)
def test_they_are_told_by_their_years(
    folder: Path, simulator: Simulator, split: str, told: str
) -> None:
    """Nothing is said of places and markets that the source does not tell."""
    page = write_report(evaluated(folder, simulator, split), simulator).read_text(encoding="utf-8")
    assert told in page
    assert "1 of the 36" in page
    assert "Training drew its days from 2030 to 2031" in page
    assert not any(word in page for word in ("Aachen", "Düsseldorf", "Dutch"))


def test_days_that_the_case_does_not_have_are_refused(folder: Path, simulator: Simulator) -> None:
    other = make_simulator(case=SETTINGS.make())
    with pytest.raises(ValueError, match=r"evaluated on 2024-02-\d\d to 2024-02-\d\d, expected"):
        write_report(evaluated(folder, other, "test"), simulator)

"""A run's folder knows the case that it was trained on, whatever its configuration tells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import Learner
from gradmap_trainer.run_folder import load_policies
from gradmap_trainer.training import open_run, train
from gridedge_env import CaseSettings, Limits, Simulator, make_simulator
from gridedge_env.clock import Clock
from gridedge_env.scenarios import DayTable, ObservedDays, Tariff

CONFIG = TrainConfig(
    case=CaseSettings(feeder="ieee13", num_agents=3),
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
    return replace(config, case=replace(config.case, limits=limits))


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


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("tariff", Tariff(adder=0.3), "tariff.adder is 0.3 in the checkpoint, expected 0.15"),
        ("limits", Limits(0.9), "limits.minimum_voltage is 0.9 in the checkpoint, expected 0.95"),
        (
            "days",
            OtherDays(),
            "days.source is 'OtherDays' in the checkpoint, expected 'ObservedDays'",
        ),
        ("clock", Clock.of_minutes(60), "steps is 24 in the checkpoint, expected 48"),
        ("reactive_power", True, "reactive_power is True in the checkpoint, expected False"),
        ("regulator_control", True, "regulator_control is True in the checkpoint, expected False"),
    ],
)
def test_a_case_that_the_configuration_does_not_tell_is_refused(
    tmp_path: Path, field: str, value: object, told: str
) -> None:
    """Commands would rebuild another one from it; from Python, with its simulator, it goes on."""
    config = replace(CONFIG, run=str(tmp_path / "run"))
    simulator = make_simulator(case=replace(config.case.make(), **{field: value}))
    run(config, simulator)
    with pytest.raises(ValueError, match=f"case.{told}"):
        load_policies(Path(config.run))
    assert run(replace(config, iterations=2), simulator).iteration == 2

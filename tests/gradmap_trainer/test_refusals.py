"""What no run can be made of is refused by name, before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.metrics import METRICS_FILE
from gradmap_trainer.training import open_run
from gridedge_env import CaseSettings, make_simulator
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
SMALL = ["--feeder", "ieee13", "--num-agents", "3", "--batch-days", "1", "--minibatches", "1"]
SMALL += ["--hidden-sizes", "4", "--evaluation-days", "0"]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("run", 5, "run: got 5, expected the path of a folder"),
        ("run", None, "run: got None"),
        ("run", "", "run: got ''"),
        ("device", 3, "device: got 3, expected a name such as 'cpu'"),
        ("case", {}, r"case: got {}, expected CaseSettings or None"),
        ("hidden_sizes", 16, "hidden_sizes: got 16, expected units of each layer"),
        ("hidden_sizes", "16", "hidden_sizes: got '16'"),
        ("hidden_sizes", (16, 0), "hidden_sizes: got 0, expected a whole number from 1 to 10000"),
        ("hidden_sizes", (), "hidden_sizes: got none, expected one or more layers"),
    ],
)
def test_a_field_of_another_type(field: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        TrainConfig(**{field: value})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--run", ""], "run: got '', expected the path of a folder"),
        (
            ["--limits", "maximum_loading", "0.04", "--no-public-plan"],
            "loading_margin: got 0.045, exp",
        ),
        (
            ["--limits", "minimum_voltage", "0.99", "maximum_voltage", "1.001"],
            "voltage_margin: got 0.0055, expected one that leaves something of the limits",
        ),
    ],
)
def test_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert call("gradmap-train", "--run", tmp_path / "run", *SMALL, *options) == 2
    assert_one_line(capsys.readouterr().err, told)
    assert not (tmp_path / "run").exists()


def test_another_precision_than_that_of_policies(tmp_path: Path) -> None:
    """Begun or resumed."""
    config = replace(CONFIG, run=str(tmp_path / "run"))
    double = make_simulator(case=CASE.make(), dtype=torch.float64)
    told = r"dtype: got a simulator in torch\.float64, expected torch\.float32"
    with pytest.raises(ValueError, match=told):
        open_run(config, double)
    assert not (tmp_path / "run").exists()
    open_run(config, config.make_simulator())
    with pytest.raises(ValueError, match=told):
        open_run(config, double, resume=True)


def test_a_log_that_is_no_text(tmp_path: Path) -> None:
    config = replace(CONFIG, run=str(tmp_path))
    simulator = config.make_simulator()
    open_run(config, simulator)
    (tmp_path / METRICS_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"run: .*metrics\.csv is not a run's log: 'utf-8' codec"):
        open_run(config, simulator, resume=True)


def test_a_run_that_has_had_its_iterations_is_not_said_to_be_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for iterations, told in (
        (2, "Trained 2 iterations"),
        (1, "Nothing left to train: the run has"),
    ):
        options = ["--resume", "--iterations", str(iterations)]
        assert call("gradmap-train", "--run", tmp_path, *SMALL, *options) == 0
        assert told in capsys.readouterr().out

"""A customer's file, and what is published of its days."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import export_run
from gridedge_env import default_case, make_simulator
from gridedge_gateway import Controller
from tests.gradmap_trainer.export.test_files import lively
from tests.gridedge_gateway.house import write_house


@pytest.fixture(scope="session")
def battery_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a home with a battery, in half-hours, without a public plan."""
    simulator = make_simulator(case=default_case("ieee13", 1, seed=0), dtype=torch.float64)
    config, folder = TrainConfig(case=None), tmp_path_factory.mktemp("policies")
    (path,) = export_run(config, simulator, lively(simulator, 0.5), folder)
    assert path.name == "battery_0.onnx"
    return path


def hours_around(time: datetime, value: float) -> dict[str, float]:
    """A series in hours, of the days around a time."""
    hour = time.replace(minute=0, second=0, microsecond=0)
    return {
        (hour + timedelta(hours=number)).isoformat(): value + number % 24
        for number in range(-26, 27)
    }


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_house(tmp_path_factory.mktemp("house"))


@pytest.fixture
def controller(path: Path) -> Controller:
    return Controller.load(path)

"""Where a file is expected and a pipe, a device, a socket or a folder is, nobody waits for its end.

Whoever opened a pipe would wait for as long as nobody writes; a device has no end.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradmap_trainer.checkpoint import LATEST, load_checkpoint, save_checkpoint
from gradmap_trainer.config import CONFIG_FILE, TrainConfig, load_config
from gradmap_trainer.lock import LOCK_FILE, locked
from gradmap_trainer.metrics import METRICS_FILE, append_metrics, last_metrics, seal_metrics
from gradmap_trainer.report.run import _read_metrics
from gridedge_env import load_case, load_feeder
from gridedge_env.checks import check_writable
from gridedge_env.cli import case as case_command
from gridedge_env.constraints import Limits
from gridedge_env.evaluation_files import EPISODES_FILE, load_evaluation
from gridedge_env.feeder.opendss.script import read_script
from gridedge_env.scenarios import load_metered_demand
from gridedge_env.scenarios.series import read_meters, read_prices, read_weather
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.replay import recorded_readings
from tests.gridedge_env.case_files.test_mutations import write_hamlet

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has pipes elsewhere")

PATIENCE = 60  # seconds


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)  # of a socket, only short names can be
        made.bind(path.name)


KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": pipe,
    "device": device,
    "socket": a_socket,
    "folder": Path.mkdir,
}
GATEWAY: Any = SimpleNamespace(file=SimpleNamespace(readable={}, devices=()))
NO_SIMULATOR: Any = None
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "configuration": (CONFIG_FILE, lambda path: load_config(path.parent, TrainConfig)),
    "checkpoint": (LATEST, lambda path: load_checkpoint(path.parent)),
    "checkpoint to be replaced": (LATEST, lambda path: save_checkpoint(path.parent, {}, {})),
    "log": (METRICS_FILE, lambda path: last_metrics(path.parent)),
    "log to be added to": (METRICS_FILE, lambda path: append_metrics(path.parent, {"cost": 1.0})),
    "log to be sealed": (METRICS_FILE, lambda path: seal_metrics(path.parent, 1)),
    "log of a report": (METRICS_FILE, lambda path: _read_metrics(path, Limits())),
    "lock": (LOCK_FILE, lambda path: locked(path.parent).__enter__()),
    "evaluation": (EPISODES_FILE, lambda path: load_evaluation(path.parent, NO_SIMULATOR)),
    "evaluation to be replaced": (EPISODES_FILE, lambda path: check_writable(path, "run")),
    "case": ("case.toml", lambda path: load_case(path.parent)),
    "feeder": ("feeder.json", lambda path: load_feeder(path.parent)),
    "script": ("Master.dss", read_script),
    "homes": ("homes.csv", load_metered_demand),
    "meters": ("meters.csv", read_meters),
    "prices": ("prices.parquet", read_prices),
    "weather": ("weather.epw", read_weather),
    "customer's file": ("home.onnx", CustomerFile),
    "readings": ("readings.csv", lambda path: recorded_readings(GATEWAY, path)),
}


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """What waits for a pipe is ended."""

    def end(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", READERS)
def test_it_is_refused_by_whoever_opens_it(tmp_path: Path, what: str, kind: str) -> None:
    name, read = READERS[what]
    KINDS[kind](tmp_path / name)
    is_link_out = (what, kind) == ("configuration", "device")
    told = "link out of the folder" if is_link_out else f"got a {kind}, expected a file"
    with pytest.raises((OSError, ValueError), match=told):
        read(tmp_path / name)


MUST_BE_THERE = [
    *("configuration", "checkpoint", "log of a report", "evaluation", "case", "feeder", "script"),
    *("homes", "meters", "prices", "weather", "customer's file", "readings"),
]


@pytest.mark.parametrize("what", MUST_BE_THERE)
def test_the_name_of_what_is_not_there_is_told_in_one_line(tmp_path: Path, what: str) -> None:
    name, read = READERS[what]
    with pytest.raises((OSError, ValueError)) as error:
        read(tmp_path / "of\rtwo\nlines" / name)
    assert len(str(error.value).splitlines()) == 1
    assert "lines" in str(error.value)


@pytest.fixture(scope="module")
def hamlet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases") / "hamlet"
    write_hamlet(folder)
    return folder


@pytest.mark.parametrize("kind", ["pipe", "folder"])
@pytest.mark.parametrize(
    "name",
    [
        *("agents.csv", "batteries.csv", "heat_pumps.csv", "connections.csv", "background.csv"),
        *("prices.csv", "weather.csv", "meters.csv", "feeder/lines.csv"),
    ],
)
def test_a_table_of_a_case_is_not_taken_for_absent(
    hamlet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    """Without some of them a case is another one, which nothing would say."""
    folder = shutil.copytree(hamlet, tmp_path / "hamlet")
    (folder / name).unlink(missing_ok=True)
    KINDS[kind](folder / name)
    with pytest.raises(SystemExit) as stop:
        case_command(["check", str(folder)])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{name}: got a {kind}, expected a file" in error

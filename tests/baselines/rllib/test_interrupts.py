"""Ctrl-C and SIGTERM: training saves what it has done, a search ends; neither calls it success."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

SMALL = ["--feeder", "ieee13", "--num-agents", "3", "--step-minutes", "60", "--seconds", "None"]
SMALL += ["--validation-days", "1", "--evaluation-days", "0", "--iterations", "100000"]


def interrupted(
    module: str, words: Sequence[str], number: signal.Signals, folder: Path, once: str
) -> str:
    """What a command says that gets a signal once there is a file below a folder."""
    command = [sys.executable, "-m", module, *SMALL, *words]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        while process.poll() is None and not any(folder.rglob(once)):
            time.sleep(0.1)
        process.send_signal(number)
        said, errors = process.communicate()
    assert process.returncode == 130, errors
    assert errors == ""
    return said


def test_training_saves(tmp_path: Path) -> None:
    run = ["--run", str(tmp_path)]
    said = interrupted("baselines.rllib.train", run, signal.SIGTERM, tmp_path, "metrics.csv")
    done = (tmp_path / "metrics.csv").read_text(encoding="utf-8").splitlines()[-1].split(",")[0]
    assert said.endswith(f"Stopped after iteration {done}; go on with --resume.\n")
    assert (tmp_path / f"checkpoint_{int(done):06d}").is_dir()


def test_training_that_has_hardly_begun_stops_in_order(tmp_path: Path) -> None:
    """While Ray starts: its processes fork, and what a handler raises there is lost."""
    run = ["--run", str(tmp_path)]
    said = interrupted("baselines.rllib.train", run, signal.SIGINT, tmp_path, "config.json")
    assert said == "Stopped after iteration 0; go on with --resume.\n"


def test_a_search_ends(tmp_path: Path) -> None:
    words = ["--trials", "1", "--at-once", "1", "--run", str(tmp_path)]
    said = interrupted("baselines.rllib.tune", words, signal.SIGINT, tmp_path, "metrics.csv")
    assert "Best" not in said
    assert not (tmp_path / "best.json").exists()

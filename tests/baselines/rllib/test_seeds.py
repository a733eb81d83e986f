"""A seed repeats a run in any process: Python hashes names anew in each, and so orders sets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

from gradmap_trainer.metrics import METRICS_FILE

SMALL = ["--feeder", "ieee13", "--num-agents", "6", "--step-minutes", "60", "--iterations", "2"]
SMALL += ["--seconds", "None", "--batch-days", "2", "--minibatches", "2"]
SMALL += ["--validation-days", "1", "--evaluation-days", "0"]


def log_of(folder: Path, policies: str, hash_seed: str) -> list[str]:
    """The log of a run in a process of its own, without its times."""
    words = ["baselines.rllib.train", *SMALL, "--policies", policies, "--run", str(folder)]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    subprocess.run([sys.executable, "-m", *words], check=True, env=environment)
    rows = [line.split(",") for line in (folder / METRICS_FILE).read_text().splitlines()]
    seconds = rows[0].index("seconds")
    return [",".join(row[:seconds] + row[seconds + 1 :]) for row in rows]


@pytest.mark.parametrize("policies", ["by-kind", "separate"])
def test_a_run_repeats_in_another_process(tmp_path: Path, policies: str) -> None:
    first, second = (log_of(tmp_path / seed, policies, seed) for seed in ("1", "2"))
    assert len(first) == 3
    assert first == second

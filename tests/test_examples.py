"""Every example runs as it stands, in an empty folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
# Those that learn for a minute: fewer iterations do.
BRIEFLY = {
    "benchmarl_mappo.py": ["2"],
    "own_learner.py": ["2"],
    "stable_baselines3_ppo.py": ["2"],
    "torchrl_mappo.py": ["2"],
}


@pytest.fixture
def start(tmp_path):
    def start_example(name, *arguments):
        return subprocess.run(
            [sys.executable, str(ROOT / "examples" / name), *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return start_example


@pytest.fixture
def run(start):
    def run_example(name, *arguments):
        process = start(name, *arguments)
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run_example


def need_library(name):
    """What an example learns with."""
    if name.endswith(("_mappo.py", "_ppo.py")):
        library = name.rpartition("_")[0]
        pytest.importorskip(library, reason="the extra `learners` is not installed")


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_runs(run, name):
    need_library(name)
    assert run(name, *BRIEFLY.get(name, []))


@pytest.mark.parametrize(
    ("name", "argument", "message"),
    [
        *((name, "0", "iterations: got 0, expected a whole number of at") for name in BRIEFLY),
        ("own_learner.py", "-1", "iterations: got -1, expected a whole number of at least 1"),
        ("own_learner.py", "x", "argument iterations: invalid int value: 'x'"),
        ("draw_feeder.py", "nowhere", "folder: got nowhere, expected one that is there"),
    ],
)
def test_wrong_arguments_are_refused_in_a_line(start, name, argument, message):
    need_library(name)
    process = start(name, argument)
    assert process.returncode == 2
    assert f"error: {message}" in process.stderr.splitlines()[-1]
    assert not process.stdout


@pytest.mark.parametrize("name", ["own_learner.py", "draw_feeder.py", "street/make.py"])
def test_help_is_given_and_nothing_made(run, name, tmp_path):
    assert run(name, "--help").startswith("usage: ")
    assert not list(tmp_path.iterdir())


def test_the_learner_of_ones_own_learns(run):
    """Held-out days of the default 100 iterations cost 1,487 €; of 20, still less than at rest."""
    rows = [line.split() for line in run("own_learner.py", "20").splitlines()]
    cost = {row[0]: float(row[1]) for row in rows if len(row) == 3 and row[2].endswith("%")}
    assert cost["mappo"] < cost["idle"] - 100.0


def test_the_gradient_ends_the_violation(run):
    output = run("gradient_step.py").splitlines()
    steps = [line.split() for line in output if "violation" in line]
    assert float(steps[0][2]) > 1.0
    assert float(steps[-1][2]) == 0.0


def test_the_feeder_is_drawn_where_it_is_asked_to_be(run, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    run("draw_feeder.py", str(folder))
    assert (folder / "feeder.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "feeder.png").exists()

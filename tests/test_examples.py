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
def run(tmp_path):
    def run_example(name, *arguments):
        process = subprocess.run(
            [sys.executable, str(ROOT / "examples" / name), *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run_example


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_runs(run, name):
    if name.endswith(("_mappo.py", "_ppo.py")):
        library = name.rpartition("_")[0]
        pytest.importorskip(library, reason="the extra `learners` is not installed")
    assert run(name, *BRIEFLY.get(name, []))


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

"""Every example runs as it stands, in an empty folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


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
def test_it_runs_without_arguments(run, name):
    assert run(name)


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

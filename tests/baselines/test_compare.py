"""The comparison from end to end: the real command, the real jobs, six agents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from baselines.compare.__main__ import main
from baselines.compare.config import Job, comparison_from
from baselines.compare.job import run
from baselines.methods import Budget, find
from gridedge_env.case import default_case
from gridedge_env.evaluation import evaluation_days, record, summarise
from gridedge_env.scenarios import Variation
from gridedge_env.simulator import make_simulator

# Six sites of sixty homes each break limits.
CONFIG = """
seeds = [0]
learners.gradmap = [0.3]
learners."mine:method" = [0.1]
case = {num_agents = 6, home_scale = 60.0}
days = {test = 2, validation = 1, points = 2, foresight_iterations = 2}
robustness.colder = {temperature_shift = -6.0}
running = {processes = 3, overhead_seconds = 600.0}
"""
BROKEN = "def method(case, device, budget, observe):\n    raise RuntimeError('out of luck')\n"
MENDED = """
from gridedge_env import make_simulator
from gridedge_env.reference import Idle
def method(case, device, budget, observe):
    policy = Idle(make_simulator(case=case, device=device))
    observe(budget.seconds, 48, policy)
    return policy
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the comparison has been run, with a method of one's own that fails."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "small.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "mine.py").write_text(BROKEN, encoding="utf-8")
    process = subprocess.run(
        [sys.executable, "-m", "baselines.compare", "small.toml", "--out", "out"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1, process.stderr
    assert "failed: mine.method-seed0-0.1s: RuntimeError: out of luck" in process.stderr
    return folder


@pytest.fixture
def compare(folder, monkeypatch) -> Iterator[Callable[..., int]]:
    """The command once more, in this process, which spares it the imports; its exit code."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)

    def command(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["compare", *arguments])
        try:
            main()
        except SystemExit as end:
            return int(end.code)
        return 0

    yield command
    sys.modules.pop("mine", None)


def test_what_did_not_fail_is_kept_and_shown(folder):
    out = folder / "out"
    kept = sorted(path.stem for path in (out / "results").iterdir())
    assert kept == ["gradmap-seed0-0.3s", "perfect_foresight-seed0"]
    page = (out / "comparison.md").read_text(encoding="utf-8")
    assert "**2 of 3 jobs have a result.**" in page
    assert "out of luck" in page
    assert CONFIG.strip() in page
    summary = pd.read_csv(out / "summary.csv")
    assert set(summary["trial"]) == {"as_observed", "colder"}
    assert summary["cost"].notna().all()


def test_the_same_command_goes_on(folder, compare):
    """It does what is missing - what failed, and a result that is gone -, and nothing else."""
    results = folder / "out" / "results"
    gradmap = results / "gradmap-seed0-0.3s.json"
    before = gradmap.stat().st_mtime_ns
    (results / "perfect_foresight-seed0.json").unlink()
    (folder / "mine.py").write_text(MENDED, encoding="utf-8")
    assert compare("small.toml", "--out", "out") == 0
    assert gradmap.stat().st_mtime_ns == before
    assert len(list(results.iterdir())) == 3
    assert "have a result" not in (folder / "out" / "comparison.md").read_text(encoding="utf-8")
    curve = json.loads((results / "mine.method-seed0-0.1s.json").read_text())["curve"]
    assert (curve[-1]["seconds"], curve[-1]["environment_steps"]) == (0.1, 48)


def test_another_configuration_is_refused(folder, compare, capsys):
    (folder / "other.toml").write_text(CONFIG.replace("-6.0", "-5.0"), encoding="utf-8")
    assert compare("other.toml", "--out", "out") == 2
    assert capsys.readouterr().err == (
        "python -m baselines.compare: error: out: out holds results with "
        "robustness.colder.temperature_shift = -6.0, the configuration has -5.0; expected the "
        "same, or another folder\n"
    )


def test_a_folder_that_cannot_be_written_is_refused(compare, capsys):
    assert compare("small.toml", "--out", "mine.py") == 2
    assert (
        "error: out: got mine.py, expected a folder that can be written" in capsys.readouterr().err
    )


def test_two_configurations_are_refused(compare, capsys):
    assert compare("small.toml", "--quick") == 2
    assert "error: quick: got it and small.toml, expected one of them" in capsys.readouterr().err


@pytest.fixture(scope="module")
def rule():
    """A rule's result on two days, with all that can be varied."""
    comparison = comparison_from(
        {
            "seeds": [3],
            "rules": ["price_following"],
            "case": {"num_agents": 6, "home_scale": 60.0},
            "days": {"test": 2, "validation": 1, "points": 1},
            "robustness": {
                "all": {"price_factor": 1.3, "temperature_shift": -6.0, "demand_factor": 1.15},
                "homes": {"other_fleet": True},
            },
        }
    )
    return run(comparison, Job("price_following", 3))


@pytest.mark.parametrize(
    ("trial", "seed", "variation"),
    [
        ("as_observed", 3, Variation()),
        ("all", 3, Variation(1.3, -6.0, 1.15)),
        ("homes", 4, Variation()),
    ],
)
def test_days_are_played_as_evaluation_plays_them(rule, trial, seed, variation):
    """The mean over the result's days is the row of the out-of-sample table."""
    case = default_case(num_agents=6, seed=seed, home_scale=60.0)
    simulator = make_simulator(case=case)
    days = evaluation_days(simulator, "test", 2)
    state = simulator.reset(split="test", days=days, variation=variation)
    policy = find("price_following")(case, "cpu", Budget(1.0), lambda *_: None)
    expected = summarise(record(simulator, state, policy), simulator.case.limits)
    rows = pd.DataFrame([day for day in rule.days if day["trial"] == trial])
    assert len(rows) == 2
    for name in ("cost", "voltage_steps", "loading_steps", "unbalance_steps"):
        # Means of single precision, in another order.
        assert rows[name].mean() == pytest.approx(expected[name], rel=1e-6)
    assert rows["worst_loading"].max() == expected["worst_loading"]
    table = simulator.days("test")
    assert rows["date"].tolist() == [table.dates[day].isoformat() for day in days]
    lowest = table.day_ahead_price[days].amin(dim=1)
    assert rows["lowest_price"].tolist() == pytest.approx(lowest.tolist())
    assert (rows["any_steps"] >= rows["voltage_steps"]).all()


@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        (Job("gradmap", 0), "rules: got 'gradmap', expected it among the learners"),
        (Job("idle", 0, 0.1), "learners: got 'idle', expected it among the rules"),
    ],
)
def test_who_learns_is_no_rule(job, complaint):
    comparison = comparison_from(
        {
            "seeds": [0],
            "rules": ["idle"],
            "case": {"num_agents": 6},
            "days": {"test": 1, "validation": 1, "points": 1},
        }
    )
    with pytest.raises(ValueError, match=complaint):
        run(comparison, job)

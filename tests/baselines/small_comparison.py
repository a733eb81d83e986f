"""A comparison of one rule and one learner, whose jobs are run in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.compare.config import FORESIGHT, Comparison, Job, comparison_from
from baselines.compare.job import run
from baselines.compare.page import write_page
from baselines.compare.results import RESULTS, JobResult, load, save
from baselines.compare.tables import Tables, make_tables
from gridedge_env import Simulator, make_simulator
from gridedge_env.evaluation import evaluation_days
from gridedge_env.state import SimulatorState

OPTIMUM, RULE, LEARNER = Job(FORESIGHT, 0), Job("price_following", 0), Job("gradmap", 0, 0.2)


@dataclass(frozen=True)
class Compared:
    """What came of it: the results as read back, the tables, and the page's text."""

    comparison: Comparison
    results: dict[Job, JobResult]
    tables: Tables
    page: str

    def test_days(self) -> tuple[Simulator, SimulatorState]:
        """The case, and its test days at midnight."""
        simulator = make_simulator(case=self.comparison.case_of(0))
        days = evaluation_days(simulator, "test", self.comparison.days.test)
        return simulator, simulator.reset(split="test", days=days)


def small_comparison(**case: Any) -> Comparison:
    """On six sites as large as sixty homes each, which break limits."""
    return comparison_from(
        {
            "seeds": [0],
            "rules": [RULE.method],
            "learners": {LEARNER.method: [LEARNER.seconds]},
            "case": {"feeder": "ieee13", "num_agents": 6, "home_scale": 60.0, **case},
            "days": {"test": 2, "validation": 1, "points": 1, "foresight_iterations": 2},
        }
    )


def compare(comparison: Comparison, folder: Path) -> Compared:
    """Run its jobs into a folder, and read them back."""
    (folder / RESULTS).mkdir(parents=True)
    for job in comparison.jobs:
        save(folder, run(comparison, job))
    results = load(folder, comparison)
    assert list(results) == comparison.jobs
    tables = make_tables(comparison, results)
    page = write_page(folder, comparison, tables, results, [], "command", "seeds = [0]")
    return Compared(comparison, results, tables, page.read_text(encoding="utf-8"))

"""One job, in a process of its own: train, then play the trials.

Started by `processes`, as `python -m baselines.compare.job`. It reads what to do as a line of JSON
from its standard input, which stays open for as long as its result is wanted.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gridedge_env
from baselines.compare.config import FORESIGHT, Comparison, Job, comparison_from
from baselines.compare.results import JobResult, save
from baselines.compare.trials import PLAIN, Trial, World
from baselines.methods import Budget, Point, find, train
from gridedge_env.evaluation import Episode, evaluation_days, record, summarise
from gridedge_env.reference import Policy, perfect_foresight
from gridedge_env.simulator import Simulator, make_simulator
from gridedge_env.state import SimulatorState

# Who plays a trial: the policy for its world, at midnight of its days.
Contestant = Callable[[World, SimulatorState], Policy]


def main() -> None:
    """Do what standard input says."""
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    result = run(comparison_from(task["comparison"]), Job(**task["job"]))
    save(Path(task["folder"]), result)


def run(comparison: Comparison, job: Job) -> JobResult:
    """Train and evaluate."""
    contestant, curve = prepare(comparison, job)
    load = os.getloadavg()[0]
    rows = []
    for name, trial in comparison.trials.items():
        episode, simulator, days = play_trial(comparison, job, trial, "test", contestant)
        rows += [{"trial": name, **row} for row in by_day(episode, simulator, days)]
    machine = machine_line(comparison)
    return JobResult(job, comparison.bearing, machine, load, curve, tuple(rows))


def prepare(comparison: Comparison, job: Job) -> tuple[Contestant, tuple[Point, ...]]:
    """Whoever plays, and what it was worth on the validation days in training.

    Raises:
        ValueError: a rule learns, or a learner does not.
    """
    case, days = comparison.case_of(job.seed), comparison.days
    if job.method == FORESIGHT:
        foresight = _foresight(days.foresight_iterations)
        episode, _, _ = play_trial(comparison, job, PLAIN, "validation", foresight)
        return foresight, (Point(0.0, 0, summarise(episode, case.limits)),)
    # A rule has no use for a budget; but one there must be.
    budget = Budget(seconds=job.seconds) if job.seconds else Budget(environment_steps=1)
    device = comparison.running.device
    trained = train(job.method, case, budget, device, days.validation, days.points)
    learned = trained.curve[-1].environment_steps > 0
    if learned != (job.seconds is not None):
        listed, other = ("rules", "learners") if learned else ("learners", "rules")
        raise ValueError(f"{listed}: got {job.method!r}, expected it among the {other}")
    if learned:
        return lambda world, state: trained.policy, trained.curve
    return _rule(job.method, device, budget), trained.curve


def _foresight(iterations: int) -> Contestant:
    def contestant(world: World, state: SimulatorState) -> Policy:
        plan = iter(perfect_foresight(world, state, iterations, absent=world.absent))
        return lambda private, shared: next(plan)

    return contestant


def _rule(method: str, device: str, budget: Budget) -> Contestant:
    """A rule knows the devices that it is mounted on: another fleet's, too."""
    rule = find(method)
    return lambda world, state: rule(world.case, device, budget, lambda *_: None)


def play_trial(
    comparison: Comparison, job: Job, trial: Trial, split: str, contestant: Contestant
) -> tuple[Episode, World, list[int]]:
    """Play the days of a split as a trial says; also the world and the days' rows."""
    seed, device = job.seed + trial.other_fleet, comparison.running.device
    installed = make_simulator(case=comparison.case_of(seed), device=device)
    world = World(comparison.case_of(seed, trial), installed, trial)
    days = evaluation_days(world, split, getattr(comparison.days, split))
    state = world.reset(split=split, days=days, variation=trial.variation)
    policy = world.heeded(contestant(world, state))
    return record(world, state, policy), world, days


def by_day(episode: Episode, simulator: Simulator, days: list[int]) -> list[dict[str, Any]]:
    """The rows of `JobResult.days`, but for the trial."""
    table, limits = simulator.days("test"), simulator.case.limits
    return [
        {
            "date": table.dates[day].isoformat(),
            "lowest_price": float(table.day_ahead_price[day].min()),
            **summarise(episode.take([index]), limits),
        }
        for index, day in enumerate(days)
    ]


def machine_line(comparison: Comparison) -> str:
    """What the job runs on."""
    cores, threads = os.cpu_count(), comparison.running.threads
    parts = [
        f"{_processor()}, {cores} core{'s' if cores != 1 else ''}",
        f"{threads} thread{'s' if threads != 1 else ''} a job",
        f"{platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}",
        f"PyTorch {torch.__version__}",
        f"NumPy {np.__version__}",
        f"GridEdge {gridedge_env.__version__}",
    ]
    if torch.device(comparison.running.device).type == "cuda":
        parts.insert(1, torch.cuda.get_device_name(comparison.running.device))
    return ", ".join(parts)


def _processor() -> str:
    """The model of the processor, where Linux or the platform tells."""
    description = Path("/proc/cpuinfo")
    if description.is_file():
        for line in description.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _end_with_parent() -> None:
    """End this process when whoever started it is gone, however it went."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()

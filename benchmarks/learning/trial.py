"""One training of GradMAP or of its rival, what it took and what it was worth."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

from benchmarks.learning.study import Exam
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import Update, iterate, make_learner, progress
from gridedge_env.checks import check_positive

# Of which one is the time that an iteration takes.
TIMED_ITERATIONS = 5


@dataclass(frozen=True)
class Trial:
    """A training and its outcome.

    Attributes:
        iterations: of it.
        environment_steps: that it learned from.
        cpu_seconds: its iterations times the median of what one took of this process's own time:
            what else runs on a machine, and what only a first iteration does, counts for little.
        outcome: the row of `summarise` on the days that judge.
    """

    iterations: int
    environment_steps: int
    cpu_seconds: float
    outcome: dict[str, float]


def trial(update: Update, config: TrainConfig, exam: Exam, iterations: int) -> Trial:
    """Train from the beginning, annealed over so many iterations, and judge.

    Args:
        update: what becomes of every gradient.
        config: of the training; its own iterations count for nothing.
        exam: the case and days.
        iterations: of the training.
    """
    simulator, config = exam.simulator, replace(config, iterations=iterations)
    learner, samples = make_learner(config, simulator), []
    while progress(config, learner) < 1.0:
        began = time.process_time()
        learner, _ = iterate(config, simulator, learner, update)
        samples.append(time.process_time() - began)
    return Trial(
        iterations,
        iterations * config.batch_days * simulator.clock.steps,
        iterations * statistics.median(samples),
        exam.outcome(learner.policies),
    )


def iterations_in(seconds: float, update: Update, config: TrainConfig, exam: Exam) -> int:
    """How many iterations take so many CPU seconds; at least one. Arguments as of `trial`.

    Raises:
        ValueError: no time at all, or no end of it.
    """
    check_positive(seconds, "seconds")
    timed = trial(update, config, exam, TIMED_ITERATIONS)
    return max(1, round(seconds / timed.cpu_seconds * TIMED_ITERATIONS))

"""How many times GradMAP's time and evaluations the rival needs to be as good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from baselines.compare.statistics import Bounded, estimate, geometric_mean, time_to_reach
from baselines.self_supervised import DEFAULTS, use_gradient_once
from benchmarks.learning.study import Study, score
from benchmarks.learning.trial import Trial, trial
from benchmarks.records import Cell, Measurement, Table
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import Update, reuse_gradient

# Of the iterations of the study: the trainings of either, each annealed over its own.
OURS = (0.25, 0.5, 1.0)
THEIRS = (0.5, 1.0, 2.0, 4.0, 8.0)


def ratio(study: Study, seeds: int) -> Measurement:
    """Train both under several budgets and seeds; compare at equal scores.

    Args:
        study: the case, its first seed, and the iterations of GradMAP's longest training.
        seeds: how many, from the study's own on.
    """
    each = study.of_seeds(seeds)
    ours = [trials(one, reuse_gradient, one.config, OURS) for one in each]
    theirs = [
        trials(one, use_gradient_once, replace(DEFAULTS, case=one.case), THEIRS) for one in each
    ]
    return Measurement(
        "ratio",
        "Every training is annealed over its own iterations. Seconds are CPU seconds. A score is "
        "the cost and the price of every percentage point of steps outside any limit. Ratios are "
        f"geometric means of {seeds} seeds, in brackets their 95 % intervals, then "
        "those of the seeds.",
        (
            _trainings("GradMAP", ours),
            _trainings("Self-supervised", theirs),
            _ratios(ours, theirs),
        ),
    )


def trials(
    study: Study, update: Update, config: TrainConfig, parts: Sequence[float]
) -> list[Trial]:
    """Trainings for some parts of the study's iterations, the smallest first."""
    budgets = (max(1, round(part * study.iterations)) for part in parts)
    return [trial(update, config, study.validation, budget) for budget in budgets]


def _trainings(name: str, seeds: Sequence[Sequence[Trial]]) -> Table:
    """Means over seeds."""
    columns = (
        *("iterations", "environment steps", "CPU s", "€/day"),
        *("steps outside any limit, %", "score, €/day"),
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            same[0].iterations,
            same[0].environment_steps,
            _mean([done.cpu_seconds for done in same]),
            _mean([done.outcome["cost"] for done in same]),
            _mean([100.0 * done.outcome["any_steps"] for done in same], 2),
            _mean([score(done.outcome) for done in same]),
        )
        for same in zip(*seeds, strict=True)
    )
    return Table(name, columns, rows)


def _ratios(ours: Sequence[Sequence[Trial]], theirs: Sequence[Sequence[Trial]]) -> Table:
    """For every training of ours."""
    columns = ("GradMAP's iterations", "ratio of CPU seconds", "ratio of evaluations")
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            ours[0][budget].iterations,
            *(
                _ratio(
                    [
                        times_as_much(mine[budget], rivals, spent)
                        for mine, rivals in zip(ours, theirs, strict=True)
                    ]
                )
                for spent in ("cpu_seconds", "environment_steps")
            ),
        )
        for budget in range(len(OURS))
    )
    return Table("The rival over GradMAP, to the score that GradMAP has", columns, rows)


def times_as_much(mine: Trial, rivals: Sequence[Trial], spent: str) -> Bounded:
    """How many times what one training spent others must spend to score as well.

    Args:
        mine: the training.
        rivals: the others, the shortest first.
        spent: a field of `Trial`.
    """
    spendings = [getattr(rival, spent) for rival in rivals]
    scores = [score(rival.outcome) for rival in rivals]
    reached = time_to_reach(spendings, scores, score(mine.outcome))
    return Bounded(reached.value / getattr(mine, spent), reached.bound)


def _mean(values: Sequence[float], decimals: int = 1) -> str:
    found = estimate(values)
    mean = f"{found.mean:,.{decimals}f}"
    uncertain = not math.isnan(found.half_width)
    return f"{mean} ± {found.half_width:,.{decimals}f}" if uncertain else mean


def _ratio(ratios: Sequence[Bounded]) -> str:
    each = ", ".join(_bounded(ratio) for ratio in ratios)
    found = geometric_mean(ratios)
    if found.mean is None or len(ratios) == 1:
        return each
    interval = "" if math.isnan(found.low) else f" ({found.low:.1f} to {found.high:.1f})"
    return f"{_bounded(found.mean)}{interval}; {each}"


def _bounded(ratio: Bounded) -> str:
    return f"{ratio.bound} {ratio.value:.1f}".strip()

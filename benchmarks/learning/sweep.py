"""The rival's settings, as fairly chosen as GradMAP's: each in the same time of a processor."""

from __future__ import annotations

import itertools
from dataclasses import replace

from baselines.self_supervised import DEFAULTS, use_gradient_once
from benchmarks.learning.study import Study, score, shares
from benchmarks.learning.trial import iterations_in, trial
from benchmarks.records import Cell, Measurement, Table

BATCH_DAYS = (4, 8, 16)
LEARNING_RATES = (0.0125, 0.025, 0.05)
FINAL_SHARES = (0.1, 0.3)


def sweep(study: Study, seconds: float) -> Measurement:
    """Train the rival with every setting for as many CPU seconds, and score it.

    Args:
        study: the case.
        seconds: of a training.
    """
    found = []
    for days in BATCH_DAYS:
        config = replace(DEFAULTS, case=study.case, batch_days=days)
        iterations = iterations_in(seconds, use_gradient_once, config, study.validation)
        for rate, share in itertools.product(LEARNING_RATES, FINAL_SHARES):
            config = replace(config, learning_rate=rate, final_learning_rate=share * rate)
            settings = (days, f"{rate:g}", f"{share * rate:g}")
            found.append((settings, trial(use_gradient_once, config, study.validation, iterations)))
    found.sort(key=lambda one: score(one[1].outcome))
    limits = study.simulator.case.limits
    columns = (
        *("days a batch", "learning rate", "last", "iterations", "€/day"),
        *(kind.heading for kind in limits),
        "score, €/day",
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            *settings,
            done.iterations,
            f"{done.outcome['cost']:,.0f}",
            *shares(done.outcome, limits),
            f"{score(done.outcome):,.1f}",
        )
        for settings, done in found
    )
    return Measurement(
        "sweep",
        f"Self-supervised learning, {seconds:g} CPU seconds each; the best score first.",
        (Table("", columns, rows),),
    )

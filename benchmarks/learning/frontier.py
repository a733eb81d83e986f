"""What is paid for limits that are kept: cost over violations, GradMAP and its rival."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from baselines.appearances import APPEARANCES
from baselines.self_supervised import DEFAULTS, use_gradient_once
from benchmarks.learning.study import Study, header, shares
from benchmarks.learning.trial import iterations_in, trial
from benchmarks.records import Cell, Measurement, Table
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import reuse_gradient
from gradmap_trainer.report.figures import PERCENT, style

# Of the margins that training usually keeps to limits.
MARGIN_SHARES = (0.0, 0.5, 1.0, 1.5)
METHODS = {
    "gradmap": (reuse_gradient, TrainConfig()),
    "self_supervised": (use_gradient_once, DEFAULTS),
}


def frontier(study: Study, seconds: float, seeds: int, picture: Path | None) -> Measurement:
    """Train both with margins of several sizes, in the same time of a processor.

    Args:
        study: the case, and its first seed.
        seconds: CPU seconds of a training.
        seeds: how many, from the study's own on; rows are means over them.
        picture: file for a picture.
    """
    if picture is not None:
        formats = Figure().canvas.get_supported_filetypes()
        if picture.suffix[1:] not in formats:
            names = ", ".join(formats)
            raise ValueError(f"picture: got {picture}, expected one that ends with {names}")
    rows: list[tuple[Cell, ...]] = []
    lines: dict[str, list[tuple[float, float]]] = {}
    each = study.of_seeds(seeds)
    for name, (update, defaults) in METHODS.items():
        config = replace(defaults, case=study.case)
        iterations = iterations_in(seconds, update, config, study.validation)
        for share in MARGIN_SHARES:
            margins = {
                margin: share * getattr(config, margin)
                for margin in ("voltage_margin", "loading_margin")
            }
            outcomes = []
            for one in each:
                own = replace(config, case=one.case, **margins)
                done = trial(update, own, one.validation, iterations).outcome
                outcomes.append({**done, "above_foresight": one.validation.above(done)})
            mean = {key: statistics.fmean(o[key] for o in outcomes) for key in outcomes[0]}
            lines.setdefault(name, []).append((mean["any_steps"], mean["above_foresight"]))
            rows.append(
                (
                    APPEARANCES[name].name,
                    f"{margins['voltage_margin']:g} pu, {margins['loading_margin']:.2%}",
                    iterations,
                    f"{mean['above_foresight']:.2%}",
                    *shares(mean, study.simulator.case.limits),
                )
            )
    if picture is not None:
        with style():
            drawn(lines).savefig(picture)
    columns = ("", "margins", "iterations", *header(study.simulator.case.limits))
    return Measurement(
        "frontier",
        f"{seconds:g} CPU seconds of training each, means of {seeds} seeds.",
        (Table("", columns, tuple(rows)),),
    )


def drawn(lines: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """The frontier of each method: (share of steps outside any limit, cost above foresight)."""
    figure = Figure((5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, points in lines.items():
        look = APPEARANCES[name]
        axes.plot(*zip(*points, strict=True), "o-", color=look.colour, label=look.name)
    axes.set_xlabel("steps outside any limit")
    axes.set_ylabel("cost above perfect foresight")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PERCENT)
    axes.legend()
    return figure

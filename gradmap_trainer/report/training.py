"""The sections of the report on training: what was learned in what time, and was it healthy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from gradmap_trainer.report import page
from gradmap_trainer.report.appearance import appearance
from gradmap_trainer.report.figures import NARROW, PERCENT, panel, svg
from gradmap_trainer.report.run import OURS, EvaluatedRun
from gradmap_trainer.report.words import step_name

Scale = Literal["linear", "logarithmic", "percent"]

_LEGEND_COLUMNS = 3  # for which a narrow panel has room


@dataclass(frozen=True)
class Curve:
    """A panel of columns of the log; arguments of `_curves`."""

    title: str
    columns: Mapping[str, tuple[str, str]]
    scale: Scale = "linear"


def learning(run: EvaluatedRun) -> list[str]:
    """Cost, violations and duals against training time."""
    cost = f"Cost on training days, {run.currency} a day"
    curves = [
        Curve(cost, {"cost": ("cost", appearance(OURS).colour)}),
        Curve(
            f"{step_name(run.simulator.clock).capitalize()}s outside limits",
            {f"{k.name}_steps": (k.name, k.colour) for k in run.simulator.case.limits},
            "percent",
        ),
        Curve("Price of the limits", {"dual_norm": ("multipliers", "#333333")}),
    ]
    return [
        page.figure(
            "While it learned",
            "Faint: single iterations. Each draws other days of the training year, so that they "
            "scatter, and some leave the frame. Bold: the running median. The price of the limits "
            "is the norm of the multipliers with which training makes violations dear; it rises "
            "while limits are broken, and falls when they are kept. Training time does not count "
            "what a process compiles before its first iteration.",
            "a cost that no longer falls, violations near zero, a price that has settled. If a "
            "curve still moves at the end, longer training would help.",
            _draw(run, curves),
            across=3,
        )
    ]


def diagnostics(run: EvaluatedRun) -> list[str]:
    """Whether training itself was healthy; only what the log holds."""
    blue, orange = "#4d6d9a", "#c07830"
    curves = [
        Curve(
            "Actions beyond the trust region", {"beyond_trust_region": ("share", blue)}, "percent"
        ),
        Curve(
            f"Improvement of the objective, {run.currency}",
            {
                "predicted_improvement": ("predicted", blue),
                "realised_improvement": ("realised", orange),
            },
        ),
        Curve("Norm of the gradient", {"gradient_norm": ("norm", blue)}, "logarithmic"),
        Curve(
            "Annealing",
            {"trust_region": ("trust region", blue), "learning_rate": ("learning rate", orange)},
            "logarithmic",
        ),
        Curve("Power-flow residual, pu", {"powerflow_residual": ("largest", blue)}, "logarithmic"),
    ]
    panels = _draw(run, curves)
    parts = {
        "seconds_rollout": "rollout",
        "seconds_gradient": "gradient",
        "seconds_update": "updates",
    }
    if set(parts) <= set(run.metrics):
        panels.append(("time split", svg(_time_split(run.metrics, parts))))
    if not panels:
        return [page.paragraph("The log holds no diagnostics.")]
    return [
        page.figure(
            "Was training healthy?",
            "The trust region is how far an action may move per iteration before the surrogate "
            "stops rewarding it; a soft bound, because an action also moves with the agent's other "
            "ones. Counted are actions, not outputs of the networks, most of which move further: "
            "within the rest band and beyond full power they are free to, and no action moves. The "
            "improvement is that of the objective, cost and priced violations: as the gradient "
            "predicts it, and as simulation finds it. The residual is the largest of the "
            "iteration's power flows. Time goes to rollouts, to simulation with its gradient, and "
            "to updates of the policies.",
            "realised improvement far below the predicted: the trust region is too wide, because "
            "all homes move at once and the gradient does not see their joint effect. Most actions "
            "beyond the trust region, after the first iterations: it is too narrow for the "
            "learning rate, which then bounds the moves in its place. A residual that jumps: "
            "operating points near voltage collapse.",
            panels,
            across=3,
        )
    ]


def _draw(run: EvaluatedRun, curves: Iterable[Curve]) -> list[tuple[str, bytes]]:
    """Those panels all of whose columns the log has."""
    return [
        (c.title, svg(_curves(run.metrics, c.title, c.columns, c.scale)))
        for c in curves
        if set(c.columns) <= set(run.metrics)
    ]


def _curves(
    metrics: pd.DataFrame,
    title: str,
    columns: Mapping[str, tuple[str, str]],
    scale: Scale = "linear",
) -> Figure:
    """Columns of the log against training time: every iteration faintly, and a running median.

    Args:
        metrics: the log.
        title: what is drawn, with its unit.
        columns: label and colour of each column to draw.
        scale: vertical axis; "percent" for shares.
    """
    figure, (axes,) = panel(title, height=2.6, width=NARROW)
    unit, seconds_per_unit = _time_unit(metrics["seconds"].iloc[-1])
    time = metrics["seconds"] / seconds_per_unit
    window = max(9, len(metrics) // 25)
    smooth = metrics[list(columns)].rolling(window, center=True, min_periods=1).median()
    for column, (label, colour) in columns.items():
        axes.plot(time, smooth[column], color=colour, label=label)
    if scale == "linear":  # single iterations may leave the frame, so that the trend can be read
        axes.margins(y=0.6)
        axes.autoscale_view()
        axes.set_autoscaley_on(False)
    for column, (_, colour) in columns.items():
        axes.plot(time, metrics[column], color=colour, alpha=0.25, linewidth=0.7, zorder=1.0)
    if scale == "logarithmic" and (metrics[list(columns)] > 0.0).any(axis=None):
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.0, 0.4)))
    if scale == "percent":
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_ylim(bottom=0.0)
    if len(columns) > 1:
        rows = math.ceil(len(columns) / _LEGEND_COLUMNS)
        axes.set_title(title, pad=7.0 + 13.0 * rows)  # room for the legend
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=min(len(columns), _LEGEND_COLUMNS),
            borderpad=0.1,
            handlelength=1.2,
            columnspacing=1.0,
        )
    axes.set_xlabel(f"training time, {unit}")
    axes.set_xlim(left=0.0)
    return figure


def _time_split(metrics: pd.DataFrame, columns: Mapping[str, str]) -> Figure:
    """Share of the iterations' time that went to each part; `columns` are their labels."""
    figure, (axes,) = panel("Share of training time", height=2.6, width=NARROW)
    shares = metrics[list(columns)].sum() / metrics[list(columns)].sum().sum()
    bars = axes.barh(range(len(columns)), shares, height=0.55, color="#4d6d9a")
    axes.bar_label(bars, [f"{100.0 * share:.0f} %" for share in shares], padding=4)
    axes.set_yticks(range(len(columns)), list(columns.values()))
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.15 * shares.max())
    axes.xaxis.set_major_formatter(PERCENT)
    axes.grid(visible=False, axis="y")
    return figure


def _time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a duration reads well, and its seconds."""
    if seconds < 300.0:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600.0 else ("hours", 3600.0)

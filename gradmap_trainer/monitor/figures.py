"""The figures of the monitor's page; to be drawn inside `report.figures.style()`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from gradmap_trainer.report.figures import GROUP, LIMIT_COLOUR, panel

PALE = "#b8c7dc"


def drift_by_field(drift: Mapping[str, np.ndarray], most: float) -> Figure:
    """By field (customers,): half of them within the dark bar, all within the pale one."""
    figure, (axes,) = panel("Drift", height=1.0 + 0.24 * len(drift))
    axes.use_sticky_edges = False  # else the frame goes through where the farthest bar begins
    for row, values in enumerate(list(drift.values())[::-1]):
        low, high = np.quantile(values, [0.25, 0.75])
        for left, right, colour, height in (
            (values.min(), values.max(), PALE, 0.7),
            (low, high, GROUP, 0.7),
        ):
            axes.barh(row, right - left, height, left, color=colour)
        axes.plot(np.median(values), row, color="#1c2430", marker="|", markersize=10)
    for side in (-most, most):
        axes.axvline(side, color=LIMIT_COLOUR, linestyle="--", linewidth=1.0)
    axes.set_yticks(range(len(drift)), [name.replace("_", " ") for name in list(drift)[::-1]])
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("standard deviations from day to day")
    return figure


def voltages(voltage: np.ndarray, band: tuple[float, float]) -> Figure:
    """(steps of all customers,) pu, and their limits."""
    figure, (axes,) = panel("Voltage at the meters, pu", height=2.4)
    edges = np.linspace(min(band[0], voltage.min()) - 0.01, max(band[1], voltage.max()) + 0.01, 81)
    axes.hist(
        voltage, edges.tolist(), weights=np.full(voltage.shape, 100.0 / len(voltage)), color=GROUP
    )
    for limit in band:
        axes.axvline(limit, color=LIMIT_COLOUR, linestyle="--", linewidth=1.0)
    axes.set_ylabel("% of steps")
    return figure

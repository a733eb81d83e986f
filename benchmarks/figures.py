"""Log-log pictures of growth, drawn from a run's record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.records import BenchmarkRun, Spread, Table


def draw(run: BenchmarkRun, path: Path) -> bool:
    """Draw what the growth benchmark found; False if it did not run, or without matplotlib."""
    found = [result for result in run.results if result.name == "growth" and not result.failed]
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not found:
        return False
    chosen = [table for table in found[0].tables if _is_curve(table)]
    figure = Figure((4.2 * len(chosen), 3.6), layout="constrained")
    for axes, table in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
        _draw_curve(axes, table)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return True


def _is_curve(table: Table) -> bool:
    """Whether it is a measurement over a size: that in the first column, this in the second."""
    return len(table.rows) > 1 and all(
        isinstance(row[0], int) and isinstance(row[1], Spread) for row in table.rows
    )


def _draw_curve(axes: Any, table: Table) -> None:
    for column, name in enumerate(table.header[1:], start=1):
        points = [(row[0], row[column]) for row in table.rows]
        drawn = [(size, spread) for size, spread in points if isinstance(spread, Spread)]
        if not drawn:
            continue
        axes.errorbar(
            [size for size, _ in drawn],
            [spread.median for _, spread in drawn],
            yerr=[
                [spread.median - spread.low for _, spread in drawn],
                [spread.high - spread.median for _, spread in drawn],
            ],
            marker="o",
            markersize=4,
            capsize=3,
            label=name,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:,g}")
    for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        ticks("{x:g}")
    axes.set_xlabel(table.header[0])
    axes.set_title(table.caption.rstrip(".").replace("`", ""), fontsize=9.5)
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize=8)

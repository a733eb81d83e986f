"""Figures of the monitor's page: nothing of them is cut off."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from gradmap_trainer.monitor.figures import drift_by_field, voltages
from gradmap_trainer.report.figures import LONGEST_LABEL, savings, style
from gridedge_env.observation import observation_fields


def of_drift() -> Figure:
    names = sorted((field.name for field in observation_fields(planned=True)), key=len)[-12:]
    return drift_by_field({name: np.array([-2.0, 1.0, 9.0]) for name in names}, 3.0)


def test_no_row_of_the_drift_stands_on_the_frame():
    """The farthest is the one that its readers look for."""
    (axes,) = drift_by_field({"one": np.array([-9.0, -8.0]), "two": np.array([5.0])}, 3.0).axes
    left, right = axes.get_xlim()
    assert left < -9.0
    assert right > 5.0


@pytest.mark.parametrize(
    "draw",
    [
        of_drift,
        lambda: voltages(np.array([0.93, 1.02]), (0.95, 1.05)),
        lambda: savings({"x" * LONGEST_LABEL: np.array([1.0, 2.0])}, "CHF"),
    ],
    ids=["drift", "voltages", "savings"],
)
def test_no_words_leave_a_figure(draw):
    with style():
        figure = draw()
        figure.draw_without_rendering()
        width = figure.bbox.width
        for axes in figure.axes:
            words = (axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels())
            for text in words:
                if not text.get_text():
                    continue
                box = text.get_window_extent()
                assert 0.0 <= box.x0 <= box.x1 <= width, text.get_text()

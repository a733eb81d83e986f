"""What figures of the report show of days that are not like the others."""

from __future__ import annotations

import numpy as np
import pytest

from gradmap_trainer.report.figures import beyond_frame, cost_by_day, ordinary_range
from gridedge_env.evaluation import Episode, Evaluation


def test_an_extreme_day_does_not_count_as_ordinary() -> None:
    """Of 1 to 9 and 100 the quartiles are 3.25 and 7.75: up to 3 times 4.5 beyond, 21.25, counts.

    In another series 30 is ordinary; 0, the reference itself, always is.
    """
    odd = np.array([*range(1, 10), 100.0])
    assert ordinary_range([odd]) == (0.0, 9.0)
    assert ordinary_range([-odd]) == (-9.0, 0.0)
    assert ordinary_range([odd, np.array([10.0, 20.0, 30.0])]) == (0.0, 30.0)


@pytest.mark.parametrize("values", [[5.0], [2.0, 800.0]])
def test_of_few_days_none_is_extreme(values: list[float]) -> None:
    assert ordinary_range([np.array(values)]) == (0.0, max(values))


def test_a_fleet_like_its_reference_has_a_frame() -> None:
    assert ordinary_range([np.zeros(4)]) == (-1.0, 1.0)


@pytest.fixture
def evaluation() -> Evaluation:
    """Ten days, of which two are out of the frame for one method, and one for the other."""
    ours, rest = np.arange(10.0), np.arange(10.0) + 5.0
    ours[3], rest[3], rest[7] = 500.0, 9000.0, -700.0
    costs = {"gradmap": ours, "idle": rest, "perfect_foresight": np.zeros(10)}
    none = np.zeros((10, 0))
    episodes = {k: Episode(c + 50.0, none, none, none, {}, *[none] * 3) for k, c in costs.items()}
    dates = np.array([f"2024-12-{day:02d}" for day in range(9, 19)])
    return Evaluation(dates, none, none, none, episodes)


def test_days_beyond_the_frame_are_named(evaluation: Evaluation) -> None:
    """The furthest first, with what each method cost above the reference."""
    found = beyond_frame(evaluation, "perfect_foresight")
    assert list(found.items()) == [
        ("2024-12-12", {"gradmap": 500.0, "idle": 9000.0}),
        ("2024-12-16", {"idle": -700.0}),
    ]


def test_they_are_triangles_at_the_edge_of_the_frame(evaluation: Evaluation) -> None:
    """Which spans 0 to the 14 € of the last ordinary day, and a little more."""
    (axes,) = cost_by_day(evaluation, "perfect_foresight", "€").axes
    low, high = axes.get_ylim()
    assert -2.0 < low < 0.0 < 14.0 < high < 16.0
    marks = {line.get_marker(): line for line in axes.lines if len(line.get_xdata()) == 1}
    assert marks["^"].get_ydata() == [14.0]
    assert marks["v"].get_ydata() == [0.0]

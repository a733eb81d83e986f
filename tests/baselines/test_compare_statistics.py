"""Means over seeds, time to equal quality and the tables, against figures worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from baselines.compare import figures
from baselines.compare.config import Comparison, Job, comparison_from
from baselines.compare.page import write_page
from baselines.compare.results import JobResult
from baselines.compare.statistics import Bounded, estimate, geometric_mean, time_to_reach
from baselines.compare.tables import NEGATIVE_DAYS, Tables, as_observed, make_tables
from baselines.methods import Point


def test_mean_and_interval():
    """1, 2, 3: standard deviation 1, error 1/sqrt(3); t(0.975, 2 degrees) = 4.30265."""
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.count) == (2.0, 3)
    assert found.half_width == pytest.approx(4.30265 / math.sqrt(3.0), rel=1e-5)


def test_a_single_seed_has_no_interval_and_none_has_no_mean():
    single = estimate([5.0, math.nan])
    assert (single.mean, single.count) == (5.0, 1)
    assert math.isnan(single.half_width)
    assert estimate([math.nan]).count == 0


def test_time_to_reach_is_interpolated_in_the_logarithm():
    """Half-way from 20 to 10 between 30 and 120 s: sqrt(30 x 120) = 60 s."""
    found = time_to_reach([30.0, 120.0], [20.0, 10.0], 15.0)
    assert found.bound == ""
    assert found.value == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (25.0, Bounded(15.0, "<")),  # the shortest already does
        (20.0, Bounded(15.0, "<")),
        (10.0, Bounded(30.0)),  # exactly the second's
        (9.0, Bounded(120.0, ">")),  # the last is worse than the second; nothing reaches it
    ],
)
def test_time_to_reach_says_nothing_beyond_the_budgets(target, expected):
    found = time_to_reach([15.0, 30.0, 60.0, 120.0], [20.0, 10.0, 14.0, 11.0], target)
    assert (found.value, found.bound) == (pytest.approx(expected.value), expected.bound)


def test_geometric_mean():
    """Of 2 and 8: 4. Logarithms differ by ln 4, so that the error of their mean is half of it."""
    found = geometric_mean([Bounded(2.0), Bounded(8.0)])
    assert found.mean is not None
    assert found.mean.value == pytest.approx(4.0)
    half_width = 12.7062 * 0.5 * math.log(4.0)  # t(0.975, 1 degree)
    assert found.high == pytest.approx(4.0 * math.exp(half_width), rel=1e-4)
    assert found.low == pytest.approx(4.0 * math.exp(-half_width), rel=1e-4)


def test_a_bound_makes_the_mean_one():
    found = geometric_mean([Bounded(2.0), Bounded(8.0, ">")])
    assert found.mean is not None
    assert (found.mean.value, found.mean.bound) == (pytest.approx(4.0), ">")
    assert math.isnan(found.low)
    assert geometric_mean([Bounded(2.0, "<"), Bounded(8.0, ">")]).mean is None


# Cost on an ordinary and on a negative-price day, shares of half-hours outside any limit.
PLAYED = {
    Job("perfect_foresight", 0): ((100.0, 0.0), (60.0, 0.0)),
    Job("perfect_foresight", 1): ((200.0, 0.0), (160.0, 0.0)),
    # Scores of 110 - at seed 1: 200 -, a point being worth 2 €: at the first budget 90 + 2 x 10.
    Job("gradmap", 0, 10.0): ((100.0, 0.1), (80.0, 0.1)),
    Job("gradmap", 1, 10.0): ((200.0, 0.0), (200.0, 0.0)),
    Job("rival", 0, 10.0): ((120.0, 0.0), (120.0, 0.0)),
    Job("rival", 1, 10.0): ((220.0, 0.0), (220.0, 0.0)),
    Job("rival", 0, 40.0): ((100.0, 0.0), (100.0, 0.0)),
    Job("rival", 1, 40.0): ((210.0, 0.0), (210.0, 0.0)),
}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return comparison_from(
        {
            "seeds": [0, 1],
            "learners": {"gradmap": [10.0], "rival": [10.0, 40.0]},
            "days": {"test": 2},
            "quality": {"price": 2.0},
        }
    )


@pytest.fixture(scope="module")
def results(comparison) -> dict[Job, JobResult]:
    def result(job: Job, ordinary: tuple[float, float], negative: tuple[float, float]) -> JobResult:
        seconds = job.seconds or 0.0
        days = (day("2024-01-02", 0.05, *ordinary), day("2024-06-09", -0.01, *negative))
        end = Point(seconds, int(100 * seconds), outcome(*ordinary))
        curve = (Point(0.1 * seconds, int(10 * seconds), outcome(500.0, 0.5)), end)
        return JobResult(
            job, comparison.bearing, "a machine", 1.5, curve if seconds else (end,), days
        )

    return {job: result(job, *played) for job, played in PLAYED.items()}


def day(date: str, lowest_price: float, cost: float, outside: float) -> dict[str, object]:
    return {
        "trial": "as_observed",
        "date": date,
        "lowest_price": lowest_price,
        **outcome(cost, outside),
    }


def outcome(cost: float, outside: float) -> dict[str, float]:
    """A row of `summarise`: overloads and nothing else."""
    return {
        "cost": cost,
        "voltage_steps": 0.0,
        "loading_steps": outside,
        "unbalance_steps": 0.0,
        "any_steps": outside,
        "worst_voltage_violation": 0.0,
        "worst_loading": 1.0 + outside,
        "worst_unbalance": 0.0,
        "nonconverged": 0,
    }


@pytest.fixture(scope="module")
def tables(comparison, results) -> Tables:
    return make_tables(comparison, results)


def test_trainings_are_measured_against_the_foresight_of_their_seed(tables):
    """Seed 0: cost 90 on average, the optimum's 80; outside limits in 10 %, each point worth 2."""
    of = tables.trainings.set_index(["method", "budget", "seed", "day_set"])
    row = of.loc[("gradmap", 10.0, 0, "all")]
    assert row["cost"] == 90.0
    assert row["above_foresight"] == pytest.approx(10.0 / 80.0)
    assert row["cost_above_foresight"] == 10.0
    assert row["score"] == pytest.approx(90.0 + 2.0 * 10.0)
    assert row["score_above_foresight"] == pytest.approx(30.0)
    assert (row["training_seconds"], row["environment_steps"]) == (10.0, 1000)
    assert of.loc[("rival", 40.0, 1, "all")]["above_foresight"] == pytest.approx(30.0 / 180.0)


def test_days_with_negative_prices_stand_apart(tables):
    of = as_observed(tables.trainings, NEGATIVE_DAYS).set_index(["method", "budget", "seed"])
    row = of.loc[("gradmap", 10.0, 0)]
    assert (row["cost"], row["number_of_days"]) == (80.0, 1)
    assert row["above_foresight"] == pytest.approx(20.0 / 60.0)


def test_the_summary_is_over_seeds(tables):
    """GradMAP's 90 and 200: mean 145, standard deviation 77.78, its error 55."""
    of = as_observed(tables.summary).set_index(["method", "budget"])
    row = of.loc[("gradmap", 10.0)]
    assert (row["cost"], row["seeds"]) == (145.0, 2)
    assert row["cost_half_width"] == pytest.approx(12.7062 * 55.0, rel=1e-5)


def test_time_to_equal_quality(tables):
    """Seed 0: from 120 to 100, 110 is half-way from 10 to 40 s: 20 s, twice 10 s.

    Seed 1: 200 is not reached within 40 s. The mean of 2 and more than 4 is more than sqrt 8. With
    violations at half the price the score is 100, reached at 40 s; at double, 130, at once.
    """
    of = tables.equal_quality.set_index("price_factor")
    columns = ["rival", "budget", "seed_0", "seed_1", "mean"]
    assert of.loc[1.0, columns].tolist() == ["rival", 10.0, "2.00", "> 4.00", "> 2.83"]
    assert of.loc[0.5, columns].tolist() == ["rival", 10.0, "4.00", "> 4.00", "> 4.00"]
    assert of.loc[2.0, columns].tolist() == ["rival", 10.0, "< 1.00", "> 4.00", ""]


def test_curves_are_measured_against_foresight(tables):
    of = tables.curves[(tables.curves["method"] == "gradmap") & (tables.curves["seed"] == 0)]
    assert of["above_foresight"].tolist() == [4.0, 0.0]


def test_the_page_shows_what_there_is(comparison, tables, results, tmp_path):
    """With a job that failed, and figures that are there."""
    del (some := dict(results))[Job("rival", 1, 40.0)]
    page = write_page(
        tmp_path, comparison, make_tables(comparison, some), some, ["no luck"], "cmd", "a = 1"
    )
    text = page.read_text(encoding="utf-8")
    assert "**7 of 8 jobs have a result.**" in text
    assert "- no luck" in text
    assert "| Rival | 10 | 2.00 | > 1.00 | > 1.41 | – |" in text
    pictures = [line.split("(")[1].rstrip(")") for line in text.splitlines() if line[:2] == "!["]
    assert len(pictures) == 3
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_foresight_that_is_beaten_is_told(comparison, results, tmp_path):
    """What nobody could beat had it found the best; and there are no five hardest of two days."""

    def page(of: dict[Job, JobResult]) -> str:
        tables = make_tables(comparison, of)
        return write_page(tmp_path, comparison, tables, of, [], "", "").read_text(encoding="utf-8")

    assert "has not converged" not in page(results)
    far = (day("2024-01-02", 0.05, 104.0, 0.0), day("2024-06-09", -0.01, 104.0, 0.0))
    first = Job("perfect_foresight", 0)
    beaten = page(results | {first: replace(results[first], days=far)})
    assert "- **Perfect foresight has not converged: Rival did better. Raise foresight_it" in beaten
    assert "The 2 days on which GradMAP breaks limits most often" in beaten


def test_budgets_are_on_the_axis_though_trainings_took_longer(comparison, results):
    def longer(result: JobResult) -> JobResult:
        *before, end = result.curve
        return replace(result, curve=(*before, replace(end, seconds=1.3 * end.seconds)))

    one = {job: longer(result) for job, result in results.items() if job.seconds != 40.0}
    drawn = figures.budgets(comparison, make_tables(comparison, one), ["gradmap", "rival"])
    for axes in drawn.axes:
        left, right = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if left <= tick <= right] == [10.0]

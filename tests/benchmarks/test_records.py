"""What a run found, as numbers and as JSON."""

from __future__ import annotations

import pytest

from benchmarks.records import BenchmarkRun, Measurement, Spread, Table, Target, from_json, to_json

RUN = BenchmarkRun(
    machine="A processor, 2 cores",
    versions={"Python": "3.11", "pandapower": "not installed"},
    command="python -m benchmarks run power_flow",
    date="2026-11-22T23:00+00:00",
    commit="abc",
    quick=False,
    load=0.25,
    seconds=120.0,
    results=(
        Measurement(
            "power_flow",
            "Something was timed.",
            (Table("A caption.", ("batch", "µs"), ((1024, Spread(5.25, 5.0, 5.5, 9)),)),),
            (
                Target("power flow", 5.25, 6.0, False, "µs"),
                Target("over OpenDSS", 20.0, 30.0, True, "times"),
            ),
            ("pandapower: not installed",),
            seconds=60.0,
        ),
    ),
)


def test_spread_is_median_and_quartiles() -> None:
    """Of 1, 2, 3, 4, 5: 3, and 2 and 4 a quarter from either end."""
    assert Spread.of([5.0, 1.0, 4.0, 2.0, 3.0]) == Spread(3.0, 2.0, 4.0, 5)
    assert Spread.of([2.0], scale=1e3) == Spread(2000.0, 2000.0, 2000.0, 1)


def test_rates_and_ratios_are_of_each_repeat() -> None:
    """Rates of 10 things in 1, 2, 5 s: 10, 5, 2. Ratios 4/2, 9/3, 4/1: median 3, not 4/2 = 2."""
    assert Spread.of_rates([1.0, 2.0, 5.0], 10.0).median == 5.0
    assert Spread.of_ratios([4.0, 9.0, 4.0], [2.0, 3.0, 1.0]).median == 3.0


def test_no_repeats_are_refused() -> None:
    with pytest.raises(ValueError, match="values: got none, expected one or more repeats"):
        Spread.of([])


@pytest.mark.parametrize(
    ("measured", "at_least", "met"),
    [(5.0, False, True), (7.0, False, False), (7.0, True, True), (5.0, True, False)],
)
def test_targets(measured: float, at_least: bool, met: bool) -> None:
    assert Target("it", measured, 6.0, at_least, "µs").met == met
    assert not Target("it", float("nan"), 6.0, at_least, "µs").met


def test_json_and_back() -> None:
    assert from_json(to_json(RUN)) == RUN


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": [{}]}', '{"results": 3}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"results: not the JSON of a benchmark run"):
        from_json(text)

"""Comparisons where regulators follow their controls, and where steps have other lengths."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from baselines.compare import figures
from gradmap_trainer.config import TrainConfig
from gridedge_env.evaluation import record, summarise
from gridedge_env.reference import PriceFollowing, play
from tests.baselines.small_comparison import LEARNER, RULE, Compared, compare, small_comparison

# A source at 0.97 pu, so that the taps have something to do.
LOW_SOURCE = {"source_voltage": 0.97, "neutral_taps": False}


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    comparison = small_comparison(regulator_control=True, **LOW_SOURCE)
    return compare(comparison, tmp_path_factory.mktemp("controlled"))


def test_regulators_move_in_what_is_compared(controlled: Compared) -> None:
    """Costs are the meters', whatever the taps; voltages are not those of frozen taps."""
    simulator, state = controlled.test_days()
    *_, (last, _, _) = play(simulator, PriceFollowing(simulator), state)
    assert state.tap_position is not None
    assert last.tap_position is not None
    assert (last.tap_position != state.tap_position).any()

    expected = summarise(record(simulator, state, PriceFollowing(simulator)), simulator.case.limits)
    rows = pd.DataFrame(controlled.results[RULE].days)
    assert rows["worst_voltage_violation"].max() == expected["worst_voltage_violation"]
    # Means of single precision, in another order.
    assert rows["voltage_steps"].mean() == pytest.approx(expected["voltage_steps"], rel=1e-6)
    frozen, midnight = Compared(
        small_comparison(**LOW_SOURCE), {}, controlled.tables, ""
    ).test_days()
    other = summarise(record(frozen, midnight, PriceFollowing(frozen)), frozen.case.limits)
    assert other["cost"] == pytest.approx(expected["cost"], rel=1e-6)
    assert abs(other["voltage_steps"] - expected["voltage_steps"]) > 0.05


def test_what_learned_under_control_stands_beside_it(controlled: Compared) -> None:
    last = controlled.results[LEARNER].curve[-1]
    assert last.environment_steps > 0
    assert all(math.isfinite(number) for number in last.outcome.values())
    trainings = controlled.tables.trainings
    assert set(trainings["method"]) == {"perfect_foresight", "price_following", "gradmap"}
    assert (trainings["nonconverged"] == 0).all()
    assert "regulator_control = True" in controlled.page
    assert "| GradMAP, 0.2" in controlled.page


@pytest.mark.parametrize(("minutes", "name"), [(15, "quarter-hours"), (60, "hours")])
def test_steps_of_another_length_are_called_by_their_name(
    minutes: int, name: str, tmp_path
) -> None:
    found = compare(small_comparison(step_minutes=minutes), tmp_path)
    steps = 24 * 60 // minutes
    for result in found.results.values():
        assert len(result.days) == 2
        for day in result.days:
            outside = day["any_steps"] * steps  # a whole number of them, to rounding
            assert outside == pytest.approx(round(outside), abs=1e-4)
    learned_from = found.results[LEARNER].curve[-1].environment_steps
    assert learned_from % (TrainConfig().batch_days * steps) == 0
    assert f"step_minutes = {minutes}" in found.page
    assert f"Share of {name} outside limits anywhere" in found.page
    assert f"percentage point of {name} outside any limit" in found.page
    assert "half-hour" not in found.page.lower()
    for draw in (figures.budgets, figures.curves):
        panels = draw(found.comparison, found.tables, ["gradmap"]).axes
        assert f"{name.capitalize()} outside any limit" in [one.get_title() for one in panels]

"""A kind of limit that is in the registry is in the results, the tables and the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from baselines.compare.results import load
from gridedge_env import Limits, constraints
from gridedge_env.evaluation import TOLERANCE
from gridedge_env.reference import PriceFollowing, play
from tests.baselines.small_comparison import OPTIMUM, RULE, Compared, compare, small_comparison
from tests.extension.network_losses import NetworkLosses

# The sites lose 5 kW at rest, and 100 where all follow the price.
MAXIMUM = 10.0


@pytest.fixture(scope="module", autouse=True)
def registry() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constraints, "LIMIT_KINDS", (*constraints.LIMIT_KINDS, NetworkLosses))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("losses")


@pytest.fixture(scope="module")
def compared(registry: None, folder: Path) -> Compared:
    return compare(small_comparison(limits={"maximum_losses": MAXIMUM}), folder)


def test_it_is_in_the_results(compared: Compared) -> None:
    """Its shares and its worst by hand; what is outside of it is outside any limit."""
    simulator, state = compared.test_days()
    played = [result for _, _, result in play(simulator, PriceFollowing(simulator), state)]
    lost = np.stack([result.solution.losses.numpy() for result in played])
    broken = {
        name: np.stack([(r.violations[name] > TOLERANCE).any(dim=-1).numpy() for r in played])
        for name in ("voltage", "loading", "unbalance")
    }
    outside = lost > MAXIMUM + TOLERANCE
    others = np.any(list(broken.values()), axis=0)
    assert (outside & ~others).any()
    for day, row in enumerate(compared.results[RULE].days):
        assert row["losses_steps"] == pytest.approx(outside[:, day].mean())
        assert row["worst_losses"] == pytest.approx(lost[:, day].max())
        assert row["any_steps"] == pytest.approx((outside | others)[:, day].mean())
    for result in compared.results.values():
        assert {"losses_steps", "worst_losses"} <= result.curve[-1].outcome.keys()


def test_it_is_in_the_tables(compared: Compared) -> None:
    """Of a training the mean share and the worst day; of a curve's point its own share."""
    tables, days = compared.tables, compared.results[RULE].days
    for table in (tables.days, tables.curves, tables.trainings, tables.summary):
        assert {"losses_steps", "worst_losses"} <= set(table)
    (row,) = tables.trainings[
        (tables.trainings["method"] == RULE.method) & (tables.trainings["day_set"] == "all")
    ].to_dict("records")
    assert row["losses_steps"] == pytest.approx(np.mean([day["losses_steps"] for day in days]))
    assert row["worst_losses"] == max(day["worst_losses"] for day in days)
    assert "losses_steps_half_width" in tables.summary
    (point,) = tables.curves[tables.curves["method"] == OPTIMUM.method].to_dict("records")
    assert point["losses_steps"] == compared.results[OPTIMUM].curve[-1].outcome["losses_steps"]


def test_it_is_on_the_page(compared: Compared) -> None:
    kinds = "voltage | loading | unbalance | losses"
    worst = "worst voltage violation, pu | worst loading, % of rating | worst unbalance"
    assert f"| {kinds} | {worst} | worst losses, kW |" in compared.page
    assert f"| {kinds} | outside any limit |" in compared.page
    assert "; losses, 10 kW of losses." in compared.page
    assert ", limits.maximum_losses = 10.0. Seeds" in compared.page


def test_results_from_before_it_are_not_taken_for_results_with_it(
    compared: Compared, folder: Path
) -> None:
    """Not even where its threshold is the usual one."""
    with pytest.raises(ValueError, match=r"with case.limits.maximum_losses = 10.0, the config"):
        load(folder, small_comparison())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constraints, "LIMIT_KINDS", constraints.LIMIT_KINDS[:3])
        assert "maximum_losses" not in Limits().thresholds
        with pytest.raises(ValueError, match="maximum_losses = 10.0, the configuration has noth"):
            load(folder, small_comparison())

"""A comparison on a case of one's own, from its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from baselines.compare.__main__ import _parse
from baselines.compare.config import FULL, QUICK, comparison_from, load_comparison
from baselines.compare.results import load
from baselines.compare.trials import Trial
from gridedge_env import Limits, default_case
from tests.baselines.small_comparison import compare, small_comparison


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    case = default_case("ieee13", 5, step_minutes=60, limits=Limits(0.9), home_scale=60.0)
    case = replace(case, name="Five in Basel", currency="CHF")
    case.save(tmp_path / "case")
    return tmp_path / "case"


def test_results_are_of_the_case_that_its_files_hold(folder: Path, tmp_path: Path) -> None:
    """Wherever they lie; edited, they are another."""
    comparison = replace(small_comparison(), case=str(folder))
    assert comparison_from(comparison.record) == comparison
    assert comparison.case_of(7) == replace(comparison.case_of(0), seed=7)
    found = compare(comparison, tmp_path / "out")
    assert "Five in Basel, on cpu. Seeds 0: each one a training of the same cust" in found.page
    assert "CHF/day" in found.page
    assert "€" not in found.page
    assert "- 2 test days never seen in training" in found.page
    assert "Share of hours outside limits anywhere: voltage, 0.9 to 1.05 pu" in found.page
    moved = replace(comparison, case=str(folder.rename(tmp_path / "moved")))
    assert list(load(tmp_path / "out", moved)) == comparison.jobs
    with (tmp_path / "moved" / "batteries.csv").open("a", encoding="utf-8") as table:
        table.write("\n")
    with pytest.raises(ValueError, match=r"holds results with case\.files = "):
        load(tmp_path / "out", moved)


def test_the_command_takes_a_folder_in_place_of_settings(folder: Path) -> None:
    config, _, case, _ = _parse(quick=True, case=folder)
    comparison = load_comparison(config, case)
    assert (comparison.case, comparison.clock.steps) == (str(folder), 24)
    usual = load_comparison(QUICK)
    assert comparison.seeds == usual.seeds
    assert set(usual.robustness) - set(comparison.robustness) == {"other_homes"}


@pytest.mark.parametrize("planned", [False, True])
def test_the_plan_is_followed_where_there_is_one(tmp_path: Path, planned: bool) -> None:
    case = default_case("ieee13", 5, public_plan=planned)
    case.save(tmp_path / "case")
    comparison = load_comparison(FULL, tmp_path / "case")
    assert ("plan_following" in comparison.rules) == planned
    assert {"absent", "more_homes", "other_voltage"} <= set(comparison.robustness)
    voltage = comparison.robustness["other_voltage"].source_voltage
    assert voltage is not None
    feeder = case.feeder.with_source_voltage(voltage)
    assert comparison.case_of(3, Trial(source_voltage=voltage)) == replace(
        case, seed=3, feeder=feeder
    )


def test_what_does_not_go_with_it_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^robustness\.others\.other_fleet: got it and a case of"):
        replace(
            small_comparison(), case=str(folder), robustness={"others": Trial(other_fleet=True)}
        )
    with pytest.raises(ValueError, match=r"^robustness\.taps\.neutral_taps: got it and a case of"):
        replace(small_comparison(), case=str(folder), robustness={"taps": Trial(neutral_taps=True)})
    (folder / "agents.csv").unlink()
    with pytest.raises(ValueError, match="agents.csv: got no such file, expected the customers"):
        load_comparison(QUICK, folder)
    with pytest.raises(ValueError, match="^case: got 3, expected a table, or the folder of a case"):
        comparison_from({"seeds": [0], "rules": ["idle"], "case": 3})

"""Metered homes from a pool, which the folder of a case holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gridedge_env import default_case, load_case
from gridedge_env.case_files import read_case
from gridedge_env.scenarios import MeteredDemand


def pool(homes: int = 4) -> MeteredDemand:
    """Homes on the 7th to 9th and last Sunday of each month of 2023: on days of all kinds.

    The last Sundays of March and October are those on which Europe's clocks change.
    """
    dates = pd.date_range("2023-01-01", "2023-12-31")
    chosen = [day for day in dates if day.day in (7, 8, 9) or (day.weekday() == 6 and day.day > 24)]
    load = np.random.default_rng(0).gamma(1.5, 0.4, (len(chosen), 24, homes)).astype(np.float32)
    names = tuple(f"home {number}" for number in range(homes))
    return MeteredDemand(names, tuple(day.date() for day in chosen), torch.from_numpy(load))


def test_a_pool_of_metered_homes_is_the_same_to_the_bit(tmp_path: Path) -> None:
    """Its meters are in the folder, its days too, whatever clocks do there."""
    case = replace(default_case("ieee13", num_agents=3), demand=pool())
    assert case.can_be_saved
    case.save(tmp_path / "case")
    assert load_case(tmp_path / "case") == case
    assert "agents get homes of these meters" in " ".join(read_case(tmp_path / "case")[1])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (lambda p: pool(homes=2), "homes: got 2, expected one for each split or more"),
        (
            lambda p: replace(p, dates=p.dates[4:], load=p.load[4:]),
            "dates: got no complete working day in month 1",
        ),
        (lambda p: replace(p, load=0.0 * p.load), "home 'home 0': got 0 kW, expected one that con"),
        (
            lambda p: replace(p, dates=p.dates[::-1]),
            "dates: got some twice or out of order, expected each after another",
        ),
        (
            lambda p: replace(p, load=p.load + 2000.0),
            "meters.csv: got a mean of 2000 kW for half of the",
        ),
    ],
)
def test_a_pool_that_could_not_be_loaded_is_not_saved(
    changed: Callable[[MeteredDemand], MeteredDemand], told: str, tmp_path: Path
) -> None:
    case = replace(default_case("ieee13", num_agents=3), demand=changed(pool()))
    with pytest.raises(ValueError, match=told):
        case.save(tmp_path / "case")

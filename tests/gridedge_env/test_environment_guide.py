"""The tables of docs/environment.md are those of the code."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest

from gridedge_env import CaseSettings, Limits, make_simulator

GUIDE = Path(__file__).parents[2] / "docs" / "environment.md"


@pytest.fixture(scope="module")
def tables():
    """Rows of cells of every table, by the first cell of its head."""
    found: dict[str, list[list[str]]] = {}
    block: list[str] = []
    for line in [*GUIDE.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            block.append(line)
        elif block:
            rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in block]
            found[rows[0][0]] = rows[2:]
            block = []
    return found


def test_observation_fields(tables):
    expected = [
        [f"`{f.name}`", f.unit, f"{f.offset:g}", f"{f.scale:g}", "yes" if f.private else ""]
        for f in make_simulator(num_agents=3).observation_fields
    ]
    assert tables["field"] == expected


def test_options(tables):
    own = inspect.signature(make_simulator).parameters
    options = [f.name for f in dataclasses.fields(CaseSettings)]
    assert [row[0].strip("`") for row in tables["option"]] == [*options, "device", "dtype"]
    defaults = {row[0].strip("`"): row[1].strip("`") for row in tables["option"]}
    for option in (
        "num_agents",
        "seed",
        "step_minutes",
        "source_voltage",
        "neutral_taps",
        "keep_loads",
        "reactive_power",
        "penalty",
    ):
        assert defaults[option] == str(getattr(CaseSettings(), option))
    assert defaults["device"].strip('"') == own["device"].default
    assert defaults["dtype"] == str(own["dtype"].default)


def test_numbers_in_the_text():
    """The limits and scales that the guide names."""
    text = GUIDE.read_text(encoding="utf-8")
    limits = Limits()
    assert f"{limits.minimum_voltage}–{limits.maximum_voltage} pu" in text
    assert f"{100 * limits.maximum_unbalance:g} % unbalance" in text

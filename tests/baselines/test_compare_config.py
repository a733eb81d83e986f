"""The configuration: what ships can be run, and mistakes are named."""

from __future__ import annotations

from typing import Any

import pytest

from baselines.compare.config import (
    FULL,
    QUICK,
    Job,
    comparison_from,
    load_comparison,
)

GIVEN: dict[str, Any] = {"seeds": [0], "rules": ["idle"], "learners": {"gradmap": [1.0, 2.0]}}


@pytest.mark.parametrize("path", [FULL, QUICK])
def test_the_shipped_configurations_are_right(path):
    """And survive the way to a job's process, as a record."""
    comparison = load_comparison(path)
    assert comparison_from(comparison.record) == comparison
    assert {"gradmap", "self_supervised", "ippo", "mappo"} <= set(comparison.learners)


def test_the_full_one_has_seeds_budgets_and_variations():
    comparison = load_comparison(FULL)
    assert len(comparison.seeds) >= 3
    assert min(len(comparison.learners[m]) for m in ("gradmap", "self_supervised")) >= 3
    assert len(comparison.trials) == 5


def test_jobs():
    """What does not learn first; each budget and seed a training of its own."""
    assert comparison_from(GIVEN).jobs == [
        Job("perfect_foresight", 0),
        Job("idle", 0),
        Job("gradmap", 0, 1.0),
        Job("gradmap", 0, 2.0),
    ]
    assert Job("my.methods:mine", 3, 0.5).name == "my.methods.mine-seed3-0.5s"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"seeds": []}, r"seeds: got \[\], expected 1 or more"),
        ({"seeds": [1, 1]}, r"seeds: got \[1, 1\], expected 1 or more, each once"),
        ({"seeds": [0.5]}, "seeds: got 0.5, expected a whole number"),
        ({"seeds": 3}, "seeds: got 3, expected a list"),
        ({"seedz": [1]}, "seedz: unknown field, expected one of case, "),
        ({"rules": [3]}, "rules: got 3, expected the name of a method"),
        ({"rules": [], "learners": {}}, "learners: got none, and no rules"),
        ({"learners": [30]}, r"learners: got \[30\], expected a table"),
        ({"learners": {"gradmap": []}}, r"learners.gradmap: got \[\], expected 1 or more"),
        ({"learners": {"gradmap": [0]}}, "learners.gradmap: got 0, expected a positive number"),
        ({"learners": {"gradmap": ["1"]}}, "learners.gradmap: got '1', expected a positive number"),
        ({"case": {"agents": 3}}, "case: unknown 'agents', expected one of feeder, num_agents, "),
        ({"case": {"seed": 3}}, "case.seed: got one, expected seeds for the whole comparison"),
        ({"case": {"feeder": 123}}, "feeder: got 123, expected a name or a path"),
        ({"case": {"limits": {"x": 1.0}}}, "limits: unknown threshold 'x', expected one of min"),
        ({"case": {"tariff": {"x": 1.0}}}, "case.tariff: unknown 'x', expected one of tax_factor"),
        ({"case": {"step_minutes": 20}}, "step_minutes: got 20, expected one of 15, 30, 60"),
        ({"days": {"test": 0}}, "days.test: got 0, expected a whole number of at least 1"),
        ({"variations": {"cold": {"shift": 1}}}, "variations.cold.shift: unknown field"),
        ({"variations": {"cold": {"price_factor": 0}}}, "variations.cold.price_factor: got 0"),
        ({"variations": {"as_observed": {}}}, "variations: got 'as_observed'"),
        ({"running": {"threads": -1}}, "running.threads: got -1"),
        ({"quality": {"price": -1.0}}, "quality.price: got -1.0, expected a number of at least 0"),
    ],
)
def test_mistakes_are_named(change, complaint):
    with pytest.raises(ValueError, match=f"^{complaint}"):
        comparison_from({**GIVEN, **change})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seeds = [0", "config.toml: "),
        ("rules = ['idle']", "config.toml: seeds: got none, expected a list"),
        ("seeds = [0]\nrules = ['idel']", "config.toml: method: got 'idel' .*, expected one of"),
        ("seeds = [0]\nrules = ['idle']\ndays.test = 400", "days.test: got 400, expected 1 to 363"),
        ("seeds = [0]\nrules = ['idle']\ncase.num_agents = 0", "num_agents: got 0, expected"),
        ("seeds = [0]\nrules = ['idle']\ncase.feeder = 'x'", "feeder"),
        ("seeds = [0]\nrules = ['idle']\ncase.x = 1", "case: unknown 'x', expected"),
    ],
)
def test_mistakes_in_a_file_are_named(text, complaint, tmp_path):
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=complaint):
        load_comparison(tmp_path / "config.toml")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^config: .*none.toml not found"):
        load_comparison(tmp_path / "none.toml")

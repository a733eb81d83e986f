"""The configuration: what ships can be run, and mistakes are named."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from baselines.compare.config import FULL, QUICK, Job, comparison_from, load_comparison, tomllib
from gridedge_env.case import CaseSettings
from gridedge_env.constraints import Limits
from gridedge_env.scenarios import Variation
from tests.case_options import OTHER_SETTINGS

GIVEN: dict[str, Any] = {"seeds": [0], "rules": ["idle"], "learners": {"gradmap": [1.0, 2.0]}}


@pytest.mark.parametrize("path", [FULL, QUICK])
def test_the_shipped_configurations_are_right(path):
    """And survive the way to a job's process, as a record."""
    comparison = load_comparison(path)
    assert comparison_from(json.loads(json.dumps(comparison.record))) == comparison
    assert {"gradmap", "self_supervised", "ippo", "mappo"} <= set(comparison.learners)


@pytest.mark.parametrize("document", ["baselines.md", "comparison.md"])
def test_the_configurations_in_the_documentation_are_right(document):
    text = (Path(__file__).parents[2] / "docs" / document).read_text(encoding="utf-8")
    (written,) = re.findall(r"^```toml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert comparison_from(tomllib.loads(written)).robustness["colder"].variation == Variation(
        temperature_shift=-6.0
    )


def test_the_full_one_has_seeds_budgets_and_variations():
    comparison = load_comparison(FULL)
    assert len(comparison.seeds) >= 3
    assert min(len(comparison.learners[m]) for m in ("gradmap", "self_supervised")) >= 3
    assert len(comparison.trials) == 8


def test_the_full_one_has_every_field_and_the_usual_case():
    """With the public plan, which one rule follows.

    But for the size of homes, which is then in proportion to the feeder.
    """
    comparison = load_comparison(FULL)
    written = tomllib.loads(FULL.read_text(encoding="utf-8"))
    record = comparison.record
    record["case"]["limits"] = Limits().thresholds
    assert record["case"].pop("home_scale") is None
    for name in ("case", "days", "running", "quality"):
        assert keys(written[name]) == keys(record[name])
    assert written.keys() == record.keys()
    usual = asdict(CaseSettings(limits=Limits().thresholds, public_plan=True))
    assert asdict(comparison.case) == usual


def keys(table: Mapping[str, Any]) -> dict[str, Any]:
    """The names in a table, and in the tables in it."""
    return {k: keys(v) if isinstance(v, Mapping) else None for k, v in table.items()}


def test_every_option_of_the_case_is_reached():
    """And bears on the results, the limits that nobody names too."""
    case = {
        **{name: value for name, value in OTHER_SETTINGS.items() if name != "seed"},
        "tariff": {
            "imports": {
                "kind": "time_of_use",
                "otherwise": 0.2,
                "periods": [{"price": 0.3, "begin": "07:00", "end": "21:00", "days": "working"}],
            },
            "exports": {"kind": "fixed", "price": 0.08},
        },
    }
    assert {"seed", *case} == {one.name for one in fields(CaseSettings)}
    comparison = comparison_from({**GIVEN, "case": case})
    usual = comparison_from(GIVEN)
    for name, value in case.items():
        found = getattr(comparison.case, name)
        assert found != getattr(usual.case, name), name
        if name == "tariff":
            assert found.record() == value
        else:
            assert found == value, name
    assert comparison.clock.steps == 96
    assert comparison.limits == Limits(maximum_voltage=1.04)
    told = comparison.bearing
    assert told["case.limits.maximum_voltage"] == 1.04
    assert told["case.limits.maximum_unbalance"] == Limits().maximum_unbalance
    assert told["case.tariff.exports.price"] == 0.08
    assert json.loads(json.dumps(told)) == told
    assert told["case.regulator_control"] is True
    assert "case.seed" not in told


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
        ({"seedz": [1]}, "configuration: unknown 'seedz', expected one of seeds, rules, "),
        ({"rules": [3]}, "rules: got 3, expected the name of a method"),
        ({"rules": [], "learners": {}}, "learners: got none, and no rules"),
        ({"learners": [30]}, r"learners: got \[30\], expected a table"),
        ({"learners": {"gradmap": []}}, r"learners.gradmap: got \[\], expected 1 or more"),
        ({"learners": {"gradmap": [0]}}, "learners.gradmap: got 0, expected a positive number"),
        ({"learners": {"gradmap": ["1"]}}, "learners.gradmap: got '1', expected a positive number"),
        ({"case": {"agents": 3}}, "case: unknown 'agents', expected one of feeder, num_agents, "),
        ({"case": {"seed": 3}}, "case.seed: got one, expected seeds for the whole comparison"),
        ({"case": {"feeder": 123}}, "case.feeder: got 123, expected a name or a path"),
        ({"case": {"limits": {"x": 1.0}}}, "case.limits: unknown threshold 'x', expected one of"),
        ({"case": {"tariff": {"x": 1.0}}}, "case.tariff: unknown 'x', expected one of imports"),
        ({"case": {"tariff": {"exports": {}}}}, "case.tariff.exports.kind: got none, expected one"),
        ({"case": {"step_minutes": 20}}, "case.step_minutes: got 20, expected one of 15, 30, 60"),
        ({"days": {"test": 0}}, "days.test: got 0, expected a whole number of at least 1"),
        ({"days": {"tests": 1}}, "days: unknown 'tests', expected one of test, validation"),
        ({"robustness": {"cold": {"shift": 1}}}, "robustness.cold: unknown 'shift', expected one"),
        ({"robustness": {"cold": {"price_factor": 0}}}, "robustness.cold.price_factor: got 0"),
        ({"robustness": {"a": {"temperature_shift": "b"}}}, "robustness.a.temperature_shift: got"),
        ({"robustness": {"a": {"other_fleet": 1}}}, "robustness.a.other_fleet: got 1, expected Tr"),
        (
            {"robustness": {"a": {"absent_share": 1}}},
            "robustness.a.absent_share: got 1, expected a",
        ),
        (
            {"robustness": {"a": {"homes_factor": 0}}},
            "robustness.a.homes_factor: got 0, expected a",
        ),
        (
            {"robustness": {"a": {"source_voltage": 240}}},
            "robustness.a.source_voltage: got 240, ex",
        ),
        (
            {"robustness": {"a": {"neutral_taps": 0}}},
            "robustness.a.neutral_taps: got 0, expected T",
        ),
        ({"robustness": {"cold": 3}}, "robustness.cold: got 3, expected a table"),
        ({"robustness": {"as_observed": {}}}, "robustness: got 'as_observed'"),
        ({"running": {"threads": -1}}, "running.threads: got -1"),
        ({"running": {"device": 1}}, "running.device: got 1, expected a name such as 'cpu'"),
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
        ("seeds = [0]\nrules = ['idel']", "config.toml: rules: got 'idel' .*, expected one of"),
        ("seeds = [0]\nlearners.ipo = [1.0]", "config.toml: learners: got 'ipo' .*, expected one"),
        (
            "seeds = [0]\nrules = ['gradmap']",
            "rules: got 'gradmap', expected it among the learners",
        ),
        ("seeds = [0]\nlearners.idle = [2.0]", "learners: got 'idle', expected it among the rules"),
        (
            "seeds = [0]\nrules = ['idle']\ndays.test = 400",
            "days.test: got 400, expected a whole number from 1 to 363",
        ),
        ("seeds = [0]\nrules = ['idle']\ncase.num_agents = 0", "case.num_agents: got 0, expected"),
        ("seeds = [0]\nrules = ['idle']\ncase.feeder = 'x'", "config.toml: case.feeder: unknown"),
        ("seeds = [0]\nrules = ['idle']\ncase.x = 1", "case: unknown 'x', expected"),
        (
            "seeds = [0]\nrules = ['plan_following']",
            "config.toml: case.public_plan: got False, expected True for a rule that follows it",
        ),
        (
            "seeds = [0]\nrules = ['volt_var']",
            "config.toml: case.reactive_power: got False, expected True for volt-var droop",
        ),
        ("seeds = [0]\nrules = ['idle']\ncase.options.x = 1", "case: unknown 'options', expected"),
        ("seeds = [0]\nrules = ['idle']\nrunning.device = 'x'", "running.device: got 'x'"),
    ],
)
def test_mistakes_in_a_file_are_named(text, complaint, tmp_path):
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=complaint):
        load_comparison(tmp_path / "config.toml")


def test_meters_that_are_not_there(tmp_path):
    text = "seeds = [0]\nrules = ['idle']\ncase.demand = 'none.csv'"
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="none.csv: not found, expected a file"):
        load_comparison(tmp_path / "config.toml")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^config: .*none.toml not found"):
        load_comparison(tmp_path / "none.toml")

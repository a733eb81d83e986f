"""The tables of docs/gradmap.md are those of the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner
from gridedge_env.case import CaseSettings
from gridedge_env.constraints import Loading, Unbalance, VoltageBand
from gridedge_env.scenarios import Tariff

GUIDE = (Path(__file__).parents[2] / "docs" / "gradmap.md").read_text(encoding="utf-8")


def table(head: str) -> list[list[str]]:
    """The rows of the table whose first column is headed so."""
    block = re.search(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", GUIDE, flags=re.MULTILINE)
    assert block, f"no table of {head}s"
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in block[1].splitlines()
    ]


def as_written(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_every_option_is_explained_with_its_default():
    """Those of the case are flags like all others, but for those of its tariff, limits and mix."""
    expected = []
    for option in fields(TrainConfig):
        if option.name != "case":
            expected.append((option.name, as_written(option.default)))
            continue
        for of_case in fields(CaseSettings):
            if of_case.name == "tariff":
                for f in fields(Tariff):
                    expected.append(
                        (f"tariff.{f.name}", " ".join(getattr(Tariff(), f.name).words()))
                    )
            elif of_case.name in ("limits", "mix"):
                expected.append((of_case.name, ""))
            else:
                usual = getattr(USUAL_CASE, of_case.name)
                expected.append((of_case.name, as_written(usual)))
    assert [(name, default) for name, default, _ in table("option")] == expected


def test_every_column_of_the_log_is_explained():
    config = TrainConfig(case=CaseSettings(num_agents=3), batch_days=1, minibatches=1)
    simulator = config.make_simulator()
    _, row = iterate(config, simulator, make_learner(config, simulator))
    assert [name for name, _ in table("column")] == list(row)


@pytest.mark.parametrize("head", ["option", "column", "file"])
def test_no_explanation_is_empty(head):
    assert all(len(row[-1]) > 5 for row in table(head))


def test_numbers_in_the_text():
    scales = f"{VoltageBand.scale} pu for voltage, {Loading.scale} of its rating"
    text = " ".join(GUIDE.split())
    assert scales in text.replace("\n", " ")
    assert f"{Unbalance.scale} for unbalance" in text
    # λ = ρ x / leak
    config = TrainConfig()
    assert config.dual_step * 0.01 / config.dual_leak == pytest.approx(10.0)
    assert "a multiplier of 10 € is kept up by a violation of 0.01 units" in text

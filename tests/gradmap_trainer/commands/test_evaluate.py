"""gradmap-evaluate as a user meets it."""

from __future__ import annotations

import json

import pytest

from tests.gradmap_trainer.commands.calling import assert_one_line, call


def test_evaluating_again_on_other_days(copy, capsys):
    before = json.loads((copy / "evaluation.json").read_text())
    assert call("gradmap-evaluate", copy, "--days", 2, "--foresight-iterations", 0) == 0
    table = json.loads((copy / "evaluation.json").read_text())
    assert set(table) == set(before) - {"perfect_foresight"}
    assert table["gradmap"]["cost"] != before["gradmap"]["cost"]
    output = capsys.readouterr().out
    assert "2 days" in output
    assert all(method in output for method in table)


def test_the_validation_year_is_shown_and_not_saved(copy, capsys):
    before = (copy / "evaluation.json").read_bytes()
    options = ("--split", "validation", "--days", 1, "--foresight-iterations", 0)
    assert call("gradmap-evaluate", copy, *options) == 0
    assert "1 days of 2021" in capsys.readouterr().out
    assert (copy / "evaluation.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--days", 0), "days: got 0, expected a whole number from 1 to "),
        (("--days", 367), "days: got 367, expected a whole number from 1 to "),
        (("--foresight-iterations", -1), "foresight_iterations: got -1"),
        (("--split", "holdout"), "split: got 'holdout', expected one of 'train'"),
        (("--device", "nonsense"), "device: got 'nonsense'"),
    ],
)
def test_an_impossible_evaluation_is_told_in_a_line(copy, capsys, options, told):
    before = (copy / "evaluation.json").read_bytes()
    assert call("gradmap-evaluate", copy, *options) == 2
    assert_one_line(capsys.readouterr().err, told)
    assert (copy / "evaluation.json").read_bytes() == before

"""Tariffs on the command line: every kind in words, in the help, and mistakes by name."""

from __future__ import annotations

import re

import pytest

from gradmap_trainer.commands.exits import mistakes
from gradmap_trainer.commands.train import parse_train
from gridedge_env.scenarios import (
    EXPORT_KINDS,
    IMPORT_KINDS,
    DayAhead,
    DayAheadFeedIn,
    Fixed,
    Flat,
    Nothing,
    Period,
    Tariff,
    TimeOfUse,
)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def refused(arguments: list[str]) -> None:
    """As the command does, which exits with 2."""
    with pytest.raises(SystemExit, match="2"), mistakes("gradmap-train"):
        parse_train(arguments)


@pytest.mark.parametrize(
    "tariff",
    [
        Tariff(Flat(0.3), Nothing()),
        Tariff(DayAhead(1e-5), DayAheadFeedIn(0.9, 0.02, -0.5)),
        Tariff(TimeOfUse(0.2)),
        Tariff(TimeOfUse(0.2, (Period(0.3, "07:00", "23:00", "working"),)), Fixed(-0.02)),
        Tariff(TimeOfUse(0.2, (Period(0.1, "02:00", "06:00"), Period(0.4, "18:00", "21:00")))),
    ],
)
def test_every_tariff_can_be_given(tariff):
    """And read as it is written where the default is told; a resumed run's own is the default."""
    arguments = ["--tariff.imports", *tariff.imports.words()]
    arguments += ["--tariff.exports", *tariff.exports.words()]
    case = parse_train(arguments).config.case
    assert case is not None
    assert case.tariff == tariff


def test_help_names_every_kind_of_price(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse_train(["--help"])
    told = " ".join(re.sub("[│\n]", " ", capsys.readouterr().out).split())
    for kind in (*IMPORT_KINDS, *EXPORT_KINDS):
        assert re.search(rf"`{kind}[ `]", told), kind
    assert "day_ahead factor=1.21 adder=0.15)" in told
    assert "(default: net_metering)" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--tariff.imports flat", "tariff.imports.price: got none, expected one"),
        ("--tariff.imports flat 0.3", "tariff: got '0.3', expected NAME=VALUE after 'flat'"),
        ("--tariff.imports flat price=low", "tariff.imports.price: got 'low', expected a number"),
        ("--tariff.imports flat price=1 price=2", "tariff.imports.price: got [1.0, 2.0], expected"),
        ("--tariff.exports no", "tariff.exports.kind: got 'no', expected one of net_metering"),
        ("--tariff.exports", "tariff.exports.kind: got none, expected one of net_metering"),
        (
            "--tariff.imports time_of_use otherwise=0.2 periods=working,07:10-23:00,0.3",
            "tariff.imports: got a price that changes at '07:10', expected times at which a step",
        ),
    ],
)
def test_a_tariff_that_is_wrong_is_a_mistake(words, told, capsys):
    refused(words.split())
    shown = re.sub("[│\n]", " ", capsys.readouterr().err)
    assert told in " ".join(shown.split())

"""Retail prices by hand: every kind of price, in every step of three days."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import torch

from gridedge_env.clock import Clock
from gridedge_env.scenarios import (
    EXPORT_KINDS,
    IMPORT_KINDS,
    DayAhead,
    DayAheadFeedIn,
    DayTable,
    Fixed,
    Flat,
    NetMetering,
    Nothing,
    Period,
    Tariff,
    TimeOfUse,
    tariff_from_record,
)

HOURLY, HALF_HOURS = Clock(24, 1.0), Clock()
DEAR, NIGHT = Period(0.32, "07:00", "23:00", "working"), Period(0.18, "00:00", "06:00")
NOON = Period(0.10, "11:00", "15:00", "weekend")
THREE = TimeOfUse(0.25, (DEAR, NIGHT, NOON))
# One of each kind, none as it comes.
IMPORTS = [DayAhead(1.1, 0.2), THREE, Flat(0.3)]
EXPORTS = [NetMetering(), Fixed(0.08), DayAheadFeedIn(0.9, 0.02, 0.01), Nothing()]


def days_at(price: torch.Tensor) -> DayTable:
    """A Friday, a Saturday and a Sunday at day-ahead prices (3, steps)."""
    none = torch.zeros_like(price)
    return DayTable(
        dates=(date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 3)),
        month=torch.tensor([2, 2, 2]),
        weekend=torch.tensor([False, True, True]),
        outdoor_temperature=none,
        irradiance=none,
        day_ahead_price=price,
    )


def three_prices() -> DayTable:
    """0.10, 0.005 and −0.20 €/kWh, then 0.10 to the end of the day."""
    price = torch.full((3, 24), 0.10, dtype=torch.float64)
    price[:, 1], price[:, 2] = 0.005, -0.20
    return days_at(price)


# Prices -------------------------------------------------------------------------------------------


def test_the_day_ahead_price_with_tax_and_charges() -> None:
    """0.10 · 1.21 + 0.15 = 0.271; 0.005 · 1.21 + 0.15 = 0.15605; −0.20 · 1.21 + 0.15 = −0.092."""
    price = Tariff().import_price(three_prices(), HOURLY)
    assert price[0, :3].tolist() == pytest.approx([0.271, 0.15605, -0.092], abs=1e-15)
    assert torch.equal(price, 1.21 * three_prices().day_ahead_price + 0.15)


def test_net_metering_earns_the_import_price() -> None:
    for imports in IMPORTS:
        tariff = Tariff(imports, NetMetering())
        bought, sold = (
            p(three_prices(), HOURLY) for p in (tariff.import_price, tariff.export_price)
        )
        assert torch.equal(bought, sold)


def test_feed_in_at_the_market_price_less_a_fee_and_never_below_the_floor() -> None:
    """max(0.10 − 0.02, 0.01) = 0.08; max(0.005 − 0.02, 0.01) = 0.01; the same floor at −0.20.

    At nine tenths of the market price: max(0.09 − 0.02, 0.01) = 0.07.
    """
    tariff = Tariff(exports=DayAheadFeedIn(fee=0.02, floor=0.01))
    earned = tariff.export_price(three_prices(), HOURLY)[0, :3].tolist()
    assert earned == pytest.approx([0.08, 0.01, 0.01], abs=1e-15)
    tariff = Tariff(exports=DayAheadFeedIn(0.9, 0.02, 0.01))
    assert tariff.export_price(three_prices(), HOURLY)[0, 0] == pytest.approx(0.07)


def test_prices_that_never_change() -> None:
    days = three_prices()
    tariff = Tariff(Flat(0.3), Fixed(-0.02))
    assert torch.equal(tariff.import_price(days, HOURLY), torch.full_like(days.irradiance, 0.3))
    assert torch.equal(tariff.export_price(days, HOURLY), torch.full_like(days.irradiance, -0.02))
    assert not Tariff(exports=Nothing()).export_price(days, HOURLY).any()


@pytest.mark.parametrize("clock", [HOURLY, HALF_HOURS, Clock(96, 0.25)])
def test_time_of_use_by_hand(clock: Clock) -> None:
    """On Friday six hours at 0.18, one at 0.25, sixteen at 0.32, one at 0.25.

    At the weekend six at 0.18, five at 0.25, four at 0.10, nine at 0.25.
    """
    price = torch.zeros(3, clock.steps, dtype=torch.float64)
    found = Tariff(THREE).import_price(days_at(price), clock)
    hour = round(1 / clock.hours)
    friday = [0.18] * 6 + [0.25] + [0.32] * 16 + [0.25]
    weekend = [0.18] * 6 + [0.25] * 5 + [0.10] * 4 + [0.25] * 9
    expected = [[p for p in day for _ in range(hour)] for day in (friday, weekend, weekend)]
    assert found.tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("imports", IMPORTS)
@pytest.mark.parametrize("exports", EXPORTS)
def test_prices_are_in_the_precision_of_the_days(imports: Any, exports: Any, dtype: Any) -> None:
    """And each day has its own: those of a selection are the selection of those."""
    tariff, days = Tariff(imports, exports), three_prices().to("cpu", dtype)
    row = torch.tensor([2, 0])
    for price in (tariff.import_price, tariff.export_price):
        found = price(days, HOURLY)
        assert found.shape == (3, 24)
        assert found.dtype == dtype
        assert torch.equal(price(days.select(row), HOURLY), found[row])


# Words and records --------------------------------------------------------------------------------


def test_every_kind_is_tried_here() -> None:
    assert [type(price) for price in IMPORTS] == list(IMPORT_KINDS.values())
    assert [type(price) for price in EXPORTS] == list(EXPORT_KINDS.values())
    assert all(kind.kind == name for name, kind in {**IMPORT_KINDS, **EXPORT_KINDS}.items())


@pytest.mark.parametrize("imports", IMPORTS)
@pytest.mark.parametrize("exports", EXPORTS)
def test_a_record_comes_back(imports: Any, exports: Any) -> None:
    tariff = Tariff(imports, exports)
    record = tariff.record()
    assert json.loads(json.dumps(record)) == record
    assert tariff_from_record(record) == tariff
    assert record["imports"]["kind"] == imports.kind
    assert record["exports"]["kind"] == exports.kind


def test_a_record_by_hand() -> None:
    assert Tariff().record() == {
        "imports": {"kind": "day_ahead", "factor": 1.21, "adder": 0.15},
        "exports": {"kind": "net_metering"},
    }
    period = {"days": "working", "begin": "07:00", "end": "23:00", "price": 0.32}
    record = {"imports": {"kind": "time_of_use", "otherwise": 0.22, "periods": [period]}}
    assert tariff_from_record(record) == Tariff(TimeOfUse(0.22, (DEAR,)))
    assert tariff_from_record({}) == Tariff()
    assert tariff_from_record({"exports": {"kind": "nothing"}}) == Tariff(exports=Nothing())


def test_periods_of_words() -> None:
    assert DEAR.text == "working,07:00-23:00,0.32"
    for period in (DEAR, NIGHT, NOON, Period(1e-5), Period(3)):
        assert Period.of_text(period.text) == period


@pytest.mark.parametrize(
    ("tariff", "told"),
    [
        (
            Tariff(),
            "Consumption costs 1.21 × day-ahead price + 0.15 €/kWh; what is fed in earns the same "
            "price.",
        ),
        (
            Tariff(TimeOfUse(0.25, (DEAR, NIGHT)), Nothing()),
            "Consumption costs 0.32 €/kWh from 07:00 to 23:00 on working days, 0.18 €/kWh from "
            "00:00 to 06:00, 0.25 €/kWh at all other times; what is fed in earns nothing.",
        ),
        (
            Tariff(Flat(0.3), DayAheadFeedIn()),
            "Consumption costs 0.3 €/kWh at all times; what is fed in earns the day-ahead price "
            "less a fee of 0.01 €/kWh, but at least 0 €/kWh.",
        ),
        (
            Tariff(TimeOfUse(0.25, (Period(0.2, days="weekend"),)), Fixed(0.08)),
            "Consumption costs 0.2 €/kWh at weekends, 0.25 €/kWh at all other times; what is fed "
            "in earns 0.08 €/kWh at all times.",
        ),
    ],
)
def test_a_tariff_in_a_sentence(tariff: Tariff, told: str) -> None:
    assert tariff.describe() == told


def test_what_follows_the_market() -> None:
    assert Tariff().follows_market
    assert Tariff(Flat(0.3), DayAheadFeedIn()).follows_market
    assert not Tariff(THREE, Fixed(0.1)).follows_market


# Faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        (DayAhead, {"adder": "low"}, "imports.adder: got 'low', expected a finite number"),
        (DayAhead, {"factor": float("nan")}, "imports.factor: got nan, expected a number of at le"),
        (DayAhead, {"factor": -1.0}, "imports.factor: got -1.0, expected a number of at least 0"),
        (Flat, {"price": True}, "imports.price: got True, expected a number of at least 0"),
        (Flat, {"price": -0.1}, "imports.price: got -0.1, expected a number of at least 0"),
        (TimeOfUse, {"otherwise": None}, "imports.otherwise: got None, expected a number of at"),
        (TimeOfUse, {"otherwise": 0.2, "periods": [DEAR]}, "imports.periods: got [Period("),
        (TimeOfUse, {"otherwise": 0.2, "periods": ({},)}, "imports.periods: got ({},), expected a"),
        (Period, {"price": "0.3"}, "imports.periods.price: got '0.3', expected a number of at l"),
        (Period, {"price": 0.3, "begin": "7:00"}, "imports.periods.begin: got '7:00', expected a"),
        (Period, {"price": 0.3, "begin": 7}, "imports.periods.begin: got 7, expected a time such"),
        (Period, {"price": 0.3, "end": "24:30"}, "imports.periods.end: got '24:30', expected a ti"),
        (
            Period,
            {"price": 0.3, "begin": "23:00", "end": "07:00"},
            "imports.periods.end: got '07:00', expected a time after the begin, '23:00'; hours "
            "that span midnight are two periods",
        ),
        (
            Period,
            {"price": 0.3, "days": "sunday"},
            "imports.periods.days: got 'sunday', expected one of 'all', 'working', 'weekend'",
        ),
        (Fixed, {"price": float("inf")}, "exports.price: got inf, expected a finite number"),
        (DayAheadFeedIn, {"factor": -0.5}, "exports.factor: got -0.5, expected a number of at l"),
        (DayAheadFeedIn, {"fee": False}, "exports.fee: got False, expected a finite number"),
        (DayAheadFeedIn, {"floor": "0"}, "exports.floor: got '0', expected a finite number"),
        (Tariff, {"imports": 0.3}, "imports: got 0.3, expected one of DayAhead, TimeOfUse, Flat"),
        (Tariff, {"imports": Nothing()}, "imports: got Nothing(), expected one of DayAhead, TimeO"),
        (Tariff, {"exports": "no"}, "exports: got 'no', expected one of NetMetering, Fixed, DayAh"),
        (Tariff, {"exports": False}, "exports: got False, expected one of NetMetering, Fixed, Da"),
    ],
)
def test_what_is_no_price_is_refused(kind: Any, values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape('tariff.' + told)}"):
        kind(**values)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (DEAR, Period(0.1, "22:30", "23:30", "working")),
        (DEAR, Period(0.1, "00:00", "07:30")),
        (NIGHT, Period(0.1)),
        (NOON, Period(0.1, "12:00", "13:00", "weekend")),
    ],
)
def test_periods_that_overlap_are_refused(one: Period, other: Period) -> None:
    for periods in ((one, other), (other, one)):
        with pytest.raises(ValueError, match=r"^tariff.imports.periods: got .* expected none that"):
            TimeOfUse(0.2, periods)


def test_periods_that_only_touch_are_none_that_overlap() -> None:
    TimeOfUse(0.2, (DEAR, replace(DEAR, begin="23:00", end="24:00"), replace(DEAR, days="weekend")))


def test_periods_that_do_not_fit_the_steps_are_refused() -> None:
    """07:15 begins a quarter of an hour, and neither a half-hour nor an hour."""
    tariff = Tariff(TimeOfUse(0.2, (replace(DEAR, begin="07:15"),)))
    tariff.check_clock(Clock(96, 0.25))
    for clock in (HALF_HOURS, HOURLY):
        told = f"got a price that changes at '07:15', expected .* a step of {clock.minutes} minutes"
        with pytest.raises(ValueError, match=f"^tariff.imports: {told}"):
            tariff.check_clock(clock)
        with pytest.raises(ValueError, match="^tariff.imports: got a price that changes"):
            tariff.import_price(days_at(torch.zeros(3, clock.steps)), clock)
    with pytest.raises(ValueError, match="^tariff.imports: got a price that changes at '07:10'"):
        Tariff(TimeOfUse(0.2, (replace(DEAR, begin="07:10"),))).check_clock(Clock(96, 0.25))


TOU = {"kind": "time_of_use", "otherwise": 0.2}


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (None, "tariff: got None, expected an object"),
        ({"adder": 0.2}, "tariff: unknown 'adder', expected one of imports, exports"),
        ({"imports": "flat"}, "tariff.imports: got 'flat', expected an object with a kind"),
        ({"imports": {"price": 0.3}}, "tariff.imports.kind: got none, expected one of day_ahead, "),
        ({"exports": {"kind": "flat"}}, "tariff.exports.kind: got 'flat', expected one of net_met"),
        ({"exports": {"kind": []}}, "tariff.exports.kind: got [], expected one of net_metering, f"),
        ({"imports": {"kind": "flat"}}, "tariff.imports.price: got none, expected one: 'flat' nee"),
        (
            {"imports": {"kind": "flat", "price": 0.3, "adder": 0.1}},
            "tariff.imports: unknown 'adder', expected one of kind, price",
        ),
        ({"imports": {**TOU, "periods": 3}}, "tariff.imports.periods: got 3, expected a list"),
        ({"imports": {**TOU, "periods": [3]}}, "tariff.imports.periods: got 3, expected an obje"),
        ({"imports": {**TOU, "periods": [{}]}}, "tariff.imports.periods.price: got none, expecte"),
        (
            {"imports": {**TOU, "periods": [{"price": 0.3, "from": "07:00"}]}},
            "tariff.imports.periods: unknown 'from', expected one of price, begin, end, days",
        ),
        (
            {"imports": {**TOU, "periods": "07:00-23:00"}},
            "tariff.imports.periods: got '07:00-23:00', expected days, hours and price such as wo",
        ),
    ],
)
def test_a_record_that_is_wrong_is_refused(record: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(told)}"):
        tariff_from_record(record)

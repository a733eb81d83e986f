"""Messages become readings, whatever is in them."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone

import pytest

from gridedge_gateway import Readings
from gridedge_gateway.readings import MOST_FAULTS, Quantity

CAME = datetime(2026, 1, 15, 11, 0, tzinfo=timezone.utc)


def test_a_message_is_read():
    message = """{"time": "2026-01-15T12:00:00+01:00", "meter_power": 1.2,
        "ev_charger.plugged": true, "battery.state_of_charge": "52",
        "day_ahead_price": {"2026-01-15T00:00:00+01:00": 71.2, "2026-01-15T00:00:00Z": 68}}"""
    readings = Readings.of_json(message.encode(), CAME + timedelta(hours=1))
    assert readings.time == CAME
    assert readings.values == {
        "meter_power": 1.2,
        "ev_charger.plugged": 1.0,
        "battery.state_of_charge": 52.0,
    }
    midnight = datetime(2026, 1, 14, 23, tzinfo=timezone.utc)
    price = {midnight: 71.2, midnight + timedelta(hours=1): 68.0}
    assert readings.series == {"day_ahead_price": price}
    assert readings.faults == ()


def test_a_row_of_a_table_says_what_holds_from_then_on():
    row = {"time": "2026-01-15T11:00:00Z", "day_ahead_price": "71.2"}
    readings = Readings.of(row, CAME + timedelta(hours=1))
    assert readings == Readings(CAME, {}, {"day_ahead_price": {CAME: 71.2}})


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("", "message: got '', expected JSON"),
        (b"\xff\xfe", "message: got b'\\xff\\xfe', expected JSON"),
        ("[" * 100_000, "message: got '[[["),
        ("[1]", "message: got [1], expected an object"),
        ('{"voltage": "unavailable"}', "voltage: got 'unavailable', expected a number"),
        ('{"voltage": {"a": 1}}', "voltage: got {'a': 1}, expected a number"),
        ('{"voltage": 1' + 400 * "0" + "}", "voltage: got 1000"),
        (
            '{"time": "noon"}',
            "time: got 'noon', expected a time with its offset from UTC, like 2026-01-15T12:00:00+",
        ),
        ('{"time": "2026-01-15T12:00:00"}', "time: got '2026-01-15T12:00:00', expected"),
        ('{"time": "9999-12-31T23:59:59-12:00"}', "time: got '9999"),
        ('{"day_ahead_price": {"today": 1}}', "day_ahead_price: got 'today', expected a time"),
        ('{"day_ahead_price": [1]}', "day_ahead_price: got [1], expected values by their times"),
        ('{"day_ahead_price": 70}', "day_ahead_price: got 70, expected values by their times"),
        (
            '{"day_ahead_price": {"2026-01-15T12:00:00Z": null}}',
            "day_ahead_price: got null, expected a number",
        ),
        ('{"voltage": NaN}', "voltage: got nan, expected a number"),
        ('{"voltage": 1e999}', "voltage: got inf, expected a number"),
        ('{"voltage": true}', "voltage: got True, expected a number"),
        ('{"voltage": null}', "voltage: got null, expected a number"),
        ('{"voltage": ""}', "voltage: got '', expected a number"),
        ('{"time": null}', "time: got null, expected a time with its offset"),
        ('{"day_ahead_price": {}}', "day_ahead_price: got {}, expected values by their times"),
        ('{"day_ahead_price": null}', "day_ahead_price: got null, expected values by their"),
        ("{}", "message: got {}, expected some readings"),
        ('{"time": "2026-01-15T11:00:00Z"}', "message: got {'time': '2026-01-15T11:00:00Z'}"),
    ],
)
def test_what_cannot_be_read_is_told(message, fault):
    readings = Readings.of_json(message, CAME)
    assert readings.time == CAME
    assert len(readings.faults) == 1
    assert readings.faults[0].startswith(fault)
    assert not any(map(math.isfinite, readings.values.values()))


def test_a_name_twice_is_told():
    readings = Readings.of_json('{"voltage": 1, "voltage": 2}', CAME)
    assert readings.values == {"voltage": 2.0}
    assert readings.faults == ("voltage: got it more than once, the last counts",)


def test_what_can_be_read_is_read():
    readings = Readings.of_json('{"voltage": "?", "meter_power": 1.5}', CAME)
    assert readings.values["meter_power"] == 1.5
    assert [fault.split(":")[0] for fault in readings.faults] == ["voltage"]


@pytest.mark.parametrize("time", [5, "noon", "1970-01-01T00:00:00Z", "2026-01-15T12:00"])
def test_what_was_read_nobody_knows_when_does_not_count(time):
    """From a clock that was never set, perhaps: what is published has times of its own."""
    price = {"day_ahead_price": {CAME.isoformat(): 70.0}}
    said = {"time": time, "meter_power": 1.5, **price}
    readings = Readings.of_json(json.dumps(said), CAME)
    assert readings == Readings(CAME, {}, {"day_ahead_price": {CAME: 70.0}}, readings.faults)
    (fault,) = readings.faults
    assert fault.endswith("from 2000 to 2100; none of its readings counts")


@pytest.mark.parametrize("time", [datetime(2026, 1, 15), CAME.replace(year=1999)])
def test_a_time_of_nowhere_is_refused(time):
    with pytest.raises(ValueError, match="time: got .*, expected one with an offset from UTC"):
        Readings(time)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("voltage", "1_0", "voltage: got '1_0', expected a number"),
        ("voltage", True, "voltage: got True, expected a number"),
        ("day_ahead_price", {CAME.isoformat(): False}, "day_ahead_price: got False, expected a"),
        ("ev_charger.target", False, "ev_charger.target: got False, expected a number"),
        ("voltage", [10**5000], "voltage: got list, expected a number"),
    ],
)
def test_what_only_python_takes_for_a_number_is_none(name, value, fault):
    readings = Readings.of({name: value}, CAME)
    assert readings.faults[0].startswith(fault)
    assert not any(map(math.isfinite, readings.values.values()))


def test_what_is_so_or_not_is_nothing_between():
    plugged = Quantity("ev_charger.plugged", "0 or 1", 0.0, 1.0)
    assert [plugged.fault(value) for value in (0.0, 1.0)] == [None, None]
    assert plugged.fault(0.5) == "ev_charger.plugged: got 0.5, expected 0 or 1"


@pytest.mark.parametrize("text", ["\ud800", "\x00\n\x1b[2J", "x" * 100_000, "\u202e", "é"])
def test_whatever_comes_can_be_said_again(text):
    """In a message, a line of a log and a cell of a table: in UTF-8, on one line, short."""
    said = {text: text, "time": text, "day_ahead_price": {text: text}, "voltage": [{text: text}]}
    faults = Readings.of_json(json.dumps(said), CAME).faults
    assert len(faults) == 5
    assert all(fault.encode() and fault.isprintable() and len(fault) < 300 for fault in faults)


def test_no_more_faults_are_told_than_anybody_reads():
    said = {f"reading_{number}": "x" for number in range(50_000)}
    faults = Readings.of(said, CAME).faults
    assert len(faults) == MOST_FAULTS + 1
    assert faults[0].startswith("reading_0: got 'x'")
    assert faults[-1] == f"message: {50_000 - MOST_FAULTS} more faults"
    again = Readings.of({"day_ahead_price": dict.fromkeys(range(50_000), "x")}, CAME).faults
    assert len(again) == MOST_FAULTS + 1

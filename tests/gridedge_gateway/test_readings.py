"""Messages become readings, whatever is in them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import pytest

from gridedge_gateway import Readings

CAME = datetime(2026, 1, 15, 11, 0, tzinfo=timezone.utc)


def test_a_message_is_read():
    message = """{"time": "2026-01-15T12:00:00+01:00", "meter_power": 1.2,
        "ev_charger.plugged": true, "battery.state_of_charge": "52",
        "voltage": null, "heat_pump.room_temperature": "",
        "day_ahead_price": {"2026-01-15T00:00:00+01:00": 71.2, "2026-01-15T00:00:00Z": 68}}"""
    readings = Readings.of_json(message.encode(), CAME + timedelta(hours=1))
    assert readings.time == CAME
    known = {name: value for name, value in readings.values.items() if not math.isnan(value)}
    assert known == {
        "meter_power": 1.2,
        "ev_charger.plugged": 1.0,
        "battery.state_of_charge": 52.0,
    }
    midnight = datetime(2026, 1, 14, 23, tzinfo=timezone.utc)
    price = {midnight: 71.2, midnight + timedelta(hours=1): 68.0}
    assert readings.series == {"day_ahead_price": price}
    assert readings.faults == ()


def test_a_row_of_a_table_says_what_holds_from_then_on():
    row = {"time": "2026-01-15T11:00:00Z", "day_ahead_price": "71.2", "voltage": ""}
    readings = Readings.of(row, CAME)
    assert readings.series == {"day_ahead_price": {CAME: 71.2}}
    assert math.isnan(readings.values["voltage"])


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
        ('{"time": "noon"}', "time: got 'noon', expected a time like 2026-01-15T12:00:00+01:00"),
        ('{"time": "2026-01-15T12:00:00"}', "time: got '2026-01-15T12:00:00', expected"),
        ('{"time": "9999-12-31T23:59:59-12:00"}', "time: got '9999"),
        ('{"day_ahead_price": {"today": 1}}', "day_ahead_price: got 'today', expected a time"),
        ('{"day_ahead_price": [1]}', "day_ahead_price: got [1], expected values by their times"),
        ('{"day_ahead_price": 70}', "day_ahead_price: got 70, expected values by their times"),
        (
            '{"day_ahead_price": {"2026-01-15T12:00:00Z": null}}',
            "day_ahead_price: got None, expected a number",
        ),
        ('{"voltage": NaN}', "voltage: got nan, expected a number"),
        ('{"voltage": 1e999}', "voltage: got inf, expected a number"),
        ('{"voltage": true}', "voltage: got True, expected a number"),
        ('{"voltage": null, "voltage": ""}', "voltage: got it more than once"),
    ],
)
def test_what_cannot_be_read_is_told(message, fault):
    readings = Readings.of_json(message, CAME)
    assert readings.time == CAME
    assert len(readings.faults) == 1
    assert readings.faults[0].startswith(fault)
    assert not any(map(math.isfinite, readings.values.values()))


def test_what_can_be_read_is_read():
    readings = Readings.of_json('{"voltage": "?", "time": 5, "meter_power": 1.5}', CAME)
    assert readings.values["meter_power"] == 1.5
    assert [fault.split(":")[0] for fault in readings.faults] == ["time", "voltage"]


@pytest.mark.parametrize("time", [datetime(2026, 1, 15), CAME.replace(year=1999)])
def test_a_time_of_nowhere_is_refused(time):
    with pytest.raises(ValueError, match="time: got .*, expected one with an offset from UTC"):
        Readings(time)

"""Recorded readings: which tables are refused, and what is said of what never counted."""

from __future__ import annotations

import pytest

from gridedge_gateway.cli import main
from gridedge_gateway.controller import Controller
from gridedge_gateway.replay import recorded_readings
from tests.gridedge_gateway.test_commands import rows, write


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"meter_power": 400_000.0}, ["meter_power never counted: got 400000, expected -"]),
        ({"meter_power": "0,4"}, ["meter_power never counted: got '0,4', expected a number"]),
        ({"voltage": 1.004}, ["voltage never counted: got 1.004, expected 115 to 345 V"]),
        (
            {"battery.state_of_charge": 0.5},
            ["battery.state_of_charge: got 0.5 at most, expected %; is it a share of 1?"],
        ),
        (
            {"day_ahead_price": 0.071},
            ["day_ahead_price: got 0.071 at most, expected per MWh; is it per kWh?"],
        ),
        ({"day_ahead_price": "71,2"}, ["day_ahead_price never counted: got '71,2', expected a"]),
        ({"day_ahead_price": ""}, ["day_ahead_price never counted: got 0 of the day's 48 steps"]),
    ],
)
def test_what_never_counted_is_told(battery_file, tmp_path, capsys, change, told):
    """Readings in other units, too, which may be plausible."""
    table = [{**row, "battery.state_of_charge": 50.0, **change} for row in rows(48)]
    recorded, out = write(tmp_path / "readings.csv", table), tmp_path / "out.csv"
    main(["replay", str(battery_file), "--readings", str(recorded), "--out", str(out)])
    _, *doubts = capsys.readouterr().out.splitlines()
    assert len(doubts) == len(told)
    assert all(doubt.startswith(words) for doubt, words in zip(doubts, told, strict=True)), doubts


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"voltages": 230.0}, "got column 'voltages', expected some of time, meter_power"),
        ({"time": "noon"}, "row 2, column 'time': got 'noon', expected a time with its offset"),
        ({"time": "2026-01-15T12:00:00"}, "got '2026-01-15T12:00:00', expected a time with its"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(battery_file, tmp_path, capsys, change, expected):
    recorded = write(tmp_path / "readings.csv", [{**rows(1)[0], **change}])
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(battery_file), "--readings", str(recorded), "--out", "nowhere.csv"])
    assert stop.value.code == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (b"time,voltage,voltage\n", "got column 'voltage' 2 times, expected it once"),
        (b"time,voltage\n2026-01-15T11:00Z,1\n2026-01-15T11:30Z,230,5\n", "row 3: got 3 cells"),
        (b"time,voltage\n2026-01-15T11:00Z,\xff\n", "got no table ('utf-8' codec"),
        (b"time,voltage\n2026-01-15T11:00Z," + 200_000 * b"1", "got no table (field larger than"),
        (b"\x00\n", "got "),
        (b"", "got nothing, expected a table with the time of each row"),
        (b"time,voltage\n", "got no row of a step, expected one for each"),
        (b"time,day_ahead_price\n2026-01-15T11:07Z,1\n", "got no row of a step, expected"),
        (b"voltage\n230\n", "got no column 'time', expected a table with the time of each row"),
        (
            b"time,meter_power\n2026-01-15T11:07Z,1\n",
            "row 2, column 'time': got '2026-01-15T11:07Z', expected the begin of a step of 30 "
            "minutes for a reading of meter_power",
        ),
        (
            b"time\n2026-01-15T12:00Z\n2026-01-15T11:30Z\n2026-01-15T11:00Z\n",
            "row 3, column 'time': got '2026-01-15T11:30Z' after '2026-01-15T12:00Z'",
        ),
        (
            b"time\n2026-01-15T11:00Z\n2026-01-15T12:00Z\n2026-01-15T11:30Z\n2026-01-15T12:30Z\n",
            "row 4, column 'time': got '2026-01-15T11:30Z' after '2026-01-15T12:00Z'",
        ),
        (
            b"time\n2026-01-15T11:00Z\n2026-01-15T12:00+01:00\n",
            "row 3, column 'time': got '2026-01-15T12:00+01:00' after '2026-01-15T11:00Z', "
            "expected rows in order of time, each time once",
        ),
    ],
)
def test_a_table_that_was_spoilt_is_told_by_name_and_row(
    battery_file, tmp_path, capsys, table, expected
):
    """Not read half, in the wrong order, or with an error of Python's."""
    recorded, out = tmp_path / "readings.csv", tmp_path / "out.csv"
    recorded.write_bytes(table)
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(battery_file), "--readings", str(recorded), "--out", str(out)])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"gridedge-gateway: error: {recorded}")
    assert expected in told
    assert not out.exists()


def test_a_clock_that_was_put_back_does_not_spoil_a_log(battery_file, tmp_path):
    """Nor a gateway that began again within a step. A shuffled log is none."""
    controller = Controller.load(battery_file)
    table = [{**row, "reasons": ""} for row in rows(40)]
    recorded = write(tmp_path / "log.csv", [*table, table[38], *table[38:]])
    assert len(recorded_readings(controller, recorded)) == 43
    with pytest.raises(ValueError, match="row 22, column 'time': got .* after .*, expected rows"):
        recorded_readings(controller, write(recorded, [*table[1::2], *table[::-2]]))


def test_a_step_that_a_log_has_twice_counts_once(battery_file, tmp_path, capsys):
    table = [{**row, "day_ahead_price": "", "reasons": ""} for row in rows(20)]
    log, out = write(tmp_path / "log.csv", [*table, table[-1]]), tmp_path / "out.csv"
    main(["replay", str(battery_file), "--readings", str(log), "--out", str(out)])
    assert "20 steps to" in (told := capsys.readouterr().out)
    assert "battery 20" in told

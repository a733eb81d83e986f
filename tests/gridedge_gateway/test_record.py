"""Logs: rows stand under their own columns, with what held as the step began."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

from gridedge_gateway import Controller, Readings, SetPoint
from gridedge_gateway.cli import main
from gridedge_gateway.customer import Customer
from gridedge_gateway.file import Device
from gridedge_gateway.record import Log
from tests.gridedge_gateway.test_commands import rows, write

NOON = datetime(2026, 1, 15, 12, tzinfo=timezone.utc)
BATTERY = Device("battery", "battery", 0, 0, 5.0, 5.0, True, ())
CAR = Device("ev_charger", "ev_charger", 0, 1, 7.0, 0.0, False, ())


def home(devices):
    return SimpleNamespace(readable={"meter_power": None}, devices=devices)


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def add(log, devices):
    powers = {device.name: 1.0 for device in devices}
    follows = dict.fromkeys(powers, "policy")
    log.add(Readings(NOON), {}, SetPoint(NOON, powers, {}, follows, ()))


def test_a_table_of_other_devices_is_kept_and_a_new_one_begun(tmp_path):
    path = tmp_path / "house.csv"
    for devices in ([BATTERY], [BATTERY], [BATTERY, CAR], [BATTERY], [BATTERY]):
        add(Log(path, home(devices)), devices)
    kept = [path.with_name(name) for name in ("house.csv.1", "house.csv.2")]
    assert sorted(tmp_path.iterdir()) == [path, *kept]
    assert list(tmp_path.glob("*.csv")) == [path]  # what monitors read
    assert [len(read(table)) for table in (path, *kept)] == [2, 2, 1]
    for table in (path, *kept):
        assert all(row["battery.follows"] == "policy" and None not in row for row in read(table))
    assert read(kept[1])[0]["ev_charger.set_point"] == "1.0"


def test_a_row_has_the_value_that_holds_for_the_controller(battery_file, tmp_path):
    """And is empty where that knows none."""
    customer = Customer(Controller.load(battery_file), tmp_path)
    hours = {NOON + timedelta(hours=number): 71.0 + number for number in range(3)}
    customer.inbox.put(Readings(NOON, series={"day_ahead_price": hours}), NOON)
    for step in range(-1, 8):
        customer.step(NOON + timedelta(minutes=30 * step))
    prices = [row["day_ahead_price"] for row in read(tmp_path / "battery_0.csv")]
    assert prices == ["", *(2 * ["71.0"]), *(2 * ["72.0"]), *(2 * ["73.0"]), "", ""]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_a_full_disk_is_told_by_the_file_without_a_number(
    battery_file, tmp_path, caplog, capsys, monkeypatch
):
    monkeypatch.setattr(Log, "_keep_other", lambda log: None)  # what is read there never ends
    log = Log(Path("/dev/full"), home([BATTERY]))
    add(log, [BATTERY])
    assert caplog.messages == ["/dev/full: No space left on device"]
    recorded, picture = write(tmp_path / "readings.csv", rows(2)), tmp_path / "days.svg"
    picture.symlink_to("/dev/full")
    for full, outputs in (
        ("/dev/full", ["--out", "/dev/full"]),
        (picture, ["--out", tmp_path / "out.csv", "--picture", picture]),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["replay", str(battery_file), "--readings", *map(str, (recorded, *outputs))])
        assert stop.value.code == 1
        expected = f"gridedge-gateway: error: {full}: No space left on device\n"
        assert capsys.readouterr().err == expected


@pytest.mark.parametrize("part", ["2026-01-15T12:00:00+00:00,0.5", "x" * 3])
def test_half_a_row_is_taken_away_before_the_next(tmp_path, part):
    """As a full disk or a power cut leaves one."""
    path = tmp_path / "house.csv"
    add(Log(path, home([BATTERY])), [BATTERY])
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + part, encoding="utf-8")
    add(Log(path, home([BATTERY])), [BATTERY])
    assert path.read_text(encoding="utf-8") == whole + whole.splitlines(keepends=True)[1]
    path.write_text(whole[:7], encoding="utf-8")  # of the header
    add(Log(path, home([BATTERY])), [BATTERY])
    assert path.read_text(encoding="utf-8") == whole

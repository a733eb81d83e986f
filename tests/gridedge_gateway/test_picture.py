"""A picture of a home with two devices, one of which falls back on its own."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

from gridedge_gateway import Readings, SetPoint
from gridedge_gateway.calendar import Calendar
from gridedge_gateway.file import Device
from gridedge_gateway.picture import draw
from gridedge_gateway.readings import Quantity

NOON = datetime(2026, 1, 15, 11, tzinfo=timezone.utc)
CHARGE = Quantity("state_of_charge", "%", 0.0, 100.0)


def steps(*fallbacks: tuple[str, ...]) -> list[tuple[Readings, SetPoint]]:
    """A step for each, in which some of the devices fall back."""
    found = []
    for number, names in enumerate(fallbacks):
        time, power = NOON + number * timedelta(minutes=30), {"battery": 1.0, "ev_charger": 2.0}
        follows = {name: "fallback" if name in names else "policy" for name in power}
        reasons = (
            "battery.state_of_charge: not read; the estimate of 50 % counts",
            "meter_power: got 0.4 kW, but nobody knows why; the sensor counts",
        )
        read = Readings(time, {"meter_power": 0.4})
        found.append((read, SetPoint(time, power, {}, follows, reasons)))
    return found


def words(path: Path, *fallbacks: tuple[str, ...], name: str = "home", money: str = "€") -> str:
    devices = tuple(
        Device(name, name, 0, slot, 5.0, 0.0, False, (CHARGE,))
        for slot, name in enumerate(("battery", "ev_charger"))
    )
    file = SimpleNamespace(devices=devices, customer={"name": name}, case={"currency": money})
    calendar = Calendar(ZoneInfo("Europe/Amsterdam"), 30, 1)
    draw(SimpleNamespace(file=file, calendar=calendar), steps(*fallbacks), path)
    return path.read_text(encoding="utf-8")


def test_a_device_by_its_own_fallback_is_shaded_on_its_own(tmp_path):
    """Under the title that says whose place is but estimated, though no sensor has a panel."""
    text = words(tmp_path / "own.svg", (), ("battery",))
    assert "<!-- battery, fallback -->" in text
    assert "<!-- fallback -->" not in text
    assert "<!-- battery: state of charge estimated in 2 of 2 steps -->" in text
    assert "ev charger: state of charge estimated" not in text
    text = words(tmp_path / "all.svg", (), ("battery", "ev_charger"))
    assert "<!-- battery, fallback -->" not in text
    assert "<!-- fallback -->" in text


def test_a_reading_that_counted_is_no_estimate(tmp_path):
    """Though something is said of it, as at the first step."""
    text = words(tmp_path / "first.svg", ())
    assert "<!-- meter power -->" in text
    assert "meter power, estimate" not in text


def test_a_dollar_is_a_dollar(tmp_path):
    text = words(tmp_path / "dollar.svg", (), name="of $5 to $9", money="$")
    assert "<!-- of $5 to $9 -->" in text
    assert "<!-- $/MWh -->" in text

"""What the gateway of a house is told: in an ordinary step, and as a day begins."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
STEP = timedelta(minutes=30)
# What sensors and meters say of a house with a device of every kind.
VALUES = {
    "meter_power": 1.0,
    "voltage": 231.0,
    "outdoor_temperature": 3.0,
    "battery.state_of_charge": 50.0,
    "heat_pump.room_temperature": 20.5,
    "pv_inverter.power": 0.0,
    "ev_charger.state_of_charge": 50.0,
}
# Sensors that would be taken for frozen if they said the same again and again.
STORES = ("battery.state_of_charge", "heat_pump.room_temperature", "ev_charger.state_of_charge")


def midnight(day: date) -> datetime:
    """UTC at which a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=AMSTERDAM).astimezone(timezone.utc)


def published(day: date) -> dict[str, dict[datetime, float]]:
    """Hourly prices and weather of a day, dear in the evening."""
    begin, end = midnight(day), midnight(day + timedelta(days=1))
    hours = [
        begin + timedelta(hours=hour) for hour in range(round((end - begin).total_seconds() / 3600))
    ]
    return {
        "day_ahead_price": {
            time: 300.0 if 17 <= n < 20 else 80.0 + n for n, time in enumerate(hours)
        },
        "temperature_forecast": {time: 3.0 + n % 5 for n, time in enumerate(hours)},
        "irradiance_forecast": {
            time: 300.0 if 10 <= n < 15 else 0.0 for n, time in enumerate(hours)
        },
    }

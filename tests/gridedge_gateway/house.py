"""A house with a device of every kind, its file, and what its gateway is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import export_run
from gradmap_trainer.gradmap import make_learner
from gridedge_env import default_case, make_simulator
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_gateway import Controller, Readings, SetPoint

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
STEP = timedelta(minutes=30)
# What sensors and meters say in an ordinary step.
VALUES = {
    "meter_power": 1.0,
    "voltage": 231.0,
    "outdoor_temperature": 3.0,
    "battery.state_of_charge": 50.0,
    "heat_pump.room_temperature": 20.5,
    "pv_inverter.power": 0.0,
    "ev_charger.state_of_charge": 50.0,
}

STORES = ("battery.state_of_charge", "heat_pump.room_temperature", "ev_charger.state_of_charge")


def write_house(folder: Path) -> Path:
    """The file of a house of ordinary size with inverters that choose reactive power."""
    case = default_case("ieee13", 1, home_scale=1.0, reactive_power=True)
    tables = {
        kind: Devices(["house"], KINDS[kind].sample(1, 1.0, np.random.default_rng(0)))
        for kind in KINDS
    }
    case = replace(case, fleet=make_fleet({"house": "671.1"}, tables))
    policies = make_learner(TrainConfig(case=None), make_simulator(case=case)).policies
    with torch.no_grad():
        policies.weights[-1].mul_(100.0)
    simulator = make_simulator(case=case, dtype=torch.float64)
    (path,) = export_run(TrainConfig(case=None), simulator, policies, folder)
    return path


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


def play(
    controller: Controller,
    begin: datetime,
    steps: int,
    values: Mapping[str, float] = VALUES,
    news: bool = True,
    frozen: bool = False,
) -> list[SetPoint]:
    """Some steps in a row.

    Args:
        controller: of the house.
        begin: of the first.
        steps: how many.
        values: that are read in all of them.
        news: whether of each day, as its first step comes, all is published.
        frozen: whether that is all; else sensors of what is stored waver by a tenth.
    """
    found, days = [], set[date]()
    for time in (begin + STEP * number for number in range(steps)):
        day = time.astimezone(AMSTERDAM).date()
        waver = 0.0 if frozen else 0.1 * (time.minute > 0)
        read = {name: value + waver * (name in STORES) for name, value in values.items()}
        series = published(day) if news and day not in days else {}
        days.add(day)
        found.append(controller.step(Readings(time, read, series)))
    return found


def told(set_point: SetPoint) -> list[str]:
    """What reasons are about."""
    return [reason.split(":")[0] for reason in set_point.reasons]


def without(*names: str) -> dict[str, float]:
    return {name: value for name, value in VALUES.items() if name not in names}


def always(controller: Controller, **actions: float):
    """Its graphs, but for actions of devices."""
    run = controller.file.run

    def patched(graph, known):
        found = run(graph, known)
        if graph == "act":
            for device in controller.file.devices:
                if device.name in actions:
                    found["action"][:, device.slot] = actions[device.name]
        return found

    return patched

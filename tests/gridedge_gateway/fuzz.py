"""Whatever may come to a gateway: messages at random, and what must hold of each answer.

    python -c 'from tests.gridedge_gateway.fuzz import fuzz; fuzz("house.onnx", range(100), 1000)'

plays 100 sequences of 1,000 steps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from gridedge_gateway import Controller, Readings, SetPoint
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.readings import SERIES
from tests.gridedge_gateway.house import STEP, VALUES, published

OF_CAR = ("plugged", "departure", "arrival", "target")
NAMES = [*VALUES, *(f"ev_charger.{name}" for name in OF_CAR), "battery_7.power", ""]
ODD = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 1e-300, 24.0, 100.0]
BROKEN = ["", "null", "[", "{}", '{"time": 1}', '{"voltage": "x"}', '{"day_ahead_price": 1e999}']


def fuzz(path: str | Path, seeds: Iterable[int], steps: int) -> None:
    """A controller of its own for each seed."""
    file = CustomerFile(path)
    for seed in seeds:
        random, controller = np.random.default_rng(seed), Controller(file)
        time = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=random.uniform(0, 8760))
        for _ in range(steps):
            time = next_time(time, random)
            check(controller, controller.step(message(time, random)))


def next_time(time: datetime, random: np.random.Generator) -> datetime:
    """Mostly a step later; or the same again, late, or after a jump of the clock."""
    chance = random.uniform()
    if chance < 0.85:
        time += STEP
    elif chance < 0.95:
        time += int(random.integers(-3, 5)) * STEP / 2
    elif chance < 0.99:
        time += timedelta(hours=random.normal() * 100.0)
    else:
        time = datetime(2001, 1, 1, tzinfo=timezone.utc) + random.uniform() * timedelta(days=36000)
    return min(
        max(time, datetime(2001, 1, 1, tzinfo=timezone.utc)),
        datetime(2099, 12, 1, tzinfo=timezone.utc),
    )


def message(time: datetime, random: np.random.Generator) -> Readings:
    """A message with as many faults as a bad week."""
    if random.uniform() < 0.02:
        return Readings.of_json(str(random.choice(BROKEN)), time)
    values = {name: value for name, value in VALUES.items() if random.uniform() < 0.9}
    for name in random.choice(NAMES, random.integers(0, 4)):
        values[str(name)] = float(random.choice([*ODD, random.normal() * 100.0]))
    series = {}
    if random.uniform() < 0.1:
        day = (time + timedelta(hours=random.normal() * 10.0)).date()
        for name, of_day in published(day).items():
            series[name] = {at: value for at, value in of_day.items() if random.uniform() < 0.999}
        odd = str(random.choice(list(SERIES)))
        if random.uniform() < 0.5:
            series.setdefault(odd, {})[time] = float(random.choice(ODD))
        if random.uniform() < 0.2:
            series.pop(odd, None)
    return Readings(time, values, series)


def check(controller: Controller, set_point: SetPoint) -> None:
    """Within ratings, with reasons, and as all of JSON can read it."""
    devices = controller.file.devices
    assert set_point.power.keys() == {device.name for device in devices}
    for device in devices:
        power = set_point.power[device.name]
        assert abs(power) <= device.full_power, (device, power)
        if device.inverter_rating > 0.0:
            reactive_power = set_point.reactive_power[device.name]
            assert math.hypot(power, reactive_power) <= device.inverter_rating * (1.0 + 1e-12)
    assert set_point.follows == "policy" or (set_point.follows == "fallback" and set_point.reasons)
    assert not any(reason.startswith("controller:") for reason in set_point.reasons), set_point
    assert json.loads(set_point.as_json())["power"] == dict(set_point.power)

"""Whatever may come to a gateway: messages at random, and what must hold of each answer."""

from __future__ import annotations

import json
import math
import tempfile
import time as clock
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from benchmarks.gateway.homes import FEW, Variant, write_files
from benchmarks.gateway.readings import STEP, VALUES, published
from benchmarks.records import Measurement, Spread, Table, Target
from benchmarks.suite import Settings
from gridedge_env.devices import KINDS
from gridedge_gateway import Controller, Readings, SetPoint
from gridedge_gateway.controller import FALLBACK, POLICY
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.readings import SERIES

SEQUENCES = 100_000
# Steps of a sequence in the mean; some are many times as long.
USUAL_LENGTH = 3
OF_CAR = ("plugged", "departure", "arrival", "target")
NAMES = [*VALUES, *(f"ev_charger.{name}" for name in OF_CAR), "battery_7.power", ""]
ODD = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 1e-300, 24.0, 100.0]
BROKEN = ["", "null", "[", "{}", '{"time": 1}', '{"voltage": "x"}', '{"day_ahead_price": 1e999}']
FIRST, LAST = (datetime(year, 12, 1, tzinfo=timezone.utc) for year in (2000, 2099))


@dataclass
class Found:
    """Of sequences.

    Attributes:
        steps: how many there were.
        follows: of these by the policy, and with a device by its fallback.
        faults: how often what must hold did not, by name.
        examples: seeds of sequences with such.
    """

    steps: int = 0
    follows: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[int] = field(default_factory=list)


FAULTS = {
    "raised": "an error was raised, or caught by `Controller.step`",
    "rating": "a set-point out of a device's rating",
    "connection": "set-points whose sum the connection cannot carry",
    "reason": "a fallback without a reason",
    "json": "an answer that is no JSON, or says something else as JSON",
}


def measure(settings: Settings) -> Measurement:
    """Homes of each kind of device, and one with all five, without and with the plan, in turns."""
    sequences = 60 if settings.quick else SEQUENCES
    with tempfile.TemporaryDirectory() as folder:
        kinds = FEW if settings.quick else KINDS
        files = [
            file
            for plan in (False, True)
            for file in write_files(
                Variant(plan, reactive_power=True), Path(folder) / str(plan), kinds
            ).values()
        ]
        began = clock.process_time()
        found = fuzz(map(CustomerFile, files), range(sequences))
        spent = clock.process_time() - began
    rows = tuple((words, found.faults[name]) for name, words in FAULTS.items())
    return Measurement(
        "fuzz",
        f"{sequences:,} sequences of messages at random, {found.steps:,} steps, of which "
        f"{found.follows[POLICY]:,} were by the policy, of homes without and with the public plan. "
        "Readings are missing, odd, out of range or no JSON, prices and weather come now and then, "
        "times repeat, jump and go back. Each sequence has a controller of its own, half of these "
        "a bound of the connection.",
        (
            Table("How often what must not be has been.", ("what", "times"), rows),
            Table(
                "Time, ms of CPU.",
                ("what", "ms"),
                (("a step", Spread.of([1e3 * spent / found.steps])),),
            ),
        ),
        tuple(
            Target(words, found.faults[name], 0.0, False, "times") for name, words in FAULTS.items()
        ),
        tuple(f"Seed {seed} has a fault." for seed in found.examples[:9]),
    )


def fuzz(files: Iterable[CustomerFile], seeds: Iterable[int]) -> Found:
    """A sequence for each seed, of each file in turns."""
    homes, found = list(files), Found()
    for seed in seeds:
        faults = Counter[str]()
        for controller, most, set_point in _sequence(homes[seed % len(homes)], seed):
            found.steps += 1
            if set_point is None:
                faults["raised"] += 1
                break
            found.follows[FALLBACK if set_point.fallbacks else POLICY] += 1
            faults.update(_faults(controller, most, set_point))
        found.faults += faults
        found.examples += [seed] * bool(faults)
    return found


def _sequence(file: CustomerFile, seed: int) -> Iterator[tuple[Controller, float, SetPoint | None]]:
    """A controller, what its connection carries, and its answers; None: it raised an error."""
    random = np.random.default_rng(seed)
    most = random.choice([math.inf, random.uniform(0.1, 2.0) * file.devices[0].full_power])
    controller = Controller(file, most if math.isfinite(most) else None)
    time = FIRST + random.uniform() * (LAST - FIRST)
    for number in range(random.geometric(1.0 / USUAL_LENGTH)):
        time = next_time(time, random)
        try:
            answer = controller.step(message(time, random, 0.7 if number == 0 else 0.1))
        except Exception:
            yield controller, most, None
            return
        yield controller, most, answer


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
        time = FIRST + random.uniform() * (LAST - FIRST)
    return min(max(time, FIRST), LAST)


def message(time: datetime, random: np.random.Generator, news: float) -> Readings:
    """A message with as many faults as a bad week; with that chance something is published."""
    if random.uniform() < 0.02:
        return Readings.of_json(str(random.choice(BROKEN)), time)
    values = {name: value for name, value in VALUES.items() if random.uniform() < 0.9}
    for name in random.choice(NAMES, random.integers(0, 4)):
        values[str(name)] = float(random.choice([*ODD, random.normal() * 100.0]))
    series = {}
    if random.uniform() < news:
        day = (time + timedelta(hours=random.normal() * 10.0)).date()
        for name, of_day in published(day).items():
            series[name] = {at: value for at, value in of_day.items() if random.uniform() < 0.999}
        odd = str(random.choice(list(SERIES)))
        if random.uniform() < 0.5:
            series.setdefault(odd, {})[time] = float(random.choice(ODD))
        if random.uniform() < 0.2:
            series.pop(odd, None)
    return Readings(time, values, series)


def _faults(controller: Controller, most: float, set_point: SetPoint) -> Iterator[str]:
    """What does not hold of an answer, as of `FAULTS`."""
    devices, rounding = controller.file.devices, 1.0 + 1e-12
    kw, kvar = set_point.power, set_point.reactive_power
    if any(reason.startswith("controller:") for reason in set_point.reasons):
        yield "raised"
    if kw.keys() != {device.name for device in devices} or not all(
        abs(kw[device.name]) <= device.full_power
        and (
            device.inverter_rating == 0.0
            or math.hypot(kw[device.name], kvar[device.name]) <= device.inverter_rating * rounding
        )
        for device in devices
    ):
        yield "rating"
    if not abs(sum(kw.values())) <= most * rounding:
        yield "connection"
    if set_point.fallbacks and not set_point.reasons:
        yield "reason"
    if json.loads(set_point.as_json())["power"] != dict(kw):
        yield "json"

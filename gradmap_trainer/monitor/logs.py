"""What a gateway has logged, and what its customer's file makes of the same readings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridedge_gateway import Controller, Readings, SetPoint
from gridedge_gateway.calendar import Step
from gridedge_gateway.controller import FALLBACK, POLICY
from gridedge_gateway.file import CustomerFile, Device
from gridedge_gateway.published import Published
from gridedge_gateway.readings import METER_POWER, VOLTAGE, Quantity
from gridedge_gateway.record import decided, set_point_columns
from gridedge_gateway.replay import recorded_readings
from gridedge_gateway.sensors import POWER

Array: TypeAlias = NDArray[np.float64]
# A step's reasons stand in one cell: each begins with the name of what was missing or wrong.
REASON = re.compile(r"(?:^|; )([\w.]+): ")


class Uncontrolled(Controller):
    """A gateway that has no policy, and always does what the file falls back on."""

    def _policy(self, *known: object) -> None:
        return None


@dataclass(frozen=True, eq=False)
class Log:
    """Of a customer; NaN is what is not known.

    Attributes:
        customer: the name.
        devices: theirs.
        dates: local days on which steps begin.
        steps_of_a_day: by the clock on the wall.
        missing: steps between the first and the last that are not in the log.
        repeated: rows of a step, or before one, that is in the log already.
        number: (steps,) in the episode.
        policy: (steps, devices) bool, whether the gateway says that they followed the policy.
        reasons: of every step, names of what was missing or wrong.
        apart: (steps,) largest difference over full power between a set-point of the log and the
            file's, of devices that followed the policy by both.
        observation: (steps, fields) of the file, where any of them did.
        voltage: (steps,) pu, as a step begins.
        metered: (steps,) kW drawn in the step.
        told: (steps,) kW that all devices were to draw in it.
        uncontrolled: (steps,) kW that they would have drawn by the file's fallback, each day from
            where sensors say they stood as it began.
        import_price: (steps,) currency/kWh.
        export_price: (steps,) likewise.
        expected: (steps, devices) by how much the sensor that says where a device stands should
            have moved in the step that has ended, in its unit.
        moved: (steps, devices) by how much it did.
    """

    customer: str
    devices: tuple[Device, ...]
    dates: tuple[date, ...]
    steps_of_a_day: int
    missing: int
    repeated: int
    number: NDArray[np.int64]
    policy: NDArray[np.bool_]
    reasons: tuple[frozenset[str], ...]
    apart: Array
    observation: Array
    voltage: Array
    metered: Array
    told: Array
    uncontrolled: Array
    import_price: Array
    export_price: Array
    expected: Array
    moved: Array


def play(table: Path, file: CustomerFile, connection_power: float | None) -> Log:
    """Play a log's readings through a customer's file, as at the gateway.

    Args:
        table: of `gridedge_gateway.record`.
        file: the customer's.
        connection_power: kW that the gateway was told the connection can carry, or None.

    Raises:
        ValueError: it is not the log of a gateway; names the table and what was expected.
    """
    controller = Controller(file, connection_power)
    logged = list(_logged(table, controller))
    steps = _in_order(logged)
    played = list(_played(controller, Uncontrolled(file, connection_power), steps))
    arrays: dict[str, Any] = {
        entry.name: np.array([getattr(row, entry.name) for row in played])
        for entry in fields(_Played)
        if entry.name != "reasons"
    }
    # The meter of a step is read as the next one begins.
    meter, follows_on = arrays.pop("meter"), arrays.pop("follows_on")
    arrays["metered"] = np.append(np.where(follows_on, meter, np.nan)[1:], np.nan)
    first, last = steps[0].step.time, steps[-1].step.time
    span = (last - first) // controller.calendar.length
    return Log(
        **arrays,
        customer=file.customer["name"],
        devices=file.devices,
        dates=tuple(dict.fromkeys(row.step.begin.date() for row in steps)),
        steps_of_a_day=controller.calendar.steps_of_a_day,
        missing=span + 1 - len(steps),
        repeated=len(logged) - len(steps),
        reasons=tuple(row.reasons for row in played),
    )


@dataclass(frozen=True)
class _Logged:
    """A row: its step, what was read, which devices followed the policy, reasons, set-points."""

    step: Step
    readings: Readings
    policy: list[bool]
    reasons: frozenset[str]
    told: Mapping[str, float]


def _logged(table: Path, controller: Controller) -> Iterator[_Logged]:
    """The rows of a log."""
    devices = controller.file.devices
    set_points = [name for name in set_point_columns(controller.file) if name.endswith("set_point")]
    follows = [f"{device.name}.follows" for device in devices]
    needed = {"reasons", *follows, *(f"{device.name}.set_point" for device in devices)}
    for number, (row, readings) in enumerate(recorded_readings(controller, table), start=2):
        if missing := sorted(needed - row.keys()):
            raise ValueError(f"{table}: got no column {missing[0]!r}, expected a gateway's log")
        place = f"{table}, row {number}"
        for name in follows:
            if row[name] not in (POLICY, FALLBACK):
                got = f"got {row[name]!r}, expected {POLICY} or {FALLBACK}"
                raise ValueError(f"{place}, column {name!r}: {got}")
        yield _Logged(
            controller.calendar.step(readings.time),
            readings,
            [row[name] == POLICY for name in follows],
            frozenset(REASON.findall(row["reasons"])),
            {
                name: _number(row[name], f"{place}, column {name!r}")
                for name in set_points
                if row.get(name)
            },
        )


def _number(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{place}: got {text!r}, expected a number") from error


def _in_order(logged: Iterable[_Logged]) -> list[_Logged]:
    """Without those of steps that are not later than the one before."""
    kept: list[_Logged] = []
    for row in logged:
        if not kept or row.step.time > kept[-1].step.time:
            kept.append(row)
    return kept


@dataclass(frozen=True, eq=False)
class _Played:
    """A step; fields as those of `Log`, and two more.

    Attributes:
        follows_on: whether the row before is the step before.
        meter: kW that was drawn in the step that has ended.
    """

    follows_on: bool
    number: int
    policy: list[bool]
    reasons: frozenset[str]
    apart: float
    observation: Array
    voltage: float
    meter: float
    told: float
    uncontrolled: float
    import_price: float
    export_price: float
    expected: Array
    moved: Array


def _played(
    controller: Controller, uncontrolled: Uncontrolled, steps: Sequence[_Logged]
) -> Iterator[_Played]:
    """Steps of a log, one by one."""
    file, length = controller.file, controller.calendar.length
    published = Published(file, controller.calendar)
    nominal = file.customer["nominal_voltage"]
    before: _Logged | None = None
    for row in steps:
        readings, step = row.readings, row.step
        begins = before is None or before.step.episode != step.episode
        again = controller.step(readings)
        left_alone = uncontrolled.step(readings if begins else _unseen(readings, file.devices))
        both = [
            device
            for device, policy in zip(file.devices, row.policy, strict=True)
            if policy and again.follows[device.name] == POLICY
        ]
        follows_on = before is not None and step.time - before.step.time == length
        sensors = _sensors(file.devices, readings)
        own = _sensors(file.devices, before.readings) if before and not begins else np.nan
        expected = _expected(controller) if follows_on else np.nan
        published.learn(readings, step)
        yield _Played(
            follows_on,
            step.number,
            row.policy,
            row.reasons,
            _apart(row.told, again, both),
            controller.observation.astype(np.float64)
            if both
            else np.full(file.observation_size, np.nan),
            _plausible(file.readable[VOLTAGE], readings) / nominal,
            _plausible(file.readable[METER_POWER], readings),
            sum(row.told.get(f"{device.name}.set_point", math.nan) for device in file.devices),
            sum(left_alone.power.values()),
            *_prices(file, published, step),
            expected - own + np.zeros(len(file.devices)),
            sensors - own,
        )
        before = row


def _unseen(readings: Readings, devices: Iterable[Device]) -> Readings:
    """All but where devices stand: without control they would have stood elsewhere."""
    own = {f"{device.name}.{device.readings[0].name}" for device in devices if device.readings}
    values = {name: value for name, value in readings.values.items() if name not in own}
    return replace(readings, values=values)


def _apart(told: Mapping[str, float], again: SetPoint, devices: Iterable[Device]) -> float:
    """The largest difference over full power; NaN if the log lacks a set-point, or of no device."""
    asked = decided(again)
    differences = [
        abs(told.get(name, math.nan) - asked[name]) / device.full_power
        for device in devices
        for name in (f"{device.name}.set_point", f"{device.name}.reactive_set_point")
        if name in asked
    ]
    return max(differences, key=lambda value: (math.isnan(value), value), default=math.nan)


def _sensors(devices: Sequence[Device], readings: Readings) -> Array:
    """(devices,) what is read of where they stand; of a power nobody must know what it was."""
    return np.array(
        [
            _plausible(device.readings[0], readings, f"{device.name}.")
            if device.readings and device.readings[0].unit != POWER
            else math.nan
            for device in devices
        ]
    )


def _expected(controller: Controller) -> Array:
    """(devices,) what those sensors should have read by the gateway's own estimate."""
    return np.array(
        [
            controller.expected[f"reading.{device.kind}.{device.readings[0].name}"][
                0, device.number
            ]
            if device.readings
            else math.nan
            for device in controller.file.devices
        ]
    )


def _plausible(quantity: Quantity, readings: Readings, of: str = "") -> float:
    value = readings.values.get(f"{of}{quantity.name}", math.nan)
    return math.nan if quantity.fault(value) else value


def _prices(file: CustomerFile, published: Published, step: Step) -> tuple[float, float]:
    """What a kWh costs and earns in a step by the case's tariff, currency/kWh; NaN: not known."""
    news, _ = published.of_episode(step)
    if news is None:
        return math.nan, math.nan
    known = file.of_days(news)
    return float(known["import_price"][0, step.number]), float(
        known["export_price"][0, step.number]
    )

"""What sensors of devices say, as far as it can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from gridedge_gateway.calendar import Step
from gridedge_gateway.file import Device
from gridedge_gateway.graph import Arrays
from gridedge_gateway.readings import Readings

# Without its sensor for longer, nobody knows any more where a device stands.
LONGEST_UNREAD = timedelta(hours=24)
# A sensor is frozen that said the same so many times in a row while it should have moved, by this
# share of its range.
FROZEN_TIMES, FROZEN_SHARE = 3, 0.05
# A sensor need not move where it should by less than this, in its own unit.
STILL = 0.01
# A device does something else than it was told whose store moved within a step by other than it
# should have, by this share of its sensor's range.
DISOBEYED_SHARE = 0.1
# Units of readings. Hours are those on the clock, and of a power nobody must know what it was.
HOUR_OF_THE_DAY, POWER = "hour of the day", "kW"
# How a reason ends of what was read and believed.
THE_SENSOR_COUNTS = "the sensor counts"


@dataclass
class Repeated:
    """How long something has said the same.

    Attributes:
        said: its last word.
        times: how often it has said that in a row.
        should: where it should stand.
        moved: by how much it should have moved since it says so.
    """

    said: float = math.nan
    times: int = 0
    should: float = math.nan
    moved: float = 0.0

    def hear(self, said: float, should: float) -> None:
        """What it says, and what it should say."""
        if said == self.said:
            self.times, self.moved = self.times + 1, self.moved + abs(should - self.should)
        else:
            self.said, self.times, self.moved = said, 1, 0.0
        self.should = should

    def is_frozen(self, times: int, least: float) -> bool:
        """Whether it has said the same so many times while it should have moved."""
        return self.times >= times and self.moved > least


@dataclass
class Memory(Repeated):
    """Of the sensor that says where a device stands, the first that it has.

    Attributes:
        heard: when it last said what could be believed, or when the gateway began.
        still: how many steps in a row it should have stood still.
    """

    heard: datetime = field(kw_only=True)
    still: int = 0

    def hear(self, said: float, should: float) -> None:
        """Likewise; where it need not have moved for so long, what it says is believed anew.

        A device that was off for a while would else be taken for full, and told nothing more.
        """
        self.still = self.still + 1 if abs(should - self.should) <= STILL else 0
        super().hear(said, should)
        if self.still >= FROZEN_TIMES:
            self.times, self.moved = 1, 0.0


class Sensors:
    """Of a customer's devices.

    Args:
        devices: of the customer.
        length: of a step.
    """

    def __init__(self, devices: tuple[Device, ...], length: timedelta) -> None:
        self._devices, self._length = devices, length
        self._memory: dict[str, Memory] = {}
        self._most: dict[str, float] = {}  # that readings were since a jump, by name

    def believed(
        self, readings: Readings, expected: Arrays, step: Step
    ) -> tuple[Arrays, list[str]]:
        """What `sense` takes, and what is not believed.

        Args:
            readings: as they came.
            expected: (1, devices of a kind) what the sensors would say by the gateway's own
                estimate, by "reading.", kind and name.
            step: that begins.

        Returns:
            Of the same names and shapes, NaN where the estimate stands; and why it does, which
            device does something else than it was told, or what may be in another unit.
        """
        found = {name: np.full_like(values, np.nan) for name, values in expected.items()}
        told: list[str] = []
        for device in self._devices:
            for quantity in device.readings:
                name, place = f"reading.{device.kind}.{quantity.name}", (0, device.number)
                reading = f"{device.name}.{quantity.name}"
                said, own = readings.values.get(reading, math.nan), float(expected[name][place])
                fault = None if math.isnan(said) else quantity.fault(said)
                if quantity is device.readings[0]:
                    plugged = _plugged(device, readings)
                    if math.isnan(said) and plugged != 0.0:  # who has left need not say more
                        fault = f"{quantity.name}: not read"
                    is_there = plugged in (None, 1.0)
                    odd = self._odd(device, said, own, step.time) if is_there else None
                    is_away = _is_away(device, plugged, expected)
                    fault = self._doubt(device, said, own, step.time, is_away, fault)
                    if odd and not fault:
                        told.append(odd)
                        self._most.pop(reading, None)
                if fault:
                    shown = min(max(own, quantity.lowest), quantity.highest)
                    estimate = f"estimate of {shown:.4g} {quantity.unit} counts"
                    told.append(f"{device.name}.{fault}; the {estimate}")
                elif not math.isnan(said):
                    self._most[reading] = max(self._most.get(reading, said), said)
                    if doubt := quantity.doubt([self._most[reading]]):
                        told.append(f"{device.name}.{doubt} Meanwhile {THE_SENSOR_COUNTS}")
                    is_hour = quantity.unit == HOUR_OF_THE_DAY
                    found[name][place] = step.hour(said) if is_hour else said
        return found, told

    def stand(self, estimated: Arrays) -> None:
        """Remember what sensors would say, as in `believed`, by what is then believed."""
        for device in self._devices:
            if device.readings:
                first = estimated[f"reading.{device.kind}.{device.readings[0].name}"]
                self._memory[device.name].should = float(first[0, device.number])

    def unread(self, device: Device, time: datetime) -> bool:
        """Whether nobody knows any more where a device stands."""
        if not device.readings or device.readings[0].unit == POWER:
            return False
        return time - self._memory[device.name].heard > LONGEST_UNREAD

    def _odd(self, device: Device, said: float, own: float, time: datetime) -> str | None:
        """What a device did within a step instead of what it was told; None: nothing."""
        memory, quantity = self._memory.get(device.name), device.readings[0]
        if memory is None or quantity.unit == POWER or time - memory.heard != self._length:
            return None
        moved, should = said - memory.said, own - memory.should
        full = quantity.highest - quantity.lowest
        if moved == 0.0 or not abs(moved - should) > DISOBEYED_SHARE * full:  # it may be frozen
            return None
        name, unit = f"{device.name}.{quantity.name}", quantity.unit
        expected = f"expected one by {should:+.3g} {unit} by its set-point"
        return f"{name}: got a change by {moved:+.3g} {unit}, {expected}; {THE_SENSOR_COUNTS}"

    def _doubt(
        self,
        device: Device,
        said: float,
        own: float,
        time: datetime,
        is_away: bool,
        fault: str | None,
    ) -> str | None:
        """Why not to believe the sensor that says where a device stands; None: nothing."""
        memory = self._memory.setdefault(device.name, Memory(heard=time))
        quantity = device.readings[0]
        memory.hear(said, own)
        if is_away:  # a charger may repeat what it said of a car that has left; it comes with less
            memory.said = math.nan
        least = FROZEN_SHARE * (quantity.highest - quantity.lowest)
        if fault is None and quantity.unit != POWER and memory.is_frozen(FROZEN_TIMES, least):
            fault = f"{quantity.name}: got {said:g} {quantity.unit} again, but it should have moved"
        # A clock that was ahead has left times that are yet to come.
        memory.heard = min(memory.heard, time) if fault else time
        return fault


def _plugged(device: Device, readings: Readings) -> float | None:
    """What a charger says of its car, 1 or 0; NaN: nothing, None: it is none."""
    if all(quantity.name != "plugged" for quantity in device.readings):
        return None
    return readings.values.get(f"{device.name}.plugged", math.nan)


def _is_away(device: Device, plugged: float | None, expected: Arrays) -> bool:
    """Whether it is a car that drives, by the estimate where nobody says."""
    if plugged is None or not math.isnan(plugged):
        return plugged == 0.0
    return bool(expected[f"reading.{device.kind}.plugged"][0, device.number] == 0.0)

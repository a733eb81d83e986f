"""From readings to set-points: what runs at a customer's.

Whatever comes, a step has an answer. What is missing or wrong is made up for, by what devices are
estimated to have done or by a rule that keeps them safe, and the answer says so; as soon as it is
there again, all is as before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridedge_gateway.calendar import Step
from gridedge_gateway.connection import (
    MOST_OF_CONNECTION,
    check_connection,
    flows_of,
    within_connection,
)
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.graph import Arrays
from gridedge_gateway.published import Published, as_number
from gridedge_gateway.readings import (
    METER_POWER,
    OUTDOOR_TEMPERATURE,
    VOLTAGE,
    Quantity,
    Readings,
)
from gridedge_gateway.sensors import FROZEN_SHARE, Repeated, Sensors

# So many earlier times in a row, each later than the one before it, are no late messages: the clock
# had been ahead.
SET_BACK = 3
# A step at which a file is tried before it is used.
TRIED = datetime(2026, 1, 1, tzinfo=timezone.utc)
# A meter is frozen that said the same so many times in a row while set-points moved, in sum by
# FROZEN_SHARE of full power.
FROZEN_METER_TIMES = 6
# What a device can follow: its policy, or what is safe.
POLICY, FALLBACK = "policy", "fallback"
Action: TypeAlias = NDArray[np.float32]  # (1, action size)
Observation: TypeAlias = NDArray[np.float32]  # (fields,)


@dataclass(frozen=True)
class SetPoint:
    """What devices are to do in a step.

    Attributes:
        time: at which the step began, UTC.
        power: kW drawn, by the device's name; negative where it is fed in.
        reactive_power: kvar drawn, of inverters, under a case that chooses it.
        follows: `POLICY`, or `FALLBACK` where it does what is safe, by the device's name.
        reasons: what was missing or wrong: "name: what came, what is done instead".
    """

    time: datetime
    power: Mapping[str, float]
    reactive_power: Mapping[str, float]
    follows: Mapping[str, str]
    reasons: tuple[str, ...]

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Names of the devices that do what is safe."""
        return tuple(name for name, what in self.follows.items() if what == FALLBACK)

    def as_json(self) -> str:
        """As an object, its time in ISO 8601."""
        return json.dumps({**vars(self), "time": self.time.isoformat()}, ensure_ascii=False)


class Controller:
    """A customer's.

    Attributes:
        file: what it goes by.
        calendar: of its steps.
        published: what is known of prices and weather.
        observation: (fields,) what the policy was told last.
        readable: what can be read, by name, and what of it is plausible at this connection.
        expected: (1, devices of a kind) what its sensors should have said in the last step by its
            own estimate, by "reading.", kind and name.

    Raises:
        ValueError: a connection whose power is not above 0 kW.
    """

    def __init__(self, file: CustomerFile, connection_power: float | None = None) -> None:
        check_connection(connection_power)
        self.file, self._most = file, math.inf if connection_power is None else connection_power
        self.readable = dict(file.readable)
        if connection_power is not None:
            meter = file.readable[METER_POWER]
            most = min(meter.highest, MOST_OF_CONNECTION * connection_power)
            self.readable[METER_POWER] = replace(meter, lowest=-most, highest=most)
        self._mean: float = file.customer["mean_demand"]
        self.observation: Observation = np.full(file.observation_size, np.nan, np.float32)
        self.expected: Arrays = {}
        self.calendar = file.calendar
        self.published = Published(file, self.calendar)
        self._sensors = Sensors(file.devices, self.calendar.length)
        self._metered = Repeated()
        self._stands = file.begin
        self._last: tuple[Step, SetPoint] | None = None
        self._told: float | None = None  # kW, what devices were to draw last, as far as they know
        self._held = False  # whether the connection left devices less than was worked out
        self._late: list[datetime] = []

    @classmethod
    def load(cls, path: str | Path, connection_power: float | None = None) -> Controller:
        """The controller of a file.

        Args:
            path: of the file.
            connection_power: kW that the devices together, and as far as they can the home, draw
                or feed in at most; None: nobody says.

        Raises:
            FileNotFoundError: no such file.
            ValueError: it is damaged, or of another format; the file is named. Or no power.
        """
        file = CustomerFile(path)
        controller = cls(file, connection_power)
        try:
            cls(file)._answer(Readings(TRIED))
        except Exception as error:
            got = f"got {type(error).__name__}: {error}"
            raise ValueError(
                f"{path}: {got} in a step, expected a file of gradmap-export"
            ) from error
        return controller

    def step(self, readings: Readings) -> SetPoint:
        """Set-points for the step in which the time of the readings lies; never an error.

        A step that was asked for before is answered as it was then, and an earlier one by the last.
        """
        stood = self._stands
        try:
            return self._answer(readings)
        except Exception as error:  # the house must go on
            why = f"controller: got {type(error).__name__}: {error}"
        self._stands = stood
        bare = self._bare(readings, why)
        try:
            return self._answer(bare)
        except Exception:
            rest = {device.name: 0.0 for device in self.file.devices}
            *before, _ = bare.faults
            time, follows = bare.time.astimezone(timezone.utc), dict.fromkeys(rest, FALLBACK)
            return SetPoint(time, rest, {}, follows, (*before, f"{why}; all devices rest"))

    def _bare(self, readings: object, why: str) -> Readings:
        """As if nothing were read, at the same time, or, if there is none, at the last step's."""
        last = datetime.now(timezone.utc) if self._last is None else self._last[0].time
        sound = readings if isinstance(readings, Readings) else Readings(last)
        return Readings(sound.time, faults=(*sound.faults, f"{why}; as if nothing were read"))

    def _answer(self, readings: Readings) -> SetPoint:
        step = self.calendar.step(readings.time)
        reasons = [*readings.faults, *self.published.learn(readings, step)]
        readings = replace(readings, values=_numbers(readings.values, reasons))
        if self._last is not None:
            before, stands = self._last
            if step.time == before.time:
                return stands
            if self._is_late(step, before):
                got, stand = map(self.calendar.words, (step.time, before.time))
                why = f"time: got {got}, before {stand}, whose set-points stand"
                return replace(stands, reasons=(*stands.reasons, *reasons, why))
        set_point = self._next(step, readings, reasons)
        self._last, self._late, self._told = (step, set_point), [], sum(set_point.power.values())
        return set_point

    def forget(self) -> None:
        """The last set-points may not have come to devices: what these draw, nobody knows."""
        self._told = None

    def _is_late(self, step: Step, before: Step) -> bool:
        """Whether a time is an earlier one, unless some in a row were: the clock had been ahead."""
        if step.time > before.time:
            return False
        if not self._late or step.time > self._late[-1]:
            self._late.append(step.time)
        return len(self._late) < SET_BACK

    def _next(self, step: Step, readings: Readings, reasons: list[str]) -> SetPoint:
        """Of a step that has not been asked for; what is wrong is added to the reasons."""
        known: Arrays = {"step": np.array(step.number)}
        follows_on = self._follows_on(step, reasons) and self._told is not None
        loads = self._loads(follows_on, readings, reasons)
        # As an episode begins, policies were trained to know no more than the mean.
        known["load"] = np.array([[loads[0] if follows_on and step.number > 0 else self._mean]])
        known |= self._measured(step, readings, reasons)
        known |= self._sense(step, readings, reasons)
        try:
            policy = self._policy(known, step, reasons)
        except Exception as error:  # such as no memory, of which the fallback needs less
            reasons.append(f"policy: got {type(error).__name__}: {error}; the fallback")
            policy = None
        known["action"], lost = self._safe(policy, known, step, reasons)
        flows = self.file.operate(known, lost)
        power, reactive_power, resting = self._within_ratings(flows, reasons)
        follows = {name: FALLBACK if name in lost | resting else POLICY for name in power}
        asked, power = power, within_connection(power, loads, self._most)
        less = [device for device in self.file.devices if power[device.name] != asked[device.name]]
        self._held = bool(less)
        if less:
            names = ", ".join(device.name for device in less)
            beside = " to ".join(dict.fromkeys(f"{load:.4g}" for load in loads))
            got = f"connection: got {sum(asked.values()):.4g} kW of devices beside {beside} kW"
            reasons.append(f"{got}, expected at most {self._most:g} kW; less for {names}")
            flows = flows_of(self.file, power, less, known, lost)
        self._stand(flows)
        return SetPoint(step.time, power, reactive_power, follows, tuple(reasons))

    def _loads(
        self, follows_on: bool, readings: Readings, reasons: list[str]
    ) -> tuple[float, float]:
        """kW that all but the devices drew at least and at most in the step that has ended.

        Or the annual mean. Devices are believed to have done what they were told for that step;
        told longer ago, they may rest meanwhile; told nothing that came, they may do anything.
        """
        mean, drawn = self._mean, self._told or 0.0
        meter = _read(self.readable[METER_POWER], readings, mean + drawn, reasons)
        is_read = meter != mean + drawn
        self._metered.hear(meter if is_read else math.nan, drawn)
        full, got = sum(device.full_power for device in self.file.devices), f"got {meter:.4g} kW"
        # Devices that the connection holds back do not move, and the meter has no need to.
        least = -1.0 if self._held else FROZEN_SHARE * full
        if self._metered.is_frozen(FROZEN_METER_TIMES, least):
            why = "the same again and again, whatever devices were told"
            reasons.append(f"{METER_POWER}: {got}, {why}; besides them {mean:.4g} kW counts")
            return mean, mean
        if follows_on or not is_read:
            return meter - drawn, meter - drawn
        full = min(full, self._most)
        could = (-full, full) if self._told is None else (0.0, drawn)
        low, high = max(meter - max(could), -self._most), min(meter - min(could), self._most)
        why = "but what devices drew in the step before is not known"
        known = "the policy is told the annual mean of all else"
        if self._most < math.inf:
            known += f", the connection is to carry any of {low:.4g} to {high:.4g} kW"
        reasons.append(f"{METER_POWER}: {got}, {why}; {known}")
        return low, high

    def _measured(self, step: Step, readings: Readings, reasons: list[str]) -> Arrays:
        """What is expected of the weather and what meters say, or what is usual."""
        nominal = self.file.customer["nominal_voltage"]
        weather = self.published.weather(step)
        voltage = _read(self.file.readable[VOLTAGE], readings, nominal, reasons)
        if self.file.heats:
            forecast = weather["outdoor_temperature"].item()
            outdoors = _read(self.file.readable[OUTDOOR_TEMPERATURE], readings, forecast, reasons)
            weather["outdoor_temperature"] = np.array([[outdoors]])
        return {
            **weather,
            "mean_demand": np.array([self._mean]),
            "voltage": np.array([[voltage / nominal]]),
        }

    def _follows_on(self, step: Step, reasons: list[str]) -> bool:
        """Whether the step before was the last that was asked for."""
        if self._last is None:
            return False
        expected = self._last[0].time + self.calendar.length
        if step.time != expected:
            got, wanted = map(self.calendar.words, (step.time, expected))
            reasons.append(f"time: got {got}, expected {wanted}; estimates go on from then")
        return step.time == expected

    def _sense(self, step: Step, readings: Readings, reasons: list[str]) -> Arrays:
        """Where the devices stand, by what is read, or by what they were told in the last step."""
        new_episode = self._last is None or self._last[0].episode != step.episode
        known = self._stands | {"step": np.array(step.number), "new_episode": np.array(new_episode)}
        self.expected = self.file.run("estimate", known) if self.file.reads else {}
        believed, faults = self._sensors.believed(readings, self.expected, step)
        reasons += faults
        self._stand(self.file.run("sense", known | believed))
        if self.file.reads:
            self._sensors.stand(self.file.run("estimate", known | self._stands))
        return self._stands

    def _stand(self, found: Arrays) -> None:
        """Remember where devices then stand by a graph, as far as that is a number."""
        self._stands = {
            name: np.where(np.isfinite(found[f"next.{name}"]), found[f"next.{name}"], before)
            for name, before in self._stands.items()
        }

    def _policy(self, known: Arrays, step: Step, reasons: list[str]) -> Action | None:
        """What it makes of what is known; None if that is too little."""
        news, faults = self.published.of_episode(step)
        reasons += faults
        if news is None:
            return None
        observation = self.file.run("observe", known | self.file.of_days(news))["observation"]
        action = self.file.act(observation)
        self.observation = observation[0]
        if not (np.isfinite(self.observation).all() and np.isfinite(action).all()):
            reasons.append("policy: got what is no number; the fallback")
            return None
        return action

    def _safe(
        self, policy: Action | None, known: Arrays, step: Step, reasons: list[str]
    ) -> tuple[Action, set[str]]:
        """An action by the policy where there is one and it knows where a device stands.

        And the names of the devices where it is another.
        """
        fallback: Action = self.file.run("fallback", known)["action"]
        if policy is None:
            return fallback, {device.name for device in self.file.devices}
        slots, action, lost = self.file.slots, policy.copy(), set[str]()
        for device in self.file.devices:
            if self._sensors.unread(device, step.time):
                reasons.append(f"{device.name}: not read for a day; the fallback")
                action[:, device.slot :: slots] = fallback[:, device.slot :: slots]
                lost.add(device.name)
        return action, lost

    def _within_ratings(
        self, flows: Arrays, reasons: list[str]
    ) -> tuple[dict[str, float], dict[str, float], set[str]]:
        """kW and kvar of the devices: whatever was worked out, not more than they are built for.

        And the names of those for which no number was.
        """
        power, reactive_power, resting = {}, {}, set[str]()
        for number, device in enumerate(self.file.devices):
            kva = device.inverter_rating
            kw = float(flows["power"][0, number])
            kvar = float(flows["reactive_power"][0, number]) if "reactive_power" in flows else 0.0
            if not (math.isfinite(kw) and math.isfinite(kvar)):
                reasons.append(f"{device.name}: got {kw} kW and {kvar} kvar; it rests")
                resting.add(device.name)
                kw = kvar = 0.0
            power[device.name] = kw = _clipped(kw, device.full_power)
            if "reactive_power" in flows and kva > 0.0:
                reactive_power[device.name] = _clipped(kvar, math.sqrt(max(kva**2 - kw**2, 0.0)))
        return power, reactive_power, resting


def _clipped(value: float, most: float) -> float:
    return min(max(value, -most), most) + 0.0  # no -0.0


def _numbers(values: Mapping[str, object], reasons: list[str]) -> dict[str, float]:
    """Without what is none, and why."""
    found = {}
    for name, value in values.items():
        number = as_number(value)
        if number is None:
            reasons.append(f"{name}: got {type(value).__name__}, expected a number; left out")
        else:
            found[name] = number
    return found


def _read(quantity: Quantity, readings: Readings, otherwise: float, reasons: list[str]) -> float:
    """A plausible value, or another and why."""
    value = readings.values.get(quantity.name, math.nan)
    fault = f"{quantity.name}: not read" if math.isnan(value) else quantity.fault(value)
    if fault is None:
        return value
    reasons.append(f"{fault}; {otherwise:.4g} {quantity.unit} counts")
    return otherwise

"""A customer's file: the policy, what is known of the customer, and graphs for all else.

    day (-> flexibility -> program -> told)   what is published of an episode's days
    sense                                     readings -> where the devices stand
    observe -> act, or fallback -> operate    a step

A graph is a function of named arrays; "act" is the file's own one, the policy.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from gridedge_gateway.calendar import Calendar
from gridedge_gateway.days import OF_DAYS, graph_of, inputs_of, worked_out_last
from gridedge_gateway.graph import Arrays, Graph
from gridedge_gateway.mistakes import regular_file
from gridedge_gateway.model import Model
from gridedge_gateway.names import check_line, check_name
from gridedge_gateway.packing import is_whole
from gridedge_gateway.readings import METER_POWER, OUTDOOR_TEMPERATURE, SERIES, VOLTAGE, Quantity

# Changes when a gateway could no longer make use of a file as it did.
FORMAT = "3"
# Of a step.
STEP_MINUTES = (15, 30, 60)
# Devices are part of templates and of columns' names.
PLAIN_NAME = re.compile(r"\w{1,100}", re.ASCII)
# Beside its devices, a home draws or feeds in less than so many times its annual mean, or kW, if
# that is more. A meter that tells of W goes beyond.
MOST_OF_MEAN, LEAST_METERED = 100.0, 50.0


@dataclass(frozen=True)
class Device:
    """One of a customer's.

    Attributes:
        name: "battery", "battery_2", ...
        kind: "battery".
        number: among the customer's devices of the kind, from 0.
        slot: its number in an action.
        full_power: kW.
        inverter_rating: kVA; 0: it has no say in reactive power.
        rests: whether it draws nothing by the fallback, whatever its day asks of it.
        readings: what can be read of it, that first which says where it stands.
    """

    name: str
    kind: str
    number: int
    slot: int
    full_power: float
    inverter_rating: float
    rests: bool
    readings: tuple[Quantity, ...]


class CustomerFile:
    """A file as gradmap-export writes it.

    Attributes:
        case: what it says of the case.
        calendar: of its steps.
        customer: of the customer.
        devices: of the customer, as `operate` lists them.
        begin: where they stand when nothing is known.
        site: ° north and ° east, or None.
        observation_size: how many entries an observation has.
        slots: how many devices an action has numbers for.
        reads: whether any device has a sensor.
        heats: whether it matters to a device how cold it is outdoors.
        series: names of those of `SERIES` that are needed.
        readable: what can be read, by name: of the home, then of its devices.

    Args:
        path: of the file.
        worked_out: what `work_out` says, which customers share; by default the last few are kept.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or of another format; the file is named.
    """

    def __init__(
        self, path: str | Path, worked_out: Callable[..., Arrays] = worked_out_last
    ) -> None:
        data, self._worked_out = regular_file(Path(path)).read_bytes(), worked_out
        try:
            self._load(data)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        except Exception as error:  # whatever is in it
            got = f"got {type(error).__name__}: {error}"
            raise ValueError(f"{path}: {got}, expected a file of gradmap-export") from error

    def _load(self, data: bytes) -> None:
        if not is_whole(data):
            got = "got a damaged file, or none of gradmap-export"
            raise ValueError(f"{got}, expected one as that wrote it")
        model = Model.of(data)
        policy, metadata = Graph(model.in_double_precision()), model.metadata
        if metadata.get("format") != FORMAT:
            got = metadata.get("format", "none")
            raise ValueError(f"got the format {got}, expected {FORMAT}: export it anew")
        self.case, self.customer = (json.loads(metadata[key]) for key in ("case", "customer"))
        for text in _texts([self.case, self.customer]):
            check_line(text, "metadata", "text in one line")
        graphs = {name: sys.intern(text) for name, text in json.loads(metadata["graphs"]).items()}
        self._of_days = tuple(graphs.pop(name) for name in OF_DAYS if name in graphs)
        self._program = sys.intern(metadata["program"]) if "program" in metadata else None
        self._policy = policy
        self._graphs = {name: graph_of(text) for name, text in graphs.items()}
        self.devices = tuple(_devices(self.customer["devices"]))
        _check(self.customer, self.devices)
        self.calendar = _calendar(self.case)
        self.begin = {name: np.array(values) for name, values in self.customer["begin"].items()}
        self.site = self.case["site"]
        self.observation_size: int = policy.inputs["observation"].shape[1]
        blank = np.zeros((1, self.observation_size), np.float32)
        if not np.isfinite(self.act(blank)).all():
            raise ValueError("got weights that are no numbers, expected finite ones")
        operate = self._graphs["operate"]
        self.slots = policy.outputs["action"].shape[1] // (
            1 + ("reactive_power" in operate.outputs)
        )
        for device in self.devices:
            if device.slot not in range(self.slots):
                expected = f"one of {self.slots} from 0"
                raise ValueError(f"{device.name}.slot: got {device.slot}, expected {expected}")
        needed = {*operate.inputs}
        self.reads = "estimate" in graphs
        self.heats = "outdoor_temperature" in needed
        needed |= inputs_of(self._of_days)
        if "irradiance" in needed:
            needed.add("irradiance_forecast")
        self.series = tuple(name for name in SERIES if name in needed)
        self.readable = {
            quantity.name: quantity for quantity in _readable(self.customer, self.devices)
        }

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, action size) of the policy for (1, observation size).

        It is worked out in double precision: in single precision its last digits would depend on
        the order in which a machine adds up.
        """
        found = self._policy.run({"observation": observation.astype(np.float64)})
        return found["action"].astype(np.float32)

    def run(self, graph: str, known: Mapping[str, NDArray[Any]]) -> Arrays:
        """What a graph makes of what is known."""
        return self._graphs[graph].run(known)

    def operate(self, known: Mapping[str, NDArray[Any]], by_fallback: Collection[str]) -> Arrays:
        """A step of all devices: their power, and where they then stand.

        Args:
            known: what the graph takes.
            by_fallback: names of devices that follow the fallback.
        """
        flows = {name: values.copy() for name, values in self.run("operate", known).items()}
        for column, device in enumerate(self.devices):
            if device.rests and device.name in by_fallback:
                flows["power"][0, column] = 0.0
                for name in (name for name in self.begin if name.startswith(f"{device.kind}.")):
                    flows[f"next.{name}"][..., device.number] = known[name][..., device.number]
        return flows

    def of_days(self, news: Arrays) -> Arrays:
        """What follows from what is published of an episode's days."""
        keys = [(name, a.dtype.str, a.shape, a.tobytes()) for name, a in news.items()]
        return self._worked_out(self._of_days, self._program, tuple(keys))


def _texts(value: Any) -> Iterator[str]:
    """All that stand in JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _texts(part)


def _devices(listed: list[dict[str, Any]]) -> Iterator[Device]:
    counts = Counter[str]()
    for device in listed:
        kind = device["kind"]
        yield Device(
            device["name"],
            kind,
            counts[kind],
            device["slot"],
            device["full_power"],
            device["inverter_rating"],
            device["rests"],
            tuple(Quantity(**reading) for reading in device["readings"]),
        )
        counts[kind] += 1


def _readable(customer: dict[str, Any], devices: tuple[Device, ...]) -> Iterator[Quantity]:
    """What can be read of a home, and of its devices."""
    usual = max(MOST_OF_MEAN * abs(customer["mean_demand"]), LEAST_METERED)
    most = float(math.ceil(usual + sum(device.full_power for device in devices)))
    nominal = customer["nominal_voltage"]
    yield Quantity(METER_POWER, "kW", -most, most)
    yield Quantity(VOLTAGE, "V", 0.5 * nominal, 1.5 * nominal)
    yield Quantity(OUTDOOR_TEMPERATURE, "°C", -60.0, 60.0)
    for device in devices:
        for reading in device.readings:
            yield replace(reading, name=f"{device.name}.{reading.name}")


def _calendar(case: dict[str, Any]) -> Calendar:
    minutes, steps = case["step_minutes"], case["steps"]
    if minutes not in STEP_MINUTES:
        raise ValueError(f"step_minutes: got {minutes}, expected one of {STEP_MINUTES}")
    days, over = divmod(steps * minutes, 24 * 60)
    if days < 1 or over:
        raise ValueError(f"steps: got {steps} of {minutes} minutes, expected those of whole days")
    return Calendar(ZoneInfo(case["time_zone"]), minutes, days)


def _check(customer: dict[str, Any], devices: tuple[Device, ...]) -> None:
    """Raises ValueError unless names are unique and plain, and ratings numbers that can be."""
    check_name(customer["name"], "name")
    names = [device.name for device in devices]
    for name in (*names, *(reading.name for device in devices for reading in device.readings)):
        if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name):
            raise ValueError(f"devices: got the name {name!a:.60}, expected letters and digits")
    if len({*names}) < len(names) or not names:
        raise ValueError(f"devices: got the names {names}, expected some, each of its own")
    mean = customer["mean_demand"]
    if not math.isfinite(mean):
        raise ValueError(f"mean_demand: got {mean} kW, expected a number")
    positive = {"nominal_voltage": customer["nominal_voltage"]}
    positive |= {f"{device.name}.full_power": device.full_power for device in devices}
    for name, value in positive.items():
        if not 0.0 < value < math.inf:
            raise ValueError(f"{name}: got {value}, expected a positive number")
    for device in devices:
        if not 0.0 <= device.inverter_rating < math.inf:
            got = f"got {device.inverter_rating} kVA, expected 0 or more"
            raise ValueError(f"{device.name}.inverter_rating: {got}")
    for name, values in customer["begin"].items():
        if not np.isfinite(values).all():
            raise ValueError(f"begin.{name}: got {values}, expected numbers")

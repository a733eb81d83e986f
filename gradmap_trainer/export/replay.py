"""Whether exported files do what the simulator does: a day of the test year, played through both.

A file is played as at a customer's, by `gridedge_gateway.Controller`, with readings in a gateway's
units. They can be kept, as tables that `gridedge-gateway replay` takes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradmap_trainer.export.everybody import Everybody, days_of
from gradmap_trainer.export.policy import policy_file
from gradmap_trainer.policies import Policies
from gridedge_env.day import Window
from gridedge_env.devices import Fleet
from gridedge_env.reference import play
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState
from gridedge_env.writing import write_whole
from gridedge_gateway import Controller, Readings, SetPoint
from gridedge_gateway.calendar import day_of_episode
from gridedge_gateway.published import MEGAWATT_HOUR
from gridedge_gateway.record import DECIMALS, reading_columns

Series: TypeAlias = Mapping[str, Mapping[datetime, float]]

# Entries of an observation, up to 10, are told to a policy in single precision, and so are actions
# to devices: rounded to 5e-7 and 6e-8. All else is in double precision.
SAME_OBSERVATION, SAME_POWER = 1e-6, 1e-5
# Series that a gateway is told, and what its unit is of the simulator's.
PUBLISHED = {
    "day_ahead_price": MEGAWATT_HOUR,
    "price_forecast": MEGAWATT_HOUR,
    "temperature_forecast": 1.0,
    "irradiance_forecast": 1.0,
}


@dataclass(frozen=True)
class Parting:
    """By how much a customer's file and the simulator differ at most, over a day.

    Attributes:
        agent: the customer.
        observation: of any entry.
        power: kW and kvar over full power, of any device.
    """

    agent: str
    observation: float
    power: float

    @property
    def is_small(self) -> bool:
        """Whether rounding can have done it; NaN cannot."""
        return self.observation <= SAME_OBSERVATION and self.power <= SAME_POWER

    def __str__(self) -> str:
        return (
            f"{self.agent}: parts from the simulator by {self.observation:.1e} in an observation, "
            f"{self.power:.1e} of full power"
        )


def gateway_starts(simulator: Simulator, split: str = "test") -> list[int]:
    """Rows of `simulator.days(split)` on which gateways begin an episode, too."""
    dates, days = simulator.days(split).dates, simulator.clock.days
    return [row for row in simulator.starts(split) if day_of_episode(dates[row], days) == 0]


def replay(
    simulator: Simulator,
    policies: Policies,
    folder: Path,
    day: int,
    sensors: bool = False,
    tables: Path | None = None,
) -> list[Parting]:
    """Play an episode of the test year, and compare what each customer's file makes of it.

    Args:
        simulator: as of `export_run`.
        policies: of the run.
        folder: of the files.
        day: one of `gateway_starts`, at which it begins.
        sensors: whether files are told in every step where the simulator's devices stand; else at
            midnight, and they go their own way until the next.
        tables: folder for all that can be read at each customer's, `<customer>.csv`; or None.

    Raises:
        ImportError: the `export` extra is not installed.
        FileNotFoundError: a customer has no file.
        ValueError: no episode of a gateway begins on that day, or a file is damaged.
    """
    if day not in gateway_starts(simulator):
        raise ValueError(f"day: got {day}, expected one on which gateways begin an episode")

    exact = deepcopy(policies).double()

    def policy(private: Tensor, shared: Tensor) -> Tensor:
        """As files do it: on what single precision has of an observation, in double precision."""
        with torch.no_grad():
            return exact(private.float().double(), shared.float().double()).float()

    state = as_known(simulator, simulator.reset(split="test", days=[day]))
    steps = [
        Played.of(simulator, before, action) for before, action, _ in play(simulator, policy, state)
    ]
    times, series = published(simulator, "test", day)
    partings = []
    for agent, name in enumerate(simulator.fleet.names):
        home = Home.of(simulator, agent, Controller.load(folder / policy_file(name)))
        power: Mapping[str, float] = {}
        worst, read = np.zeros(2), []
        for then, time in zip(steps, times, strict=True):
            first = then is steps[0]
            midnight = then.state.step % simulator.clock.day.steps == 0
            values = home.readings(then, power, sensors or midnight)
            if tables is not None:
                read.append(Readings(time, home.readings(then, power, sensors=True), series))
            set_point = home.controller.step(Readings(time, values, series if first else {}))
            worst, power = np.maximum(worst, home.apart(then, set_point)), set_point.power
        partings.append(Parting(name, *map(float, worst)))
        if tables is not None:
            tables.mkdir(parents=True, exist_ok=True)
            path = tables / Path(policy_file(name)).with_suffix(".csv")
            write_whole(path, _table(home.controller, read))
    return partings


def _table(controller: Controller, read: Iterable[Readings]) -> str:
    """Readings in CSV, a row for each step, with what of the series begins to hold then."""
    text = io.StringIO()
    table = csv.DictWriter(text, reading_columns(controller.file), lineterminator="\n")
    table.writeheader()
    for readings in read:
        holds = {name: values[readings.time] for name, values in readings.series.items()}
        values = {name: round(x, DECIMALS) for name, x in {**readings.values, **holds}.items()}
        table.writerow({"time": controller.calendar.words(readings.time), **values})
    return text.getvalue()


def as_known(simulator: Simulator, begin: SimulatorState) -> SimulatorState:
    """As gateways can know it: devices' days are the usual ones.

    In the test year others may live here: what counts of their loads is the share of the mean.
    """
    trained = simulator.reset(split="train", days=simulator.starts("train")[:1]).day.mean_demand
    demand = begin.day.demand / begin.day.mean_demand * trained
    day = replace(begin.day, demand=demand, mean_demand=trained)
    window, devices = Window(day, begin.step, 1), []
    new_episode = torch.tensor(True, dtype=torch.bool, device=simulator.device)
    for group, own in zip(simulator.fleet.groups, begin.devices, strict=True):
        read = group.kind.readings_of(group.parameters, own, window)
        devices.append(group.kind.sense(group.parameters, own, read, new_episode, window))
    return replace(begin, day=day, devices=tuple(devices))


def published(simulator: Simulator, split: str, first: int) -> tuple[list[datetime], Series]:
    """When the steps of the episode begin whose first day is a row, and what is told of them."""
    zone, minutes = ZoneInfo(simulator.case.time_zone), simulator.clock.minutes
    dates = simulator.days(split).dates[first : first + simulator.clock.days]
    midnights = [datetime(date.year, date.month, date.day, tzinfo=zone) for date in dates]
    times = [
        midnight.astimezone(timezone.utc) + timedelta(minutes=minutes * step)
        for midnight in midnights
        for step in range(simulator.clock.day.steps)
    ]
    news = Everybody.of(simulator).news(days_of(simulator, split, first))
    return times, {
        name: dict(zip(times, (news[name].flatten() * unit).tolist(), strict=True))
        for name, unit in PUBLISHED.items()
    }


@dataclass(frozen=True)
class Home:
    """A customer of the simulator and its gateway.

    Attributes:
        agent: its number.
        own: (devices,) bool, which of the simulator's devices are its own.
        full: (own devices,) kW.
        fleet: of the simulator.
        controller: of its file.
    """

    agent: int
    own: NDArray[np.bool_]
    full: NDArray[np.float64]
    fleet: Fleet
    controller: Controller

    @classmethod
    def of(cls, simulator: Simulator, agent: int, controller: Controller) -> Home:
        """One of a simulator's."""
        own = torch.cat([group.agent for group in simulator.fleet.groups]).numpy() == agent
        full = np.array([device.full_power for device in controller.file.devices])
        return cls(agent, own, full, simulator.fleet, controller)

    def readings(self, now: Played, power: Mapping[str, float], sensors: bool) -> dict[str, float]:
        """In a gateway's units, of its meter and, if they are read, of its devices.

        Args:
            now: the step that begins.
            power: kW that its devices drew in the one that has ended.
            sensors: whether they are read.
        """
        day, step, told = now.state.day, now.state.step, self.controller.file.customer
        found = {
            "outdoor_temperature": day.outdoor_temperature[0, step].item(),
            "voltage": now.voltage[0, self.agent].item() * told["nominal_voltage"],
        }
        if step > 0:
            load = day.demand[0, step - 1, self.agent].item()
            found["meter_power"] = load + sum(power.values())
        return found | (self._of_devices(now.state) if sensors else {})

    def _of_devices(self, state: SimulatorState) -> dict[str, float]:
        """What sensors say of where its devices stand in the simulator."""
        window, read = Window(state.day, state.step, 1), dict[str, Tensor]()
        groups = self.fleet.of_home(self.fleet.groups, self.agent)
        own = self.fleet.of_home(state.devices, self.agent)
        for group, stands in zip(groups, own, strict=True):
            values = group.kind.readings_of(group.parameters, stands, window)
            read |= {f"{group.kind.name}.{name}": value for name, value in values.items()}
        return {
            f"{device.name}.{reading.name}": read[f"{device.kind}.{reading.name}"][
                0, device.number
            ].item()
            for device in self.controller.file.devices
            for reading in device.readings
        }

    def apart(self, then: Played, set_point: SetPoint) -> list[float]:
        """By how much the gateway differs in a step: in its observation, and over full power."""
        told = self.controller.observation - then.observations[self.agent]
        asked = {"power": set_point.power, "reactive_power": set_point.reactive_power}
        flows = [
            [asked[flow].get(device.name, 0.0) for device in self.controller.file.devices]
            - values[self.own]
            for flow, values in then.flows.items()
        ]
        return [np.abs(told).max(), np.abs(flows / self.full).max()]


@dataclass(frozen=True)
class Played:
    """A step of the simulator.

    Attributes:
        state: in which it begins, a batch of one.
        voltage: (1, agents) pu at the meters.
        observations: (agents, fields).
        flows: (devices,) each, what `Customer.operate` calls power and reactive_power.
    """

    state: SimulatorState
    voltage: Tensor
    observations: NDArray[np.float64]
    flows: dict[str, NDArray[np.float64]]

    @classmethod
    def of(cls, simulator: Simulator, before: SimulatorState, action: Tensor) -> Played:
        """What it does."""
        fleet, bounded = simulator.fleet, action[None].to(simulator.dtype).clamp(-1.0, 1.0)
        window = Window(before.day, before.step, 1)
        _, power, _ = fleet.run(before.devices, bounded, window)
        flows = {"power": power[0, 0].numpy()}
        if simulator.case.reactive_power:
            share = fleet.join(fleet.split(bounded[..., fleet.slots :]))
            flows["reactive_power"] = (share * fleet.reactive_room(power))[0, 0].numpy()
        voltage = simulator.wiring.meter_voltage(before.device_voltage)
        return cls(before, voltage, simulator.observe(before)[0].numpy(), flows)

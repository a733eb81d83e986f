"""What the gateway of one customer works out, as functions of named tensors.

All of it is the simulator's own code, for the one home:

    estimate  where the devices stand      -> what their sensors should say
    sense     what they do say             -> where devices stand before a step
    observe   that, the news and the meter -> the observation
    fallback  where they stand             -> the action that is safe when something is missing
    operate   an action, and the weather   -> kW of every device, and where it stands after the step

Between `observe` and `operate` stands the policy, in single precision. `Customer.readings` says
what comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gradmap_trainer.export.everybody import PLAN
from gradmap_trainer.export.tracing import Named, named, read
from gridedge_env.case import Case
from gridedge_env.day import Day, Planned, Window
from gridedge_env.devices import DeviceGroup, Fleet
from gridedge_env.devices.kind import Seen
from gridedge_env.moment import Moment
from gridedge_env.observation import ObservationField, private_observations
from gridedge_env.public_plan import PlannedHomes
from gridedge_env.record import Record
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

# Before the names of where devices then stand, and of what sensors read.
NEXT, READING = "next.", "reading."
# Begins of episodes of which the mean is the usual one: to 1 % of what they spread over.
BEGINS = 1000


class OwnMeter:
    """A home's own meter, where the simulator has the voltages of a network."""

    def meter_voltage(self, device_voltage: Tensor) -> Tensor:
        """(batch, 1) pu, as it is."""
        return device_voltage


@dataclass(frozen=True)
class Customer:
    """One home of a simulator on its own.

    Attributes:
        case: which it is part of.
        fields: of its observation, private ones first.
        fleet: the home and its devices.
        plan: what it is told of the public plan; None: there is none.
        begin: where its devices stand when an episode begins, as a mean, by kind.
    """

    case: Case
    fields: tuple[ObservationField, ...]
    fleet: Fleet
    plan: PlannedHomes | None
    begin: tuple[Record, ...]

    @classmethod
    def of(cls, simulator: Simulator, agent: int) -> Customer:
        """A home of a simulator."""
        homes, fleet = simulator.planned_homes, simulator.fleet.home(agent)
        generator = torch.Generator(simulator.device).manual_seed(0)
        begin = (
            group.kind.begin(group.parameters, BEGINS, generator, simulator.clock).mean()
            for group in fleet.groups
        )
        return cls(
            simulator.case,
            simulator.observation_fields,
            fleet,
            homes and homes.home(agent),
            tuple(begin),
        )

    @property
    def layout(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Its devices, and which numbers of an action are theirs: if alike, so are the graphs."""
        return tuple((group.kind.name, tuple(group.slot.tolist())) for group in self.fleet.groups)

    @property
    def constants(self) -> dict[str, Tensor]:
        """In what homes of one layout differ: parameters, and where the plan has what is theirs."""
        found: dict[str, Tensor] = {}
        for group in self.fleet.groups:
            found |= named(group.parameters, _of_parameters(group))
        if self.plan is not None:
            found[f"{PLAN}group"] = self.plan.group
            for group, columns in zip(self.fleet.groups, self.plan.columns, strict=True):
                found |= {} if columns is None else named(columns, _of_columns(group))
        return found

    def stands(self, devices: Sequence[Record]) -> dict[str, Tensor]:
        """Where its devices are, by name: as sensors say, or as `operate` left them."""
        found: dict[str, Tensor] = {}
        for group, own in zip(self.fleet.groups, devices, strict=True):
            found |= named(own, _of_state(group))
        return found

    def graphs(self) -> dict[str, Callable[[Named], Named]]:
        """The functions that there are, by name."""
        return {
            **({"estimate": self.estimate} if self.sensors() else {}),
            "sense": self.sense,
            "observe": self.observe,
            "fallback": self.fallback,
            "operate": self.operate,
        }

    def estimate(self, values: Named) -> Named:
        """What `sensors` would read, if devices stand as estimated.

        Args:
            values: step, and where they stand by what `operate` said.
        """
        window, found = self._window(values), dict[str, Tensor]()
        for group, own in zip(self._fleet(values).groups, self._devices(values), strict=True):
            read = group.kind.readings_of(group.parameters, own, window)
            found |= {f"{_of_readings(group)}{name}": value for name, value in read.items()}
        return found

    def sense(self, values: Named) -> Named:
        """Where devices stand before a step, as of `stands`, each name after "next.".

        Args:
            values: step, new_episode, where they stand by what `operate` said, and `sensors`.
        """
        window, devices = self._window(values), list[Record]()
        for group, own in zip(self._fleet(values).groups, self._devices(values), strict=True):
            readings = {
                reading.name: values[f"{_of_readings(group)}{reading.name}"]
                for reading in group.kind.readings
            }
            devices.append(
                group.kind.sense(group.parameters, own, readings, values["new_episode"], window)
            )
        return self._next(devices)

    def observe(self, values: Named) -> Named:
        """The observation before a step: (1, fields) in single precision.

        Args:
            values: what `Everybody` and `readings` say.
        """
        fleet, step, day = self._fleet(values), values["step"], self._day(values)
        plan = self.plan and self._homes(self.plan, fleet, values)
        at: Any = step  # in a graph a tensor
        state = SimulatorState(day, at, self._devices(values), values["voltage"])
        moment = Moment(fleet, OwnMeter(), state, at, plan)
        private = tuple(entry for entry in self.fields if entry.private)
        own, shared = private_observations(private, moment)[:, 0], values["shared"][:, step]
        return {"observation": torch.cat((own, shared), dim=-1).float()}

    def fallback(self, values: Named) -> Named:
        """The action of the kinds' `thermostat`, without reactive power, as `operate` takes it.

        Args:
            values: step, and where the devices stand.
        """
        fleet, window, chosen = self._fleet(values), self._window(values), list[Tensor]()
        for group, own in zip(fleet.groups, self._devices(values), strict=True):
            state = group.kind.observed_state(group.parameters, own, window)
            seen = Seen(self.case.clock, state, _unknown)
            chosen.append(group.kind.thermostat(group.parameters, seen))
        active = fleet.actions(chosen)[:, 0].clamp(-1.0, 1.0)
        reactive = active.new_zeros(1, self.case.action_size - fleet.slots)
        return {"action": torch.cat((active, reactive), dim=-1).float()}

    def operate(self, values: Named) -> Named:
        """A step of all devices.

        Args:
            values: what `Everybody` and `readings` say, and action: (1, action size), likewise.

        Returns:
            power: (1, devices) kW drawn. reactive_power: likewise, kvar, where it is chosen. And
            where the devices then stand, as of `stands`, each name after "next.".
        """
        fleet, window = self._fleet(values), self._window(values)
        action = values["action"][None, :, None].to(values["voltage"]).clamp(-1.0, 1.0)
        devices, output, _ = fleet.run(self._devices(values), action, window)
        done = {"power": output[0]}
        if self.case.reactive_power:
            share = fleet.join(fleet.split(action[..., fleet.slots :]))
            done["reactive_power"] = (share * fleet.reactive_room(output))[0]
        return done | self._next(devices)

    def readings(self, state: SimulatorState, agent: int, voltage: Tensor) -> dict[str, Tensor]:
        """What its gateway is told before a step, beside `stands`.

        Args:
            state: of the simulator, a batch of one.
            agent: its number there.
            voltage: (1, agents) pu at the meters.

        Returns:
            step: () int64. load: (1, 1) kW of all but the devices in the step that has ended, at
            midnight the mean; mean_demand: (1,) kW of a year. voltage: (1, 1) pu.
            outdoor_temperature, irradiance: (1, 1) in °C and W/m², direct_irradiance: (1, 3), what
            is expected of the step.
        """
        day, step = state.day, state.step
        mean = day.mean_demand[agent, None]
        known = {
            "step": torch.tensor(step, dtype=torch.long, device=mean.device),
            "load": mean[None] if step == 0 else day.demand[:, step - 1, agent, None],
            "mean_demand": mean,
            "voltage": voltage[:, agent, None],
            "outdoor_temperature": day.outdoor_temperature[:, step, None],
            "irradiance": day.irradiance[:, step, None],
        }
        if day.direct_irradiance is not None:
            known["direct_irradiance"] = day.direct_irradiance[:, step]
        return known

    def sensors(self) -> dict[str, Tensor]:
        """(1, devices of a kind) what its sensors read, by name: nothing, NaN."""
        return {
            f"{_of_readings(group)}{reading.name}": torch.full(
                (1, len(group)), torch.nan, dtype=torch.float64, device=group.agent.device
            )
            for group in self.fleet.groups
            for reading in group.kind.readings
        }

    def _next(self, devices: Sequence[Record]) -> dict[str, Tensor]:
        return {f"{NEXT}{name}": value for name, value in self.stands(devices).items()}

    def _window(self, values: Named) -> Window:
        """Of a step of which the flows count; what they cost does not."""
        at: Any = values["step"]  # in a graph a tensor
        day = self._day(values)
        nothing = torch.zeros_like(day.outdoor_temperature)
        return Window(replace(day, import_price=nothing, export_price=nothing), at, 1)

    def _day(self, values: Named) -> Day:
        """An episode in which load and weather are those of the moment all the time."""
        steps = self.case.clock.steps

        def always(name: str) -> Tensor:
            return values[name][:, None].expand(1, steps, -1)

        return Day(
            self.case.clock,
            torch.zeros_like(values["step"])[None],
            always("outdoor_temperature")[..., 0],
            always("irradiance")[..., 0],
            values["import_price"],
            values["export_price"],
            always("load"),
            values["mean_demand"],
            values["shared"],
            always("direct_irradiance") if "direct_irradiance" in values else None,
            planned=None if self.plan is None else read(Planned, PLAN, values),
        )

    def _fleet(self, values: Named) -> Fleet:
        groups = tuple(
            replace(group, parameters=read(type(group.parameters), _of_parameters(group), values))
            for group in self.fleet.groups
        )
        return replace(self.fleet, groups=groups)

    def _homes(self, plan: PlannedHomes, fleet: Fleet, values: Named) -> PlannedHomes:
        columns = tuple(
            places and read(type(places), _of_columns(group), values)
            for group, places in zip(self.fleet.groups, plan.columns, strict=True)
        )
        return PlannedHomes(fleet, columns, values[f"{PLAN}group"])

    def _devices(self, values: Named) -> tuple[Record, ...]:
        groups = zip(self.fleet.groups, self.begin, strict=True)
        return tuple(read(type(own), _of_state(group), values) for group, own in groups)


def _of_state(group: DeviceGroup) -> str:
    return f"{group.kind.name}."


def _of_readings(group: DeviceGroup) -> str:
    return f"{READING}{group.kind.name}."


def _unknown(name: str) -> Tensor:
    """A rule to fall back on cannot read the news: these may be what is missing."""
    raise ValueError(f"thermostat: got a rule that reads {name}, expected a device's state alone")


def _of_parameters(group: DeviceGroup) -> str:
    return f"{group.kind.name}.parameters."


def _of_columns(group: DeviceGroup) -> str:
    return f"{group.kind.name}.plan."

"""The fleet: who is there, what they own, and where on the feeder they live.

An agent is a customer at one place, of one phase or three: a demand that nobody controls, one
meter, and one or more devices, of which its action has a number each. Devices of a kind stand
together, so that every tensor over devices is one slice for each kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gridedge_env.checks import check_text, check_type, shown
from gridedge_env.clock import Clock
from gridedge_env.day import Window
from gridedge_env.devices.kind import DeviceKind
from gridedge_env.devices.kinds import KINDS
from gridedge_env.devices.ranges import check_ranges
from gridedge_env.feeder.places import PLACE_FORMS
from gridedge_env.record import Record
from gridedge_gateway.names import check_name


@dataclass(frozen=True, eq=False)
class DeviceGroup(Record):
    """The devices of one kind.

    Attributes:
        kind: theirs.
        parameters: the kind's own record, with tensors of (devices,).
        agent: (devices,) whose each is.
        slot: (devices,) which of its agent's devices it is, from 0.
    """

    kind: DeviceKind[Any, Any]
    parameters: Any
    agent: Tensor
    slot: Tensor

    def __len__(self) -> int:
        return len(self.agent)


@dataclass(frozen=True, eq=False)
class Fleet(Record):
    """The agents and their devices.

    Attributes:
        names: of the agents.
        connection_names: where they connect, each once: places of `feeder.places`.
        connection: (agents,) index into `connection_names`.
        groups: the devices of each kind that there is.
        slots: largest number of devices of an agent.
        one_each: whether each agent has one device, and agents stand in the order of their kinds.
    """

    names: tuple[str, ...]
    connection_names: tuple[str, ...]
    connection: Tensor
    groups: tuple[DeviceGroup, ...]
    slots: int
    one_each: bool

    def group(self, kind: str) -> DeviceGroup:
        """The devices of a kind.

        Raises:
            ValueError: there are none.
        """
        for group in self.groups:
            if group.kind.name == kind:
                return group
        known = ", ".join(group.kind.name for group in self.groups)
        raise ValueError(f"kind: no device is a {kind!r}, expected one of {known}")

    @property
    def places(self) -> tuple[str, ...]:
        """Where each agent connects."""
        return tuple(self.connection_names[place] for place in self.connection.tolist())

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of devices of each kind that there is."""
        return tuple(len(group) for group in self.groups)

    @cached_property
    def owned(self) -> Tensor:
        """Whether each agent has devices of each kind that there is: (agents, kinds) bool."""
        shape, device = (len(self.names), len(self.groups)), self.connection.device
        owned = torch.zeros(shape, dtype=torch.bool, device=device)
        for column, group in enumerate(self.groups):
            owned[group.agent, column] = True
        return owned

    @cached_property
    def agent_kinds(self) -> tuple[str, ...]:
        """What each agent has: "battery", or "battery_and_heat_pump"."""
        owned: list[list[str]] = [[] for _ in self.names]
        for group in self.groups:
            for agent in group.agent.tolist():
                owned[agent].append(group.kind.name)
        return tuple("_and_".join(kinds) for kinds in owned)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of who is there, what they own and where they live, hexadecimal.

        Parameters do not count: they may differ in their last bits from machine to machine.
        """
        told = self.names, self.agent_kinds, self.connection_names, self.connection.tolist()
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def check_clock(self, clock: Clock) -> None:
        """Refuse devices that are none, or for which a step is too long.

        Raises:
            ValueError: names the parameter, what came and what was expected.
        """
        for group in self.groups:
            kind, own = group.kind, group.parameters
            columns = {f.name: getattr(own, f.name).detach().cpu().numpy() for f in fields(own)}
            check_ranges(kind.name, kind.parameters, columns, clock.hours)

    def home(self, agent: int) -> Fleet:
        """The fleet of one agent, whose actions and observations are as in this one."""
        groups = self.of_home(self.groups, agent)
        return Fleet(
            (self.names[agent],),
            (self.places[agent],),
            self.connection.new_zeros(1),
            tuple(replace(group, agent=torch.zeros_like(group.agent)) for group in groups),
            self.slots,
            one_each=self.slots == 1,
        )

    def of_home(self, records: Sequence[Any], agent: int) -> tuple[Any, ...]:
        """What is one agent's in records of the devices of each kind, for the kinds that it has."""
        groups = zip(self.groups, records, strict=True)
        owned = ((record, group.agent == agent) for group, record in groups)
        return tuple(_of_devices(record, own) for record, own in owned if own.any())

    def run(
        self, states: Sequence[Record], actions: Tensor, window: Window
    ) -> tuple[tuple[Record, ...], Tensor, Tensor]:
        """One or more steps of all devices.

        Args:
            states: of the devices of each kind, before the first step.
            actions: (steps, batch, agents, at least slots) in [-1, 1].
            window: the steps.

        Returns:
            The states after them, and of every device the power drawn in kW and its cost apart from
            electricity in €: (steps, batch, devices).
        """
        following, powers, costs = list[Record](), list[Tensor](), list[Tensor]()
        for group, own, action in zip(self.groups, states, self.split(actions), strict=True):
            after, power, cost = group.kind.run(group.parameters, own, action, window)
            following.append(after)
            powers.append(power)
            costs.append(cost)
        return tuple(following), self.join(powers), self.join(costs)

    def split(self, actions: Tensor) -> tuple[Tensor, ...]:
        """From (..., agents, at least slots) to the devices of each kind, (..., devices)."""
        if self.one_each:
            return torch.split_with_sizes(actions[..., 0], self.counts, dim=-1)
        flat = actions[..., : self.slots].flatten(-2)
        return tuple(flat.index_select(-1, place) for place in self._places)

    def join(self, values: Sequence[Tensor]) -> Tensor:
        """From the devices of each kind, (..., devices), to all devices in the same order."""
        return torch.cat(tuple(values), dim=-1)

    def actions(self, values: Sequence[Tensor]) -> Tensor:
        """The inverse of `split`; slots without a device are 0."""
        joined = self.join(values)
        if self.one_each:
            return joined[..., None]
        empty = joined.new_zeros(*joined.shape[:-1], len(self.names) * self.slots)
        places = torch.cat(self._places).expand_as(joined)
        return empty.scatter(-1, places, joined).unflatten(-1, (-1, self.slots))

    def by_agent(self, values: Tensor) -> Tensor:
        """From all devices, (..., devices), to the sum over each agent's, (..., agents)."""
        # On a GPU additions to one place come in any order, and round as it falls; not in products.
        return values if self.one_each else values @ self._ownership

    def add(self, base: Tensor, weight: Tensor, values: Tensor) -> Tensor:
        """What agents have, (..., agents), and what their devices do times a weight (devices,)."""
        if self.one_each:
            return torch.addcmul(base, weight, values)
        return base + self.by_agent(weight * values)

    def reactive_room(self, output: Tensor) -> Tensor:
        """(..., devices) kvar that inverters can choose up to, drawing so many kW."""
        return ((self.inverter_rating**2 - output**2).clamp(min=0.0) + 1e-12).sqrt()

    def connected(self, power: Tensor) -> Tensor:
        """Add up what homes that share a connection draw.

        Args:
            power: (batch, 2 agents) kW, then kvar.

        Returns:
            (batch, 2 connections) likewise.
        """
        if power.device.type == "cpu":
            total = power.new_zeros(len(power), 2 * len(self.connection_names))
            return total.scatter_add(1, self._entry.expand_as(power), power)
        return (power.unflatten(-1, (2, -1)) @ self._connects).flatten(-2)

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    def _places(self) -> tuple[Tensor, ...]:
        """Of the devices of each kind, where an action (agents, slots), flattened, has theirs."""
        return tuple(group.agent * self.slots + group.slot for group in self.groups)

    @cached_property
    @torch.inference_mode(False)
    def _ownership(self) -> Tensor:
        """(devices, agents) 1 where an agent owns a device, 0 elsewhere."""
        owners = torch.cat([group.agent for group in self.groups])
        return _incidence(owners, len(self.names), self.inverter_rating)

    @cached_property
    @torch.inference_mode(False)
    def _entry(self) -> Tensor:
        """(2 agents,) where the connection's kW and kvar are."""
        return torch.cat((self.connection, self.connection + len(self.connection_names)))

    @cached_property
    @torch.inference_mode(False)
    def _connects(self) -> Tensor:
        """(agents, connections) 1 where a home connects, 0 elsewhere."""
        return _incidence(self.connection, len(self.connection_names), self.inverter_rating)

    @cached_property
    @torch.inference_mode(False)
    def inverter_rating(self) -> Tensor:
        """(devices,) kVA; 0 for devices without a choice of reactive power."""
        return self.join([group.kind.inverter_rating(group.parameters) for group in self.groups])

    @cached_property
    @torch.inference_mode(False)
    def reactive_share(self) -> Tensor:
        """(devices,) kvar per kW."""
        parts = []
        for group in self.groups:
            rating = group.kind.inverter_rating(group.parameters)
            parts.append(torch.full_like(rating, group.kind.reactive_share))
        return self.join(parts)


def _of_devices(record: Any, own: Tensor) -> Any:
    """A record cut to some devices, which are the last axis of all its tensors; None is nothing."""
    if record is None:
        return None

    def cut(value: Any) -> Any:
        if isinstance(value, Record):
            return _of_devices(value, own)
        return value[..., own] if isinstance(value, Tensor) else value

    return replace(
        record, **{entry.name: cut(getattr(record, entry.name)) for entry in fields(record)}
    )


def _incidence(place: Tensor, places: int, like: Tensor) -> Tensor:
    """(rows, places) 1 at each row's place, 0 elsewhere, in the precision of `like`."""
    return like.new_zeros(len(place), places).scatter_(1, place[:, None], 1.0)


@dataclass(frozen=True)
class Devices:
    """The devices of a kind as a table has them.

    Attributes:
        agent: name of the agent that owns each.
        columns: (devices,) each parameter by its name.
    """

    agent: Sequence[str]
    columns: Mapping[str, np.ndarray]


def make_fleet(
    places: Mapping[str, str],
    devices: Mapping[str, Devices],
    connections: Sequence[str] | None = None,
) -> Fleet:
    """A fleet from its tables, in double precision on the CPU.

    Args:
        places: where each agent connects, by its name: "bus.phase", "bus.phase.phase" or "bus".
        devices: by the name of their kind.
        connections: all places where agents may connect; by default those where one does.

    Raises:
        ValueError: a kind, an agent, a place or a column that is not known or missing, a parameter
            that is no finite number, an agent without a device, or no agent; names or tables that
            are something else; a connection that comes twice.
    """
    if not places:
        raise ValueError("places: got none, expected at least one agent")
    for agent, place in places.items():
        check_name(agent, "places")
        check_text(place, f"places[{agent!r}]", PLACE_FORMS)
    rows = {name: row for row, name in enumerate(places)}
    owned = dict.fromkeys(places, 0)
    groups, owners = [], list[int]()
    for name, table in devices.items():
        if name not in KINDS:
            raise ValueError(f"devices: unknown kind {name!r}, expected one of {', '.join(KINDS)}")
        check_type(table, Devices, f"devices[{name!r}]", "Devices")
        if isinstance(table.agent, str):
            raise ValueError(
                f"{name}.agent: got {shown(table.agent)}, expected names, one per device"
            )
    for name, kind in KINDS.items():
        if name not in devices or len(devices[name].agent) == 0:
            continue
        slot = []
        for agent in devices[name].agent:
            if agent not in rows:
                raise ValueError(f"{name}.agent: got {shown(agent)}, expected the name of an agent")
            slot.append(owned[agent])
            owned[agent] += 1
        owned_by = [rows[agent] for agent in devices[name].agent]
        owners += owned_by
        groups.append(
            DeviceGroup(
                kind,
                _parameters(kind, devices[name].columns, len(slot)),
                torch.tensor(owned_by, dtype=torch.long, device="cpu"),
                torch.tensor(slot, dtype=torch.long, device="cpu"),
            )
        )
    for agent, count in owned.items():
        if count == 0:
            raise ValueError(f"agents: {agent!r} has no device, expected at least one")
    if isinstance(connections, str) or len(set(connections or ())) < len(connections or ()):
        raise ValueError(f"connections: got {shown(connections)}, expected places, each once")
    connections = tuple(connections or dict.fromkeys(places.values()))
    where = {name: number for number, name in enumerate(connections)}
    for agent, place in places.items():
        if place not in where:
            raise ValueError(
                f"places: got {shown(place)} for {agent!r}, expected one of connections"
            )
    connection = [where[place] for place in places.values()]
    return Fleet(
        tuple(places),
        connections,
        torch.tensor(connection, dtype=torch.long, device="cpu"),
        tuple(groups),
        slots=max(owned.values()),
        one_each=owners == list(range(len(places))),
    )


def _parameters(
    kind: DeviceKind[Any, Any], columns: Mapping[str, np.ndarray], count: int
) -> Record:
    names = [field.name for field in fields(kind.parameters)]
    for name in columns:
        if name not in names:
            raise ValueError(f"{kind.name}: unknown column {name!r}, expected {', '.join(names)}")
    found = {}
    for name in names:
        if name not in columns:
            raise ValueError(f"{kind.name}.{name}: no such column, expected one")
        given = columns[name]
        try:
            values = np.array(given, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (count,) or not np.isfinite(values).all():
            raise ValueError(
                f"{kind.name}.{name}: got {given!s:.80}, expected {count} finite numbers"
            )
        found[name] = values
    check_ranges(kind.name, kind.parameters, found)
    return kind.parameters(**{name: torch.from_numpy(values) for name, values in found.items()})

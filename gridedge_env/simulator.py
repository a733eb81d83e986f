"""The batched, differentiable simulator: a fleet of homes on a three-phase feeder, day by day.

    state = simulator.reset(batch_size=8)
    state, result = simulator.step(state, action)

Physics is one chain without loops: action -> devices -> power at each home's meter -> AC power flow
-> voltages, currents, cost. Every output is differentiable in the action and the state. Devices do
not feel the network, so that for known actions a whole day's power flows are one batch (`simulate`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gridedge_env.devices import build_fleet, default_home_scale
from gridedge_env.devices.battery import MIDNIGHT_STATE_OF_CHARGE, step_batteries
from gridedge_env.devices.fleet import POWER_FACTOR
from gridedge_env.devices.generator import step_generators
from gridedge_env.devices.heat_pump import step_heat_pumps, stored_heat_value
from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.limits import Limits
from gridedge_env.observation import OBSERVATION_BOUND, observation_fields, shared_observations
from gridedge_env.powerflow import PowerFlow
from gridedge_env.scenarios import (
    SPLITS,
    DayTable,
    DemandSource,
    GeneratedDemand,
    Homes,
    Tariff,
    load_days,
)
from gridedge_env.state import Day, Result, SimulatorState, check_action

HOURS_PER_STEP = 0.5


@dataclass(frozen=True)
class SimulatorOptions:
    """Everything about a case besides its feeder and the number of agents.

    Attributes:
        seed: chooses homes, devices and where they stand.
        source_voltage: pu behind the feeder's source.
        neutral_taps: regulators at neutral, not at the feeder's tap positions. Those of the
            published feeders boost a full, one-way load; homes that import less and also export
            would see overvoltage at rest.
        home_scale: powers and energies of every home over an ordinary one's; None: so that the
            fleet is in proportion to the feeder (1 for 1,000 agents on IEEE 123).
        reactive_power: batteries and generators get a second action, reactive power within their
            inverter's rating.
        penalty: € in the reward per unit of network violation.
        tariff: retail prices.
        limits: of the network.
        demand: where household demand comes from.
    """

    seed: int = 0
    source_voltage: float = 1.0
    neutral_taps: bool = True
    home_scale: float | None = None
    reactive_power: bool = False
    penalty: float = 100.0
    tariff: Tariff = Tariff()
    limits: Limits = Limits()
    demand: DemandSource[Any] = GeneratedDemand()

    def __post_init__(self) -> None:
        for name in ("source_voltage", "home_scale"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name}: got {value}, expected a positive number")
        if not (math.isfinite(self.penalty) and self.penalty >= 0.0):
            raise ValueError(f"penalty: got {self.penalty}, expected a number of at least 0")


def make_simulator(
    feeder: str | Feeder = "ieee123",
    num_agents: int = 1000,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Simulator:
    """Build a simulator.

    Args:
        feeder: name of a built-in feeder, a folder of tables, or a `Feeder`.
        num_agents: number of homes, a third with each kind of device.
        device: "cpu", "cuda", "cuda:1", ...
        dtype: torch.float32, or torch.float64 for gradient checks.
        **options: fields of `SimulatorOptions`.

    Raises:
        ValueError: an argument that is unknown or out of range; names it and what was expected.
    """
    known = [f.name for f in fields(SimulatorOptions)]
    for name in options:
        if name not in known:
            raise ValueError(
                f"options: unknown option {name!r}, expected one of {', '.join(known)}"
            )
    if isinstance(num_agents, bool) or not isinstance(num_agents, int) or num_agents < 1:
        raise ValueError(f"num_agents: got {num_agents!r}, expected a whole number of at least 1")
    network = feeder if isinstance(feeder, Feeder) else load_feeder(feeder)
    return Simulator(network, num_agents, _check_device(device), dtype, SimulatorOptions(**options))


def _check_device(device: str | torch.device) -> torch.device:
    try:
        checked = torch.device(device)
        torch.empty(0, device=checked)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device: got {str(device)!r}, expected 'cpu' or a device of this machine ({error})"
        ) from error
    return checked


class Simulator:
    """A fleet on a feeder; made by `make_simulator`. Holds parameters only: state is passed around.

    Attributes:
        feeder: the network, its spot loads replaced by the homes.
        fleet: agents and devices.
        power_flow: the physics; its injections are the homes' connections.
        options: as given.
        num_agents: number of agents.
        steps: steps of a day.
        action_size: numbers per action: 1, or 2 with reactive power.
        observation_fields: name, unit and scale of every entry of an observation.
        private_size: number of leading entries that an agent shares with nobody.
    """

    def __init__(
        self,
        feeder: Feeder,
        num_agents: int,
        device: torch.device,
        dtype: torch.dtype,
        options: SimulatorOptions,
    ) -> None:
        scale = options.home_scale or default_home_scale(feeder, num_agents)
        network = feeder.with_neutral_taps() if options.neutral_taps else feeder
        self.feeder = network.without_loads().with_source_voltage(options.source_voltage)
        self.fleet = build_fleet(feeder, num_agents, options.seed, scale, device, dtype)
        self.power_flow = PowerFlow(self.feeder, self.fleet.branch_names, device, dtype)
        self.options = options
        self.device = device
        self.dtype = dtype
        self.num_agents = num_agents
        self.action_size = 2 if options.reactive_power else 1
        self.observation_fields = observation_fields()
        self.private_size = sum(f.private for f in self.observation_fields)
        self.steps = load_days(SPLITS[0]).day_ahead_price.shape[1]
        self._tables: dict[str, tuple[DayTable, Tensor, Homes]] = {}
        connects = torch.zeros(num_agents, len(self.fleet.branch_names), device=device, dtype=dtype)
        self._connection = connects.scatter_(1, self.fleet.branch[:, None], 1.0)

    def days(self, split: str) -> DayTable:
        """The days of "train", "validation" or "test"."""
        return self._table(split)[0]

    def reset(
        self,
        batch_size: int = 1,
        split: str = "train",
        seed: int = 0,
        days: Sequence[int] | None = None,
    ) -> SimulatorState:
        """A fresh batch of days at midnight, as a function of the arguments alone.

        Args:
            batch_size: number of days, drawn at random from the split.
            split: "train", "validation" or "test": other years, and other homes behind the meters.
            seed: chooses days, demand and room temperatures.
            days: rows of `days(split)` to take instead of random ones; sets the batch size.

        Raises:
            ValueError: unknown split, no days, or a row that is not there.
        """
        table, shared, homes = self._table(split)
        count = len(table.dates)
        mixed = np.random.SeedSequence([seed, SPLITS.index(split)]).generate_state(1, np.uint64)
        generator = torch.Generator(self.device).manual_seed(int(mixed[0] >> 1))
        if days is None:
            if batch_size < 1:
                raise ValueError(f"batch_size: got {batch_size}, expected at least 1")
            row = torch.randint(count, (batch_size,), generator=generator, device=self.device)
        else:
            if len(days) == 0 or min(days) < 0 or max(days) >= count:
                raise ValueError(f"days: got {list(days)}, expected rows from 0 to {count - 1}")
            row = torch.tensor(list(days), device=self.device)

        scale = self.fleet.scale
        demand = self.options.demand.draw(homes, table.month[row], table.weekend[row], generator)
        day = Day(
            row,
            table.outdoor_temperature[row],
            table.irradiance[row],
            self.options.tariff.import_price(table.day_ahead_price[row]),
            self.options.tariff.export_price(table.day_ahead_price[row]),
            demand * scale,
            homes.mean_power * scale,
            shared[row],
        )
        return self._midnight(day, generator)

    def observe(self, state: SimulatorState) -> Tensor:
        """Local observations: (batch, agents, observation fields), each within ±5 of its scale."""
        private, shared = self.observe_parts(state)
        return torch.cat((private, shared[:, None, :].expand(-1, self.num_agents, -1)), dim=-1)

    def observe_parts(self, state: SimulatorState) -> tuple[Tensor, Tensor]:
        """The same in two parts: private (batch, agents, 3) and shared (batch, shared fields).

        All agents read the same prices and weather; a learner need not store them a thousand times.
        """
        fleet, pumps = self.fleet, self.fleet.heat_pumps
        band = pumps.highest_temperature - pumps.lowest_temperature
        own_state = torch.cat(
            (
                state.energy / fleet.batteries.capacity,
                (state.temperature - pumps.lowest_temperature) / band,
                state.loading,
            ),
            dim=-1,
        )
        step = min(state.step, self.steps - 1)
        own_load = state.day.demand[:, step] / state.day.mean_demand
        re, im = state.device_voltage.chunk(2, dim=-1)
        own_voltage = (re * re + im * im).sqrt()[:, fleet.branch]
        entries = [
            (value - field.offset) / field.scale
            for value, field in zip(
                (own_state, own_load, own_voltage), self.observation_fields, strict=False
            )
        ]
        private = torch.stack(entries, dim=-1).clamp(-OBSERVATION_BOUND, OBSERVATION_BOUND)
        return private, state.day.shared_observation[:, step]

    def step(self, state: SimulatorState, action: Tensor) -> tuple[SimulatorState, Result]:
        """Advance half an hour.

        Args:
            state: where the days stand; not modified.
            action: (batch, agents, action_size); numbers outside [-1, 1] count as the nearer end.

        Returns:
            The next state, and what the step cost and did to the network.

        Raises:
            ValueError: a wrong shape, a number that is not finite, or a day that is over.
        """
        check_action(action, (*state.day.demand.shape[::2], self.action_size), "action")
        following, power, reactive, cost = self._act(state, action)
        branches = self._branch_power(power, reactive)
        solution = self.power_flow.solve_branches(branches, state.device_voltage)
        voltage = self.power_flow.space.device_voltage(solution.device_current)
        return replace(following, device_voltage=voltage), self._result(cost, power, solution)

    def glance(self, state: SimulatorState, action: Tensor, sweeps: int = 2) -> SimulatorState:
        """The next state, its voltages after a few sweeps of the power flow: enough to read a meter.

        For rollouts whose actions are then simulated exactly. No certificate and no result.
        """
        following, power, reactive, _ = self._act(state, action)
        branches = self._branch_power(power, reactive)
        voltage = self.power_flow.sweep_branches(branches, state.device_voltage, sweeps)
        return replace(following, device_voltage=voltage)

    def simulate(
        self, state: SimulatorState, actions: Tensor, start: Tensor | None = None
    ) -> Result:
        """Several steps under known actions, all their power flows in one batch.

        Args:
            state: where to begin.
            actions: (steps, batch, agents, action_size), as in `step`.
            start: (steps, batch, 2 branches) device voltages near the solution; speeds it up.

        Returns:
            The trajectory; every field has a leading steps axis.

        Raises:
            ValueError: as in `step`.
        """
        batch = state.day.demand.shape[0]
        check_action(actions, (len(actions), batch, self.num_agents, self.action_size), "actions")
        powers, reactives, costs = [], [], []
        for action in actions:
            state, power, reactive, cost = self._act(state, action)
            powers.append(power)
            reactives.append(reactive)
            costs.append(cost)
        power, reactive = torch.stack(powers), torch.stack(reactives)
        branches = self._branch_power(power.flatten(0, 1), reactive.flatten(0, 1))
        begin = None if start is None else start.flatten(0, 1)
        solution = self.power_flow.solve_branches(branches, begin)
        return self._result(torch.stack(costs), power, solution)

    def _act(
        self, state: SimulatorState, action: Tensor
    ) -> tuple[SimulatorState, Tensor, Tensor, Tensor]:
        """Devices, meters and money of one step; the network's answer is left to the caller.

        Returns:
            The next state (voltages unchanged), kW and kvar at each meter, and cost in €.
        """
        if state.step >= self.steps:
            raise ValueError(f"state: its day is over after {self.steps} steps, expected a reset")
        fleet, day, t = self.fleet, state.day, state.step
        outdoor, sun = day.outdoor_temperature[:, t, None], day.irradiance[:, t, None]
        bounded = action.clamp(-1.0, 1.0)
        for_battery, for_pump, for_generator = bounded[..., 0].split(fleet.counts, dim=-1)
        hours = HOURS_PER_STEP
        left = (self.steps - t - 1) * hours

        energy, charging, wear = step_batteries(
            fleet.batteries, state.energy, for_battery, hours, left
        )
        temperature, heating, discomfort = step_heat_pumps(
            fleet.heat_pumps, state.temperature, for_pump, outdoor, sun, hours
        )
        loading, generating, fuel = step_generators(fleet.generators, for_generator, hours)
        if t == self.steps - 1:
            discomfort = discomfort - stored_heat_value(
                fleet.heat_pumps,
                temperature,
                day.outdoor_temperature.mean(dim=1, keepdim=True),
                day.import_price.mean(dim=1, keepdim=True),
            )

        device_power = torch.cat((charging, heating, generating), dim=-1)
        demand = day.demand[:, t]
        power = demand + device_power
        tangent = math.tan(math.acos(POWER_FACTOR))
        nothing = torch.zeros_like(charging), torch.zeros_like(generating)
        reactive = tangent * (demand + torch.cat((nothing[0], heating, nothing[1]), dim=-1))
        if self.options.reactive_power:
            rating = fleet.inverter_rating
            room = (rating**2 - device_power**2).clamp(min=0.0) * (rating > 0.0)
            reactive = reactive + bounded[..., 1] * (room + 1e-12).sqrt()

        bought = power.clamp(min=0.0) * day.import_price[:, t, None]
        sold = power.clamp(max=0.0) * day.export_price[:, t, None]
        cost = hours * (bought + sold) + torch.cat((wear, discomfort, fuel), dim=-1)
        following = replace(
            state, step=t + 1, energy=energy, temperature=temperature, loading=loading
        )
        return following, power, reactive, cost

    def _branch_power(self, power: Tensor, reactive: Tensor) -> Tensor:
        """Power of all homes at each connection: (batch, 2 branches) kW, then kvar."""
        return torch.cat((power @ self._connection, reactive @ self._connection), dim=-1)

    def _result(self, cost: Tensor, power: Tensor, solution: Any) -> Result:
        return Result(
            cost,
            power,
            solution,
            self.power_flow.branch_rating,
            self.options.limits,
            self.options.penalty,
        )

    def _midnight(self, day: Day, generator: torch.Generator) -> SimulatorState:
        batch, fleet, pumps = len(day.table_row), self.fleet, self.fleet.heat_pumps
        where: dict[str, Any] = {"device": self.device, "dtype": self.dtype}
        warmth = torch.rand(batch, fleet.counts[1], generator=generator, **where)
        return SimulatorState(
            day=day,
            step=0,
            energy=(MIDNIGHT_STATE_OF_CHARGE * fleet.batteries.capacity).expand(batch, -1),
            temperature=torch.lerp(pumps.lowest_temperature, pumps.highest_temperature, warmth),
            loading=torch.zeros(batch, fleet.counts[2], **where),
            device_voltage=self.power_flow.no_load(batch),
        )

    def _table(self, split: str) -> tuple[DayTable, Tensor, Homes]:
        """Days, shared observations and homes of a split, made on first use."""
        if split not in self._tables:
            days = load_days(split).to(self.device, self.dtype)
            homes = self.options.demand.assign_homes(
                split, self.num_agents, self.options.seed, self.device, self.dtype
            )
            self._tables[split] = days, shared_observations(days, self.options.tariff), homes
        return self._tables[split]

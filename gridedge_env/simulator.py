"""The batched, differentiable simulator: a fleet of homes on a three-phase feeder, day by day.

    state = simulator.reset(batch_size=8)
    state, result = simulator.step(state, action)

Physics is one chain without loops: action -> devices -> power at each home's meter -> AC power flow
-> voltages, currents, cost. Every output is differentiable in the action and the state. Devices do
not feel the network, so that for known actions all power flows of a day are one batch (`simulate`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gridedge_env.devices import build_fleet, default_home_scale
from gridedge_env.devices.battery import MIDNIGHT_STATE_OF_CHARGE, energy_bounds, run_batteries
from gridedge_env.devices.fleet import POWER_FACTOR
from gridedge_env.devices.generator import paying_loading, step_generators
from gridedge_env.devices.heat_pump import run_heat_pumps, stored_heat_value
from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.limits import check_limited_nodes
from gridedge_env.observation import entries, observation_fields, shared_observations
from gridedge_env.options import SimulatorOptions, check_whole_number
from gridedge_env.powerflow import PowerFlow, PowerFlowSolution, join_solutions, settle_taps
from gridedge_env.powerflow.solution import magnitude
from gridedge_env.scenarios import SPLITS, DayTable, Homes, Variation, load_days
from gridedge_env.state import Day, Result, SimulatorState, check_action
from gridedge_env.transfer import to_device

HOURS_PER_STEP = 0.5
SECONDS_PER_STEP = 3600.0 * HOURS_PER_STEP
# Of household demand and heat pumps, kvar per kW.
REACTIVE_SHARE = math.tan(math.acos(POWER_FACTOR))
AS_OBSERVED = Variation()


def make_simulator(
    feeder: str | Feeder = "ieee123",
    num_agents: int = 1000,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Simulator:
    """Build a simulator.

    Args:
        feeder: name of a built-in feeder, a folder of tables, an OpenDSS script, or a `Feeder`.
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
    count = check_whole_number(num_agents, 1, "num_agents")
    network = feeder if isinstance(feeder, Feeder) else load_feeder(feeder)
    return Simulator(network, count, check_device(device), dtype, SimulatorOptions(**options))


def check_device(device: str | torch.device) -> torch.device:
    """A device that this machine has.

    Raises:
        ValueError: it has no such device; names what came.
    """
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
        check_limited_nodes(self.power_flow.node_names, self.power_flow.energised)
        self.options = options
        self.device = device
        self.dtype = dtype
        self.num_agents = num_agents
        self.action_size = 2 if options.reactive_power else 1
        self.observation_fields = observation_fields()
        self.private_size = sum(f.private for f in self.observation_fields)
        self.steps = load_days(SPLITS[0]).day_ahead_price.shape[1]
        self._tables: dict[str, tuple[DayTable, Homes]] = {}
        left = HOURS_PER_STEP * torch.arange(self.steps).flip(0)[:, None, None]
        self._hours_left = left.to(device, dtype)  # from the end of each step to midnight
        kinds = [torch.full((n,), k == 1) for k, n in enumerate(self.fleet.counts)]
        # Of each device, kvar per kW: heat pumps have a power factor.
        self._reactive_share = REACTIVE_SHARE * torch.cat(kinds).to(device, dtype)

    def days(self, split: str) -> DayTable:
        """The days of "train", "validation" or "test"."""
        return self._table(split)[0]

    def reset(
        self,
        batch_size: int = 1,
        split: str = "train",
        seed: int = 0,
        days: Sequence[int] | None = None,
        variation: Variation = AS_OBSERVED,
    ) -> SimulatorState:
        """A fresh batch of days at midnight, as a function of the arguments alone.

        Args:
            batch_size: number of days, drawn at random from the split.
            split: "train", "validation" or "test": other years, and other homes behind the meters.
            seed: chooses days, demand and room temperatures.
            days: rows of `days(split)` to take instead of random ones; sets the batch size.
            variation: departure from the observed days; none by default.

        Raises:
            ValueError: unknown split, no days, a row that is not there, a negative seed.
        """
        table, homes = self._table(split)
        count = len(table.dates)
        entropy = [check_whole_number(seed, 0, "seed"), SPLITS.index(split)]
        mixed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
        generator = torch.Generator(self.device).manual_seed(int(mixed[0] >> 1))
        if days is None:
            size = (check_whole_number(batch_size, 1, "batch_size"),)
            row = torch.randint(count, size, generator=generator, device=self.device)
        else:
            rows = [check_whole_number(day, 0, "days") for day in days]
            if not rows or max(rows) >= count:
                raise ValueError(f"days: got {rows}, expected rows from 0 to {count - 1}")
            row = to_device(torch.tensor(rows), self.device)

        chosen, tariff, scale = table.select(row), self.options.tariff, self.fleet.scale
        demand = self.options.demand.draw(homes, chosen.month, chosen.weekend, generator)
        chosen = variation.of_days(chosen)
        day = Day(
            row,
            chosen.outdoor_temperature,
            chosen.irradiance,
            tariff.import_price(chosen.day_ahead_price),
            tariff.export_price(chosen.day_ahead_price),
            variation.of_demand(demand).mul_(scale),
            homes.mean_power * scale,
            shared_observations(chosen, tariff),
        )
        return self._midnight(day, generator)

    def observe(self, state: SimulatorState) -> Tensor:
        """Local observations: (batch, agents, observation fields), each within ±10 of its scale."""
        private, shared = self.observe_parts(state)
        return torch.cat((private, shared[:, None, :].expand(-1, self.num_agents, -1)), dim=-1)

    def observe_parts(self, state: SimulatorState) -> tuple[Tensor, Tensor]:
        """The same in two parts: private (batch, agents, 3) and shared (batch, shared fields).

        All agents read the same prices and weather; a learner need not store them a thousand times.
        """
        step = min(state.step, self.steps - 1)
        paying = paying_loading(self.fleet.generators, state.day.import_price[:, step, None])
        own = torch.cat((state.energy, state.temperature, paying), dim=-1)
        own_state = (own - self.fleet.least_state) / self.fleet.state_range
        own_load = state.day.demand.select(1, step) / state.day.mean_demand
        own_voltage = magnitude(state.device_voltage).index_select(-1, self.fleet.branch)
        private = entries(torch.stack((own_state, own_load, own_voltage)), private=True)
        return private.permute(1, 2, 0), state.day.shared_observation[:, step]

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
        batch = state.day.demand.shape[0]
        check_action(action, (batch, self.num_agents, self.action_size), "action")
        following, output, cost = self._operate(state, action[None])
        power, branches = self._meter(state, output, action[None])
        taps = state.tap_position
        solution = self.power_flow.solve_branches(branches, state.device_voltage, taps)
        voltage = solution.injection_voltage
        if taps is not None:
            now = branches.detach(), solution.device_voltage
            taps = settle_taps(self.power_flow, *now, taps, SECONDS_PER_STEP)
        following = replace(following, device_voltage=voltage, tap_position=taps)
        cost = self._bill(state, power, cost)
        return following, self._result(cost[0], power[0], solution)

    def glance(self, state: SimulatorState, action: Tensor, sweeps: int = 2) -> SimulatorState:
        """The next state, its voltages after a few sweeps only: enough to read a meter.

        For rollouts whose actions are then simulated exactly. No certificate and no result. Under
        regulator control it is a whole step: taps must move as they will.
        """
        if state.tap_position is not None:
            return self.step(state, action)[0]
        following, output, _ = self._operate(state, action[None])
        _, branches = self._meter(state, output, action[None])
        voltage = self.power_flow.sweep_branches(branches, state.device_voltage, sweeps)
        return replace(following, device_voltage=voltage)

    def simulate(
        self, state: SimulatorState, actions: Tensor, start: Tensor | None = None
    ) -> Result:
        """Several steps under known actions, all their power flows in one batch.

        Under regulator control the power flows are one after the other: each moves the next's taps.

        Args:
            state: where to begin.
            actions: (steps, batch, agents, action_size), as in `step`.
            start: (steps, batch, 2 branches) device voltages near the solution; speeds it up.

        Returns:
            The trajectory; every field has a leading steps axis.

        Raises:
            ValueError: as in `step`.
        """
        steps, batch = max((1, *actions.shape[:1])), state.day.demand.shape[0]
        check_action(actions, (steps, batch, self.num_agents, self.action_size), "actions")
        if state.tap_position is not None:
            return self._simulate_in_turn(state, actions)
        _, output, cost = self._operate(state, actions)
        power, branches = self._meter(state, output, actions)
        begin = None if start is None else start.flatten(0, 1)
        solution = self.power_flow.solve_branches(branches, begin)
        return self._result(self._bill(state, power, cost), power, solution)

    def _simulate_in_turn(self, state: SimulatorState, actions: Tensor) -> Result:
        results = []
        for action in actions:
            state, result = self.step(state, action)
            results.append(result)
        return self._result(
            torch.stack([result.cost for result in results]),
            torch.stack([result.power for result in results]),
            join_solutions([result.solution for result in results]),
        )

    def _operate(
        self, state: SimulatorState, actions: Tensor
    ) -> tuple[SimulatorState, Tensor, Tensor]:
        """One or more steps of all devices.

        Args:
            state: where the steps begin.
            actions: (steps, batch, agents, action_size).

        Returns:
            The state after them (voltages unchanged), and of every device the power drawn in kW
            and its cost apart from electricity in €: (steps, batch, agents).
        """
        steps, fleet, hours = len(actions), self.fleet, HOURS_PER_STEP
        ended = state.step + steps
        if ended > self.steps:
            raise ValueError(f"state: its day is over after {self.steps} steps, expected a reset")
        first = actions[..., 0].to(self.dtype).clamp(-1.0, 1.0)
        for_battery, for_pump, for_generator = first.split(fleet.counts, dim=-1)

        bounds = energy_bounds(fleet.batteries, self._hours_left[state.step : ended])
        energy, charging, wear = run_batteries(
            fleet.batteries, state.energy, for_battery, hours, bounds
        )
        pumps, (outdoor, irradiance, _, _) = fleet.heat_pumps, state.conditions(steps)
        temperature, heating, discomfort = run_heat_pumps(
            pumps, state.temperature, for_pump, outdoor, irradiance, hours
        )
        loading, generating, fuel = step_generators(fleet.generators, for_generator, hours)
        if ended == self.steps:
            worth = stored_heat_value(
                pumps,
                temperature[-1],
                state.day.outdoor_temperature.mean(dim=1, keepdim=True),
                state.day.import_price.mean(dim=1, keepdim=True),
            )
            discomfort = torch.cat((discomfort[:-1], discomfort[-1:] - worth))
        following = replace(
            state, step=ended, energy=energy[-1], temperature=temperature[-1], loading=loading[-1]
        )
        output = torch.cat((charging, heating, generating), dim=-1)
        return following, output, torch.cat((wear, discomfort, fuel), dim=-1)

    def _meter(
        self, state: SimulatorState, output: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What homes draw from the network in the steps that begin with `state`.

        Args:
            state: where the steps begin.
            output: (steps, batch, agents) kW drawn by the devices.
            actions: (steps, batch, agents, action_size).

        Returns:
            (steps, batch, agents) kW at each meter, and (steps x batch, 2 branches) kW, then kvar,
            of all homes at each connection.
        """
        begin, end = state.step, state.step + len(output)
        demand = state.day.demand[:, begin:end].transpose(0, 1)
        power = demand + output
        reactive = torch.addcmul(REACTIVE_SHARE * demand, self._reactive_share, output)
        if self.options.reactive_power:
            second = actions[..., 1].to(self.dtype).clamp(-1.0, 1.0)
            room = (self.fleet.inverter_rating**2 - output**2).clamp(min=0.0)
            reactive = reactive + second * (room + 1e-12).sqrt()
        return power, self.fleet.connected(torch.cat((power, reactive), dim=-1).flatten(0, 1))

    def _bill(self, state: SimulatorState, power: Tensor, cost: Tensor) -> Tensor:
        """€ with the electricity at each meter, (steps, batch, agents) like `power` in kW."""
        _, _, selling, extra = state.conditions(len(power))
        cost = torch.addcmul(cost, selling, power, value=HOURS_PER_STEP)
        return torch.addcmul(cost, extra, torch.relu(power), value=HOURS_PER_STEP)

    def _result(self, cost: Tensor, power: Tensor, solution: PowerFlowSolution) -> Result:
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
            tap_position=(
                self.power_flow.tap_position.expand(batch, -1)
                if self.options.regulator_control
                else None
            ),
        )

    def _table(self, split: str) -> tuple[DayTable, Homes]:
        """Days and homes of a split, made on first use."""
        if split not in self._tables:
            days = load_days(split).to(self.device, self.dtype)
            homes = self.options.demand.assign_homes(
                split, self.num_agents, self.options.seed, self.device, self.dtype
            )
            self._tables[split] = days, homes
        return self._tables[split]

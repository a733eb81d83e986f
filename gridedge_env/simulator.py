"""The batched, differentiable simulator: a fleet of homes on a three-phase feeder, day by day.

An episode is one day or, by the case's clock, several consecutive ones.

    state = simulator.reset(batch_size=8)
    state, result = simulator.step(state, action)

Physics is one chain without loops: action -> devices -> power at each home's meter -> AC power flow
-> voltages, currents, cost. Every output is differentiable in the action and the state. Devices do
not feel the network, so that for known actions all power flows of a day are one batch (`simulate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gridedge_env.case import Case, default_case
from gridedge_env.checks import check_type, shown
from gridedge_env.clock import Clock
from gridedge_env.constraints import check_limited_nodes
from gridedge_env.day import Window
from gridedge_env.devices.kind import REACTIVE_SHARE
from gridedge_env.episodes import (
    Split,
    chosen_starts,
    draw_starts,
    generator_of,
    home_demand,
    load_split,
    midnight,
    unfold,
)
from gridedge_env.feeder import Feeder
from gridedge_env.local_response import fed_in, response_bases
from gridedge_env.observation import (
    Moment,
    observation_fields,
    private_observations,
)
from gridedge_env.powerflow import PowerFlow, PowerFlowSolution, check_dtype, settle_taps
from gridedge_env.public_plan import PlannedHomes, PublicPlan
from gridedge_env.scenarios import DayTable, Variation
from gridedge_env.scenarios.observed import check_split
from gridedge_env.state import Result, SimulatorState, check_action, check_state
from gridedge_env.transfer import check_device
from gridedge_env.wiring import Wiring

AS_OBSERVED = Variation()
ALL = slice(None)


def make_simulator(
    feeder: str | Feeder = "ieee123",
    num_agents: int = 1000,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    case: Case | None = None,
    **options: Any,
) -> Simulator:
    """Build a simulator.

    Args:
        feeder: name of a built-in feeder, a folder of tables, an OpenDSS script, or a `Feeder`.
        num_agents: number of homes, a third with each kind of device.
        device: "cpu", "cuda", "cuda:1", ...
        dtype: torch.float32, or torch.float64 for gradient checks.
        case: what is to be simulated; by default the default case, of which the other arguments
            are shorthand.
        **options: as of `default_case`.

    Raises:
        ValueError: an argument that is unknown or out of range; names it and what was expected.
    """
    checked = check_device(device), check_dtype(dtype)
    return Simulator(case_of(case, feeder, num_agents, **options), *checked)


def case_of(case: Case | None, feeder: str | Feeder, num_agents: int, **options: Any) -> Case:
    """The case itself, or the default case that the shorthand says.

    Raises:
        ValueError: both, no `Case`, or an option that is unknown or out of range.
    """
    if case is None:
        return default_case(feeder, num_agents, **options)
    if not isinstance(case, Case):
        raise ValueError(f"case: got {shown(case)}, expected a Case")
    shorthand: dict[str, Any] = {"feeder": feeder, "num_agents": num_agents}
    usual = {"feeder": "ieee123", "num_agents": 1000}
    given = {name: value for name, value in shorthand.items() if value != usual[name]} | options
    if given:
        told = ", ".join(f"{name}={value!r:.40}" for name, value in given.items())
        raise ValueError(f"case: got one and {told} beside it, expected all of it in the case")
    return case


class Simulator:
    """A fleet on a feeder; made by `make_simulator`. Holds parameters only: state is passed around.

    Attributes:
        case: all that it simulates.
        device: where it computes.
        dtype: in what precision.
        clock: steps of an episode, and their length.
        feeder: the network.
        fleet: agents and devices, in that precision, on that device.
        power_flow: the physics; its injections are the feeder's loads, the homes' connections and
            the local responses there.
        wiring: how these draw there.
        num_agents: number of agents.
        action_size: numbers per action: one for each device of an agent; twice that with reactive
            power.
        observation_fields: name, unit and scale of every entry of an observation.
        private_size: number of leading entries that an agent shares with nobody.
    """

    def __init__(self, case: Case, device: torch.device, dtype: torch.dtype) -> None:
        self.case = case
        self.device = device
        self.dtype = dtype
        self.clock: Clock = case.clock
        self.feeder = case.feeder
        self.fleet = case.fleet.to(device, dtype)
        places = self.fleet.connection_names
        answering = places if case.local_response else ()
        self.power_flow = PowerFlow(self.feeder, places, device, dtype, responses=answering)
        self.wiring = Wiring(self.power_flow, case.fleet, case.load_profiles)
        check_limited_nodes(self.power_flow.node_names, self.power_flow.energised)
        self.num_agents = len(self.fleet.names)
        self.action_size = case.action_size
        self.observation_fields = observation_fields(
            self.fleet.slots,
            case.tariff,
            case.currency,
            case.clock,
            case.public_plan,
        )
        self.private_size = sum(f.private for f in self.observation_fields)
        self._private_fields = self.observation_fields[: self.private_size]
        self._shared_fields = self.observation_fields[self.private_size :]
        self._splits: dict[str, Split] = {}

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    def public_plan(self) -> PublicPlan | None:
        """What all can work out beforehand; None where agents do not observe it."""
        if not self.case.public_plan:
            return None
        demand = home_demand(self.case, self._split("train"))
        where = self.fleet, self.power_flow, self.wiring
        return PublicPlan(*where, self.case.limits, self.clock, demand)

    @property
    def planned_homes(self) -> PlannedHomes | None:
        """What agents read of the public plan; None where they do not observe it."""
        return None if self.public_plan is None else self.public_plan.homes

    def days(self, split: str) -> DayTable:
        """The days of "train", "validation" or "test", each on its own."""
        return self._split(split).days

    def starts(self, split: str) -> list[int]:
        """Rows of `days(split)` at which episodes can begin: as many days follow as they need."""
        return self._split(split).starts.tolist()

    def reset(
        self,
        batch_size: int = 1,
        split: str = "train",
        seed: int = 0,
        days: Sequence[int] | None = None,
        variation: Variation = AS_OBSERVED,
        kept: slice = ALL,
    ) -> SimulatorState:
        """A fresh batch of episodes at midnight, as a function of the arguments alone.

        Args:
            batch_size: number of episodes, drawn at random from the split.
            split: "train", "validation" or "test": other years, and other homes behind the meters.
            seed: chooses days, demand and room temperatures.
            days: rows of `days(split)` to begin at instead of random ones; sets the batch size.
            variation: departure from the observed days; none by default.
            kept: which of the episodes are wanted. They are what they are among all of the batch.

        Raises:
            ValueError: unknown split, no days, a row that is not there or not followed by as many
                days as an episode needs, a negative seed, a variation of another number of
                episodes.
        """
        check_type(variation, Variation, "variation", "a Variation")
        check_type(kept, slice, "kept", "a slice")
        loaded = self._split(split)
        generator = generator_of(seed, split, self.device)
        if days is None:
            row = draw_starts(loaded, batch_size, generator)
        else:
            row = chosen_starts(loaded, days, self.clock.days)
        variation.check_episodes(len(row), self.device)
        plan, fields = self.public_plan, self._shared_fields
        day = unfold(self.case, loaded, row, fields, generator, variation, plan, kept)
        where = self.fleet, self.power_flow
        return midnight(self.case, *where, day, generator, len(row), kept)

    def observe(self, state: SimulatorState) -> Tensor:
        """Local observations: (batch, agents, observation fields), each within ±10 of its scale."""
        private, shared = self.observe_parts(state)
        return torch.cat((private, shared[:, None, :].expand(-1, self.num_agents, -1)), dim=-1)

    def observe_parts(self, state: SimulatorState) -> tuple[Tensor, Tensor]:
        """The same in two parts: (batch, agents, private fields) and (batch, shared fields).

        All agents read the same prices and weather; a learner need not store them a thousand times.
        """
        self._episodes(state)
        step = min(state.step, self.clock.steps - 1)
        moment = Moment(self.fleet, self.wiring, state, step, self.planned_homes)
        private = private_observations(self._private_fields, moment)
        return private, state.day.shared_observation[:, step]

    def step(self, state: SimulatorState, action: Tensor) -> tuple[SimulatorState, Result]:
        """Advance one step.

        Args:
            state: where the days stand; not modified.
            action: (batch, agents, action_size); numbers outside [-1, 1] count as the nearer end.

        Returns:
            The next state, and what the step cost and did to the network.

        Raises:
            ValueError: a state of another simulator, a wrong shape, a number that is not finite, or
                a day that is over.
        """
        expected = self._episodes(state), self.num_agents, self.action_size
        check_action(action, expected, "action", self.device)
        following, output, cost = self._operate(state, action[None])
        power, branches = self._meter(state, output, action[None])
        taps = state.tap_position
        solution = self.power_flow.solve_branches(branches, state.device_voltage, taps)
        voltage = solution.injection_voltage
        if taps is not None:
            now = branches.detach(), solution.device_voltage
            taps = settle_taps(self.power_flow, *now, taps, self.clock.seconds)
        following = replace(following, device_voltage=voltage, tap_position=taps)
        power = self._metered(power, output, solution)
        cost = self._bill(state, power, cost)
        return following, self._result(cost[0], power[0], solution)

    def glance(self, state: SimulatorState, action: Tensor, sweeps: int = 2) -> SimulatorState:
        """The next state, its voltages after a few sweeps only: enough to read a meter.

        For rollouts whose actions are then simulated exactly. No certificate and no result. Under
        regulator control it is a whole step: taps must move as they will.

        Raises:
            ValueError: as in `step`.
        """
        expected = self._episodes(state), self.num_agents, self.action_size
        if state.tap_position is not None:
            return self.step(state, action)[0]
        check_action(action, expected, "action", self.device)
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
        batch, steps = self._episodes(state), max((1, *getattr(actions, "shape", ())[:1]))
        expected = steps, batch, self.num_agents, self.action_size
        check_action(actions, expected, "actions", self.device)
        if state.tap_position is not None:
            return self._simulate_in_turn(state, actions)
        _, output, cost = self._operate(state, actions)
        power, branches = self._meter(state, output, actions)
        begin = start.flatten(0, 1) if isinstance(start, Tensor) and start.dim() == 3 else start
        solution = self.power_flow.solve_branches(branches, begin)
        power = self._metered(power, output, solution)
        return self._result(self._bill(state, power, cost), power, solution)

    def _simulate_in_turn(self, state: SimulatorState, actions: Tensor) -> Result:
        results = []
        for action in actions:
            state, result = self.step(state, action)
            results.append(result)
        return self._result(
            torch.stack([result.cost for result in results]),
            torch.stack([result.power for result in results]),
            PowerFlowSolution.cat([result.solution for result in results]),
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
            and its cost apart from electricity in €: (steps, batch, devices).
        """
        window = self._window(state, len(actions))
        bounded = actions.to(self.dtype).clamp(-1.0, 1.0)
        following, output, cost = self.fleet.run(state.devices, bounded, window)
        return replace(state, step=window.end, devices=following), output, cost

    def _window(self, state: SimulatorState, steps: int) -> Window:
        window = Window(state.day, state.step, steps)
        if window.end > self.clock.steps:
            raise ValueError(
                f"state: its episode is over after {self.clock.steps} steps, expected a reset"
            )
        return window

    def _meter(
        self, state: SimulatorState, output: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What homes draw from the network in the steps that begin with `state`.

        Args:
            state: where the steps begin.
            output: (steps, batch, devices) kW drawn by the devices.
            actions: (steps, batch, agents, action_size).

        Returns:
            (steps, batch, agents) kW at each meter if nothing is curtailed, and (steps x batch,
            2 branches) kW, then kvar, of homes and the feeder's own loads.
        """
        window, fleet = Window(state.day, state.step, len(output)), self.fleet
        demand = state.day.demand[:, window.first : window.end].transpose(0, 1)
        power = demand + fleet.by_agent(output)
        reactive = fleet.add(REACTIVE_SHARE * demand, fleet.reactive_share, output)
        share = None
        if self.case.reactive_power:
            chosen = actions[..., fleet.slots :].to(self.dtype).clamp(-1.0, 1.0)
            share = fleet.join(fleet.split(chosen))
            reactive = reactive + fleet.by_agent(share * fleet.reactive_room(output))
        homes = fleet.connected(torch.cat((power, reactive), dim=-1).flatten(0, 1))
        response = response_bases(fleet, output, share) if self.case.local_response else None
        return power, self.wiring.drawn(homes, window.load_multiplier, response)

    def _metered(self, power: Tensor, output: Tensor, solution: PowerFlowSolution) -> Tensor:
        """Power at the meters as of `_meter`, less what inverters were to feed in and curtailed."""
        if not self.case.local_response:
            return power
        share = self.wiring.curtailed_share(solution.injection_voltage)
        return power + fed_in(self.fleet, output) * share.reshape(power.shape)

    def _bill(self, state: SimulatorState, power: Tensor, cost: Tensor) -> Tensor:
        """€ of every agent, its devices' cost and the electricity at its meter.

        (steps, batch, agents) for `power` in kW of the same shape and `cost` of every device.
        """
        window = Window(state.day, state.step, len(power))
        return window.with_electricity(self.fleet.by_agent(cost), power)

    def _result(self, cost: Tensor, power: Tensor, solution: PowerFlowSolution) -> Result:
        case = self.case
        return Result(cost, power, solution, self.power_flow, case.limits, case.penalty)

    def _episodes(self, state: SimulatorState) -> int:
        """How many a state has, which is one of this simulator's."""
        controlled = self.case.regulator_control
        return check_state(state, self.clock, self.case.fleet, self.power_flow, controlled)

    def _split(self, split: str) -> Split:
        """Days and homes of a split, loaded on first use."""
        if check_split(split) not in self._splits:
            self._splits[split] = load_split(self.case, self.wiring, split, self.device, self.dtype)
        return self._splits[split]

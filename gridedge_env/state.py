"""What the simulator carries from step to step, and what it reports: typed, immutable records."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from gridedge_env.checks import check_type
from gridedge_env.clock import Clock
from gridedge_env.constraints import Limits
from gridedge_env.day import Day
from gridedge_env.devices import Fleet
from gridedge_env.limit import Limit
from gridedge_env.powerflow import PowerFlow, PowerFlowSolution
from gridedge_env.record import Record, batch


@dataclass(frozen=True, eq=False)
class SimulatorState(Record):
    """Where a batch of days stands.

    Attributes:
        day: the days.
        step: steps done, the same for the whole batch.
        devices: the state of the devices of each kind, as in `Fleet.groups`; the kinds' own
            records.
        device_voltage: (batch, 2 branches) voltage across the phases of loads and homes in the
            previous step, pu, real parts first.
        tap_position: (batch, regulators) under regulator control; None: frozen.
        fleet: the `Fleet.fingerprint` of whose devices they are.
    """

    day: Day
    step: int
    devices: tuple[Record, ...]
    device_voltage: Tensor = field(metadata=batch())
    tap_position: Tensor | None = field(default=None, metadata=batch())
    fleet: str = ""


@dataclass(frozen=True)
class Result:
    """What a step (leading axes: batch) or a whole day (steps, batch) cost and did to the network.

    Attributes:
        cost: (..., agents) €, energy, fuel, wear and discomfort.
        power: (..., agents) kW at the meter, + = consumption.
        solution: the power flows, all leading axes in one.
        power_flow: the network.
        limits: of the network.
        penalty: € per unit of violation in `reward`.
    """

    cost: Tensor
    power: Tensor
    solution: PowerFlowSolution = field(repr=False)
    power_flow: PowerFlow = field(repr=False)
    limits: Limits
    penalty: float

    def detach(self) -> Result:
        """The same without its graph."""
        cost, power, solution = self.cost.detach(), self.power.detach(), self.solution.detach()
        return replace(self, cost=cost, power=power, solution=solution)

    def _unflatten(self, values: Tensor) -> Tensor:
        return values.reshape(*self.cost.shape[:-1], *values.shape[1:])

    @cached_property
    def voltage(self) -> Tensor:
        """(..., nodes) complex, pu."""
        return self._unflatten(self.solution.voltage)

    @property
    def voltage_magnitude(self) -> Tensor:
        """(..., phases) pu, of every node that is no neutral, to the neutral or ground."""
        return self.quantities["voltage"]

    @property
    def loading(self) -> Tensor:
        """(..., branch phases) current over rating; 0 where unrated."""
        return self.quantities["loading"]

    @property
    def unbalance(self) -> Tensor:
        """(..., three-phase buses) |V2| / |V1|."""
        return self.quantities["unbalance"]

    @cached_property
    def converged(self) -> Tensor:
        """(...) bool."""
        return self._unflatten(self.solution.converged)

    @property
    def voltage_violation(self) -> Tensor:
        """(..., phases) pu outside the band; nowhere 0 in a power flow that did not converge."""
        return self.violations["voltage"]

    @property
    def loading_violation(self) -> Tensor:
        """(..., branch phases) share of rating beyond the limit."""
        return self.violations["loading"]

    @property
    def unbalance_violation(self) -> Tensor:
        """(..., three-phase buses) unbalance factor beyond the limit."""
        return self.violations["unbalance"]

    @cached_property
    def quantities(self) -> dict[str, Tensor]:
        """What is limited, by kind of limit, (..., places) each."""
        return {
            kind.name: self._unflatten(kind.quantity(self.power_flow, self.solution))
            for kind in self.limits
        }

    @cached_property
    def violations(self) -> dict[str, Tensor]:
        """By how much it is beyond its limits, likewise; 0 inside."""
        return {kind.name: self._violation(kind) for kind in self.limits}

    def scaled_violations(self, limits: Limits) -> dict[str, Tensor]:
        """Violations of `limits` over their scales, by kind of limit, (..., places) each."""
        return {kind.name: self._violation(kind) / kind.scale for kind in limits}

    def _violation(self, kind: Limit) -> Tensor:
        return kind.violation(self.quantities[kind.name], self.converged)

    @cached_property
    def violation(self) -> Tensor:
        """(...) all violations of the network's limits, in units of their scale, added up."""
        first, *others = self.limits
        total = self.violations[first.name].sum(dim=-1) / first.scale
        for kind in others:
            total = total.add(self.violations[kind.name].sum(dim=-1), alpha=1.0 / kind.scale)
        return total

    @cached_property
    def reward(self) -> Tensor:
        """(..., agents) minus own cost, minus an equal share of the penalty on the violation."""
        share = self.penalty / self.cost.shape[-1]
        return -self.cost.add(self.violation.unsqueeze(-1), alpha=share)


def check_state(
    state: SimulatorState, clock: Clock, fleet: Fleet, power_flow: PowerFlow, controlled: bool
) -> int:
    """Refuse what is no state, that of another simulator, or one with parts of another batch.

    Args:
        state: what came.
        clock: the simulator's.
        fleet: of its case.
        power_flow: likewise.
        controlled: whether taps follow their controls.

    Returns:
        How many episodes it has.

    Raises:
        ValueError: names the field, what came and what was expected.
    """
    check_type(state, SimulatorState, "state", "a SimulatorState of this simulator")
    if state.fleet != fleet.fingerprint:
        raise ValueError("state: got one of other customers or devices, expected this simulator's")
    batches, voltage = state.batches, state.device_voltage
    if len(batches) > 1:
        counts = " and ".join(map(str, sorted(batches)))
        raise ValueError(f"state: got parts of {counts} episodes, expected as many in all")
    compared: tuple[tuple[str, object, object], ...] = (
        ("clock", state.day.clock, clock),
        ("device", voltage.device, power_flow.tap_position.device),
        ("dtype", voltage.dtype, power_flow.dtype),
        ("device_voltage", voltage.shape[-1], 2 * len(power_flow.branch_injection)),
        ("tap_position", state.tap_position is not None, controlled),
    )
    for name, came, expected in compared:
        if came != expected:
            raise ValueError(f"state.{name}: got {came}, expected this simulator's, {expected}")
    return len(voltage)


def check_action(
    action: Tensor, expected: tuple[int, ...], name: str, device: torch.device
) -> None:
    """Refuse what is no plain tensor of real numbers, a wrong shape, or (on the CPU) infinity.

    Args:
        action: what came.
        expected: its shape.
        name: what to call it.
        device: the simulator's.

    Raises:
        ValueError: names the field, what came and what was expected.
    """
    check_type(action, Tensor, name, f"a tensor {expected}")
    _check_real(action, name)
    if tuple(action.shape) != expected:
        raise ValueError(f"{name}: got shape {tuple(action.shape)}, expected {expected}")
    if action.device.type != device.type:
        raise ValueError(f"{name}: got a tensor on {action.device}, expected {device}")
    # On a GPU the check would make the host wait; there the power flow reports not converged.
    if action.device.type == "cpu" and not _is_finite(action):
        raise ValueError(f"{name}: contains NaN or infinity, expected numbers in [-1, 1]")


def rewards_of(function: Callable[[Result], Tensor], result: Result, name: str) -> Tensor:
    """What a function of a result rewards: like `result.cost`, with its graph.

    On a GPU the host waits for it: whoever learns from one reward that is NaN has lost all.

    Args:
        function: to the shape of `result.cost`, (batch, agents), or (batch, 1): one for all agents.
        result: what a step cost and did.
        name: what to call the function.

    Raises:
        ValueError: no plain tensor of finite real numbers, or one of another shape; names the
            function, what came and what was expected.
    """
    found, expected = function(result), tuple(result.cost.shape)
    if not isinstance(found, Tensor):
        raise ValueError(f"{name}: got rewards {type(found).__name__}, expected {expected}")
    _check_real(found, name)
    if found.is_meta:
        raise ValueError(f"{name}: got a tensor on {found.device}, expected numbers")
    came, of_all = tuple(found.shape), (*expected[:-1], 1)
    if came not in (expected, of_all):
        raise ValueError(f"{name}: got rewards {came}, expected {expected} or {of_all}")
    values = found.to(result.cost).expand(expected)
    if not _is_finite(values):
        worst = values[~values.isfinite()][0].item()
        raise ValueError(f"{name}: got {worst}, expected finite rewards")
    return values


def _check_real(values: Tensor, name: str) -> None:
    is_plain = values.layout == torch.strided and not (values.is_nested or values.is_quantized)
    if values.is_complex() or not is_plain:
        kind = f"{values.dtype}, {values.layout}"
        raise ValueError(f"{name}: got a tensor of {kind}, expected real numbers, all of them")


def _is_finite(values: Tensor) -> bool:
    """A sum that is finite shows it soonest; one that is not may be of finite numbers."""
    return math.isfinite(values.detach().sum()) or bool(values.isfinite().all())

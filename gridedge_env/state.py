"""What the simulator carries from step to step, and what it reports: typed, immutable records."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from gridedge_env.limits import LOADING_SCALE, UNBALANCE_SCALE, VOLTAGE_SCALE, Limits
from gridedge_env.powerflow import PowerFlowSolution


@dataclass(frozen=True)
class Day:
    """A batch of days as they will unfold; nothing in it depends on what the agents do.

    Attributes:
        table_row: (batch,) row of each day in its split's table.
        outdoor_temperature: (batch, steps) °C.
        irradiance: (batch, steps) W/m².
        import_price: (batch, steps) €/kWh.
        export_price: (batch, steps) €/kWh.
        demand: (batch, steps, agents) kW, uncontrollable.
        mean_demand: (agents,) kW, annual mean.
        shared_observation: (batch, steps, shared fields).
    """

    table_row: Tensor
    outdoor_temperature: Tensor
    irradiance: Tensor
    import_price: Tensor
    export_price: Tensor
    demand: Tensor
    mean_demand: Tensor
    shared_observation: Tensor

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    @torch.enable_grad()
    def conditions(self) -> Tensor:
        """(4, steps, batch, 1) what all homes share.

        Outdoor temperature in °C, irradiance in W/m², export price in €/kWh and by how much the
        import price is above it.
        """
        above = self.import_price - self.export_price
        series = (self.outdoor_temperature, self.irradiance, self.export_price, above)
        return torch.stack(series).transpose(1, 2).unsqueeze(-1).contiguous()


@dataclass(frozen=True)
class SimulatorState:
    """Where a batch of days stands.

    Attributes:
        day: the days.
        step: steps done, the same for the whole batch.
        energy: (batch, batteries) kWh.
        temperature: (batch, heat pumps) °C.
        loading: (batch, generators) share of full power in the previous step.
        device_voltage: (batch, 2 branches) voltage across the homes' connections in the previous
            step, pu, real parts first.
        tap_position: (batch, regulators) under regulator control; None: frozen.
    """

    day: Day
    step: int
    energy: Tensor
    temperature: Tensor
    loading: Tensor
    device_voltage: Tensor
    tap_position: Tensor | None = None

    def conditions(self, steps: int) -> tuple[Tensor, ...]:
        """`Day.conditions` of the next steps: four times (steps, batch, 1)."""
        return self.day.conditions[:, self.step : self.step + steps].unbind()


@dataclass(frozen=True)
class Result:
    """What a step (leading axes: batch) or a whole day (steps, batch) cost and did to the network.

    Attributes:
        cost: (..., agents) €, energy, fuel, wear and discomfort.
        power: (..., agents) kW at the meter, + = consumption.
        solution: the power flows, all leading axes in one.
        branch_rating: (branch phases,) A.
        limits: of the network.
        penalty: € per unit of violation in `reward`.
    """

    cost: Tensor
    power: Tensor
    solution: PowerFlowSolution = field(repr=False)
    branch_rating: Tensor = field(repr=False)
    limits: Limits
    penalty: float

    def _unflatten(self, values: Tensor) -> Tensor:
        return values.reshape(*self.cost.shape[:-1], *values.shape[1:])

    @cached_property
    def voltage(self) -> Tensor:
        """(..., nodes) complex, pu."""
        return self._unflatten(self.solution.voltage)

    @cached_property
    def voltage_magnitude(self) -> Tensor:
        """(..., nodes) pu."""
        return self._unflatten(self.solution.voltage_magnitude)

    @cached_property
    def loading(self) -> Tensor:
        """(..., branch phases) current over rating; 0 where unrated."""
        return self._unflatten(self.solution.branch_current_magnitude / self.branch_rating)

    @cached_property
    def unbalance(self) -> Tensor:
        """(..., three-phase buses) |V2| / |V1|."""
        return self._unflatten(self.solution.unbalance)

    @cached_property
    def converged(self) -> Tensor:
        """(...) bool."""
        return self._unflatten(self.solution.converged)

    @cached_property
    def voltage_violation(self) -> Tensor:
        """(..., nodes) pu outside the band; nowhere 0 in a power flow that did not converge."""
        return self.limits.voltage_violation(self.voltage_magnitude, self.converged)

    @cached_property
    def loading_violation(self) -> Tensor:
        """(..., branch phases) share of rating beyond the limit."""
        return self.limits.loading_violation(self.loading)

    @cached_property
    def unbalance_violation(self) -> Tensor:
        """(..., three-phase buses) unbalance factor beyond the limit."""
        return self.limits.unbalance_violation(self.unbalance)

    def scaled_violations(self, limits: Limits) -> tuple[Tensor, Tensor, Tensor]:
        """Violations of `limits` over their scales: voltage, loading, unbalance, (..., places)."""
        return (
            limits.voltage_violation(self.voltage_magnitude, self.converged) / VOLTAGE_SCALE,
            limits.loading_violation(self.loading) / LOADING_SCALE,
            limits.unbalance_violation(self.unbalance) / UNBALANCE_SCALE,
        )

    @cached_property
    def violation(self) -> Tensor:
        """(...) all violations of the network's limits, in units of their scale, added up."""
        total = self.voltage_violation.sum(dim=-1) / VOLTAGE_SCALE
        total = total.add(self.loading_violation.sum(dim=-1), alpha=1.0 / LOADING_SCALE)
        return total.add(self.unbalance_violation.sum(dim=-1), alpha=1.0 / UNBALANCE_SCALE)

    @cached_property
    def reward(self) -> Tensor:
        """(..., agents) minus own cost, minus an equal share of the penalty on the violation."""
        share = self.penalty / self.cost.shape[-1]
        return -self.cost.add(self.violation.unsqueeze(-1), alpha=share)


def check_action(action: Tensor, expected: tuple[int, ...], name: str) -> None:
    """Refuse an action of the wrong shape, or (on the CPU) one that is not finite.

    Raises:
        ValueError: names the field, what came and what was expected.
    """
    if tuple(action.shape) != expected:
        raise ValueError(f"{name}: got shape {tuple(action.shape)}, expected {expected}")
    # On a GPU the check would make the host wait; there the power flow reports not converged.
    # A sum that is finite shows it soonest; one that is not may be of finite numbers.
    if action.device.type != "cpu" or math.isfinite(action.detach().sum()):
        return
    if not bool(action.isfinite().all()):
        raise ValueError(f"{name}: contains NaN or infinity, expected numbers in [-1, 1]")

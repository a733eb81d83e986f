"""`PowerFlowSolution`: a batch of solved power flows, and all that follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gridedge_env.powerflow.device_space import DeviceSpace, VoltageOperator
from gridedge_env.powerflow.failures import Failure, PowerFlowFailure, find_failures
from gridedge_env.powerflow.iteration import Status
from gridedge_env.powerflow.linear_maps import LinearMap
from gridedge_env.record import Record, batch


@dataclass(frozen=True, eq=False)
class PowerFlowSolution(Record):
    """A batch of solved power flows; every quantity is differentiable in the power drawn.

    Attributes:
        operator: the feeder, seen from its devices, at the taps of each scenario.
        device_current: (batch, 2 branches) currents that the device branches inject, real parts
            first, kVA per pu.
        solved_voltage: (batch, nodes) complex node voltages, pu, where the solver found them on its
            way; None: they are a map of the device currents like all else.
        device_voltage: (batch, 2 branches) voltages across them, pu of their rating; a start for
            the next, similar power flow. Carries no gradient.
        residual: (batch,) largest change in the last iteration, pu.
        iterations: (batch,) iterations needed.
        status: (batch,) int8, how each iteration ended: a `Status`.
    """

    operator: VoltageOperator
    device_current: Tensor = field(metadata=batch())
    solved_voltage: Tensor | None = field(metadata=batch())
    device_voltage: Tensor = field(metadata=batch())
    residual: Tensor = field(metadata=batch())
    iterations: Tensor = field(metadata=batch())
    status: Tensor = field(metadata=batch())

    @property
    def space(self) -> DeviceSpace:
        """The feeder, seen from its devices."""
        return self.operator.space

    @cached_property
    def response(self) -> Tensor:
        """(batch, response) the network's answer to the device currents."""
        return self.operator.response(self.device_current.to(self.space.no_load.dtype))

    @cached_property
    def converged(self) -> Tensor:
        """(batch,) bool: whether there is a solution."""
        return self.status == Status.CONVERGED

    def failures(self) -> list[Failure]:
        """The scenarios without a solution, in order: why, and where."""
        return find_failures(
            self.status,
            self.residual,
            self.iterations,
            self.device_voltage,
            self.injection_voltage.detach(),
            self.space.injection_name,
        )

    def raise_if_failed(self) -> None:
        """Do nothing if every scenario has a solution.

        Raises:
            PowerFlowFailure: lists those that have none.
        """
        failures = self.failures()
        if failures:
            raise PowerFlowFailure(failures, len(self.status))

    @cached_property
    def voltage(self) -> Tensor:
        """(batch, nodes) complex, per unit of each node's base voltage."""
        if self.solved_voltage is not None:
            return self.solved_voltage
        parts = self.space.node_voltage(self.response).to(self.device_voltage.dtype)
        return torch.complex(*parts.chunk(2, dim=-1))

    @cached_property
    def voltage_magnitude(self) -> Tensor:
        """(batch, nodes) pu."""
        return magnitude(self.voltage)

    @cached_property
    def branch_current(self) -> Tensor:
        """(batch, branch phases) complex A, into the from terminal."""
        return torch.complex(*self._quantity(self.space.branch_current).chunk(2, dim=-1))

    @cached_property
    def branch_current_magnitude(self) -> Tensor:
        """(batch, branch phases) A."""
        return magnitude(self._quantity(self.space.branch_current))

    @cached_property
    def injection_voltage(self) -> Tensor:
        """(batch, 2 branches) voltages across the device branches, real parts first, pu."""
        if self.solved_voltage is not None:
            return self.space.across(self.solved_voltage)
        return self.space.device_voltage(self.response).to(self.device_voltage.dtype)

    @cached_property
    def control_voltage(self) -> Tensor:
        """(batch, regulators) V that each regulator's control sees, line drop compensated."""
        return magnitude(self._quantity(self.space.control_voltage))

    @cached_property
    def unbalance(self) -> Tensor:
        """(batch, three-phase buses) voltage unbalance factor |V2| / |V1| (IEC 61000-4-30)."""
        phases = self.voltage.index_select(-1, self.space.three_phase_nodes)
        first, second, third = phases.chunk(3, dim=-1)
        # 3 V1 and 3 V2 are V_a - (V_b + V_c) / 2 ± j √3 / 2 (V_b - V_c).
        along = torch.sub(first, second + third, alpha=0.5)
        across = 0.5j * math.sqrt(3.0) * (second - third)
        return magnitude(along - across) / magnitude(along + across)

    @cached_property
    def losses(self) -> Tensor:
        """(batch,) kW lost in the network: what the source feeds less what loads and devices draw.

        Shunt elements count, such as a reactor to ground, which OpenDSS's own sum leaves out.
        """
        voltage = self.space.source_voltage(self.response)
        fed = (voltage * self.space.source_current(self.response)).sum(dim=-1) / 1e3
        across = self.space.device_voltage(self.response)
        injected = self.space.load_model.unfold(self.device_current, across)
        drawn = -(across * injected).sum(dim=-1)
        return (fed - drawn).to(self.device_voltage.dtype)

    def _quantity(self, linear: LinearMap) -> Tensor:
        """A map of the response, (batch, 2 rows), real parts first."""
        return linear(self.response).to(self.device_voltage.dtype)


def magnitude(vector: Tensor) -> Tensor:
    """Of complex entries: (..., n), or real parts first (..., 2 n), -> (..., n)."""
    if torch.is_grad_enabled() and vector.requires_grad:
        found: Tensor = _Magnitude.apply(vector)
        return found
    return _root_of_squares(vector)


class _Magnitude(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vector: Tensor) -> Tensor:
        found = _root_of_squares(vector)
        ctx.save_for_backward(vector, found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        vector, found = ctx.saved_tensors
        # The floor makes the derivative zero at exactly zero (an unloaded branch).
        share = cotangent / found.clamp(min=1e-20)
        if vector.is_complex():
            return vector * share
        return (vector.unflatten(-1, (2, -1)) * share.unsqueeze(-2)).flatten(-2)


def _root_of_squares(vector: Tensor) -> Tensor:
    pairs = vector.is_complex()
    re, im = torch.view_as_real(vector).unbind(-1) if pairs else vector.chunk(2, dim=-1)
    return torch.addcmul(re * re, im, im).sqrt_()

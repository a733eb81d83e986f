"""Power flows by PyTorch: any taps, any device, any scenario that has an operating point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gridedge_env.powerflow.adjoint import solve_adjoint
from gridedge_env.powerflow.backend import Cotangents, Solved
from gridedge_env.powerflow.device_space import DeviceSpace, VoltageOperator
from gridedge_env.powerflow.fixed_point import FixedPoint, solve_device_voltage, sweep
from gridedge_env.powerflow.iteration import Status
from gridedge_env.powerflow.load_models import CurrentJacobian, injected_current


@dataclass(frozen=True)
class TorchBackend:
    """A `Backend` of matrix products, or of substitutions with the factor.

    Attributes:
        operator: the feeder and its taps, which carry no gradient.
    """

    operator: VoltageOperator

    @property
    def space(self) -> DeviceSpace:
        """See `Backend`."""
        return self.operator.space

    @property
    def dtype(self) -> torch.dtype:
        """See `Backend`."""
        return self.space.no_load.dtype

    def sweep(self, power: Tensor, start: Tensor, sweeps: int) -> Tensor:
        """See `Backend`."""
        for _ in range(sweeps):
            start = sweep(self.operator, power, start)
        return start

    def solve(self, power: Tensor, start: Tensor, settings: FixedPoint) -> Solved:
        """See `Backend`."""
        found = solve_device_voltage(self.operator, power, start, settings)
        return Solved(found, injected_current(self.space.load_model, power, found.voltage), None)

    def adjoint(
        self,
        power: Tensor,
        voltage: Tensor,
        status: Tensor,
        of_current: Tensor | None,
        of_nodes: Tensor | None,
        settings: FixedPoint,
        shifted: bool,
    ) -> Cotangents:
        """See `Backend`."""
        cotangent = torch.zeros_like(power) if of_current is None else of_current
        if of_nodes is not None:
            parts = torch.cat((of_nodes.real, of_nodes.imag), dim=-1)
            cotangent = cotangent + self.operator.transpose_of(self.space.node_voltage, parts)
        jacobian = CurrentJacobian.at(self.space.load_model, power, voltage)
        solvable = status == Status.CONVERGED
        adjoint, inexact = solve_adjoint(self.operator, jacobian, cotangent, solvable, settings)
        shift = jacobian.voltage_cotangent(adjoint) if shifted else None
        return Cotangents(jacobian.power_cotangent(adjoint), shift, inexact)

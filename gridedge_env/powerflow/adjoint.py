"""Implicit differentiation of the power flow: the adjoint of the fixed point, itself a fixed point.

At the solution i = f(u, S) and u = u0 + Z i. With D = df/du, a cotangent g of i becomes the
cotangent l of f by

    l = g + Z^T D^T l

which contracts as fast as the power flow and uses the same matrix. The iterations of the power flow
are never unrolled: memory and accuracy do not depend on how many there were.

Whatever else moves the voltages, such as a tap, enters as a shift d of u = u0 + d + Z i, whose
cotangent is D^T l.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gridedge_env.powerflow.device_space import VoltageOperator
from gridedge_env.powerflow.fixed_point import DeviceVoltage, FixedPoint
from gridedge_env.powerflow.iteration import settle
from gridedge_env.powerflow.load_models import CurrentJacobian, injected_current

# Of what an adjoint leaves unsettled, relative to the cotangent that it began with.
GRADIENT_ACCURACY = 1e-6


@dataclass(frozen=True)
class AdjointMap:
    """l -> g + Z^T D^T l, or g where there is no solution, as a `BatchedMap`.

    Attributes:
        operator: the network, Z.
        jacobian: D.
        cotangent: g, (batch, 2 branches).
        solvable: (batch, 1) bool.
    """

    operator: VoltageOperator
    jacobian: CurrentJacobian
    cotangent: Tensor
    solvable: Tensor

    def __call__(self, adjoint: Tensor) -> Tensor:
        """See `BatchedMap`."""
        feedback = self.operator.transpose(self.jacobian.voltage_cotangent(adjoint))
        return torch.where(self.solvable, self.cotangent + feedback, self.cotangent)

    def rows(self, index: Tensor) -> AdjointMap:
        """See `BatchedMap`."""
        jacobian = self.jacobian.rows(index)
        operator = self.operator.rows(index)
        return AdjointMap(operator, jacobian, self.cotangent[index], self.solvable[index])


def solve_adjoint(
    operator: VoltageOperator,
    jacobian: CurrentJacobian,
    cotangent: Tensor,
    converged: Tensor,
    settings: FixedPoint,
) -> tuple[Tensor, Tensor | None]:
    """Cotangent l of the device currents for the cotangent g of the solution: (batch, 2 branches).

    A scenario that did not converge has no solution to differentiate. It keeps l = g: the gradient
    at fixed voltages, which is finite and points towards less of the power that is too much.

    Returns:
        l, and (batch,) bool: where the solution converged but its adjoint not even to
        `GRADIENT_ACCURACY`. None: nowhere, or on a GPU that must not wait for the host.
    """
    size = cotangent.abs().amax(dim=-1).clamp(min=torch.finfo(cotangent.dtype).tiny)
    found = settle(
        AdjointMap(operator, jacobian, cotangent, converged[:, None]),
        cotangent,
        settings.tolerance * size,
        settings.maximum_iterations,
        settings.check_convergence,
    )
    if settings.check_convergence and bool(found.status.any()):
        return found.value, found.residual > max(GRADIENT_ACCURACY, settings.tolerance) * size
    return found.value, None


def warn_of(inexact: Tensor) -> None:
    """One RuntimeWarning that names the scenarios whose gradients are not exact, if any are."""
    scenarios = inexact.nonzero()[:, 0].tolist()
    if not scenarios:
        return
    listed = ", ".join(map(str, scenarios[:10])) + (", ..." if len(scenarios) > 10 else "")
    warnings.warn(
        f"gradients of {len(scenarios)} of {len(inexact)} scenarios are not exact, although their "
        f"power flow converged: the adjoint did not settle in scenarios {listed}",
        RuntimeWarning,
        stacklevel=2,
    )


class ImplicitDeviceCurrent(torch.autograd.Function):
    """Device currents at the solution as a function of the power drawn and a shift of u."""

    @staticmethod
    def forward(
        ctx: Any,
        power: Tensor,
        shift: Tensor | None,
        operator: VoltageOperator,
        solution: DeviceVoltage,
        settings: FixedPoint,
    ) -> Tensor:
        """Power S (batch, 2 branches) kVA, shift 0 (batch, 2 branches) pu -> current i."""
        ctx.save_for_backward(power, solution.voltage, solution.converged)
        ctx.operator, ctx.settings, ctx.shifted = operator, settings, shift is not None
        return injected_current(operator.space.load_model, power, solution.voltage)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        """Cotangent of i -> cotangents of S and of the shift."""
        power, voltage, converged = ctx.saved_tensors
        jacobian = CurrentJacobian.at(ctx.operator.space.load_model, power, voltage)
        adjoint, inexact = solve_adjoint(ctx.operator, jacobian, cotangent, converged, ctx.settings)
        if inexact is not None:
            warn_of(inexact)
        of_shift = jacobian.voltage_cotangent(adjoint) if ctx.shifted else None
        return jacobian.power_cotangent(adjoint), of_shift, None, None, None

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

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gridedge_env.powerflow.device_space import VoltageOperator
from gridedge_env.powerflow.fixed_point import FixedPoint, relaxed
from gridedge_env.powerflow.iteration import settle
from gridedge_env.powerflow.load_models import CurrentJacobian
from gridedge_env.record import Record, batch

# Of what an adjoint leaves unsettled, relative to the cotangent that it began with.
GRADIENT_ACCURACY = 1e-6


@dataclass(frozen=True, eq=False)
class AdjointMap(Record):
    """l -> g + Z^T D^T l, or g where there is no solution, as a `BatchedMap`.

    Attributes:
        operator: the network, Z.
        jacobian: D.
        cotangent: g, (batch, 2 branches).
        solvable: (batch, 1) bool.
    """

    operator: VoltageOperator
    jacobian: CurrentJacobian
    cotangent: Tensor = field(metadata=batch())
    solvable: Tensor = field(metadata=batch())

    def __call__(self, adjoint: Tensor) -> Tensor:
        """See `BatchedMap`."""
        feedback = self.operator.transpose(self.jacobian.voltage_cotangent(adjoint))
        relaxation = self.operator.space.load_model.relaxation
        after = relaxed(adjoint, self.cotangent + feedback, relaxation)
        return torch.where(self.solvable, after, self.cotangent)


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

"""What a way to solve power flows offers, and the derivative that PyTorch takes through it.

A backend knows one feeder, at given taps. It finds the fixed point u = u0 + Z i(u, S) and, for the
gradient, the fixed point of its adjoint; see `adjoint`. Neither is unrolled.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gridedge_env.powerflow.device_space import DeviceSpace
from gridedge_env.powerflow.fixed_point import DeviceVoltage, FixedPoint


@dataclass(frozen=True)
class Solved:
    """A batch of power flows as a backend found them.

    Attributes:
        found: u, and how its iteration ended.
        current: i, (batch, 2 branches), kVA per pu.
        node_voltage: V, (batch, nodes) complex pu, where the backend finds it on its way.
    """

    found: DeviceVoltage
    current: Tensor
    node_voltage: Tensor | None


@dataclass(frozen=True)
class Cotangents:
    """What an adjoint found.

    Attributes:
        power: of S, (batch, 2 branches).
        shift: of a shift of u, likewise, where asked for.
        inexact: (batch,) other than 0 where the power flow converged and its adjoint did not; None:
            nowhere, or on a GPU that must not wait for the host.
    """

    power: Tensor
    shift: Tensor | None
    inexact: Tensor | None


class Backend(Protocol):
    """A way to solve power flows of one feeder, in the precision of `dtype`: all real but V."""

    @property
    def space(self) -> DeviceSpace:
        """The feeder, seen from its devices."""

    @property
    def dtype(self) -> torch.dtype:
        """In what precision it takes powers and voltages, and gives them."""

    def sweep(self, power: Tensor, start: Tensor, sweeps: int) -> Tensor:
        """u after so many sweeps from `start`: all (batch, 2 branches); differentiable."""

    def solve(self, power: Tensor, start: Tensor, settings: FixedPoint) -> Solved:
        """Iterate from `start` until every scenario has settled; carries no gradient.

        Args:
            power: S, (batch, 2 branches) kVA drawn.
            start: first guess of u, (batch, 2 branches) pu.
            settings: when to stop.
        """

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
        """Cotangents of the power drawn, and of a shift of u, at a solution.

        Args:
            power: S, (batch, 2 branches) kVA.
            voltage: u there, (batch, 2 branches) pu.
            status: (batch,) how the iteration ended; where there is no solution voltages count as
                fixed, so that gradients are finite and point towards less of the power.
            of_current: cotangent of i, (batch, 2 branches); None: zero.
            of_nodes: cotangent of V, (batch, nodes) complex; None: zero.
            settings: when to stop.
            shifted: whether to find the cotangent of a shift.
        """


class ImplicitPowerFlow(torch.autograd.Function):
    """What a backend found, as a function of the power drawn and of a shift of u."""

    @staticmethod
    def forward(
        ctx: Any,
        power: Tensor,
        shift: Tensor | None,
        backend: Backend,
        solved: Solved,
        settings: FixedPoint,
    ) -> tuple[Tensor, Tensor | None]:
        """Power S (batch, 2 branches) kVA, shift 0 (batch, 2 branches) pu -> i, V."""
        ctx.save_for_backward(power, solved.found.voltage, solved.found.status)
        ctx.set_materialize_grads(False)
        ctx.backend, ctx.settings, ctx.shifted = backend, settings, shift is not None
        return solved.current, solved.node_voltage

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_current: Tensor | None, of_nodes: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """Cotangents of i and V -> cotangents of S and of the shift."""
        if of_current is None and of_nodes is None:
            return None, None, None, None, None
        found: Cotangents = ctx.backend.adjoint(
            *ctx.saved_tensors, of_current, of_nodes, ctx.settings, ctx.shifted
        )
        if found.inexact is not None:
            _warn_of(found.inexact)
        return found.power, found.shift, None, None, None


def _warn_of(inexact: Tensor) -> None:
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

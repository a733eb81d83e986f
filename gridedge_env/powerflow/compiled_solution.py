"""Power flows by compiled kernels, and their derivatives.

What plain sweeps do not settle, PyTorch solves: the scenarios in question from their start, with
everything that `fixed_point` and `adjoint` know about them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gridedge_env.powerflow.adjoint import solve_adjoint, warn_of
from gridedge_env.powerflow.compiled_network import CompiledNetwork, Swept
from gridedge_env.powerflow.device_space import DeviceSpace, VoltageOperator
from gridedge_env.powerflow.fixed_point import (
    DeviceVoltage,
    FixedPoint,
    judged,
    solve_device_voltage,
)
from gridedge_env.powerflow.load_models import CurrentJacobian, injected_current


def solve_compiled(
    space: DeviceSpace,
    network: CompiledNetwork,
    power: Tensor,
    start: Tensor,
    settings: FixedPoint,
) -> tuple[DeviceVoltage, Tensor, Tensor]:
    """As `solve_device_voltage`, with the device currents and all node voltages.

    Args:
        space: the feeder.
        network: its kernels.
        power: S, (batch, 2 branches) kVA drawn, in the kernels' precision.
        start: first guess of u, (batch, 2 branches) pu, likewise.
        settings: when to stop.

    Returns:
        u and how its iteration ended, i (batch, 2 branches), V (batch, 2 nodes) pu.
    """
    swept = network.solve(power, start, settings.tolerance, settings.maximum_iterations)
    status = power.new_zeros(len(power), dtype=torch.int8)
    if bool(swept.code.any()):
        _look_again(space, power, start, settings, swept, status)
    found = DeviceVoltage(swept.voltage, swept.residual, swept.iterations, status)
    return found, swept.current, swept.node_voltage


def _look_again(
    space: DeviceSpace,
    power: Tensor,
    start: Tensor,
    settings: FixedPoint,
    swept: Swept,
    status: Tensor,
) -> None:
    """Solve what has not settled, judge voltages that are extreme; write both to their places."""
    from gridedge_env.powerflow.kernels.sweeps import UNSETTLED

    precision, left = space.no_load.dtype, (swept.code & UNSETTLED).nonzero()[:, 0]
    if len(left):
        drawn, begin = power[left].to(precision), start[left].to(precision)
        operator = VoltageOperator(space)
        found = solve_device_voltage(operator, drawn, begin, settings)
        current = injected_current(space.load_model, drawn, found.voltage)
        nodes = space.node_voltage(operator.response(current))
        for place, value in (
            (swept.voltage, found.voltage),
            (swept.residual, found.residual),
            (swept.iterations, found.iterations),
            (status, found.status),
            (swept.current, current),
            (swept.node_voltage, nodes),
        ):
            place[left] = value.to(place.dtype)
    extreme = (swept.code & ~UNSETTLED).nonzero()[:, 0]
    if len(extreme):
        found_voltage, status[extreme] = judged(
            space, power[extreme], swept.voltage[extreme], status[extreme], settings
        )
        swept.voltage[extreme] = found_voltage


class CompiledPowerFlow(torch.autograd.Function):
    """Device currents and node voltages at the solution as functions of the power drawn."""

    @staticmethod
    def forward(
        ctx: Any,
        power: Tensor,
        space: DeviceSpace,
        network: CompiledNetwork,
        solution: tuple[DeviceVoltage, Tensor, Tensor],
        settings: FixedPoint,
    ) -> tuple[Tensor, Tensor]:
        """Power S (batch, 2 branches) kVA -> i (batch, 2 branches), V (batch, 2 nodes)."""
        found, current, nodes = solution
        ctx.save_for_backward(power, found.voltage, found.status)
        ctx.set_materialize_grads(False)
        ctx.space, ctx.network, ctx.settings = space, network, settings
        return current, nodes

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_current: Tensor | None, of_nodes: Tensor | None
    ) -> tuple[Tensor | None, None, None, None, None]:
        """Cotangents of i and V -> cotangent of S."""
        if of_current is None and of_nodes is None:
            return None, None, None, None, None
        power, voltage, status = ctx.saved_tensors
        settings: FixedPoint = ctx.settings
        of_power, unsettled = ctx.network.adjoint(
            power,
            voltage,
            of_current,
            of_nodes,
            status.view(torch.uint8),
            settings.tolerance,
            settings.maximum_iterations,
        )
        if bool(unsettled.any()):
            left = unsettled.nonzero()[:, 0]
            of_power[left], inexact = _adjoint(
                ctx.space,
                power[left],
                voltage[left],
                None if of_current is None else of_current[left],
                None if of_nodes is None else of_nodes[left],
                settings,
            )
            if inexact is not None:
                unsettled[left] = inexact.byte()
                warn_of(unsettled)
        return of_power, None, None, None, None


def _adjoint(
    space: DeviceSpace,
    power: Tensor,
    voltage: Tensor,
    of_current: Tensor | None,
    of_nodes: Tensor | None,
    settings: FixedPoint,
) -> tuple[Tensor, Tensor | None]:
    """The adjoint of converged scenarios by PyTorch, and where it is not exact."""
    precision, operator = space.no_load.dtype, VoltageOperator(space)
    cotangent = torch.zeros_like(power, dtype=precision)
    if of_current is not None:
        cotangent = cotangent + of_current
    if of_nodes is not None:
        back = space.node_voltage.transpose(of_nodes.to(precision), space.response.size)
        cotangent = cotangent + space.response.transpose(back)
    jacobian = CurrentJacobian.at(space.load_model, power.to(precision), voltage.to(precision))
    everywhere = power.new_ones(len(power), dtype=torch.bool)
    adjoint, inexact = solve_adjoint(operator, jacobian, cotangent, everywhere, settings)
    return jacobian.power_cotangent(adjoint).to(power.dtype), inexact

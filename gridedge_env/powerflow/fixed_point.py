"""The power flow as a fixed point of the device voltages: u = u0 + Z i(u)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gridedge_env.powerflow.device_space import VoltageOperator
from gridedge_env.powerflow.load_models import injected_current

# No operating point of a distribution feeder comes near 3 pu: the bound only keeps the iterates
# finite where there is no operating point.
VOLTAGE_BOUND = 3.0


@dataclass(frozen=True)
class FixedPoint:
    """How to iterate.

    Attributes:
        tolerance: largest change of any device voltage in the last iteration, pu.
        maximum_iterations: iterations after which a scenario counts as not converged.
        check_convergence: stop as soon as every scenario has converged. Without it all
            `maximum_iterations` are done and the host never waits for the device (GPU).
    """

    tolerance: float
    maximum_iterations: int
    check_convergence: bool

    @staticmethod
    def default(dtype: torch.dtype, device: torch.device) -> FixedPoint:
        """Down to a few units of rounding at 1 pu; IEEE 123 gains about a digit per iteration."""
        double = dtype == torch.float64
        if device.type == "cuda":
            return FixedPoint(1e-11 if double else 2e-6, 24 if double else 12, False)
        return FixedPoint(1e-11 if double else 2e-6, 60, True)


@dataclass(frozen=True)
class DeviceVoltage:
    """Where the iteration ended.

    Attributes:
        voltage: u, (batch, 2 branches) pu; finite even where it did not converge.
        residual: (batch,) largest change of any |u| component in the last iteration, pu.
        iterations: (batch,) iterations until the change fell below the tolerance.
        converged: (batch,) bool.
    """

    voltage: Tensor
    residual: Tensor
    iterations: Tensor
    converged: Tensor


def sweep(operator: VoltageOperator, power: Tensor, voltage: Tensor) -> Tensor:
    """One iteration: u0 + Z i(u), (batch, 2 branches), kept within `VOLTAGE_BOUND`."""
    current = injected_current(operator.space.load_model, power, voltage)
    return operator(current).clamp(-VOLTAGE_BOUND, VOLTAGE_BOUND)


def solve_device_voltage(
    operator: VoltageOperator, power: Tensor, start: Tensor, settings: FixedPoint
) -> DeviceVoltage:
    """Iterate from `start` until every scenario has settled.

    Args:
        operator: the network.
        power: S, (batch, 2 branches) kVA drawn.
        start: first guess of u, (batch, 2 branches) pu.
        settings: when to stop.
    """
    voltage = start
    iterations = torch.zeros(len(power), dtype=torch.int32, device=power.device)
    residual = torch.full_like(power[:, 0], torch.inf)
    for _ in range(settings.maximum_iterations):
        latest = sweep(operator, power, voltage)
        iterations = iterations + ~(residual < settings.tolerance)
        residual = (latest - voltage).abs().amax(dim=-1)
        voltage = latest
        if settings.check_convergence and bool((residual < settings.tolerance).all()):
            break
    bounded = voltage.abs().amax(dim=-1) < VOLTAGE_BOUND
    converged = (residual < settings.tolerance) & bounded
    voltage = torch.where(voltage.isfinite(), voltage, operator.space.no_load)
    return DeviceVoltage(voltage, residual, iterations, converged)

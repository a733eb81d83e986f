"""The power flow as a fixed point of the device voltages: u = u0 + Z i(u)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gridedge_env.powerflow.device_space import DeviceSpace, VoltageOperator
from gridedge_env.powerflow.iteration import Status, settle
from gridedge_env.powerflow.load_models import (
    DEVICE_MINIMUM_VOLTAGE,
    LoadModel,
    injected_current,
)
from gridedge_env.record import Record, batch

# No operating point of a distribution feeder comes near 3 pu: the bound only keeps the iterates
# finite where there is no operating point.
VOLTAGE_BOUND = 3.0


@dataclass(frozen=True)
class FixedPoint:
    """How to iterate.

    Attributes:
        tolerance: largest change of any device voltage in the last iteration, pu.
        maximum_iterations: iterations after which a scenario counts as not converged.
        check_convergence: stop as soon as every scenario has converged, and accelerate those that
            are slow, see `iteration`. Without it all `maximum_iterations` are done, none of them
            accelerated, and the host never waits for the device (GPU).
    """

    tolerance: float
    maximum_iterations: int
    check_convergence: bool

    @staticmethod
    def default(dtype: torch.dtype, device: torch.device, responses: bool = False) -> FixedPoint:
        """Down to a few units of rounding at 1 pu; IEEE 123 gains about a digit per iteration.

        Where inverters respond it takes twice or three times as many.
        """
        double = dtype == torch.float64
        if device.type != "cpu":
            sweeps = (24 if double else 12) * (2 if responses else 1)
            return FixedPoint(1e-11 if double else 2e-6, sweeps, False)
        return FixedPoint(1e-11 if double else 5e-7, 100, True)


@dataclass(frozen=True)
class DeviceVoltage:
    """Where the iteration ended.

    Attributes:
        voltage: u, (batch, 2 branches) pu; finite even where it did not converge.
        residual: (batch,) largest change of any |u| component in the last iteration, pu.
        iterations: (batch,) iterations until the change fell below the tolerance.
        status: (batch,) int8, a `Status` each.
    """

    voltage: Tensor
    residual: Tensor
    iterations: Tensor
    status: Tensor

    @property
    def converged(self) -> Tensor:
        """(batch,) bool."""
        return self.status == Status.CONVERGED


def sweep(operator: VoltageOperator, power: Tensor, voltage: Tensor) -> Tensor:
    """One iteration: u0 + Z i(u), (batch, 2 branches), kept within `VOLTAGE_BOUND`.

    Where inverters respond it goes part of the way there.
    """
    load_model = operator.space.load_model
    found = operator(injected_current(load_model, power, voltage))
    return relaxed(voltage, found.clamp(-VOLTAGE_BOUND, VOLTAGE_BOUND), load_model.relaxation)


def relaxed(before: Tensor, after: Tensor, share: float) -> Tensor:
    """A share of the way."""
    return after if share == 1.0 else torch.lerp(before, after, share)


@dataclass(frozen=True, eq=False)
class VoltageMap(Record):
    """`sweep` as a `BatchedMap`.

    Attributes:
        operator: the network.
        power: S, (batch, 2 branches) kVA drawn.
    """

    operator: VoltageOperator
    power: Tensor = field(metadata=batch())

    def __call__(self, voltage: Tensor) -> Tensor:
        """See `BatchedMap`."""
        return sweep(self.operator, self.power, voltage)


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
    tolerance = torch.full_like(start[:, 0], settings.tolerance)
    found = settle(
        VoltageMap(operator, power),
        start,
        tolerance,
        settings.maximum_iterations,
        settings.check_convergence,
    )
    voltage, status = judged(operator.space, power, found.value, found.status, settings)
    return DeviceVoltage(voltage, found.residual, found.iterations, status)


def judged(
    space: DeviceSpace, power: Tensor, voltage: Tensor, status: Tensor, settings: FixedPoint
) -> tuple[Tensor, Tensor]:
    """Finite voltages, and the status of what has settled where no operating point is."""
    bounded = voltage.abs().amax(dim=-1) < VOLTAGE_BOUND
    re, im = voltage.chunk(2, dim=-1)
    low = re * re + im * im < DEVICE_MINIMUM_VOLTAGE**2
    if not settings.check_convergence or bool(low.any()) or not bool(bounded.all()):
        collapsed = _collapsed(space.load_model, low, power, voltage)
        collapsed = collapsed & (status == Status.CONVERGED)
        status = torch.where(collapsed, int(Status.COLLAPSED), status)
        status = torch.where(bounded, status, int(Status.DIVERGED))
        voltage = torch.where(voltage.isfinite(), voltage, space.no_load)
    return voltage, status


def _collapsed(load_model: LoadModel, low: Tensor, power: Tensor, voltage: Tensor) -> Tensor:
    """(batch,) bool: whether any device is below the voltage down to which it can hold its power.

    There our law of it is a means to stay finite and no description of anything. Not so where
    nothing is drawn or no path leads to the source; and OpenDSS's laws hold at every voltage.
    """
    ours = load_model.minimum_voltage == DEVICE_MINIMUM_VOLTAGE
    ours = ours & load_model.maximum_voltage.isinf()
    drawing, live = (x.unflatten(-1, (2, -1)).any(dim=-2) for x in (power, voltage))
    return (low & ours & drawing & live).any(dim=-1)

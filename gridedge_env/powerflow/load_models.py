"""Voltage dependence of loads and devices: the current that each draws, and its derivative.

Everything here is per device branch: one phase of a load or device, between a node and the neutral
(wye) or between two nodes (delta). Per unit of the branch's own rated voltage, with u the complex
voltage across it and S the complex power in kVA that it would draw at 1 pu, the current it
*injects* into the network is

    i = -g(|u|) conj(S) u

where g is 1/|u|^2 for constant power, 1/|u| for constant current and 1 for constant impedance.
Outside its voltage band a load becomes an impedance, as in OpenDSS: above `maximum_voltage` at
once, below `minimum_voltage` along a current that is linear in |u| until `low_voltage`, and at its
nominal impedance below that. A constant impedance has no band.

Complex vectors are stored as real tensors with the real parts first: (batch, 2 branches).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EXPONENT = {"constant_power": 2.0, "constant_current": 1.0, "constant_impedance": 0.0}

# A device at constant power is held so down to this voltage and is a constant impedance below it:
# its current stays bounded, so that the iteration stays finite where no operating point exists.
DEVICE_MINIMUM_VOLTAGE = 0.5


@dataclass(frozen=True)
class LoadModel:
    """The voltage dependence of every device branch; all tensors are (branches,).

    Attributes:
        exponent: n in g = |u|^-n inside the band: 2 constant power, 1 current, 0 impedance.
        minimum_voltage: lower edge of the band, pu.
        maximum_voltage: upper edge of the band, pu; infinite where there is none.
        low_voltage: nominal impedance at and below this voltage, pu.
        always_constant_power: whether every branch is a device at constant power, for which a
            shorter formula gives the same numbers.
    """

    exponent: Tensor
    minimum_voltage: Tensor
    maximum_voltage: Tensor
    low_voltage: Tensor
    always_constant_power: bool

    def factor(self, square: Tensor) -> Tensor:
        """g as a function of |u|^2 (batch, branches)."""
        if self.always_constant_power:
            return square.clamp(min=DEVICE_MINIMUM_VOLTAGE**2).reciprocal()
        return self._factor_and_slope(square)[0]

    def factor_and_slope(self, square: Tensor) -> tuple[Tensor, Tensor]:
        """g and its derivative with respect to |u|^2, both (batch, branches)."""
        if self.always_constant_power:
            factor = self.factor(square)
            return factor, torch.where(square > DEVICE_MINIMUM_VOLTAGE**2, -factor * factor, 0.0)
        return self._factor_and_slope(square)

    def _factor_and_slope(self, square: Tensor) -> tuple[Tensor, Tensor]:
        magnitude = square.sqrt()
        inside = magnitude.clamp(min=self.minimum_voltage, max=self.maximum_voltage)
        factor = inside**-self.exponent
        # Derivative with respect to |u|, then d|u| / d|u|^2 = 1 / (2 |u|).
        slope = torch.where(magnitude > self.maximum_voltage, 0.0, -self.exponent * factor / inside)

        # Below the band |u| g is linear in |u|, from (low, low) to (minimum, minimum^(1-n)).
        edge = self.minimum_voltage ** (1.0 - self.exponent)
        gradient = (edge - self.low_voltage) / (self.minimum_voltage - self.low_voltage)
        intercept = self.low_voltage * (1.0 - gradient)
        below = magnitude < self.minimum_voltage
        safe = magnitude.clamp(min=1e-6)
        factor = torch.where(below, gradient + intercept / safe, factor)
        slope = torch.where(below, -intercept / (safe * safe), slope)

        nominal = (magnitude <= self.low_voltage) | (self.exponent == 0.0)
        factor = torch.where(nominal, 1.0, factor)
        slope = torch.where(nominal, 0.0, slope)
        return factor, slope / (2.0 * safe)


def injected_current(load_model: LoadModel, power: Tensor, voltage: Tensor) -> Tensor:
    """Current i that the branches inject, for power S and voltage u: all (batch, 2 branches)."""
    p, q = power.chunk(2, dim=-1)
    re, im = voltage.chunk(2, dim=-1)
    factor = load_model.factor(re * re + im * im)
    return torch.cat((-factor * (p * re + q * im), factor * (q * re - p * im)), dim=-1)


@dataclass(frozen=True)
class CurrentJacobian:
    """Transposed derivatives of `injected_current` at one (power, voltage), applied to a cotangent.

    Attributes:
        power: S, (batch, 2 branches) kVA.
        voltage: u, (batch, 2 branches) pu.
        factor: g, (batch, branches).
        slope: dg / d|u|^2, (batch, branches).
    """

    power: Tensor
    voltage: Tensor
    factor: Tensor
    slope: Tensor

    @staticmethod
    def at(load_model: LoadModel, power: Tensor, voltage: Tensor) -> CurrentJacobian:
        """Evaluate the derivatives at power S and voltage u."""
        re, im = voltage.chunk(2, dim=-1)
        return CurrentJacobian(power, voltage, *load_model.factor_and_slope(re * re + im * im))

    def voltage_cotangent(self, cotangent: Tensor) -> Tensor:
        """(di/du)^T times the cotangent of i: (batch, 2 branches).

        With i = -g T u and T = [[p, q], [-q, p]]:  di/du = -g T - 2 g' (T u) u^T.
        """
        p, q = self.power.chunk(2, dim=-1)
        re, im = self.voltage.chunk(2, dim=-1)
        c_re, c_im = cotangent.chunk(2, dim=-1)
        back_re = p * c_re - q * c_im  # T^T c
        back_im = q * c_re + p * c_im
        along = 2.0 * self.slope * (re * back_re + im * back_im)
        return torch.cat(
            (-self.factor * back_re - along * re, -self.factor * back_im - along * im), dim=-1
        )

    def power_cotangent(self, cotangent: Tensor) -> Tensor:
        """(di/dS)^T times the cotangent of i: (batch, 2 branches)."""
        re, im = self.voltage.chunk(2, dim=-1)
        c_re, c_im = cotangent.chunk(2, dim=-1)
        by_p = -self.factor * (re * c_re + im * c_im)
        by_q = self.factor * (re * c_im - im * c_re)
        return torch.cat((by_p, by_q), dim=-1)

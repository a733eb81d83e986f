"""Voltage dependence of loads and devices: the current that each draws, and its derivative.

Everything here is per device branch: one phase of a load or device, between a node and the neutral
(wye) or between two nodes (delta). Per unit of the branch's own rated voltage, with u the complex
voltage across it and S = P + jQ the complex power in kVA that it would draw at 1 pu, the current it
*injects* into the network is

    i = -(g_p P - j g_q Q) u,      g_p = |u|^(p - 2),   g_q = |u|^(q - 2)

with the exponents p and q of power over voltage: 0 constant power, 1 current, 2 impedance. Outside
its voltage band a load becomes an impedance, as in OpenDSS: above `maximum_voltage` at once, below
`minimum_voltage` along a current that is linear in |u| until `low_voltage`, and at its nominal
impedance below that. There g_p = g_q = g, which joins the law inside the band; not so for an
exponential load, which OpenDSS treats as constant power there, so that its power jumps at the
edges. A constant impedance has no band.

The *local response* of inverters is a branch of its own beside the one that draws what they were
told to: at constant power but for factors that are curves of the voltage there,

    g_p = a(|u|) / |u|^2,      g_q = b(|u|) / |u|^2

Its P is the kW that inverters feed in, of which a share a, 1 less volt-watt, is curtailed; its Q is
the kVA that volt-var, b, is a share of.

A load's nominal admittance y may be *folded* into the network, as OpenDSS does with every load: the
network then carries -y u, and i stands for the rest, i + y u. The solution is the same. It lets a
part of the network that only its loads hold, such as an isolated star point, have a voltage.

Complex vectors are stored as real tensors with the real parts first: (batch, 2 branches).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridedge_env.feeder.records import Load
from gridedge_env.powerflow.curves import VOLT_VAR, VOLT_WATT, Curve
from gridedge_env.record import Record, batch

EXPONENT = {"constant_power": 0.0, "constant_current": 1.0, "constant_impedance": 2.0}

# A device at constant power is held so down to this voltage and is a constant impedance below it:
# its current stays bounded, so that the iteration stays finite where no operating point exists.
DEVICE_MINIMUM_VOLTAGE = 0.5

# Of what inverters feed in: the share that volt-watt curtails.
CURTAILED = Curve(VOLT_WATT.voltage, tuple(1.0 - share for share in VOLT_WATT.share))
# How far a sweep goes where inverters respond: the slopes of their curves are many times those of a
# load, and whole sweeps would swing ever wider, as inverters that answer a step late do. In IEEE
# 123's default case voltages change by up to -1.8 times a change of theirs.
RELAXATION = 0.5

FactorAndSlope = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class BranchLaw:
    """The voltage dependence of one device branch; the fields are those of `LoadModel`."""

    p_exponent: float = EXPONENT["constant_power"]
    q_exponent: float = EXPONENT["constant_power"]
    edge_exponent: float = EXPONENT["constant_power"]
    minimum_voltage: float = DEVICE_MINIMUM_VOLTAGE
    maximum_voltage: float = float("inf")
    low_voltage: float = 0.0
    is_response: bool = False


# An injection that is not one of the feeder's loads.
DEVICE_LAW = BranchLaw()
# What the inverters at a place do about its voltage by themselves.
RESPONSE_LAW = BranchLaw(is_response=True)


def law_of_load(load: Load) -> BranchLaw:
    """The law of every branch of a load."""
    band = load.vmin_pu, load.vmax_pu, load.vlow_pu
    if load.p_exponent is not None and load.q_exponent is not None:
        return BranchLaw(load.p_exponent, load.q_exponent, EXPONENT["constant_power"], *band)
    exponent = EXPONENT[load.model]
    return BranchLaw(exponent, exponent, exponent, *band)


@dataclass(frozen=True)
class LoadModel:
    """The voltage dependence of every device branch; all tensors are (branches,).

    Attributes:
        p_exponent: of real power over voltage inside the band.
        q_exponent: of reactive power over voltage inside the band.
        edge_exponent: of the law that the impedances outside the band join.
        minimum_voltage: lower edge of the band, pu.
        maximum_voltage: upper edge of the band, pu; infinite where there is none.
        low_voltage: nominal impedance at and below this voltage, pu.
        is_response: bool, whether the branch is a local response.
        always_constant_power: whether every branch is a device at constant power, for which a
            shorter formula gives the same numbers.
        always_one_factor: whether g_p = g_q at every branch.
        ever_responds: whether any branch is a local response.
        folded: (2 branches,) admittances in the network, kVA per pu², real parts first; None: none.
    """

    p_exponent: Tensor
    q_exponent: Tensor
    edge_exponent: Tensor
    minimum_voltage: Tensor
    maximum_voltage: Tensor
    low_voltage: Tensor
    is_response: Tensor
    always_constant_power: bool
    always_one_factor: bool
    ever_responds: bool
    folded: Tensor | None

    @staticmethod
    def of(
        laws: Sequence[BranchLaw], folded: NDArray[np.complex128] | None = None, **where: Any
    ) -> LoadModel:
        """From the law and folded admittance of every branch; `where`: device and dtype."""
        parts = None if folded is None else np.concatenate((folded.real, folded.imag))
        columns = {
            field.name: torch.tensor([getattr(law, field.name) for law in laws], **where)
            for field in fields(BranchLaw)
        }
        return LoadModel(
            **{**columns, "is_response": columns["is_response"].bool()},
            always_constant_power=set(laws) == {DEVICE_LAW},
            always_one_factor=all(
                law.p_exponent == law.q_exponent == law.edge_exponent for law in laws
            ),
            ever_responds=any(law.is_response for law in laws),
            folded=None if parts is None else torch.tensor(parts, **where),
        )

    @property
    def relaxation(self) -> float:
        """How far a sweep goes towards what it finds."""
        return RELAXATION if self.ever_responds else 1.0

    def unfold(self, current: Tensor, voltage: Tensor) -> Tensor:
        """What the branches inject in all, for what they inject besides the folded admittances."""
        return current if self.folded is None else current - _times(self.folded, voltage)

    def factors(self, square: Tensor) -> tuple[Tensor, Tensor]:
        """g_p and g_q as functions of |u|^2 (batch, branches)."""
        if self.always_constant_power:
            factor = square.clamp(min=DEVICE_MINIMUM_VOLTAGE**2).reciprocal()
            return factor, factor
        (by_p, _), (by_q, _) = self._factors_and_slopes(square)
        return by_p, by_q

    def factors_and_slopes(self, square: Tensor) -> tuple[FactorAndSlope, FactorAndSlope]:
        """(g_p, dg_p / d|u|^2) and (g_q, dg_q / d|u|^2), all (batch, branches)."""
        if self.always_constant_power:
            factor, _ = self.factors(square)
            slope = torch.where(square > DEVICE_MINIMUM_VOLTAGE**2, -factor * factor, 0.0)
            return (factor, slope), (factor, slope)
        return self._factors_and_slopes(square)

    def _factors_and_slopes(self, square: Tensor) -> tuple[FactorAndSlope, FactorAndSlope]:
        magnitude = square.sqrt().clamp(min=1e-6)
        outside = self._outside(magnitude)
        by_p = self._inside(magnitude, self.p_exponent, outside)
        by_q = by_p
        if not self.always_one_factor:
            by_q = self._inside(magnitude, self.q_exponent, outside)
        if not self.ever_responds:
            return by_p, by_q
        return (
            self._responding(by_p, magnitude, CURTAILED),
            self._responding(by_q, magnitude, VOLT_VAR),
        )

    def _outside(self, magnitude: Tensor) -> FactorAndSlope:
        """g and its slope where |u| is outside the band."""
        # Above it an impedance.
        factor = self.maximum_voltage ** (self.edge_exponent - 2.0)
        # Below it |u| g is linear in |u|, from (low, low) to (minimum, minimum^(exponent - 1)).
        edge = self.minimum_voltage ** (self.edge_exponent - 1.0)
        gradient = (edge - self.low_voltage) / (self.minimum_voltage - self.low_voltage)
        intercept = self.low_voltage * (1.0 - gradient)
        below = magnitude < self.minimum_voltage
        factor = torch.where(below, gradient + intercept / magnitude, factor)
        # Derivative with respect to |u|, then d|u| / d|u|^2 = 1 / (2 |u|).
        slope = torch.where(below, -intercept / (2.0 * magnitude**3), 0.0)
        nominal = magnitude <= self.low_voltage
        return torch.where(nominal, 1.0, factor), torch.where(nominal, 0.0, slope)

    def _inside(
        self, magnitude: Tensor, exponent: Tensor, outside: FactorAndSlope
    ) -> FactorAndSlope:
        """g and its slope at every voltage, for the power with this exponent."""
        inside = (magnitude >= self.minimum_voltage) & (magnitude <= self.maximum_voltage)
        factor = magnitude ** (exponent - 2.0)
        slope = (0.5 * exponent - 1.0) * factor / magnitude**2
        return torch.where(inside, factor, outside[0]), torch.where(inside, slope, outside[1])

    def _responding(self, law: FactorAndSlope, magnitude: Tensor, curve: Curve) -> FactorAndSlope:
        """g and its slope, those of local responses times a curve of the voltage."""
        factor, slope = law
        share = curve(magnitude)
        bent = share * slope + curve.slope(magnitude) * factor / (2.0 * magnitude)
        answers = self.is_response
        return torch.where(answers, share * factor, factor), torch.where(answers, bent, slope)


def injected_current(load_model: LoadModel, power: Tensor, voltage: Tensor) -> Tensor:
    """Current i that the branches inject, for power S and voltage u: all (batch, 2 branches)."""
    re, im = voltage.chunk(2, dim=-1)
    by_p, by_q = load_model.factors(re * re + im * im)
    p, q = power.chunk(2, dim=-1)
    p, q = by_p * p, by_q * q
    current = torch.cat((-p * re - q * im, q * re - p * im), dim=-1)
    return current if load_model.folded is None else current + _times(load_model.folded, voltage)


def _times(admittance: Tensor, voltage: Tensor) -> Tensor:
    """Complex product of (2 branches,) and (batch, 2 branches)."""
    (g, b), (re, im) = admittance.chunk(2), voltage.chunk(2, dim=-1)
    return torch.cat((g * re - b * im, g * im + b * re), dim=-1)


@dataclass(frozen=True, eq=False)
class CurrentJacobian(Record):
    """Transposed derivatives of `injected_current` at one (power, voltage), applied to a cotangent.

    Attributes:
        folded: conjugate of `LoadModel.folded`.
        power: S, (batch, 2 branches) kVA.
        voltage: u, (batch, 2 branches) pu.
        p_factor: g_p, (batch, branches).
        p_slope: dg_p / d|u|^2, (batch, branches).
        q_factor: g_q, (batch, branches).
        q_slope: dg_q / d|u|^2, (batch, branches).
    """

    folded: Tensor | None
    power: Tensor = field(metadata=batch())
    voltage: Tensor = field(metadata=batch())
    p_factor: Tensor = field(metadata=batch())
    p_slope: Tensor = field(metadata=batch())
    q_factor: Tensor = field(metadata=batch())
    q_slope: Tensor = field(metadata=batch())

    @staticmethod
    def at(load_model: LoadModel, power: Tensor, voltage: Tensor) -> CurrentJacobian:
        """Evaluate the derivatives at power S and voltage u."""
        re, im = voltage.chunk(2, dim=-1)
        by_p, by_q = load_model.factors_and_slopes(re * re + im * im)
        folded = load_model.folded
        if folded is not None:
            folded = torch.cat((folded.chunk(2)[0], -folded.chunk(2)[1]))
        return CurrentJacobian(folded, power, voltage, *by_p, *by_q)

    def voltage_cotangent(self, cotangent: Tensor) -> Tensor:
        """(di/du)^T times the cotangent c of i: (batch, 2 branches).

        With J u = (im, -re), i = -g_p P u - g_q Q J u, so that
        (di/du)^T c = -g_p P c - g_q Q J^T c - 2 (g_p' P u.c + g_q' Q (J u).c) u.
        """
        p, q = self.power.chunk(2, dim=-1)
        re, im = self.voltage.chunk(2, dim=-1)
        c_re, c_im = cotangent.chunk(2, dim=-1)
        along = 2.0 * (
            self.p_slope * p * (re * c_re + im * c_im) + self.q_slope * q * (im * c_re - re * c_im)
        )
        p, q = self.p_factor * p, self.q_factor * q
        back = torch.cat((q * c_im - p * c_re - along * re, -q * c_re - p * c_im - along * im), -1)
        return back if self.folded is None else back + _times(self.folded, cotangent)

    def power_cotangent(self, cotangent: Tensor) -> Tensor:
        """(di/dS)^T times the cotangent of i: (batch, 2 branches)."""
        re, im = self.voltage.chunk(2, dim=-1)
        c_re, c_im = cotangent.chunk(2, dim=-1)
        by_p = -self.p_factor * (re * c_re + im * c_im)
        by_q = self.q_factor * (re * c_im - im * c_re)
        return torch.cat((by_p, by_q), dim=-1)

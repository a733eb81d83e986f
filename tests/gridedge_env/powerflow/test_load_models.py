"""The voltage dependence of loads, and its derivatives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gridedge_env.powerflow.load_models import (
    DEVICE_MINIMUM_VOLTAGE,
    EXPONENT,
    CurrentJacobian,
    LoadModel,
    injected_current,
)

MINIMUM, MAXIMUM, LOW = 0.95, 1.05, 0.5


def load_model(
    exponents: list[float],
    minimum: float = MINIMUM,
    maximum: float = MAXIMUM,
    low: float = LOW,
    always_constant_power: bool = False,
) -> LoadModel:
    def each(value: float) -> Tensor:
        return torch.full((len(exponents),), value, dtype=torch.float64)

    exponent = torch.tensor(exponents, dtype=torch.float64)
    return LoadModel(exponent, each(minimum), each(maximum), each(low), always_constant_power)


ALL = load_model(list(EXPONENT.values()))
DEVICE = (DEVICE_MINIMUM_VOLTAGE, math.inf, 0.0)


# Admittance over the nominal one at |u| = v, by hand; vmin 0.95, vmax 1.05, vlow 0.5:
# - at 0.3, below vlow: 1.
# - at 0.725, half-way from vlow to vmin, the current is half-way from 0.5 to its value at vmin,
#   1 / 0.95 = 20/19 at constant power and 1 at constant current: (0.5 + 20/19) / 2 and 0.75.
# - inside the band 1 / v² and 1 / v.
# - at 1.2, above vmax: 1 / 1.05² and 1 / 1.05.
@pytest.mark.parametrize(
    ("v", "power", "current"),
    [
        (0.3, 1.0, 1.0),
        (0.725, (0.5 + 20.0 / 19.0) / 2.0 / 0.725, 0.75 / 0.725),
        (1.0, 1.0, 1.0),
        (1.025, 1.0 / 1.025**2, 1.0 / 1.025),
        (1.2, 1.0 / 1.05**2, 1.0 / 1.05),
    ],
)
def test_factor_by_hand(v: float, power: float, current: float) -> None:
    factor = ALL.factor(torch.full((1, 3), v * v, dtype=torch.float64))
    assert factor[0].tolist() == pytest.approx([power, current, 1.0], rel=1e-14)


@pytest.mark.parametrize("model", EXPONENT)
def test_a_load_draws_its_power_at_one_per_unit(model: str) -> None:
    """S = u conj(-i), whatever the angle: 30 + 10j kVA at 1 pu turned by 0.3 rad."""
    power = torch.tensor([[30.0, 10.0]], dtype=torch.float64)
    voltage = torch.tensor([[math.cos(0.3), math.sin(0.3)]], dtype=torch.float64)
    re, im = injected_current(load_model([EXPONENT[model]]), power, voltage)[0].tolist()
    drawn = complex(math.cos(0.3), math.sin(0.3)) * -complex(re, -im)
    assert drawn == pytest.approx(30 + 10j, rel=1e-14)


@pytest.mark.parametrize("edge", [LOW, MINIMUM, MAXIMUM])
def test_the_current_is_continuous(edge: float) -> None:
    """A step of 2e-9 changes the current by the slope, less than 2, times 2e-9."""
    sides = torch.tensor([[edge - 1e-9] * 3, [edge + 1e-9] * 3], dtype=torch.float64)
    below, above = ALL.factor(sides**2) * sides
    torch.testing.assert_close(below, above, rtol=0.0, atol=4e-9)


@pytest.mark.parametrize("v", [0.2, 0.7, 0.98, 1.02, 1.3])
def test_slope_is_the_derivative_of_the_factor(v: float) -> None:
    """Central differences with h = 1e-5: rounding 1e-16 / h = 1e-11, truncation h² g''' = 1e-9."""
    square = torch.full((1, 3), v * v, dtype=torch.float64)
    factor, slope = ALL.factor_and_slope(square)
    assert torch.equal(factor, ALL.factor(square))
    difference = (ALL.factor(square + 1e-5) - ALL.factor(square - 1e-5)) / 2e-5
    torch.testing.assert_close(slope, difference, rtol=0.0, atol=1e-8)


def test_nothing_is_infinite_without_voltage() -> None:
    """A dead short: no current, and derivatives that are finite."""
    zero = torch.zeros(1, 6, dtype=torch.float64)
    assert torch.equal(injected_current(ALL, zero + 10.0, zero), zero)
    jacobian = CurrentJacobian.at(ALL, zero + 10.0, zero)
    assert jacobian.voltage_cotangent(zero + 1.0).isfinite().all()
    assert jacobian.power_cotangent(zero + 1.0).isfinite().all()


def test_the_shorter_formula_for_devices_gives_the_same_numbers() -> None:
    """From almost nothing to 3 pu; the two differ by the rounding of a root and its square."""
    general = load_model([EXPONENT["constant_power"]] * 400, *DEVICE)
    shorter = load_model([EXPONENT["constant_power"]] * 400, *DEVICE, always_constant_power=True)
    square = torch.linspace(0.01, 3.0, 400, dtype=torch.float64)[None] ** 2
    for ours, theirs in zip(
        shorter.factor_and_slope(square), general.factor_and_slope(square), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-14)
    assert torch.equal(shorter.factor(square), shorter.factor_and_slope(square)[0])


@pytest.mark.parametrize("always_constant_power", [False, True])
def test_transposed_derivatives(always_constant_power: bool) -> None:
    """Against autograd through the formulas, at voltages in every part of the band."""
    exponents = [2.0] * 6 if always_constant_power else [2.0, 1.0, 0.0, 2.0, 1.0, 2.0]
    band = DEVICE if always_constant_power else (MINIMUM, MAXIMUM, LOW)
    model = load_model(exponents, *band, always_constant_power=always_constant_power)
    random = torch.Generator().manual_seed(0)
    magnitude = torch.tensor([0.3, 0.8, 0.9, 1.0, 1.02, 1.4], dtype=torch.float64)
    angle, *numbers = torch.randn(5, 6, generator=random, dtype=torch.float64)
    voltage = torch.cat((magnitude * angle.cos(), magnitude * angle.sin()))[None]
    power, cotangent = torch.cat(numbers[:2])[None], torch.cat(numbers[2:])[None]
    voltage.requires_grad_()
    power.requires_grad_()
    by_power, by_voltage = torch.autograd.grad(
        injected_current(model, power, voltage), (power, voltage), cotangent
    )
    jacobian = CurrentJacobian.at(model, power.detach(), voltage.detach())
    torch.testing.assert_close(jacobian.power_cotangent(cotangent), by_power)
    torch.testing.assert_close(jacobian.voltage_cotangent(cotangent), by_voltage)

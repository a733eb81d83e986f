"""The voltage dependence of loads, and its derivatives."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from gridedge_env.feeder.records import Load
from gridedge_env.powerflow.load_models import (
    DEVICE_LAW,
    EXPONENT,
    BranchLaw,
    CurrentJacobian,
    LoadModel,
    injected_current,
    law_of_load,
)

MINIMUM, MAXIMUM, LOW = 0.95, 1.05, 0.5
BAND = (MINIMUM, MAXIMUM, LOW)
POWER, CURRENT, IMPEDANCE = LAWS = [BranchLaw(e, e, e, *BAND) for e in EXPONENT.values()]
EXPONENTIAL = BranchLaw(0.8, 3.0, EXPONENT["constant_power"], *BAND)


def load_model(*laws: BranchLaw) -> LoadModel:
    return LoadModel.of(laws, dtype=torch.float64)


ALL = load_model(POWER, CURRENT, IMPEDANCE)


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
    by_p, by_q = ALL.factors(torch.full((1, 3), v * v, dtype=torch.float64))
    assert by_p[0].tolist() == pytest.approx([power, current, 1.0], rel=1e-14)
    assert torch.equal(by_p, by_q)


def test_an_exponential_load_by_hand() -> None:
    """Inside the band v^0.8 / v² of P and v³ / v² of Q; outside it, as constant power."""
    square = torch.tensor([[0.725], [0.98], [1.2]], dtype=torch.float64) ** 2
    by_p, by_q = load_model(EXPONENTIAL).factors(square)
    below, above = (0.5 + 20.0 / 19.0) / 2.0 / 0.725, 1.0 / 1.05**2
    assert by_p[:, 0].tolist() == pytest.approx([below, 0.98**-1.2, above], rel=1e-14)
    assert by_q[:, 0].tolist() == pytest.approx([below, 0.98, above], rel=1e-14)


def test_a_generator_is_a_constant_admittance_outside_its_band() -> None:
    """At vmin 0.9, vmax 1.1, vlow 0: S / 0.9² of admittance below, S / 1.1² above."""
    law = BranchLaw(0.0, 0.0, 0.0, 0.9, 1.1, 0.0)
    square = torch.tensor([[0.01], [0.89], [1.11], [3.0]], dtype=torch.float64) ** 2
    factor, _ = load_model(law).factors(square)
    expected = [0.9**-2, 0.9**-2, 1.1**-2, 1.1**-2]
    assert factor[:, 0].tolist() == pytest.approx(expected, rel=1e-13)


def test_the_law_of_a_load() -> None:
    load = Load("l", "b", (1,), "wye", "constant_current", 2.4, 1.0, 0.0, 0.9, 1.1, 0.4)
    assert law_of_load(load) == BranchLaw(1.0, 1.0, 1.0, 0.9, 1.1, 0.4)
    other = replace(load, model="exponential", p_exponent=0.8, q_exponent=3.0)
    assert law_of_load(other) == BranchLaw(0.8, 3.0, 0.0, 0.9, 1.1, 0.4)


@pytest.mark.parametrize("law", LAWS, ids=EXPONENT)
def test_a_load_draws_its_power_at_one_per_unit(law: BranchLaw) -> None:
    """S = u conj(-i), whatever the angle: 30 + 10j kVA at 1 pu turned by 0.3 rad."""
    power = torch.tensor([[30.0, 10.0]], dtype=torch.float64)
    voltage = torch.tensor([[math.cos(0.3), math.sin(0.3)]], dtype=torch.float64)
    re, im = injected_current(load_model(law), power, voltage)[0].tolist()
    drawn = complex(math.cos(0.3), math.sin(0.3)) * -complex(re, -im)
    assert drawn == pytest.approx(30 + 10j, rel=1e-14)


@pytest.mark.parametrize("edge", [LOW, MINIMUM, MAXIMUM])
def test_the_current_is_continuous(edge: float) -> None:
    """A step of 2e-9 changes the current by the slope, less than 2, times 2e-9."""
    sides = torch.tensor([[edge - 1e-9] * 3, [edge + 1e-9] * 3], dtype=torch.float64)
    below, above = ALL.factors(sides**2)[0] * sides
    torch.testing.assert_close(below, above, rtol=0.0, atol=4e-9)


@pytest.mark.parametrize("v", [0.2, 0.7, 0.98, 1.02, 1.3])
def test_slope_is_the_derivative_of_the_factor(v: float) -> None:
    """Central differences with h = 1e-5: rounding 1e-16 / h = 1e-11, truncation h² g''' = 1e-9."""
    model = load_model(POWER, CURRENT, IMPEDANCE, EXPONENTIAL)
    square = torch.full((1, 4), v * v, dtype=torch.float64)
    here, more, less = (model.factors(square + step) for step in (0.0, 1e-5, -1e-5))
    for k, (factor, slope) in enumerate(model.factors_and_slopes(square)):
        assert torch.equal(factor, here[k])
        torch.testing.assert_close(slope, (more[k] - less[k]) / 2e-5, rtol=0.0, atol=1e-8)


def test_nothing_is_infinite_without_voltage() -> None:
    """A dead short: no current, and derivatives that are finite."""
    zero = torch.zeros(1, 6, dtype=torch.float64)
    assert torch.equal(injected_current(ALL, zero + 10.0, zero), zero)
    jacobian = CurrentJacobian.at(ALL, zero + 10.0, zero)
    assert jacobian.voltage_cotangent(zero + 1.0).isfinite().all()
    assert jacobian.power_cotangent(zero + 1.0).isfinite().all()


def test_the_shorter_formula_for_devices_gives_the_same_numbers() -> None:
    """From almost nothing to 3 pu; the two differ by the rounding of a root and its square."""
    shorter = load_model(*[DEVICE_LAW] * 400)
    general = replace(shorter, always_constant_power=False)
    assert shorter.always_constant_power
    square = torch.linspace(0.01, 3.0, 400, dtype=torch.float64)[None] ** 2
    ours, theirs = (model.factors_and_slopes(square) for model in (shorter, general))
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)
    assert torch.equal(shorter.factors(square)[0], ours[0][0])


@pytest.mark.parametrize(
    "laws",
    [[DEVICE_LAW] * 6, [POWER, CURRENT, IMPEDANCE] * 2, [POWER, EXPONENTIAL, CURRENT] * 2],
    ids=["devices", "standard", "exponential"],
)
def test_transposed_derivatives(laws: list[BranchLaw]) -> None:
    """Against autograd through the formulas, at voltages in every part of the band."""
    model = load_model(*laws)
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

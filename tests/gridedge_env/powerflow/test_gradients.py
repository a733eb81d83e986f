"""Implicit gradients against finite differences, in double precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.powerflow import FixedPoint, PowerFlow, PowerFlowSolution
from gridedge_env.powerflow.solution import magnitude

# Solved to 1e-14 pu so that differences over steps of 0.01 kVA are good to 1e-14 / 0.02 = 5e-13 per
# kVA, beside gradients of 1e-5 pu per kVA and more. Their truncation, h² S'''/6, is smaller still.
EXACT = FixedPoint(tolerance=1e-14, maximum_iterations=100, check_convergence=True)
STEP = 0.01

QUANTITIES: dict[str, Callable[[PowerFlowSolution], Tensor]] = {
    "voltage": lambda s: torch.view_as_real(s.voltage),
    "voltage_magnitude": lambda s: s.voltage_magnitude,
    "branch_current": lambda s: torch.view_as_real(s.branch_current),
    "branch_current_magnitude": lambda s: s.branch_current_magnitude,
    "unbalance": lambda s: s.unbalance,
}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_entry_of_the_jacobian_on_a_small_feeder(small_feeder: Feeder, quantity: str) -> None:
    """Wye and delta, all load models, inside their bands, above and below; and two injections."""
    power_flow = PowerFlow(small_feeder, ["b.3", "c.1.3"], settings=EXACT)
    power = power_flow.nominal_power[None].clone()
    power[0, -2:] = torch.tensor([-25.0 + 3j, 15.0 + 4j])

    def solve(power: Tensor) -> Tensor:
        return QUANTITIES[quantity](power_flow.solve(power))

    power.requires_grad_()
    # Currents are computed as differences of voltages that are good to 1e-14 · 2400 V, times 1 S.
    atol = 1e-8 if "current" in quantity else 1e-10
    assert torch.autograd.gradcheck(solve, power, eps=STEP, atol=atol, rtol=1e-6)


@pytest.fixture(scope="module", params=["loads", "devices"])
def case(request: pytest.FixtureRequest) -> tuple[PowerFlow, Tensor]:
    """IEEE 123 with its own loads, and with devices only, which has a formula of its own."""
    feeder = load_feeder("ieee123")
    if request.param == "loads":
        power_flow = PowerFlow(feeder, settings=EXACT)
        return power_flow, power_flow.nominal_power[None]
    places = [f"{load.bus}.{load.phases[0]}" for load in feeder.loads]
    power_flow = PowerFlow(feeder.without_loads(), places, settings=EXACT)
    random = torch.Generator().manual_seed(0)
    kw = 40.0 * torch.randn(1, len(places), generator=random, dtype=torch.float64)
    return power_flow, torch.complex(kw + 10.0, 0.3 * kw)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_gradients_on_ieee_123(case: tuple[PowerFlow, Tensor], quantity: str) -> None:
    """A random objective, along eight random directions of all powers at once."""
    power_flow, power = case
    random = torch.Generator().manual_seed(1)
    normal = partial(torch.randn, generator=random)
    power = power.clone().requires_grad_()
    values = QUANTITIES[quantity](power_flow.solve(power))
    weight = normal(values.shape, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((weight * values).sum(), power)

    directions = normal((8, power.shape[1]), dtype=torch.complex128)
    ends = torch.cat((power + STEP * directions, power - STEP * directions)).detach()
    objective = (weight * QUANTITIES[quantity](power_flow.solve(ends))).flatten(1).sum(dim=1)
    expected = (objective[:8] - objective[8:]) / (2.0 * STEP)
    found = (gradient.conj() * directions).real.sum(dim=1)
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()


def test_the_adjoint_needs_no_finer_start(case: tuple[PowerFlow, Tensor]) -> None:
    """With the default tolerance gradients are good to the 1e-11 at which both iterations stop."""
    exact, power = case
    extra = len(exact.injection_names) - len(exact.feeder.loads)
    names = exact.injection_names[-extra:] if extra else None
    default = PowerFlow(exact.feeder, names)
    gradients: list[Tensor] = []
    for power_flow in (exact, default):
        leaf = power.clone().requires_grad_()
        solution = power_flow.solve(leaf)
        objective = (solution.voltage_magnitude - 1.0).square().sum() + solution.unbalance.sum()
        gradients += torch.autograd.grad(objective, leaf)
    scale = gradients[0].abs().max()
    assert (gradients[0] - gradients[1]).abs().max() < 1e-9 * scale


def test_gradients_in_single_precision() -> None:
    """To the 2e-6 at which the iterations stop, over the contraction: 1e-5 of the largest."""
    gradients = []
    for dtype in (torch.float64, torch.float32):
        power_flow = PowerFlow(load_feeder("ieee123"), dtype=dtype)
        power = power_flow.nominal_power[None].clone().requires_grad_()
        objective = (power_flow.solve(power).voltage_magnitude - 1.0).square().sum()
        gradients.append(torch.autograd.grad(objective, power)[0].to(torch.complex128))
    assert (gradients[0] - gradients[1]).abs().max() < 1e-5 * gradients[0].abs().max()


def test_a_scenario_gets_gradients_of_its_own_objective_only(small_feeder: Feeder) -> None:
    power_flow = PowerFlow(small_feeder)
    power = power_flow.nominal_power.repeat(3, 1).requires_grad_()
    magnitude = power_flow.solve(power).voltage_magnitude
    (gradient,) = torch.autograd.grad(magnitude[1].sum(), power)
    assert gradient[1].abs().min() > 0.0
    assert not gradient[[0, 2]].any()


def test_the_current_of_an_unloaded_branch_has_a_finite_gradient(small_feeder: Feeder) -> None:
    """|I| has a kink at zero: a line without capacitance and load carries nothing at all."""
    codes = tuple(
        type(code)(**{**vars(code), "capacitance": ((0.0,) * code.phases,) * code.phases})
        for code in small_feeder.line_codes
    )
    bare = type(small_feeder)(**{**vars(small_feeder), "line_codes": codes, "loads": ()})
    power_flow = PowerFlow(bare, ["d.2"])
    power = torch.zeros(1, 1, dtype=torch.complex128, requires_grad=True)
    current = power_flow.solve(power).branch_current_magnitude
    assert current.max() < 1e-9
    (gradient,) = torch.autograd.grad(current.sum(), power)
    assert torch.view_as_real(gradient).isfinite().all()


def test_a_magnitude_is_that_of_complex_numbers_and_has_no_slope_at_zero() -> None:
    """3 - 4j: 5, with slopes 3/5 and -4/5. Zero is a kink: no slope there."""
    vector = torch.tensor([[3.0, 0.0, -4.0, 0.0]], dtype=torch.float64, requires_grad=True)
    found = magnitude(vector)
    assert found.tolist() == [[5.0, 0.0]]
    assert torch.equal(found, magnitude(vector.detach()))
    (slopes,) = torch.autograd.grad(found.sum(), vector)
    # Two roundings of numbers below one.
    assert slopes[0].tolist() == pytest.approx([0.6, 0.0, -0.8, 0.0], abs=4e-16)
    random = torch.Generator().manual_seed(0)
    away = torch.randn(2, 3, 8, generator=random, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(magnitude, away)


@pytest.mark.parametrize("backend", ["dense", "factored"])
def test_no_scenario_has_no_gradient(small_feeder: Feeder, backend: str) -> None:
    flow = PowerFlow(small_feeder, backend=backend)
    power = flow.nominal_power.expand(0, -1).clone().requires_grad_()
    flow.solve(power).losses.sum().backward()
    assert power.grad is not None
    assert power.grad.shape == power.shape

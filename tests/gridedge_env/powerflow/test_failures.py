"""What happens where there is no operating point, and to what makes no sense."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import Feeder
from gridedge_env.powerflow import PowerFlow

# As in test_power_flow.py: two solutions of one flow are this close, pu.
SAME = 1e-10


@pytest.mark.parametrize("scale", [50.0, 20.0, 10.0, -50.0])
def test_a_scenario_without_operating_point_disturbs_no_other(
    power_flow: PowerFlow, powers: Tensor, scale: float
) -> None:
    alone = power_flow.solve(powers)
    assert alone.converged.all()
    hopeless = scale * power_flow.nominal_power[None]
    batch = torch.cat((powers[:2], hopeless, powers[2:])).requires_grad_()
    together = power_flow.solve(batch)
    others = [0, 1, 3, 4, 5, 6]
    assert together.converged.tolist() == [k != 2 for k in range(7)]
    assert together.residual[2] > 1e-3
    assert together.iterations[2] == power_flow.settings.maximum_iterations
    torch.testing.assert_close(together.voltage[others], alone.voltage, rtol=0.0, atol=SAME)
    assert torch.equal(together.iterations[others], alone.iterations)
    for name in ("voltage", "branch_current_magnitude", "unbalance", "device_voltage"):
        assert torch.view_as_real(getattr(together, name) + 0j).isfinite().all(), name

    objective = (
        together.voltage_magnitude.square().sum()
        + together.branch_current_magnitude.sum()
        + together.unbalance.sum()
    )
    (gradient,) = torch.autograd.grad(objective, batch)
    assert torch.view_as_real(gradient).isfinite().all()


@pytest.mark.parametrize("scale", [300.0, -300.0])
def test_divergence_stays_finite_in_single_precision(ieee123: Feeder, scale: float) -> None:
    """Sixty iterations that each multiply a voltage by ten or more would overflow at 3e38.

    They are kept within 3 pu, real and imaginary part.
    """
    power_flow = PowerFlow(ieee123, dtype=torch.float32)
    power = (scale * power_flow.nominal_power)[None].requires_grad_()
    solution = power_flow.solve(power)
    assert not solution.converged.item()
    assert solution.voltage_magnitude.isfinite().all()
    assert solution.device_voltage.abs().max() == 3.0
    (gradient,) = torch.autograd.grad(solution.voltage_magnitude.sum(), power)
    assert torch.view_as_real(gradient).isfinite().all()


@pytest.mark.parametrize("scale", [10.0, -10.0])
def test_gradient_without_operating_point_leads_back(power_flow: PowerFlow, scale: float) -> None:
    """Less of the load that is too much means less violation, to first order."""
    factor = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    solution = power_flow.solve((factor * power_flow.nominal_power)[None])
    assert not solution.converged.item()
    magnitude = solution.voltage_magnitude
    violation = (0.95 - magnitude).clamp(min=0.0) + (magnitude - 1.05).clamp(min=0.0)
    (slope,) = torch.autograd.grad(violation.sum(), factor)
    assert slope * scale > 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": torch.float16}, r"dtype: got torch.float16, expected torch.float32 or"),
        ({"injections": ["e.1"]}, r"injections: 'e.1' is not at nodes of this feeder; expected"),
        ({"injections": ["c.2"]}, r"injections: 'c.2'"),
        ({"injections": ["c"]}, r"injections: 'c'"),
        ({"injections": ["c.1.1"]}, r"injections: 'c.1.1'"),
        ({"injections": ["b.1.2.3"]}, r"injections: 'b.1.2.3'"),
    ],
)
def test_what_cannot_be_built_is_refused(
    small_feeder: Feeder, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        PowerFlow(small_feeder, **arguments)


def test_a_feeder_without_loads_needs_injections(small_feeder: Feeder) -> None:
    with pytest.raises(ValueError, match="injections: feeder 'small' has no load"):
        PowerFlow(small_feeder.without_loads())


def test_what_cannot_be_solved_is_refused(small_feeder: Feeder) -> None:
    flow = PowerFlow(small_feeder)
    power = flow.nominal_power[None].repeat(2, 1)
    with pytest.raises(ValueError, match=r"power: got shape \(10,\), expected \(batch, 10\)"):
        flow.solve(power[0])
    with pytest.raises(ValueError, match=r"power: got shape \(2, 9\), expected \(batch, 10\)"):
        flow.solve(power[:, 1:])
    with pytest.raises(ValueError, match=r"start: got shape \(1, 28\), expected \(2, 28\)"):
        flow.solve(power, start=flow.no_load(1))
    bad: complex
    for bad in (complex(math.nan, 0.0), complex(math.inf, 0.0), complex(0.0, math.nan)):
        power[1, 3] = torch.tensor(bad)
        with pytest.raises(ValueError, match="power: contains NaN or infinity"):
            flow.solve(power)


def test_products_of_less_than_single_precision_are_refused(ieee123: Feeder) -> None:
    power_flow = PowerFlow(ieee123, dtype=torch.float32)
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(ValueError, match="float32_matmul_precision: got 'high', expected"):
            power_flow.solve()
        PowerFlow(ieee123, dtype=torch.float64).solve()  # not concerned
    finally:
        torch.set_float32_matmul_precision("highest")
    assert power_flow.solve().converged.all()

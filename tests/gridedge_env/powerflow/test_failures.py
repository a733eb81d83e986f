"""What happens where there is no operating point, and to what makes no sense."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import Feeder
from gridedge_env.powerflow import FixedPoint, PowerFlow, PowerFlowSolution
from gridedge_env.powerflow.device_space import VoltageOperator
from gridedge_env.powerflow.failures import Failure, PowerFlowFailure, find_failures
from gridedge_env.powerflow.fixed_point import DeviceVoltage, solve_device_voltage
from gridedge_env.powerflow.iteration import Status
from gridedge_env.powerflow.reduction import BACKENDS

# As in test_power_flow.py: two solutions of one flow are this close, pu.
SAME = 1e-10
EXACT = FixedPoint(tolerance=1e-13, maximum_iterations=200, check_convergence=True)


@pytest.fixture(scope="module")
def devices(ieee123: Feeder) -> PowerFlow:
    """A constant-power device in the place of every load: 2.45 times these have an operating point.

    2.5 times have none; so have 14 and 16 times as much fed in.
    """
    places = [f"{load.bus}.{load.phases[0]}" for load in ieee123.loads]
    return PowerFlow(ieee123.without_loads(), places)


def iterate(power_flow: PowerFlow, power: Tensor) -> DeviceVoltage:
    return solve_device_voltage(
        VoltageOperator(power_flow.space),
        branch_power(power_flow, power),
        power_flow.no_load(len(power)),
        power_flow.settings,
    )


def branch_power(power_flow: PowerFlow, power: Tensor) -> Tensor:
    drawn = power[:, power_flow.space.injection] * power_flow.space.share
    return torch.cat((drawn.real, drawn.imag), dim=1)


@pytest.mark.parametrize(
    ("scale", "status"),
    [
        (3.0, Status.DIVERGED),
        (4.0, Status.COLLAPSED),
        (10.0, Status.COLLAPSED),
        (-20.0, Status.DIVERGED),
        (-50.0, Status.DIVERGED),
    ],
)
def test_a_scenario_without_operating_point_disturbs_no_other(
    devices: PowerFlow, powers: Tensor, scale: float, status: Status
) -> None:
    alone = devices.solve(powers)
    assert alone.converged.all()
    batch = torch.cat((powers[:2], scale * powers[:1], powers[2:])).requires_grad_()
    together = devices.solve(batch)
    others = [0, 1, 3, 4, 5, 6]
    assert together.converged.tolist() == [k != 2 for k in range(7)]
    assert iterate(devices, batch.detach()).status.tolist() == [0, 0, status, 0, 0, 0, 0]
    assert together.iterations[2] < devices.settings.maximum_iterations
    torch.testing.assert_close(together.voltage[others], alone.voltage, rtol=0.0, atol=SAME)
    assert torch.equal(together.iterations[others], alone.iterations)
    for name in ("voltage", "branch_current_magnitude", "unbalance", "device_voltage"):
        assert torch.view_as_real(getattr(together, name) + 0j).isfinite().all(), name

    gradients = [
        torch.autograd.grad(objective(together), batch)[0],
        torch.autograd.grad(objective(devices.solve(batch[others])), batch)[0],
    ]
    assert torch.view_as_real(gradients[0]).isfinite().all()
    # Both adjoints stop at 1e-11 of the largest cotangent.
    scale_of_gradient = gradients[1].abs().max()
    assert (gradients[0] - gradients[1])[others].abs().max() < 1e-9 * scale_of_gradient


def objective(solution: PowerFlowSolution) -> Tensor:
    magnitude = solution.voltage_magnitude.square().sum()
    return magnitude + solution.branch_current_magnitude.sum() + solution.unbalance.sum()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [6.0, 10.0, 20.0, -10.0])
def test_feeder_loads_have_an_operating_point_at_any_load(
    ieee123: Feeder, scale: float, backend: str
) -> None:
    """Below its band a load becomes an impedance, which any network can feed.

    Sweeps alone diverge: they multiply what is missing by 1.1 to 3.6. One of them from the solution
    found shows by how much it misses; and the derivatives agree with differences over 2 h,
    h = 1e-4 of the load, which are good to SAME / 2 h of a sum of 278 voltages: 1e-10 · 17 / 2e-4.
    """
    flow = PowerFlow(ieee123, backend=backend)
    factor = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    solution = flow.solve((factor * flow.nominal_power)[None])
    assert solution.converged.item()
    start = solution.device_voltage
    power = branch_power(flow, scale * flow.nominal_power[None])
    after = [flow.sweep_branches(power, start, sweeps) for sweeps in (1, 400)]
    assert (after[0] - start).abs().max() < 4.0 * flow.settings.tolerance
    assert (after[1] - start).abs().max() > 1e-3

    (slope,) = torch.autograd.grad(solution.voltage_magnitude.sum(), factor)
    step = torch.tensor([[1e-4], [-1e-4]], dtype=torch.float64)
    ends = flow.solve((scale + step) * flow.nominal_power).voltage_magnitude.sum(dim=1)
    difference = (ends[0] - ends[1]) / 2e-4
    assert slope.item() == pytest.approx(difference.item(), abs=1e-5)


def test_gradients_near_the_nose(devices: PowerFlow, powers: Tensor) -> None:
    """At 2.47 of the 2.48 times the load that can be held a little more load costs much voltage.

    Against differences over 2 h, h = 1e-5 of the load: truncation is (h / (2.48 - 2.47))² / 8 of
    the slope, 1e-7; rounding below.
    """
    flow = PowerFlow(devices.feeder, devices.injection_names, settings=EXACT)
    factor = torch.tensor(2.47, dtype=torch.float64, requires_grad=True)
    solution = flow.solve((factor * powers[0])[None])
    assert solution.converged.item()
    assert solution.iterations > 20
    (slope,) = torch.autograd.grad(solution.voltage_magnitude.sum(), factor)
    step = torch.tensor([[1e-5], [-1e-5]], dtype=torch.float64)
    ends = flow.solve((2.47 + step) * powers[0]).voltage_magnitude.sum(dim=1)
    assert slope.item() == pytest.approx((ends[0] - ends[1]).item() / 2e-5, rel=1e-6)


def test_taps_of_a_heavily_loaded_scenario(power_flow: PowerFlow, powers: Tensor) -> None:
    """A scenario that goes on alone takes its taps along."""
    random = torch.Generator().manual_seed(0)
    taps = torch.randint(-16, 17, (6, 7), generator=random).double()
    power = powers * torch.tensor([[1.0], [1.0], [6.0], [1.0], [6.0], [1.0]])
    together = power_flow.solve(power, tap_position=taps)
    assert together.converged.all()
    for k in range(6):
        alone = power_flow.solve(power[k : k + 1], tap_position=taps[k : k + 1])
        torch.testing.assert_close(together.voltage[k], alone.voltage[0], rtol=0.0, atol=SAME)


def test_a_device_without_power_does_not_collapse(ieee123: Feeder) -> None:
    """It would at 0.3 pu, twenty times the load, if it drew anything."""
    loads = PowerFlow(ieee123)
    place = loads.node_names[
        int(loads.solve(20.0 * loads.nominal_power[None]).voltage.abs().argmin())
    ]
    flow = PowerFlow(ieee123, [place])
    power = (20.0 * flow.nominal_power).repeat(3, 1)
    power[1:, -1] = torch.tensor([1.0, 1.0j])
    assert iterate(flow, power).status.tolist() == [0, Status.COLLAPSED, Status.COLLAPSED]
    assert flow.solve(power).converged.tolist() == [True, False, False]


def test_an_adjoint_that_does_not_settle_is_reported(power_flow: PowerFlow) -> None:
    """A solution that is known beforehand takes one iteration, its gradient more than ten."""
    power = torch.tensor([[1.0], [6.0], [0.5]]) * power_flow.nominal_power
    known = power_flow.solve(power).device_voltage
    short = replace(power_flow.settings, maximum_iterations=12)
    flow = PowerFlow(power_flow.feeder, settings=short)
    leaf = power.requires_grad_()
    solution = flow.solve(leaf, start=known)
    assert solution.converged.all()
    with pytest.warns(RuntimeWarning, match=r"gradients of 1 of 3 .* in scenarios 1$") as warned:
        (gradient,) = torch.autograd.grad(solution.voltage_magnitude.sum(), leaf)
    assert len(warned) == 1
    exact = power_flow.solve(leaf).voltage_magnitude.sum()
    difference = (gradient - torch.autograd.grad(exact, leaf)[0]).abs().amax(dim=1)
    assert difference[[0, 2]].max() < 1e-9 < difference[1]


def test_failures_name_scenario_reason_and_place(devices: PowerFlow, powers: Tensor) -> None:
    batch = torch.cat((powers[:1], 3.0 * powers[:1], powers[1:2], 4.0 * powers[:1]))
    found = iterate(devices, batch)
    failures = list_failures(devices, batch)
    assert [failure.scenario for failure in failures] == [1, 3]
    assert [failure.status for failure in failures] == [Status.DIVERGED, Status.COLLAPSED]
    assert failures[0].residual == found.residual[1].item() > 1e-3
    assert failures[0].iterations == found.iterations[1].item()
    lowest = torch.hypot(*found.voltage[3].chunk(2)).argmin()
    assert failures[1].where == devices.injection_names[lowest]
    lines = str(PowerFlowFailure(failures, len(batch))).splitlines()
    assert lines[0] == "2 of 4 power flows did not converge:"
    assert lines[1].startswith("  scenario 1: no operating point found: the iteration diverges, ")
    assert lines[2].startswith("  scenario 3: voltage collapse: a constant-power device ends below")
    assert lines[2].endswith(f"the voltage at {failures[1].where!r} is lowest)")
    assert list_failures(devices, powers) == []


def test_a_long_list_of_failures_is_cut(devices: PowerFlow, powers: Tensor) -> None:
    failures = list_failures(devices, 3.0 * powers[:1].repeat(14, 1))
    error = PowerFlowFailure(failures, 14)
    assert len(error.failures) == 14
    lines = str(error).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "  and 4 more"


def list_failures(power_flow: PowerFlow, power: Tensor) -> list[Failure]:
    found = iterate(power_flow, power)
    following = power_flow.sweep_branches(branch_power(power_flow, power), found.voltage, 1)
    return find_failures(
        found.status,
        found.residual,
        found.iterations,
        found.voltage,
        following,
        power_flow.injection_names,
    )


@pytest.mark.parametrize("scale", [300.0, -300.0])
def test_divergence_stays_finite_in_single_precision(ieee123: Feeder, scale: float) -> None:
    """Sixty iterations that each multiply a voltage by ten or more would overflow at 3e38.

    They are kept within 3 pu, real and imaginary part.
    """
    settings = FixedPoint(2e-6, 60, check_convergence=False)
    power_flow = PowerFlow(ieee123, dtype=torch.float32, settings=settings)
    power = (scale * power_flow.nominal_power)[None].requires_grad_()
    solution = power_flow.solve(power)
    assert not solution.converged.item()
    assert solution.voltage_magnitude.isfinite().all()
    assert solution.device_voltage.abs().max() == 3.0
    (gradient,) = torch.autograd.grad(solution.voltage_magnitude.sum(), power)
    assert torch.view_as_real(gradient).isfinite().all()


@pytest.mark.parametrize("scale", [3.0, 10.0, -16.0, -20.0])
def test_gradient_without_operating_point_leads_back(
    devices: PowerFlow, powers: Tensor, scale: float
) -> None:
    """Less of the load that is too much means less violation, to first order."""
    factor = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    solution = devices.solve((factor * powers[0])[None])
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


def test_what_cannot_be_solved_is_refused(small_feeder: Feeder) -> None:
    flow = PowerFlow(small_feeder)
    power = flow.nominal_power[None].repeat(2, 1)
    with pytest.raises(ValueError, match=r"power: got shape \(10,\), expected \(batch, 10\)"):
        flow.solve(power[0])
    with pytest.raises(ValueError, match=r"power: got shape \(2, 9\), expected \(batch, 10\)"):
        flow.solve(power[:, 1:])
    with pytest.raises(ValueError, match=r"start: got shape \(1, 28\), expected \(2, 28\)"):
        flow.solve(power, start=flow.no_load(1))
    with pytest.raises(ValueError, match="power: got ndarray, expected a tensor of complex kVA"):
        flow.solve(power.numpy())
    with pytest.raises(ValueError, match="start: got ndarray, expected a real tensor"):
        flow.solve(power, start=flow.no_load(2).numpy())
    with pytest.raises(ValueError, match=r"start: got torch\.complex128, expected a real tensor"):
        flow.solve(power, start=flow.no_load(2) + 0j)
    with pytest.raises(ValueError, match="tap_position: got list, expected a real tensor"):
        flow.solve(power, tap_position=[[0.0]])
    bad: complex
    for bad in (complex(math.nan, 0.0), complex(math.inf, 0.0), complex(0.0, math.nan)):
        power[1, 3] = torch.tensor(bad)
        with pytest.raises(ValueError, match="power: contains NaN or infinity"):
            flow.solve(power)


def test_real_power_is_without_reactive_power(small_feeder: Feeder) -> None:
    flow = PowerFlow(small_feeder)
    power = flow.nominal_power.real[None]
    assert torch.equal(flow.solve(power).voltage, flow.solve(power + 0j).voltage)


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

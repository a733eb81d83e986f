"""Compiled sweeps give what PyTorch gives, in every scenario, whatever stands beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gridedge_env.compiled import running
from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.powerflow import FixedPoint, PowerFlow, PowerFlowSolution, Status, reduction
from gridedge_env.powerflow.compiled_backend import CompiledBackend
from gridedge_env.powerflow.torch_backend import TorchBackend

pytestmark = pytest.mark.skipif(not running.numba_is_there(), reason="needs Numba")

FEEDERS = ("ieee13", "ieee37", "ieee123", "european_lv")
QUANTITIES = ("voltage", "branch_current", "unbalance", "losses", "injection_voltage")
EXACT = FixedPoint(tolerance=1e-13, maximum_iterations=200, check_convergence=True)


def scaled(flow: PowerFlow, batch: int, low: float = -0.5, high: float = 1.5) -> Tensor:
    """(batch, loads): each load between `low` and `high` times its nominal power."""
    random = torch.Generator().manual_seed(batch)
    share = torch.rand(batch, len(flow.injection_names), generator=random, dtype=torch.float64)
    return (low + (high - low) * share) * flow.nominal_power


def pair(feeder: Feeder, **options: object) -> tuple[PowerFlow, PowerFlow]:
    return (
        PowerFlow(feeder, backend="compiled", **options),
        PowerFlow(feeder, backend="dense", **options),
    )


def objective(solution: PowerFlowSolution) -> Tensor:
    """Of all kinds of outputs: through node voltages, through device currents, through both."""
    return (
        solution.voltage_magnitude.pow(2).sum()
        + 1e-5 * solution.branch_current_magnitude.pow(2).sum()
        + 1e-3 * solution.losses.sum()
        + solution.unbalance.sum()
        + solution.injection_voltage.sum()
    )


@pytest.mark.parametrize("name", FEEDERS)
@pytest.mark.parametrize("batch", [3, 45])
def test_solutions_and_gradients(name: str, batch: int) -> None:
    """In double precision. 3 scenarios make half a narrow block, 45 one and a half wide ones.

    Both stop at changes of 1e-11 pu where sweeps contract by 0.2 and less: errors of 3e-12. The
    current of a 1e-6 ohm switch is a sum of device currents, good to 1e-11 of some 500 A.
    """
    compiled, dense = pair(load_feeder(name))
    power = scaled(dense, batch)
    ours, theirs = compiled.solve(power), dense.solve(power)
    assert ours.converged.all()
    assert torch.equal(ours.iterations, theirs.iterations)
    for quantity in QUANTITIES:
        tolerance = {"branch_current": 5e-8, "losses": 1e-7}.get(quantity, 1e-11)
        torch.testing.assert_close(
            getattr(ours, quantity), getattr(theirs, quantity), rtol=0.0, atol=tolerance
        )
    gradients = []
    for flow in (compiled, dense):
        leaf = power.clone().requires_grad_()
        gradients += torch.autograd.grad(objective(flow.solve(leaf)), leaf)
    scale = float(gradients[1].abs().max())
    torch.testing.assert_close(*gradients, rtol=0.0, atol=1e-10 * scale)


@pytest.mark.parametrize("name", FEEDERS)
def test_single_precision(name: str) -> None:
    """Voltages to a few of its units, 1.2e-7 pu, also of IEEE 37, which floats on 1e-6 of a rating.

    Gradients to 1e-5 of the largest: both iterations stop at 5e-7.
    """
    exact = PowerFlow(load_feeder(name), backend="dense")
    single = PowerFlow(load_feeder(name), dtype=torch.float32, backend="compiled")
    power, found = scaled(exact, 70), []
    for flow in (exact, single):
        leaf = power.to(flow.dtype.to_complex()).requires_grad_()
        solution = flow.solve(leaf)
        (gradient,) = torch.autograd.grad(objective(solution), leaf)
        found.append((solution.voltage, solution.device_voltage, gradient))
    (voltage, across, gradient), ours = found
    assert (voltage - ours[0]).abs().max() < 1e-6
    assert (across - ours[1]).abs().max() < 1e-6
    assert (gradient - ours[2]).abs().max() < 1e-5 * gradient.abs().max()


def test_every_law_in_its_band_and_outside(small_feeder: Feeder) -> None:
    """Laws with exponents 0, 1, 2, two different ones, and other ones."""
    exponents = {"wye_power": (0.8, 1.7), "wye_three": (1.0, 2.0), "low_delta": (1.3, 0.0)}
    loads = tuple(
        replace(load, model="exponential", p_exponent=p, q_exponent=q)
        for load in small_feeder.loads
        for p, q in [exponents.get(load.name, (None, None))]
        if p is not None
    )
    loads += tuple(load for load in small_feeder.loads if load.name not in exponents)
    compiled, dense = pair(replace(small_feeder, loads=loads), settings=EXACT)
    power = scaled(dense, 21, -1.0, 3.0)
    found = []
    for flow in (compiled, dense):
        leaf = power.clone().requires_grad_()
        solution = flow.solve(leaf)
        found.append((solution.voltage, *torch.autograd.grad(objective(solution), leaf)))
    assert (found[0][0] - found[1][0]).abs().max() < 1e-12
    assert (found[0][1] - found[1][1]).abs().max() < 1e-10 * found[1][1].abs().max()


def test_scenarios_do_not_see_each_other(ieee123: Feeder) -> None:
    """Bit for bit, with easy, hard and hopeless ones in the same block, and gradients likewise."""
    places = [f"{load.bus}.{load.phases[0]}" for load in ieee123.loads]
    compiled, dense = pair(ieee123.without_loads(), injections=places)
    nominal = PowerFlow(ieee123, backend="dense").nominal_power
    share = torch.tensor([1.0, 0.1, 2.45, 10.0, 0.0, -1.0, 3.0, -20.0, 0.5], dtype=torch.float64)
    power = (share[:, None] * nominal).repeat(5, 1).requires_grad_()
    together, theirs = compiled.solve(power), dense.solve(power)
    assert torch.equal(together.status, theirs.status)
    assert together.status[:9].tolist() == [
        *[Status.CONVERGED] * 3,
        Status.COLLAPSED,
        *[Status.CONVERGED] * 2,
        *[Status.DIVERGED] * 2,
        Status.CONVERGED,
    ]
    easy = [0, 1, 4, 5, 8]
    assert torch.equal(together.iterations[easy], theirs.iterations[easy])
    assert (together.voltage - theirs.voltage)[together.converged].abs().max() < 1e-9
    (gradient,) = torch.autograd.grad(together.voltage_magnitude.sum(), power)
    assert torch.view_as_real(gradient).isfinite().all()
    leaf = power[easy].detach().requires_grad_()
    alone = compiled.solve(leaf.repeat(8, 1))  # a wide block, as above
    assert torch.equal(alone.voltage[:5], together.voltage[easy])
    (by_itself,) = torch.autograd.grad(alone.voltage_magnitude[:5].sum(), leaf)
    assert torch.equal(by_itself, gradient[easy])


def test_two_threads_give_the_bits_of_one(ieee123: Feeder) -> None:
    flow = PowerFlow(ieee123, backend="compiled")
    power, found = scaled(flow, 100), []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            leaf = power.clone().requires_grad_()
            solution = flow.solve(leaf)
            found.append((solution.voltage, *torch.autograd.grad(objective(solution), leaf)))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    # Around the kernel torch adds up in other orders.
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_few_sweeps(ieee123: Feeder, dtype: torch.dtype) -> None:
    compiled, dense = pair(ieee123, dtype=dtype)
    power = scaled(dense, 20).to(dtype.to_complex())
    branches = compiled._to_branches(power)
    ends = [flow.sweep_branches(branches, flow.no_load(20), 2) for flow in (compiled, dense)]
    # Rounding of sums over up to 95 devices, once for each sweep.
    torch.testing.assert_close(*ends, rtol=0.0, atol=200.0 * torch.finfo(dtype).eps)
    exact = compiled.solve(power).device_voltage
    assert 0.0 < (ends[0] - exact).abs().max() < 0.1 * (compiled.no_load(20) - exact).abs().max()


def test_shapes_that_kernels_would_read_beyond(ieee123: Feeder) -> None:
    flow = PowerFlow(ieee123, backend="compiled")
    power = flow.no_load(3)
    with pytest.raises(ValueError, match=r"got shapes \(3, 190\) and \(2, 190\), expected \(batch"):
        flow.solve_branches(power, flow.no_load(2))
    with pytest.raises(ValueError, match=r"got shapes \(3, 189\)"):
        flow.sweep_branches(power[:, 1:], power[:, 1:], 2)


def test_no_scenario_at_all(ieee123: Feeder) -> None:
    flow = PowerFlow(ieee123, backend="compiled")
    power = flow.nominal_power.expand(0, -1).clone().requires_grad_()
    solution = flow.solve(power)
    assert solution.voltage.shape == (0, 278)
    solution.losses.sum().backward()
    assert power.grad is not None
    assert power.grad.shape == power.shape


def test_without_numba_pytorch_does_the_work(
    ieee123: Feeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(PowerFlow(ieee123).backend, CompiledBackend)
    monkeypatch.setattr(reduction, "numba_is_there", lambda: False)
    flow = PowerFlow(ieee123)
    assert isinstance(flow.backend, TorchBackend)
    assert flow.solve().converged.all()
    with pytest.raises(ValueError, match=r"backend: 'compiled' cannot be had with no Numba"):
        PowerFlow(ieee123, backend="compiled")


def test_unknown_backends(ieee123: Feeder) -> None:
    with pytest.raises(ValueError, match=r"backend: got 'sparse', expected one of dense, factored"):
        PowerFlow(ieee123, backend="sparse")


def test_on_large_feeders_the_factor_stands_behind(
    ieee123: Feeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What sweeps do not settle, branch currents, and what moved taps do."""
    monkeypatch.setattr(reduction, "LARGEST_DENSE", 0)
    large = PowerFlow(ieee123, backend="compiled")
    dense = PowerFlow(ieee123, backend="dense")
    power, found = torch.cat((scaled(dense, 5), 6.0 * dense.nominal_power[None])), []
    for flow in (large, dense):
        leaf = power.clone().requires_grad_()
        solution = flow.solve(leaf)
        gradient = torch.autograd.grad(objective(solution), leaf)
        found.append((solution.voltage, solution.branch_current, solution.status, *gradient))
    ours, theirs = found
    assert torch.equal(ours[2], theirs[2])
    torch.testing.assert_close(ours[0], theirs[0], rtol=0.0, atol=1e-10)
    torch.testing.assert_close(ours[1], theirs[1], rtol=0.0, atol=5e-6)
    assert (ours[3] - theirs[3]).abs().max() < 1e-8 * theirs[3].abs().max()

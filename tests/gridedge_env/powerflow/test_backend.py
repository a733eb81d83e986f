"""Backends find the same, and anything that keeps their protocol can stand in their place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gridedge_env.compiled.running import numba_is_there
from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.powerflow import FixedPoint, PowerFlow, PowerFlowSolution
from gridedge_env.powerflow.backend import Solved
from gridedge_env.powerflow.device_space import VoltageOperator
from gridedge_env.powerflow.fixed_point import VOLTAGE_BOUND, DeviceVoltage, sweep
from gridedge_env.powerflow.load_models import DEVICE_MINIMUM_VOLTAGE, injected_current
from gridedge_env.powerflow.reduction import BACKENDS
from gridedge_env.powerflow.torch_backend import TorchBackend

EXACT = FixedPoint(tolerance=1e-13, maximum_iterations=200, check_convergence=True)


@pytest.fixture(scope="module")
def ieee13() -> Feeder:
    return load_feeder("ieee13")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, device="cpu"
    )


class Newton(TorchBackend):
    """Finds one operating point by Newton's method on u - u0 - Z i(u)."""

    def solve(self, power: Tensor, start: Tensor, settings: FixedPoint) -> Solved:
        def mismatch(voltage: Tensor) -> Tensor:
            return voltage - sweep(self.operator, power, voltage)

        iterations, voltage = 0, start
        while (size := mismatch(voltage).abs().max()) > settings.tolerance:
            slope = torch.autograd.functional.jacobian(mismatch, voltage)
            voltage = voltage - torch.linalg.solve(slope[0, :, 0], mismatch(voltage)[0])
            iterations += 1
        found = DeviceVoltage(
            voltage,
            residual=size[None],
            iterations=torch.tensor([iterations], dtype=torch.int32, device="cpu"),
            status=torch.zeros(1, dtype=torch.int8, device="cpu"),
        )
        return Solved(found, injected_current(self.space.load_model, power, voltage), None)


def test_a_backend_of_ones_own(ieee13: Feeder) -> None:
    """Both are solved to 1e-13 pu; 4160 V and less over 1e-6 ohm of a switch and more."""
    flow, theirs = (PowerFlow(ieee13, settings=EXACT) for _ in range(2))
    flow.backend = Newton(VoltageOperator(flow.space))
    found: list[tuple[PowerFlowSolution, Tensor]] = []
    for each in (flow, theirs):
        power = each.nominal_power[None].clone().requires_grad_()
        solution = each.solve(power)
        (gradient,) = torch.autograd.grad(solution.losses.sum(), power)
        found.append((solution, gradient))
    (ours, gradient), (expected, expected_gradient) = found
    assert 2 <= int(ours.iterations) <= 6  # quadratic, where sweeps gain a digit each
    assert int(expected.iterations) > 6
    torch.testing.assert_close(ours.voltage, expected.voltage, rtol=0.0, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0.0, atol=1e-10)


@pytest.mark.parametrize("cotangents", ["current", "nodes", "both"])
def test_backends_find_the_same_cotangents(cotangents: str) -> None:
    """Adjoints stop at 1e-13 of the largest cotangent, and contract by 0.2 and less.

    A conditioning of some 1e5 makes 2e-11 of the rounding. Feeders with a floating delta, whose
    potential a factor without refinement loses, agree to 1e-9.
    """
    feeder = load_feeder("european_lv")
    backends = [b for b in BACKENDS if b != "compiled" or numba_is_there()]
    found = []
    for name in backends:
        backend = PowerFlow(feeder, backend=name).backend
        branches, nodes = len(backend.space.no_load), len(backend.space.energised)
        power = normal(3, branches, seed=1)
        solved = backend.solve(power, backend.space.no_load.expand(3, -1), EXACT)
        adjoint = backend.adjoint(
            power,
            solved.found.voltage,
            solved.found.status,
            None if cotangents == "nodes" else normal(3, branches, seed=2),
            None if cotangents == "current" else torch.view_as_complex(normal(3, nodes, 2, seed=3)),
            EXACT,
            shifted=False,
        )
        assert adjoint.shift is None
        found.append(adjoint.power)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0.0, atol=2e-11 * found[0].abs().max())


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("quantity", ["device_voltage", "node_voltage", "branch_current"])
def test_quantities_are_transposed(ieee13: Feeder, quantity: str, moved: bool) -> None:
    """w · (x(i) - x(0)) = i · X^T w: rounding of some 1e3 A times 80 terms."""
    flow = PowerFlow(ieee13)
    taps = flow.tap_position.expand(2, -1) + 2.0 if moved else None
    change = None if taps is None else flow.space.taps.change(taps)
    operator, linear = VoltageOperator(flow.space, change), getattr(flow.space, quantity)

    def value(current: Tensor) -> Tensor:
        return linear(operator.response(current))

    current = normal(2, len(flow.space.no_load), seed=4)
    forward = value(current) - value(torch.zeros_like(current))
    weight = normal(*forward.shape, seed=5)
    back = (operator.transpose_of(linear, weight) * current).sum(dim=-1)
    torch.testing.assert_close(back, (weight * forward).sum(dim=-1), rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(not numba_is_there(), reason="needs Numba")
def test_kernels_bound_what_pytorch_bounds() -> None:
    """They hold numbers of their own: a kernel kept on disk would not see another file change."""
    from gridedge_env.powerflow.kernels import blocks, sweeps

    assert blocks.BOUND == VOLTAGE_BOUND
    assert sweeps.LOW_SQUARE == DEVICE_MINIMUM_VOLTAGE**2

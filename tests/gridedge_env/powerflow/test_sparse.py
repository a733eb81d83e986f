"""The network as a sparse factor gives what it gives as dense matrices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import Feeder
from gridedge_env.powerflow import PowerFlow, reduction
from gridedge_env.powerflow.linear_maps import DirectResponse, NodeResponse

QUANTITIES = ("voltage", "branch_current", "unbalance", "losses", "injection_voltage")


def without_matrices(feeder: Feeder, backend: str, dtype: torch.dtype = torch.float64) -> PowerFlow:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "LARGEST_DENSE", 0)
        return PowerFlow(feeder, dtype=dtype, backend=backend)


@pytest.fixture(scope="module", params=["factored", "compiled"])
def sparse(request: pytest.FixtureRequest, ieee123: Feeder) -> PowerFlow:
    return without_matrices(ieee123, request.param)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_solutions(sparse: PowerFlow, power_flow: PowerFlow, powers: Tensor, quantity: str) -> None:
    """Both substitute into one factor in double precision.

    Only the last of the sparse substitutions is refined; those of the iteration leave 5e-9 pu of
    zero sequence at bus 610, which its delta loads do not see, and 1e-12 elsewhere.

    The current of a 1e-6 ohm switch is a difference of voltages near 2,400 V, which sparse maps
    take after rounding to 2.2e-16 · 2,400 V: 1e6 S · 5e-13 V = 5e-7 A, of currents around 500 A.
    """
    ours, theirs = (getattr(flow.solve(powers), quantity) for flow in (sparse, power_flow))
    tolerance = {"branch_current": 5e-6, "losses": 1e-7}.get(quantity, 1e-11)
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=tolerance)


def test_gradients(sparse: PowerFlow, power_flow: PowerFlow, powers: Tensor) -> None:
    """Of a sum over all kinds of outputs; both adjoints stop at 1e-11 of the largest cotangent.

    The currents are squared: an unloaded branch's magnitude, 1e-7 A of rounding, has no derivative.
    """
    gradients = []
    for flow in (sparse, power_flow):
        drawn = powers.clone().requires_grad_()
        solution = flow.solve(drawn)
        loss = (
            solution.voltage_magnitude.pow(2).sum()
            + 1e-5 * solution.branch_current_magnitude.pow(2).sum()
            + solution.losses.sum()
            + solution.unbalance.sum()
        )
        gradients += torch.autograd.grad(loss, drawn)
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("backend", ["factored", "compiled"])
def test_single_precision_is_only_rounded_at_the_end(
    ieee123: Feeder, power_flow: PowerFlow, powers: Tensor, backend: str
) -> None:
    """Even the current through the switches: 6e-8 of about 500 A."""
    single = without_matrices(ieee123, backend, torch.float32)
    solution, exact = single.solve(powers.to(torch.complex64)), power_flow.solve(powers)
    assert solution.voltage.dtype == torch.complex64
    torch.testing.assert_close(
        solution.branch_current.to(torch.complex128), exact.branch_current, rtol=0.0, atol=2e-4
    )
    again = single.solve(powers.to(torch.complex64), start=solution.device_voltage)
    assert int(again.iterations.max()) <= 2


def test_the_choice_is_by_size(ieee123: Feeder) -> None:
    assert isinstance(PowerFlow(ieee123).space.response, DirectResponse)
    assert isinstance(without_matrices(ieee123, "compiled").space.response, NodeResponse)


def test_a_row_does_not_depend_on_its_batch(ieee123: Feeder, powers: Tensor) -> None:
    """Kernels work on blocks of scenarios, of which the last may not be full."""
    flow = without_matrices(ieee123, "compiled")
    current = flow.solve(powers).device_current[:1] * torch.arange(1.0, 12.0)[:, None]
    together = flow.space.response(current)
    for row in (0, 7, 10):
        assert torch.equal(together[row], flow.space.response(current[row : row + 1])[0])

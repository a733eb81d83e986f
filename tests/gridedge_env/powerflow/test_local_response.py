"""Inverters that answer their own voltage inside the power flow: by hand, gradients, no hunting."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.powerflow import FixedPoint, PowerFlow, PowerFlowFailure
from gridedge_env.powerflow.curves import VOLT_VAR, VOLT_WATT, Curve
from gridedge_env.powerflow.load_models import CurrentJacobian, injected_current
from tests.gridedge_env.powerflow.test_loads_by_hand import load_at_b, two_buses

# Solved to 1e-14 pu: see `test_gradients`.
EXACT = FixedPoint(tolerance=1e-14, maximum_iterations=200, check_convergence=True)
BACKENDS = ["dense", "factored", "compiled"]


# What inverters that feed in 200 kW, of 50 kVA for reactive power, do at |V| = v:
# - at 0.95, half-way along volt-var's first ramp: nothing curtailed, -0.22 x 50 = -11 kvar drawn.
# - at 1.00, in the dead band: nothing.
# - at 1.05, half-way along the last ramp: +0.22 x 50 = 11 kvar.
# - at 1.07, a quarter of the way from 1.06 to 1.10: 50 kW curtailed; 0.44 x 5/6 x 50 = 55/3 kvar.
# - at 1.08, half-way: 100 kW; the end of volt-var, 22 kvar.
# - at 1.12, beyond all ends: all curtailed, 22 kvar.
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("v", "fed_in", "kvar"),
    [
        (0.95, 200.0, -11.0),
        (1.00, 200.0, 0.0),
        (1.05, 200.0, 11.0),
        (1.07, 150.0, 55.0 / 3.0),
        (1.08, 100.0, 22.0),
        (1.12, 0.0, 22.0),
    ],
)
def test_two_buses_by_hand(v: float, fed_in: float, kvar: float, backend: str) -> None:
    """The source whose voltage leads to v: E = V + Z conj(S / V), Z = 0.6 + 0.8j ohm, S in MVA.

    Of a base of 1 kV and a voltage V = v. Where volt-watt acts, 5 kW of 200 for each 0.001 pu, a
    sweep overshoots by up to 200 x 25 x 0.6e-3 = 3: plain sweeps hunt for ever.
    """
    power = complex(-fed_in, kvar) / 1e3
    source = v + (0.6 + 0.8j) * (power / v).conjugate()
    feeder = two_buses(load_at_b("constant_power", 0.0, 0.0), source)
    flow = PowerFlow(feeder, ["b.1"], responses=["b.1"], backend=backend)
    assert flow.injection_names == ["l", "b.1", "b.1 response"]
    solution = flow.solve(torch.tensor([[0.0, -200.0, 200.0 + 50.0j]]))
    solution.raise_if_failed()
    # Iterations stop at changes of 1e-11 pu.
    assert abs(float(solution.voltage_magnitude[0, 1]) - v) < 1e-10


@pytest.fixture(scope="module")
def by_backend() -> dict[str, PowerFlow]:
    """IEEE 13 with a device and an inverter that answers in the place of each load."""
    feeder = load_feeder("ieee13").with_neutral_taps()
    places = [f"{load.bus}.{load.phases[0]}" for load in feeder.loads]
    feeder = feeder.without_loads().with_source_voltage(1.02)
    return {
        name: PowerFlow(feeder, places, settings=EXACT, backend=name, responses=places)
        for name in BACKENDS
    }


def spread_out(flow: PowerFlow, batch: int) -> Tensor:
    """Homes that draw 500 kW, or less, or feed in up to 1,000: voltages from 0.87 to 1.12 pu."""
    count = len(flow.injection_names) // 2
    kw = torch.linspace(500.0, -1000.0, batch, dtype=torch.float64)[:, None].expand(-1, count)
    rating = torch.linspace(5.0, 15.0, count, dtype=torch.float64).expand(batch, -1)
    homes, answers = torch.complex(kw, 0.2 * kw), torch.complex((-kw).clamp(min=0.0), rating)
    return torch.cat((homes, answers), dim=-1)


def test_all_backends_find_the_same(by_backend: dict[str, PowerFlow]) -> None:
    """And the same gradients, at voltages on every piece of both curves."""
    found = {}
    for name, flow in by_backend.items():
        power = spread_out(flow, 70).requires_grad_()
        solution = flow.solve(power)
        solution.raise_if_failed()
        (gradient,) = torch.autograd.grad(solution.voltage_magnitude.square().sum(), power)
        found[name] = solution.voltage_magnitude.detach(), gradient
    voltage, gradient = found["dense"]
    answering = by_backend["dense"].solve(spread_out(by_backend["dense"], 70)).device_voltage
    seen = torch.hypot(*answering.chunk(2, dim=-1))
    edges = (0.0, *sorted({*VOLT_VAR.voltage, *VOLT_WATT.voltage} - {1.10}), 3.0)
    pieces = torch.bucketize(seen, torch.tensor(edges, dtype=seen.dtype)).unique()
    assert pieces.tolist() == list(range(1, len(edges)))
    for other, slope in (found["factored"], found["compiled"]):
        # "factored" meets the switches of 1e-6 ohm in every sweep: 16 digits less 7 of them.
        assert torch.allclose(other, voltage, rtol=0.0, atol=1e-9)
        assert torch.allclose(slope, gradient, rtol=1e-6, atol=1e-11)


@pytest.mark.parametrize("backend", ["dense", "compiled"])
def test_gradients_against_central_differences(
    by_backend: dict[str, PowerFlow], backend: str
) -> None:
    """With respect to what homes draw, what may be curtailed, and ratings."""
    flow = by_backend[backend]
    power = spread_out(flow, 5)

    def loss(power: Tensor) -> Tensor:
        solution = flow.solve(power)
        return solution.voltage_magnitude.square().sum(dim=-1) + 1e-2 * solution.losses

    power.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(power).sum(), power)
    generator = torch.Generator().manual_seed(0)
    # Sums of some ten squares, good to 1e-13, over steps of 0.01 kVA: 1e-11 beside 1e-4 and more.
    for _ in range(4):
        parts = torch.randn(*power.shape, 2, generator=generator, dtype=torch.float64)
        way = torch.view_as_complex(parts)
        with torch.no_grad():
            difference = (loss(power + 0.005 * way) - loss(power - 0.005 * way)) / 0.01
        along = (gradient.real * way.real + gradient.imag * way.imag).sum(dim=-1)
        assert torch.allclose(along, difference, rtol=1e-5, atol=1e-9)


def test_the_slope_of_the_current_is_its_derivative(by_backend: dict[str, PowerFlow]) -> None:
    """Also below 0.5 pu, where a device is an impedance, and beyond the ends of the curves."""
    model = by_backend["dense"].space.load_model
    branches = len(model.p_exponent)
    voltage = torch.linspace(0.3, 1.2, 2 * branches, dtype=torch.float64).expand(1, -1).clone()
    power = torch.linspace(50.0, 150.0, 2 * branches, dtype=torch.float64).expand(1, -1)
    weight = torch.linspace(-1.0, 1.0, 2 * branches, dtype=torch.float64).expand(1, -1)
    voltage.requires_grad_()
    current = injected_current(model, power, voltage)
    (exact,) = torch.autograd.grad((weight * current).sum(), voltage)
    found = CurrentJacobian.at(model, power, voltage.detach()).voltage_cotangent(weight)
    # Both are of some 1e3, in double precision.
    assert torch.allclose(found, exact, rtol=1e-12, atol=1e-10)


def test_nothing_hunts(by_backend: dict[str, PowerFlow]) -> None:
    """One more sweep, or a start from elsewhere, changes nothing: the solution is a fixed point."""
    for flow in by_backend.values():
        power = spread_out(flow, 9)
        solution = flow.solve(power)
        branches = torch.cat((power.real, power.imag), dim=-1)
        again = flow.sweep_branches(branches, solution.device_voltage, 1)
        assert torch.allclose(again, solution.device_voltage, rtol=0.0, atol=1e-12)
        elsewhere = flow.solve(power, start=solution.device_voltage.flip(0))
        # Changes of 1e-14 pu in the last sweep, each half of the one before or less.
        assert torch.allclose(
            elsewhere.device_voltage, solution.device_voltage, rtol=0.0, atol=1e-12
        )


def test_a_look_adds_a_digit_per_sweep(by_backend: dict[str, PowerFlow]) -> None:
    """Three sweeps, each half the way: an eighth is left, and what the network itself leaves."""
    flow = by_backend["compiled"]
    power = 0.1 * spread_out(flow, 9)
    solution = flow.solve(power).device_voltage
    branches = torch.cat((power.real, power.imag), dim=-1)
    left = [
        (flow.sweep_branches(branches, flow.no_load(9), sweeps) - solution).abs().amax(dim=1)
        for sweeps in (1, 2, 3)
    ]
    assert bool((left[1] < 0.15 * left[0]).all())
    assert bool((left[2] < 0.15 * left[1]).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_fixed_number_of_sweeps_suffices(
    by_backend: dict[str, PowerFlow], dtype: torch.dtype
) -> None:
    """As on a GPU, where nothing stops early and nothing accelerates; twice as many as without."""
    flow = by_backend["dense"]
    settings = FixedPoint.default(dtype, torch.device("cuda"), responses=True)
    plain = FixedPoint.default(dtype, torch.device("cuda"))
    assert settings.maximum_iterations == 2 * plain.maximum_iterations
    places = flow.injection_names[: len(flow.injection_names) // 2]
    fixed = PowerFlow(flow.feeder, places, "cpu", dtype, settings, "dense", responses=places)
    power = 0.2 * spread_out(flow, 9)
    solution = fixed.solve(power.to(dtype.to_complex()))
    assert bool(solution.converged.all())
    expected = flow.solve(power).voltage_magnitude.to(dtype)
    atol = 1e-10 if dtype == torch.float64 else 1e-6
    assert torch.allclose(solution.voltage_magnitude, expected, rtol=0.0, atol=atol)


def test_failures_are_named(by_backend: dict[str, PowerFlow]) -> None:
    """A thousand times the draw has no solution; the others of the batch are right."""
    for flow in by_backend.values():
        power = spread_out(flow, 3)
        alone = flow.solve(power[2:])
        power[0] *= 1000.0
        solution = flow.solve(power)
        assert solution.converged.tolist() == [False, True, True]
        with pytest.raises(PowerFlowFailure, match=r"1 of 3 power flows did not converge:\n .* at"):
            solution.raise_if_failed()
        assert torch.allclose(solution.voltage[2], alone.voltage[0], rtol=0.0, atol=1e-11)


def test_without_a_rating_nothing_answers(by_backend: dict[str, PowerFlow]) -> None:
    """Columns of responses at zero leave the power flow as it is without them."""
    flow = by_backend["dense"]
    power = spread_out(flow, 4)
    count = power.shape[1] // 2
    power[:, count:] = 0.0
    places = flow.injection_names[:count]
    plain = PowerFlow(flow.feeder, places, settings=EXACT, backend="dense")
    expected = plain.solve(power[:, :count]).voltage
    assert torch.allclose(flow.solve(power).voltage, expected, rtol=0.0, atol=1e-12)


def test_a_place_that_is_none_is_refused(small_feeder: Feeder) -> None:
    with pytest.raises(ValueError, match="injections: 'b.7' is not at nodes of this feeder"):
        PowerFlow(small_feeder, ["b.1"], responses=["b.7"])


def test_the_slope_of_a_curve() -> None:
    """0.2 over 0.1 pu, then -0.6 over 0.1 pu; flat beyond."""
    curve = Curve((1.0, 1.1, 1.2), (0.0, 0.2, -0.4))
    voltage = torch.tensor([0.9, 1.05, 1.15, 1.3], dtype=torch.float64)
    assert curve.slope(voltage).tolist() == pytest.approx([0.0, 2.0, -6.0, 0.0], abs=1e-12)
    assert replace(curve, share=(1.0, 1.0, 1.0)).slope(voltage).tolist() == [0.0] * 4

"""The solved power flow: against hand calculations, OpenDSS, conservation laws and itself."""

from __future__ import annotations

import cmath
import csv
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import DATA, Feeder, build_network, load_feeder
from gridedge_env.feeder.admittance import source_element
from gridedge_env.feeder.records import Bus, Line, LineCode, Load, Source
from gridedge_env.powerflow import FixedPoint, PowerFlow, PowerFlowSolution

RECORDED = Path(__file__).parents[1] / "data"

# The last iteration changed voltages by less than 1e-11 pu. What remains is that times c / (1 - c)
# for a contraction c, which stays below 0.7 up to three times the nominal load: 3e-11. Two
# solutions of the same flow may lie twice as far apart.
SAME = 1e-10


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        # OpenDSS stopped at changes of 1e-10; what remains is its rounding in floating parts.
        (torch.float64, 1e-8),
        # 24 bits of mantissa: 6e-8 a rounding, on sums of 95 terms, fed back through the loads.
        (torch.float32, 1e-6),
    ],
)
@pytest.mark.parametrize("name", sorted(folder.name for folder in DATA.iterdir()))
def test_built_in_feeders_agree_with_opendss(
    name: str, dtype: torch.dtype, tolerance: float
) -> None:
    with (RECORDED / f"{name}_opendss.csv").open(newline="") as file:
        recorded = {
            row["node"]: cmath.rect(
                float(row["magnitude_pu"]), math.radians(float(row["angle_degrees"]))
            )
            for row in csv.DictReader(file)
        }
    power_flow = PowerFlow(load_feeder(name), dtype=dtype)
    solution = power_flow.solve()
    assert solution.converged.all()
    assert power_flow.node_names == list(recorded)
    difference = solution.voltage[0].numpy() - np.array(list(recorded.values()))
    assert np.abs(difference).max() < tolerance


def two_buses(angle: complex) -> Feeder:
    """0.1 + 0.2j ohm of source and 0.5 + 0.6j ohm of line, base 1 kV; `angle` is the source's."""
    ohm = LineCode("ohm", 1, ((0.5,),), ((0.6,),), ((0.0,),), ampacity=100.0, length_unit="km")
    return Feeder(
        name="two buses",
        frequency=50.0,
        source=Source(
            "a",
            (1, 2, 3),
            math.sqrt(3.0),
            abs(angle),
            math.degrees(cmath.phase(angle)),
            r1=0.1,
            x1=0.2,
            r0=0.1,
            x0=0.2,
        ),
        buses=(Bus("a", (1, 2, 3), 1.0), Bus("b", (1,), 1.0)),
        line_codes=(ohm,),
        lines=(Line("ab", "a", "b", (1,), (1,), "ohm", 1.0, "km"),),
    )


def test_two_buses_by_hand() -> None:
    """A device that draws 72 + 54j kVA where the voltage is 900 V, angle 0.

    Current: conj((72 + 54j) / 0.9) = 80 - 60j A, 100 A, which is the line's rating.
    Drop over 0.6 + 0.8j ohm: 48 + 48 + (64 - 36)j = 96 + 28j V; the source is at 996 + 28j V.
    Over the source's own 0.1 + 0.2j ohm: 8 + 12 + (16 - 6)j = 20 + 10j V; bus a is at 976 + 18j V.
    """
    power_flow = PowerFlow(two_buses(0.996 + 0.028j), ["b.1"])
    solution = power_flow.solve(torch.tensor([[72 + 54j]]))
    voltage = dict(zip(power_flow.node_names, solution.voltage[0].tolist(), strict=True))
    assert voltage["b.1"] == pytest.approx(0.9, abs=SAME)
    assert voltage["a.1"] == pytest.approx(0.976 + 0.018j, abs=SAME)
    assert power_flow.branch_names == ["line.ab.1"]
    assert solution.branch_current.item() == pytest.approx(80 - 60j, abs=1e3 * SAME)
    assert solution.branch_current_magnitude.item() == pytest.approx(100.0, abs=1e3 * SAME)
    assert power_flow.branch_rating.tolist() == [100.0]


def test_most_that_two_buses_can_carry() -> None:
    """Through 1 ohm at 1000 V no more than 1000² / (4 · 1) W = 250 kW reach a resistive load.

    E (E - V) = P R has the solution V = (E + √(E² - 4 P R)) / 2, for 240 kW (1000 + √40000) / 2
    = 600 V: an operating point above 0.5 pu. For 251 kW there is none.
    """
    feeder = two_buses(1.0)
    source = replace(feeder.source, x1=0.0, x0=0.0, r1=0.4, r0=0.4)
    codes = tuple(
        replace(code, resistance=((0.6,),), reactance=((0.0,),)) for code in feeder.line_codes
    )
    feeder = replace(feeder, source=source, line_codes=codes)
    solution = PowerFlow(feeder, ["b.1"]).solve(torch.tensor([[240 + 0j], [251 + 0j]]))
    assert solution.converged.tolist() == [True, False]
    # Close to the nose each iteration gains little: (1 - 0.6) / 0.6 = 2/3.
    assert solution.voltage_magnitude[0, -1].item() == pytest.approx(0.6, abs=SAME)


def test_unbalance_by_hand() -> None:
    """One phase of three pulled down by x: V1 = 1 - x/3, V2 = -x/3 turned.

    100 A through 0.1 ohm of source pull phase 1 from 1000 V to 990 V: x = 0.01, so that the factor
    is (0.01 / 3) / (1 - 0.01 / 3) = 0.01 / 2.99. Other phases see nothing: r0 = r1, x0 = x1.
    """
    feeder = two_buses(1.0)
    feeder = replace(feeder, source=replace(feeder.source, x1=0.0, x0=0.0))
    power_flow = PowerFlow(feeder, ["a.1"])
    solution = power_flow.solve(torch.tensor([[99.0]]))
    assert power_flow.three_phase_buses == ["a"]
    assert solution.unbalance.item() == pytest.approx(0.01 / 2.99, abs=SAME)


def current_drawn(load: Load, power: complex, voltage: complex) -> complex:
    """A of one branch, kVA at its nominal voltage, V across it: the published formulas, in full."""
    rated = load.branch_kv * 1e3
    v = abs(voltage) / rated
    y = (1e3 * power).conjugate() / rated**2
    if load.model == "constant_impedance" or v <= load.vlow_pu:
        return y * voltage
    n = {"constant_power": 2, "constant_current": 1}[load.model]
    if v > load.vmax_pu:
        return y * voltage / load.vmax_pu**n
    if v > load.vmin_pu:
        return y * voltage / v**n
    top = y * load.vmin_pu ** (1 - n)
    share = (v - load.vlow_pu) / (load.vmin_pu - load.vlow_pu)
    return voltage / v * (y * load.vlow_pu + (top - y * load.vlow_pu) * share)


def consumption(feeder: Feeder, power: np.ndarray, volt: np.ndarray) -> tuple[np.ndarray, float]:
    """A that the loads draw at every node (into ground), and W that they consume."""
    index = {name: k for k, name in enumerate(feeder.node_names)}
    drawn, watt = np.zeros(len(volt), dtype=complex), 0.0
    for load, kva in zip(feeder.loads, power, strict=True):
        for phase, other in load.branches:
            plus = index[f"{load.bus}.{phase}"]
            minus = index.get(f"{load.bus}.{other}")
            across = volt[plus] - (0.0 if minus is None else volt[minus])
            current = current_drawn(load, kva / len(load.branches), across)
            drawn[plus] += current
            if minus is not None:
                drawn[minus] -= current
            watt += (across * current.conjugate()).real
    return drawn, watt


def test_small_feeder_visits_every_part_of_the_load_models(small_feeder: Feeder) -> None:
    power_flow = PowerFlow(small_feeder)
    re, im = power_flow.solve().device_voltage[0].chunk(2)
    for k, v in zip(power_flow.space.injection.tolist(), torch.hypot(re, im), strict=True):
        load = small_feeder.loads[k]
        expected = load.name.split("_")[0]
        if v > load.vmax_pu:
            found = "high"
        elif v > load.vmin_pu:
            found = expected if expected in ("wye", "delta") else "inside"
        else:
            found = "low" if v > load.vlow_pu else "lowest"
        assert found == expected, load.name


@pytest.mark.parametrize("name", ["ieee123", "small"])
def test_currents_balance_at_every_node_and_energy_overall(
    name: str, ieee123: Feeder, small_feeder: Feeder
) -> None:
    """Kirchhoff's law with load currents computed independently; source = loads + losses.

    At 1e-11 pu of error a node of admittance Y misses its balance by 1e-11 · V · Y. Compared with
    Y V, since IEEE 123's switches of 1e-6 ohm carry 2.4e9 A as a difference of two terms.
    """
    feeder = {"ieee123": ieee123, "small": small_feeder}[name]
    network = build_network(feeder)
    power_flow = PowerFlow(feeder)
    for scale in (0.0, 1.0, 2.0, -1.0):
        power = scale * power_flow.nominal_power
        solution = power_flow.solve(power[None])
        volt = solution.voltage[0].numpy() * network.voltage_base
        drawn, consumed = consumption(feeder, power.numpy(), volt)
        unbalanced = network.nodal_admittance @ volt - network.source_current + drawn
        scale_of_terms = abs(network.nodal_admittance) @ np.abs(volt)
        assert (np.abs(unbalanced) <= SAME * scale_of_terms).all()

        # The source's own impedance is not part of the feeder: leave it on the source's side.
        source = [power_flow.node_names.index(n) for n in source_element(feeder.source).nodes]
        own = source_element(feeder.source).admittance
        fed = network.source_current[source] - own @ volt[source]
        supplied = (volt[source] * fed.conj()).real.sum()
        passive = network.nodal_admittance.toarray()
        passive[np.ix_(source, source)] -= own
        losses = (volt * (passive @ volt).conj()).real.sum()
        assert losses > 0.0
        # A rounding of 1e-16 of 2.4 kV across a switch of 1e6 S is 1e-3 W, and there are dozens.
        watt = 0.05
        assert supplied == pytest.approx(consumed + losses, abs=watt)
        assert float(solution.losses) == pytest.approx(losses / 1e3, abs=watt / 1e3)
        # What the source feeds is what the branches at its bus report.
        leaving = [k for k, ends in enumerate(network.branch_terminals) if ends[0] in source]
        currents = solution.branch_current[0, leaving].numpy()
        at_head = volt[network.branch_terminals[leaving, 0]] * currents.conj()
        assert at_head.real.sum() == pytest.approx(supplied, abs=watt)


def test_scenarios_do_not_depend_on_their_companions(power_flow: PowerFlow, powers: Tensor) -> None:
    together = power_flow.solve(powers)
    for k, power in enumerate(powers):
        alone = power_flow.solve(power[None])
        torch.testing.assert_close(together.voltage[k], alone.voltage[0], rtol=0.0, atol=SAME)
    assert together.voltage.shape == (6, 278)
    backwards = power_flow.solve(powers.flip(0)).voltage.flip(0)
    torch.testing.assert_close(together.voltage, backwards, rtol=0.0, atol=SAME)
    assert power_flow.solve(powers[:0]).voltage.shape == (0, 278)


def test_a_warm_start_gives_the_same_solution_sooner(power_flow: PowerFlow, powers: Tensor) -> None:
    cold = power_flow.solve(powers)
    near = power_flow.solve(1.01 * powers, start=cold.device_voltage)
    warm = power_flow.solve(powers, start=near.device_voltage)
    torch.testing.assert_close(warm.voltage, cold.voltage, rtol=0.0, atol=SAME)
    assert (warm.iterations <= cold.iterations).all()
    assert (warm.iterations[3:] < cold.iterations[3:]).all()
    # A start from nonsense costs iterations only.
    lost = power_flow.solve(powers, start=torch.full_like(cold.device_voltage, 2.0))
    torch.testing.assert_close(lost.voltage, cold.voltage, rtol=0.0, atol=SAME)


def test_sweeps_approach_the_solution(power_flow: PowerFlow, powers: Tensor) -> None:
    exact = power_flow.solve(powers).device_voltage
    parts = torch.cat(
        [
            x[:, power_flow.space.injection] * power_flow.space.share
            for x in (powers.real, powers.imag)
        ],
        dim=1,
    )
    start = power_flow.no_load(len(powers))
    errors = [
        (power_flow.sweep_branches(parts, start, n) - exact).abs().max().item()
        for n in (0, 2, 4, 40)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 1e-6
    assert errors[3] < 1e-6


def test_a_fixed_number_of_iterations(
    ieee123: Feeder, power_flow: PowerFlow, powers: Tensor
) -> None:
    """As on a GPU: the same solutions and gradients, and the same word on which converged."""

    def run(settings: FixedPoint) -> tuple[PowerFlowSolution, Tensor]:
        leaf = powers.clone().requires_grad_()
        solution = PowerFlow(ieee123, settings=settings).solve(leaf)
        return solution, torch.autograd.grad(solution.voltage_magnitude.sum(), leaf)[0]

    tolerance = power_flow.settings.tolerance
    adaptive, gradient = run(power_flow.settings)
    fixed, same_gradient = run(FixedPoint(tolerance, 60, check_convergence=False))
    torch.testing.assert_close(fixed.voltage, adaptive.voltage, rtol=0.0, atol=SAME)
    torch.testing.assert_close(same_gradient, gradient, rtol=0.0, atol=1e-9)
    assert torch.equal(fixed.iterations, adaptive.iterations)
    assert fixed.converged.all()

    needed = sorted(set(adaptive.iterations.tolist()))
    assert len(needed) > 2
    short, gradient = run(FixedPoint(tolerance, needed[1], check_convergence=False))
    assert torch.equal(short.converged, adaptive.iterations <= needed[1])
    assert torch.view_as_real(gradient).isfinite().all()


def test_injections_may_come_in_any_order(small_feeder: Feeder) -> None:
    names = ["c.1", "b.1.2", "d.2", "b.3", "c.1.3"]
    order = [3, 0, 4, 2, 1]
    random = np.random.default_rng(1)
    power = torch.from_numpy(random.normal(20.0, 40.0, (3, 5)) + 1j * random.normal(0, 20, (3, 5)))
    bare = small_feeder.without_loads()
    one = PowerFlow(bare, names).solve(power)
    other = PowerFlow(bare, [names[k] for k in order]).solve(power[:, order])
    torch.testing.assert_close(one.voltage, other.voltage, rtol=0.0, atol=SAME)
    torch.testing.assert_close(one.unbalance, other.unbalance, rtol=0.0, atol=SAME)


def test_two_injections_at_a_place_add_up(small_feeder: Feeder) -> None:
    bare = small_feeder.without_loads()
    two = PowerFlow(bare, ["c.1", "c.1"]).solve(torch.tensor([[30.0 + 9j, -10.0 + 1j]]))
    one = PowerFlow(bare, ["c.1"]).solve(torch.tensor([[20.0 + 10j]]))
    torch.testing.assert_close(two.voltage, one.voltage, rtol=0.0, atol=SAME)


def test_injections_follow_the_loads(small_feeder: Feeder) -> None:
    """A device like the load "wye_power" in its place; 1 pu of 2.4 kV for both."""
    flow = PowerFlow(small_feeder, ["b.1", "b.1.2"])
    loads = [load.name for load in small_feeder.loads]
    assert flow.injection_names == [*loads, "b.1", "b.1.2"]
    assert flow.nominal_power[0] == 60 + 30j
    assert not flow.nominal_power[-2:].any()
    moved = flow.nominal_power.clone()
    moved[[0, -2]] = moved[[-2, 0]]
    torch.testing.assert_close(
        flow.solve(moved[None]).voltage, flow.solve().voltage, rtol=0.0, atol=SAME
    )
    # Each is per unit of the voltage between its own ends: 2.4 kV and √3 times as much.
    re, im = flow.no_load(1).chunk(2, dim=-1)
    torch.testing.assert_close(
        torch.hypot(re, im)[0, -2:], torch.full((2,), 1.03).double(), rtol=0.0, atol=1e-3
    )


def test_real_power_is_power_without_kvar(small_feeder: Feeder) -> None:
    flow = PowerFlow(small_feeder.without_loads(), ["c.1"])
    assert torch.equal(
        flow.solve(torch.tensor([[20.0]])).voltage, flow.solve(torch.tensor([[20.0 + 0j]])).voltage
    )


def test_solutions_are_copied_and_compared(power_flow: PowerFlow, powers: Tensor) -> None:
    """Of the same power flow, or of one that went through another process."""
    solution = power_flow.solve(powers)
    assert pickle.loads(pickle.dumps(solution)) == solution
    assert solution != power_flow.solve(1.1 * powers)
    assert solution.take([1]).voltage.equal(solution.voltage[1:2])
    with pytest.raises(ValueError, match="operator: a feeder's maps stay where and what they are"):
        solution.to(dtype=torch.float32)

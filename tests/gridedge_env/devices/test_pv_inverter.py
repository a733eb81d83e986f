"""Photovoltaics: power by hand, and what the sun has to do with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from gridedge_env import Case, default_case, make_simulator
from gridedge_env.clock import Clock
from gridedge_env.day import Day, Window
from gridedge_env.devices.kind import INVERTER_OVERSIZE
from gridedge_env.devices.linear_program import Meters
from gridedge_env.devices.pv_inverter import PV_INVERTER, PvInverters, PvInverterState
from gridedge_env.scenarios import DayTable, ObservedDays

STEPS = 24
# Products of numbers of size 1 to 1000 in double precision.
ROUNDING = 1e-12


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def roofs() -> PvInverters:
    """5 kWp at 0.8 behind 3 kW: flat, upright to the south, upright to the north."""
    return PvInverters(
        maximum_power=tensor(3.0, 3.0, 3.0),
        peak_power=tensor(5.0, 5.0, 5.0),
        tilt=tensor(0.0, 90.0, 90.0),
        azimuth=tensor(0.0, 180.0, 0.0),
        performance_ratio=tensor(0.8, 0.8, 0.8),
    )


def a_day(price: float = 0.3, export: float = 0.1) -> Day:
    """Dark, but for 500 W/m² at noon, of them (0, -300, 400) straight, and 900 diffuse after it."""
    sun = torch.zeros(1, STEPS, dtype=torch.float64)
    sun[0, 12:14] = tensor(500.0, 900.0)
    direct = torch.zeros(1, STEPS, 3, dtype=torch.float64)
    direct[0, 12] = tensor(0.0, -300.0, 400.0)
    series = torch.ones_like(sun)
    return Day(
        clock=Clock(STEPS, 1.0),
        table_row=torch.tensor([0]),
        outdoor_temperature=series,
        irradiance=sun,
        import_price=price * series,
        export_price=export * series,
        demand=series[..., None],
        mean_demand=tensor(1.0),
        shared_observation=series[..., None],
        direct_irradiance=direct,
    )


def dark() -> PvInverterState:
    return PV_INVERTER.begin(roofs(), 1, torch.Generator(), Clock())


def test_powers_by_hand() -> None:
    """500, 400 and 100 W/m² (`test_sun`) on 5 kWp at 0.8: 2, 1.6 and 0.4 kW; then 900, 540 diffuse.

    The flat one would give 3.6 kW and the inverter 3; upright 0.5 · 900 + 0.1 · 900 = 540: 2.16.
    """
    window = Window(a_day(), 11, 4)
    after, power, cost = PV_INVERTER.run(roofs(), dark(), torch.ones(4, 1, 3).double(), window)
    expected = [[0.0] * 3, [-2.0, -1.6, -0.4], [-3.0, -2.16, -2.16], [0.0] * 3]
    np.testing.assert_allclose(power[:, 0], expected, atol=ROUNDING)
    assert (cost == 0.0).all()
    assert (after.available == 0.0).all()


def test_curtailed_by_hand() -> None:
    """Nothing, a quarter and half of 2, 1.6 and 0.4 kW, as a generator's action would."""
    action = tensor(-1.0, -0.5, 0.0)[None, None]
    after, power, _ = PV_INVERTER.run(roofs(), dark(), action, Window(a_day(), 12, 1))
    assert power[0, 0].tolist() == pytest.approx([0.0, -0.4, -0.2], abs=ROUNDING)
    assert (3.0 * after.available[0]).tolist() == pytest.approx([2.0, 1.6, 0.4])
    assert (3.0 * after.output[0]).tolist() == pytest.approx([0.0, 0.4, 0.2], abs=ROUNDING)
    assert torch.equal(PV_INVERTER.stored(roofs(), after), after.output)
    seen = PV_INVERTER.observed_state(roofs(), after, Window(a_day(), 13, 1))
    assert torch.equal(seen, after.available)


def test_gradients() -> None:
    action = torch.linspace(-0.9, 0.9, 9, dtype=torch.float64).reshape(3, 1, 3).requires_grad_()
    window = Window(a_day(), 11, 3)
    assert torch.autograd.gradcheck(
        lambda a: PV_INVERTER.run(roofs(), dark(), a, window)[1], action
    )


def test_the_action_for_a_power() -> None:
    window = Window(a_day(), 12, 1)
    wanted = tensor(-1.0, -5.0, 0.3)[None]
    action = PV_INVERTER.action_for_power(roofs(), dark(), wanted, window)
    assert action[0].tolist() == pytest.approx([0.0, 1.0, -1.0])
    night = PV_INVERTER.action_for_power(roofs(), dark(), wanted, Window(a_day(), 0, 1))
    assert night.isfinite().all()


@pytest.mark.parametrize(
    ("price", "export", "cost"),
    [
        # Noon: all but the last roof exceed their demand of 1 kW. Bills of 0.3 · 24 each, less 0.3
        # a kWh up to demand: 1 + 1 + 0.4 and 3 more; and 0.1 beyond: 1 + 0.6 + 2 + 1.16 + 1.16.
        (0.3, 0.1, 21.6 - 0.3 * 5.4 - 0.1 * 5.92),
        # Exports that cost: up to demand.
        (0.3, -0.1, 21.6 - 0.3 * 5.4),
        # Nothing pays.
        (-0.2, -0.2, -14.4),
    ],
)
def test_the_program_by_hand(price: float, export: float, cost: float) -> None:
    day = a_day(price, export)
    ones = np.ones((STEPS, 1))
    meters = Meters(1.0, np.ones((STEPS, 3)), price * ones, export * ones)
    program = PV_INVERTER.linear_program(roofs(), dark(), day, meters, None)
    bounds = np.stack((program.lowest, program.highest), axis=1)
    found = optimize.linprog(program.cost, bounds=bounds)
    assert found.fun + program.constant == pytest.approx(cost, abs=1e-7)
    plan = PV_INVERTER.lone_plan(roofs(), dark(), day)
    assert plan.shape == (STEPS, 1, 3)
    assert (plan == (1.0 if export > 0.0 else -1.0)).all()


def test_samples_are_within_their_ranges() -> None:
    values = PV_INVERTER.sample(2000, 0.1, np.random.default_rng(3))
    ranges = {
        "peak_power": (0.3, 1.0),
        "tilt": (20.0, 50.0),
        "azimuth": (90.0, 270.0),
        "performance_ratio": (0.75, 0.9),
    }
    for name, (low, high) in ranges.items():
        assert low <= values[name].min() < values[name].max() <= high
    ratio = values["maximum_power"] / values["peak_power"]
    assert 0.8 <= ratio.min() < ratio.max() <= 1.0


# On a feeder --------------------------------------------------------------------------------------


def roofs_on(feeder: str = "ieee13", **options: float | bool) -> Case:
    return default_case(feeder, 6, mix={"pv_inverter": 1.0}, **options)


@pytest.mark.parametrize("minutes", [15, 30, 60])
def test_a_year_of_sun(minutes: int) -> None:
    """On average within 816 to 1,049 kWh/kWp, the means of German regions and years.

    te Heesen et al. (Solar Energy 194, 128-135, 2019), of 23,944 roofs from 2012 to 2018. Ours face
    east to west: each is within a quarter of that.
    """
    case = default_case("ieee13", 30, mix={"pv_inverter": 1.0}, step_minutes=minutes)
    simulator = make_simulator(case=case, dtype=torch.float64)
    days = range(0, 363, 8)
    state = simulator.reset(days=days, split="test")
    parameters = simulator.fleet.groups[0].parameters
    action = torch.ones(simulator.clock.steps, len(days), 30, dtype=torch.float64)
    window = Window(state.day, 0, simulator.clock.steps)
    _, power, _ = PV_INVERTER.run(parameters, state.devices[0], action, window)
    per_day = -(simulator.clock.hours * power).sum(dim=0).mean(dim=0)
    yields = 365.0 * per_day / parameters.peak_power
    assert 816.0 < yields.mean() < 1049.0
    assert 0.75 * 816.0 < yields.min() < yields.max() < 1.25 * 1049.0
    night = power[: simulator.clock.steps // 8]
    assert (night == 0.0).all()


def test_reactive_power_within_the_rating() -> None:
    """At full share an inverter carries its rating, 1.1 of its power, whatever the sun."""
    simulator = make_simulator(case=roofs_on(reactive_power=True), dtype=torch.float64)
    state, noon = simulator.reset(days=[170]), simulator.clock.steps // 2
    state = replace(state, step=noon)
    parameters = simulator.fleet.groups[0].parameters
    rating = INVERTER_OVERSIZE * parameters.maximum_power
    assert torch.equal(simulator.fleet.inverter_rating, rating)
    active = torch.ones(1, 1, 6, 2, dtype=torch.float64)
    _, output, _ = simulator._operate(state, active)
    assert (output < 0.0).all()
    idle = active.clone()
    idle[..., 1] = 0.0
    drawn = [simulator._meter(state, output, action)[1] for action in (active, idle)]
    reactive = (drawn[0] - drawn[1])[0, len(simulator.fleet.connection_names) :]
    expected = (rating**2 - output[0, 0] ** 2).sqrt().sum()
    assert reactive.sum().item() == pytest.approx(expected.item(), rel=1e-9)


@dataclass(frozen=True)
class Sunless:
    """A source of days from before there were panels: only the global irradiance."""

    def load(self, split: str, clock: Clock) -> DayTable:
        return replace(ObservedDays().load(split, clock), direct_irradiance=None)


def test_days_without_the_sun_are_refused_for_panels_alone() -> None:
    case = replace(roofs_on(), days=Sunless())
    with pytest.raises(ValueError, match="days: got none with direct_irradiance, expected it for"):
        make_simulator(case=case).reset()
    usual = make_simulator(case=replace(default_case("ieee13", 6), days=Sunless()))
    state = usual.reset(days=[3])
    with pytest.raises(ValueError, match="days: got none with direct_irradiance"):
        _ = Window(state.day, 0, 1).direct_irradiance
    usual.simulate(state, torch.zeros(48, 1, 6, 1))
    known = make_simulator(case=default_case("ieee13", 6)).reset(days=[3])
    assert torch.equal(state.day.demand, known.day.demand)

"""Heat pumps and their buildings: physics by hand, and a comfort band that holds."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env.devices.heat_pump import HEAT_PUMP
from gridedge_env.devices.heated_building import (
    HeatPumps,
    coefficient_of_performance,
    step_heat_pumps,
    stored_heat_value,
)

HOURS = 0.5
ROUNDING = 1e-12


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def heat_pump(maximum_power: float = 2.0) -> HeatPumps:
    """Floor heating of 35 °C; 5 K/kW and 5 kWh/K; 19 to 21 °C."""
    return HeatPumps(
        maximum_power=tensor(maximum_power),
        supply_temperature=tensor(35.0),
        performance=tensor(1.0),
        resistance=tensor(5.0),
        capacity=tensor(5.0),
        lowest_temperature=tensor(19.0),
        highest_temperature=tensor(21.0),
        internal_gain=tensor(0.4),
        solar_aperture=tensor(4.0),
    )


# COP(T_out, 35 °C) = 7.160 - 0.0905 · 35 + 0.1554 T_out = 3.9925 + 0.1554 T_out
COP_AT_ZERO = 3.9925


@pytest.fixture(scope="module")
def heat_pumps() -> HeatPumps:
    values = HEAT_PUMP.sample(200, 1.0, np.random.default_rng(0))
    return HeatPumps(**{name: torch.from_numpy(value) for name, value in values.items()})


@pytest.mark.parametrize(
    ("outdoor", "supply", "performance", "expected"),
    [
        (0.0, 35.0, 1.0, COP_AT_ZERO),
        (7.0, 35.0, 1.0, COP_AT_ZERO + 1.0878),
        (7.0, 55.0, 1.0, 7.160 + 1.0878 - 4.9775),
        (2.0, 45.0, 1.1, 1.1 * (7.160 + 0.3108 - 4.0725)),
        (20.0, 35.0, 1.0, 6.0),  # the fit says 7.1
        (-10.0, 55.0, 1.0, 1.0),  # 0.6
        (-7.5, 55.0, 0.9, 1.0),  # 0.92: no heat pump does worse than a resistance heater
        (15.0, 35.0, 1.1, 6.0),  # 6.96
    ],
)
def test_coefficient_of_performance(
    outdoor: float, supply: float, performance: float, expected: float
) -> None:
    found = coefficient_of_performance(tensor(outdoor), tensor(supply), tensor(performance))
    assert found.item() == pytest.approx(expected, rel=1e-14)


def step(
    pump: HeatPumps, temperature: float, action: float, outdoor: float, sun: float = 0.0
) -> list[float]:
    found = step_heat_pumps(
        pump,
        tensor(temperature)[None],
        tensor(action)[None],
        tensor(outdoor)[None],
        tensor(sun)[None],
        HOURS,
    )
    return [x.item() for x in found]


@pytest.mark.parametrize(
    ("action", "temperature", "power"),
    [
        # Unheated: 20 + 0.1 · ((0 - 20) / 5 + 0.4 + 4 · 0.5) = 20 - 0.16 = 19.84, warm enough.
        (-1.0, 19.84, 0.0),
        # To 21 °C: 1.16 K · 5 kWh/K / 0.5 h = 11.6 kW of heat, more than the heat pump's 2 · COP.
        (1.0, 19.84 + 0.1 * 2.0 * COP_AT_ZERO, 2.0),
        (0.0, 19.84 + 0.1 * 1.0 * COP_AT_ZERO, 1.0),
    ],
)
def test_a_step_by_hand(action: float, temperature: float, power: float) -> None:
    """20 °C indoors, 0 °C outdoors, 500 W/m²: 2 kW of sun, 0.4 kW of people, 4 kW of loss."""
    found = step(heat_pump(), 20.0, action, 0.0, 500.0)
    assert found == pytest.approx([temperature, power, 0.0], abs=ROUNDING)


def test_the_action_spans_the_comfort_band() -> None:
    """Strong enough to reach both edges: -1 ends at 19 °C, +1 at 21 °C.

    Unheated at 19 °C and 0 °C: 19 + 0.1 · (-3.8 + 0.4) = 18.66. Lower edge: 0.34 K, 3.4 kW of heat.
    """
    pump = heat_pump(maximum_power=10.0)
    assert step(pump, 19.0, -1.0, 0.0) == pytest.approx([19.0, 3.4 / COP_AT_ZERO, 0.0])
    assert step(pump, 19.0, 1.0, 0.0) == pytest.approx([21.0, 23.4 / COP_AT_ZERO, 0.0])
    assert step(pump, 19.0, 0.0, 0.0) == pytest.approx([20.0, 13.4 / COP_AT_ZERO, 0.0])


def test_discomfort_by_hand() -> None:
    """0.5 kW heat by 0.1 · 0.5 · COP = 0.2 K; 18 °C fall to 18 + 0.1 · (-3.6 + 0.4) = 17.68.

    Whatever the action: full power. Below 19 °C each K costs 1 € an hour.
    """
    reached = 17.68 + 0.05 * COP_AT_ZERO
    for action in (-1.0, 0.0, 1.0):
        found = step(heat_pump(maximum_power=0.5), 18.0, action, 0.0)
        assert found == pytest.approx([reached, 0.5, 0.5 * (19.0 - reached)], abs=ROUNDING)


@pytest.mark.parametrize(
    ("outdoor", "expected"),
    [
        # 21 + 0.1 · (-1 / 5 + 0.4 + 4) = 21.42, aired down to 21 °C.
        (20.0, 21.0),
        # Windows cool no further than to the outdoors: 21 + 0.1 · (1 / 5 + 4.4) = 21.46.
        (22.0, 21.46),
    ],
)
def test_windows_open_when_it_gets_too_warm(outdoor: float, expected: float) -> None:
    found = step(heat_pump(), 21.0, 1.0, outdoor, 1000.0)
    assert found == pytest.approx([expected, 0.0, 0.0], abs=ROUNDING)


@pytest.mark.parametrize("outdoor", [-5.0, 5.0, 15.0])
def test_the_comfort_band_is_kept_whenever_power_allows(
    heat_pumps: HeatPumps, outdoor: float
) -> None:
    random = torch.Generator().manual_seed(0)
    temperature = torch.lerp(
        heat_pumps.lowest_temperature,
        heat_pumps.highest_temperature,
        torch.rand(20, 200, generator=random, dtype=torch.float64),
    )
    outdoors, sun = torch.full((20, 1), outdoor).double(), torch.full((20, 1), 100.0).double()
    for _ in range(48):
        action = 2.0 * torch.rand(20, 200, generator=random, dtype=torch.float64) - 1.0
        temperature, power, discomfort = step_heat_pumps(
            heat_pumps, temperature, action, outdoors, sun, HOURS
        )
        assert (power >= 0.0).all()
        assert (power <= heat_pumps.maximum_power + ROUNDING).all()
        assert (temperature <= heat_pumps.highest_temperature + ROUNDING).all()
        cold = temperature < heat_pumps.lowest_temperature - ROUNDING
        assert (power[cold] >= heat_pumps.maximum_power.expand(20, -1)[cold] - ROUNDING).all()
        assert (discomfort[~cold] <= ROUNDING).all()
    # Each is sized for -7.5 °C, but for the largest houses, which are clipped to 12 kW.
    assert bool(cold.any()) == (outdoor < 0.0)


def test_heat_left_over_by_hand() -> None:
    """1.5 K above 19 °C in 5 kWh/K: 7.5 kWh of heat; over the COP, at 0.30 €/kWh."""
    for outdoor, expected in ((0.0, 7.5 / COP_AT_ZERO * 0.30), (15.0, 0.0), (20.0, 0.0)):
        value = stored_heat_value(
            heat_pump(), tensor(20.5)[None], tensor(outdoor)[None], tensor(0.30)[None]
        )
        assert value.item() == pytest.approx(expected, abs=ROUNDING)


def test_gradients(heat_pumps: HeatPumps) -> None:
    """Cold, middling and warm days; a random room is at none of the kinks."""
    few = HeatPumps(*(getattr(heat_pumps, f.name)[:6] for f in fields(HeatPumps)))
    random = torch.Generator().manual_seed(0)
    temperature = 17.0 + 6.0 * torch.rand(3, 6, generator=random, dtype=torch.float64)
    action = 1.8 * torch.rand(3, 6, generator=random, dtype=torch.float64) - 0.9
    outdoor, sun = tensor(-8.0, 6.0, 24.0)[:, None], tensor(0.0, 200.0, 800.0)[:, None]

    def run(temperature: Tensor, action: Tensor) -> tuple[Tensor, ...]:
        return step_heat_pumps(few, temperature, action, outdoor, sun, HOURS)

    assert torch.autograd.gradcheck(run, (temperature.requires_grad_(), action.requires_grad_()))


def test_a_smaller_building_warms_and_cools_alike() -> None:
    """`scale` multiplies power, gains and capacity and divides resistance: temperatures stay."""
    whole, tenth = (
        HeatPumps(
            **{
                name: torch.from_numpy(value)
                for name, value in HEAT_PUMP.sample(20, scale, np.random.default_rng(5)).items()
            }
        )
        for scale in (1.0, 0.1)
    )
    arguments = (tensor(0.3).expand(1, 20), tensor(2.0)[None], tensor(100.0)[None], HOURS)
    start = whole.lowest_temperature[None] + 0.2
    warm, power, _ = step_heat_pumps(whole, start, *arguments)
    same, less, _ = step_heat_pumps(tenth, start, *arguments)
    torch.testing.assert_close(same, warm)
    torch.testing.assert_close(10.0 * less, power)


def test_samples_follow_the_building_stock() -> None:
    """Deciles of a lognormal through 2.4, 4.7, 10.4 K/kW, whose median 4.7 is the middle one.

    It has two parameters: its first decile is 4.7 · √(2.4 / 10.4) = 2.26 and its last 9.78.
    Deciles of 4000 samples have a standard error of 3 % or less.
    """
    values = HEAT_PUMP.sample(4000, 1.0, np.random.default_rng(1))
    ratio = math.sqrt(2.4 / 10.4)
    deciles = np.quantile(values["resistance"], [0.1, 0.5, 0.9])
    np.testing.assert_allclose(deciles, [4.7 * ratio, 4.7, 4.7 / ratio], rtol=0.09)
    supply, performance = (
        torch.from_numpy(values[name]) for name in ("supply_temperature", "performance")
    )
    cop = coefficient_of_performance(tensor(-7.5), supply, performance).numpy()
    thermal = values["maximum_power"] * cop
    assert thermal.min() >= 4.0 - ROUNDING
    assert thermal.max() <= 12.0 + ROUNDING
    assert (values["lowest_temperature"] < values["highest_temperature"]).all()
    assert set(values["supply_temperature"]) == {35.0, 45.0, 55.0}

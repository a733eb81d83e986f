"""Generators: cost by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env.devices.generator import (
    GENERATOR,
    Generators,
    paying_loading,
    step_generators,
)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def generator() -> Generators:
    """6 kW at 0.20 €/kWh, and 0.06 €/kWh more at full load."""
    return Generators(tensor(6.0), tensor(0.20), tensor(0.06))


@pytest.mark.parametrize(
    ("action", "loading", "power", "fuel"),
    [
        (-1.0, 0.0, 0.0, 0.0),
        # Half an hour at 3 kW: 1.5 kWh at 0.20 + 0.06 · 0.5 = 0.23.
        (0.0, 0.5, -3.0, 0.345),
        # 3 kWh at 0.26.
        (1.0, 1.0, -6.0, 0.78),
    ],
)
def test_a_step_by_hand(action: float, loading: float, power: float, fuel: float) -> None:
    found = step_generators(generator(), tensor(action)[None], 0.5)
    assert [x.item() for x in found] == pytest.approx([loading, power, fuel], abs=1e-15)


@pytest.mark.parametrize(
    ("price", "loading"),
    # Marginal fuel is 0.20 + 0.12 · loading; beyond -1 and 2 the loading says no more.
    [(0.20, 0.0), (0.26, 0.5), (0.32, 1.0), (0.14, -0.5), (0.0, -1.0), (0.9, 2.0)],
)
def test_the_loading_that_pays_by_hand(price: float, loading: float) -> None:
    assert paying_loading(generator(), tensor(price)[None]).item() == pytest.approx(loading)


def test_marginal_cost() -> None:
    """d fuel / d kWh = 0.20 + 2 · 0.06 · loading: half-way 0.26, which a price of 0.26 pays for."""
    action = tensor(0.0)[None].requires_grad_()
    _, power, fuel = step_generators(generator(), action, 0.5)
    (by_action,) = torch.autograd.grad((fuel + 0.5 * 0.26 * power).sum(), action)
    assert by_action.item() == pytest.approx(0.0, abs=1e-15)


def test_gradients() -> None:
    values = GENERATOR.sample(5, 1.0, np.random.default_rng(0))
    fleet = Generators(**{name: torch.from_numpy(value) for name, value in values.items()})
    action = torch.linspace(-0.9, 0.9, 10, dtype=torch.float64).reshape(2, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: step_generators(fleet, a, 0.5), action)


def test_samples_are_within_their_ranges() -> None:
    values = GENERATOR.sample(2000, 0.1, np.random.default_rng(3))
    ranges = {
        "maximum_power": (0.4, 0.8),
        "linear_cost": (0.15, 0.35),
        "quadratic_cost": (0.02, 0.08),
    }
    for name, (low, high) in ranges.items():
        assert low <= values[name].min() < values[name].max() <= high

"""Small controllable generator: fuel with a quadratic cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

# Beyond these a paying loading says no more: a generator should stand still, or run at full power.
LEAST_PAYING, MOST_PAYING = -1.0, 2.0


@dataclass(frozen=True)
class Generators:
    """Parameters of a group of generators; all tensors are (generators,).

    Attributes:
        maximum_power: kW.
        linear_cost: € per kWh at no load.
        quadratic_cost: € per kWh more at full load.
    """

    maximum_power: Tensor
    linear_cost: Tensor
    quadratic_cost: Tensor


def sample_generators(
    count: int, scale: float, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw parameters of `Generators`: 4 to 8 kW, fuel around the retail price of electricity.

    Args:
        count: number of generators.
        scale: multiplies every power.
        random: source of randomness.
    """
    return {
        "maximum_power": random.uniform(4.0, 8.0, count) * scale,
        "linear_cost": random.uniform(0.15, 0.35, count),
        "quadratic_cost": random.uniform(0.02, 0.08, count),
    }


def paying_loading(generators: Generators, price: Tensor) -> Tensor:
    """Loading at which the last kWh costs in fuel what it is worth.

    Below 0 fuel costs more than the price from the first kWh on; above 1 it is cheaper to the last.

    Args:
        generators: parameters.
        price: (batch, 1) € per kWh.

    Returns:
        (batch, generators) within -1 and 2.
    """
    earned = (price - generators.linear_cost) / (2.0 * generators.quadratic_cost)
    return earned.clamp(LEAST_PAYING, MOST_PAYING)


def step_generators(
    generators: Generators, action: Tensor, hours: float
) -> tuple[Tensor, Tensor, Tensor]:
    """One time step; the action spans 0 to full power.

    Args:
        generators: parameters.
        action: (batch, generators) in [-1, 1].
        hours: length of the step.

    Returns:
        (batch, generators) each: loading (share of full power), power kW (negative: it feeds in),
        fuel cost € (b p + c p²/p_max per hour).
    """
    loading = 0.5 * (action + 1.0)
    output = loading * generators.maximum_power
    fuel = hours * output * (generators.linear_cost + generators.quadratic_cost * loading)
    return loading, -output, fuel

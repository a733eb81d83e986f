"""Small controllable generator: fuel with a quadratic cost."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.day import Day, Window
from gridedge_env.devices.flexibility import Earnings, Outlook, by_class, without_store
from gridedge_env.devices.kind import INVERTER_OVERSIZE, DeviceKind, Seen, StoreAxis
from gridedge_env.devices.linear_program import LinearProgram, Meters
from gridedge_env.devices.ranges import positive, within
from gridedge_env.record import Record, batch
from gridedge_gateway.program import Flexibility

# Beyond these a paying loading says no more: a generator should stand still, or run at full power.
LEAST_PAYING, MOST_PAYING = -1.0, 2.0
# Where its fuel gets tangents in a linear program: so far from the loading that is expected.
TANGENT_OFFSETS = np.array([-1.0, -0.3, -0.1, -0.03, 0.0, 0.03, 0.1, 0.3, 1.0])


@dataclass(frozen=True, eq=False)
class Generators(Record):
    """Parameters of generators; all tensors are (generators,).

    Attributes:
        maximum_power: kW.
        linear_cost: € per kWh at no load.
        quadratic_cost: € per kWh more at full load.
    """

    maximum_power: Tensor = field(metadata=positive())
    linear_cost: Tensor = field(metadata=within())
    quadratic_cost: Tensor = field(metadata=positive())


@dataclass(frozen=True, eq=False)
class GeneratorState(Record):
    """Where generators stand: (batch, generators) share of full power in the step before."""

    loading: Tensor = field(metadata=batch())


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
    """One or more time steps; the action spans 0 to full power.

    Args:
        generators: parameters.
        action: (..., generators) in [-1, 1].
        hours: length of a step.

    Returns:
        (..., generators) each: loading (share of full power), power kW (negative: it feeds in),
        fuel cost € (b p + c p²/p_max per hour).
    """
    loading = 0.5 * (action + 1.0)
    output = loading * generators.maximum_power
    fuel = hours * output * (generators.linear_cost + generators.quadratic_cost * loading)
    return loading, -output, fuel


class Generator(DeviceKind[Generators, GeneratorState]):
    """See `DeviceKind`."""

    name = "generator"
    plural = "generators"
    at_rest = "stay off"
    random_stream = 2
    parameters = Generators

    def sample(
        self, count: int, scale: float, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Draw parameters: 4 to 8 kW, fuel around the retail price of electricity."""
        return {
            "maximum_power": random.uniform(4.0, 8.0, count) * scale,
            "linear_cost": random.uniform(0.15, 0.35, count),
            "quadratic_cost": random.uniform(0.02, 0.08, count),
        }

    def full_power(self, parameters: Generators) -> Tensor:
        """See `DeviceKind`."""
        return parameters.maximum_power

    def begin(
        self, parameters: Generators, batch: int, generator: torch.Generator, clock: Clock
    ) -> GeneratorState:
        """Off."""
        return GeneratorState(torch.zeros_like(parameters.maximum_power).expand(batch, -1))

    def run(
        self, parameters: Generators, state: GeneratorState, action: Tensor, window: Window
    ) -> tuple[GeneratorState, Tensor, Tensor]:
        """See `step_generators`."""
        loading, power, fuel = step_generators(parameters, action, window.hours)
        return GeneratorState(loading[-1]), power, fuel

    def inverter_rating(self, parameters: Generators) -> Tensor:
        """See `DeviceKind`."""
        return INVERTER_OVERSIZE * parameters.maximum_power

    def stored(self, parameters: Generators, state: GeneratorState) -> Tensor:
        """Share of full power in the step before."""
        return state.loading

    def observed_state(
        self, parameters: Generators, state: GeneratorState, window: Window
    ) -> Tensor:
        """The loading that pays now; the last one has no bearing on the next."""
        return paying_loading(parameters, window.day.import_price[:, window.first, None])

    def store_axis(self, parameters: Generators, device: int) -> StoreAxis:
        """Its output."""
        return StoreAxis(
            "Output, share of full power",
            percent=True,
            ended=True,
            price=float(parameters.linear_cost[device]),
            price_title="Price (solid) and cost of fuel (dotted)",
        )

    def idle(self, parameters: Generators, seen: Seen) -> Tensor:
        """Off."""
        return torch.full_like(seen.own_state, -1.0)

    def follow_price(self, parameters: Generators, seen: Seen) -> Tensor:
        """Run up to the point where the next kilowatt-hour costs what it earns if fed in."""
        margin = seen.shared("export_price") - parameters.linear_cost
        loading = (margin / (2.0 * parameters.quadratic_cost)).clamp(0.0, 1.0)
        return 2.0 * loading - 1.0

    def droop_range(
        self, parameters: Generators, feed: Tensor, draw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """It feeds in (1 + action) / 2."""
        return -2.0 * draw - 1.0, 2.0 * feed - 1.0

    def inverter_power(self, parameters: Generators, action: Tensor, seen: Seen) -> Tensor:
        """What it will feed in."""
        return step_generators(parameters, action, seen.clock.hours)[1]

    def plan_order(self, parameters: Generators) -> Tensor:
        """By the cost of fuel at half load."""
        return parameters.linear_cost + parameters.quadratic_cost

    def flexibility(self, parameters: Generators, outlook: Outlook) -> Flexibility[Tensor]:
        """No store."""
        cost = by_class(parameters.linear_cost - outlook.export_price)
        steepness = 2.0 * parameters.quadratic_cost
        return without_store(torch.ones_like(cost[:, :1, :1]), cost, steepness)

    def asked_by_plan(
        self, parameters: Generators, outlook: Outlook, draw: Tensor, feed: Tensor, store: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `DeviceKind`."""
        return 2.0 * feed - 1.0, feed

    def follow_plan(
        self,
        parameters: Generators,
        state: GeneratorState,
        asked: Tensor,
        earnings: Earnings,
        window: Window,
    ) -> Tensor:
        """What pays at its own cost of fuel."""
        steepness = 2.0 * parameters.quadratic_cost
        loading = earnings.worthwhile(parameters.linear_cost, steepness)
        return (2.0 * loading - 1.0).clamp(-1.0, 1.0)

    def linear_program(
        self,
        parameters: Generators,
        state: GeneratorState,
        day: Day,
        meters: Meters,
        around: np.ndarray | None,
    ) -> LinearProgram:
        """Variables: kW delivered in each interval between kinks of the cost, cheapest first.

        Fuel, quadratic in power, is the largest of nine of its tangents; if alone, they lie around
        the loading that is cheapest at the meter's prices, so that nothing is lost there.
        """
        shape, full = meters.demand.shape, parameters.maximum_power.numpy()
        linear, quadratic = parameters.linear_cost.numpy(), parameters.quadratic_cost.numpy()
        kink = np.broadcast_to(np.clip(meters.demand / full, 0.0, 1.0), shape)
        if around is None:
            cheapest = [
                np.clip((price - linear) / (2.0 * quadratic), 0.0, 1.0)
                for price in (meters.imported, meters.exported)
            ]
            loading = np.clip(kink, cheapest[1], cheapest[0])
        else:
            loading = -around / full
        tangent = np.clip(loading + TANGENT_OFFSETS[:, None, None], 0.0, 1.0)
        ends = np.zeros((1, *shape))
        # Two tangents to a parabola meet half-way; the bill has its kink where the home's demand
        # ends.
        meet = 0.5 * (tangent[1:] + tangent[:-1])
        edges = np.sort(np.concatenate((ends, meet, kink[None], ends + 1.0)), axis=0)
        middle = 0.5 * (edges[1:] + edges[:-1])
        touching = (middle[:, None] > meet).sum(axis=1)
        slope = linear + 2.0 * quadratic * np.take_along_axis(tangent, touching, axis=0)
        earned = np.where(middle < kink, meters.imported, meters.exported)
        # All tangents lie on or below the parabola, the first one by this much at no load.
        below = meters.hours * quadratic * full * tangent[0] ** 2
        intervals, size = len(middle), meters.demand.size
        return LinearProgram(
            meters.hours * (slope - earned).ravel(),
            meters.bill - float(below.sum()),
            np.zeros(intervals * size),
            (full * np.diff(edges, axis=0)).ravel(),
            sparse.csr_array((0, intervals * size)),
            np.zeros(0),
            sparse.hstack([-sparse.eye_array(size)] * intervals, "csr"),
        )

    def action_for_power(
        self, parameters: Generators, state: GeneratorState, power: Tensor, window: Window
    ) -> Tensor:
        """See `DeviceKind`."""
        return (-2.0 * power / parameters.maximum_power - 1.0).clamp(-1.0, 1.0)


GENERATOR = Generator()

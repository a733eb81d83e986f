"""A kind of device that the packages know nothing of, as its file under `devices/` would be.

Curtailable load: a load that can do with less, at a price and for so many kilowatt-hours a day.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.day import Day, Window
from gridedge_env.devices.kind import REACTIVE_SHARE, DeviceKind, Seen, StoreAxis
from gridedge_env.devices.linear_program import LinearProgram, Meters, flat
from gridedge_env.record import Record, batch


@dataclass(frozen=True, eq=False)
class CurtailableLoads(Record):
    """Parameters of curtailable loads; all tensors are (loads,).

    Attributes:
        power: kW drawn when nothing is curtailed.
        curtailable_power: kW of it that it can do without.
        daily_energy: kWh that may be curtailed in a day.
        inconvenience: € per kWh curtailed.
    """

    power: Tensor
    curtailable_power: Tensor
    daily_energy: Tensor
    inconvenience: Tensor


@dataclass(frozen=True, eq=False)
class CurtailableLoadState(Record):
    """Where the loads stand: (batch, loads) kWh that may still be curtailed today."""

    left: Tensor = field(metadata=batch())


class CurtailableLoad(DeviceKind[CurtailableLoads, CurtailableLoadState]):
    """See `DeviceKind`. The action spans the least that it can do with, and full power."""

    name = "curtailable_load"
    plural = "curtailable loads"
    at_rest = "draw all that they want"
    random_stream = 4
    parameters = CurtailableLoads
    reactive_share = REACTIVE_SHARE

    def sample(
        self, count: int, scale: float, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Draw parameters: 1 to 3 kW, of which half can be curtailed for three to five hours."""
        power = random.uniform(1.0, 3.0, count) * scale
        return {
            "power": power,
            "curtailable_power": 0.5 * power,
            "daily_energy": 0.5 * power * random.uniform(3.0, 5.0, count),
            "inconvenience": random.uniform(0.2, 0.4, count),
        }

    def full_power(self, parameters: CurtailableLoads) -> Tensor:
        """What it draws when nothing is curtailed."""
        return parameters.power

    def begin(
        self, parameters: CurtailableLoads, batch: int, generator: torch.Generator, clock: Clock
    ) -> CurtailableLoadState:
        """All of the day's energy is left."""
        return CurtailableLoadState(parameters.daily_energy.expand(batch, -1))

    def run(
        self,
        parameters: CurtailableLoads,
        state: CurtailableLoadState,
        action: Tensor,
        window: Window,
    ) -> tuple[CurtailableLoadState, Tensor, Tensor]:
        """Curtail (1 - action) / 2 of what is possible."""
        left, curtailed = state.left, []
        for share in 0.5 * (1.0 - action):
            curtailed.append(share * self._possible(parameters, left, window.hours))
            left = left - curtailed[-1]
        energy = torch.stack(curtailed)
        power = parameters.power - energy / window.hours
        return CurtailableLoadState(left), power, parameters.inconvenience * energy

    @staticmethod
    def _possible(parameters: CurtailableLoads, left: Tensor, hours: float) -> Tensor:
        """(batch, loads) kWh that can be curtailed in a step."""
        return torch.minimum(hours * parameters.curtailable_power, left)

    def stored(self, parameters: CurtailableLoads, state: CurtailableLoadState) -> Tensor:
        """Share of the day's energy that is left."""
        return state.left / parameters.daily_energy

    def store_axis(self, parameters: CurtailableLoads, device: int) -> StoreAxis:
        """The same."""
        price = float(parameters.inconvenience[device])
        return StoreAxis("Left to curtail, share of the day's", percent=True, price=price)

    def idle(self, parameters: CurtailableLoads, seen: Seen) -> Tensor:
        """Curtail nothing."""
        return torch.ones_like(seen.own_state)

    def follow_price(self, parameters: CurtailableLoads, seen: Seen) -> Tensor:
        """Curtail where a kilowatt-hour costs more than it is missed."""
        missed = seen.shared("price") < parameters.inconvenience
        return 2.0 * missed.to(seen.own_state) - 1.0

    def droop_range(
        self, parameters: CurtailableLoads, feed: Tensor, draw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """It draws (1 + action) / 2 of what can be curtailed."""
        return -2.0 * feed - 1.0, 2.0 * draw - 1.0

    def lone_plan(
        self, parameters: CurtailableLoads, state: CurtailableLoadState, day: Day
    ) -> Tensor:
        """Curtail in the dearest steps, as many as there is energy for."""
        price = day.import_price.T[..., None]
        longest = parameters.daily_energy / (day.clock.hours * parameters.curtailable_power)
        rank = price.argsort(dim=0, descending=True).argsort(dim=0)
        curtail = (rank < longest) & (price > parameters.inconvenience)
        return 1.0 - 2.0 * curtail.to(state.left)

    def linear_program(
        self,
        parameters: CurtailableLoads,
        state: CurtailableLoadState,
        day: Day,
        meters: Meters,
        around: np.ndarray | None,
    ) -> LinearProgram:
        """Variables: kW drawn, and for each load the kWh that are left at midnight.

        A home that has a demand and such a load always imports: it has one price.
        """
        hours, shape, size = meters.hours, meters.demand.shape, meters.demand.size
        steps, loads = shape
        power, missed, left = (
            values.numpy() for values in (parameters.power, parameters.inconvenience, state.left[0])
        )
        full, least = (
            np.broadcast_to(values, shape)
            for values in (power, power - parameters.curtailable_power.numpy())
        )
        one = sparse.eye_array(loads)
        return LinearProgram(
            flat(hours * (meters.imported - missed), np.zeros(loads)),
            meters.bill + float(hours * (missed * full).sum()),
            flat(least, np.zeros(loads)),
            flat(full, left),
            sparse.hstack((-hours * sparse.kron(np.ones((1, steps)), one), one), "csr"),
            left - hours * full.sum(axis=0),
            sparse.hstack((sparse.eye_array(size), sparse.csr_array((size, loads))), "csr"),
        )

    def action_for_power(
        self,
        parameters: CurtailableLoads,
        state: CurtailableLoadState,
        power: Tensor,
        window: Window,
    ) -> Tensor:
        """See `DeviceKind`."""
        possible = self._possible(parameters, state.left, window.hours)
        curtailed = window.hours * (parameters.power - power)
        return (1.0 - 2.0 * curtailed / possible.clamp(min=1e-9)).clamp(-1.0, 1.0)


CURTAILABLE_LOAD = CurtailableLoad()

"""The fleet: who is there, what they own, and where on the feeder they live.

An agent is a home at one node and phase (or between two phases): a demand that nobody controls and
one device that it does. Agents of a kind stand together, so that every tensor over agents is three
slices: batteries, heat pumps, generators.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from gridedge_env.devices.battery import Batteries, sample_batteries
from gridedge_env.devices.generator import Generators, sample_generators
from gridedge_env.devices.heat_pump import HeatPumps, sample_heat_pumps
from gridedge_env.feeder import Feeder

KINDS = ("battery", "heat_pump", "generator")

# One home for every so many kW of the published spot loads: 1,000 homes on IEEE 123 (3,490 kW).
SPOT_LOAD_PER_HOME = 3.49
# A fleet smaller than the feeder's number of homes has larger sites, of up to so many homes each.
LARGEST_HOME_SCALE = 10.0
# Of household demand and heat pumps, lagging: that of the IEEE European LV test feeder's loads.
POWER_FACTOR = 0.95
# Apparent-power rating of the inverters of batteries and generators over their active-power rating.
INVERTER_OVERSIZE = 1.1


@dataclass(frozen=True)
class Fleet:
    """The agents and their devices.

    Attributes:
        names: "battery_0", ..., "heat_pump_0", ..., "generator_0", ...
        branch_names: where homes connect, "bus.phase" or "bus.phase.phase", each once.
        branch: (agents,) index into `branch_names`.
        scale: powers and energies of every home over those of an ordinary one.
        batteries: parameters of agents [0, batteries).
        heat_pumps: parameters of the agents that follow.
        generators: parameters of the last agents.
    """

    names: tuple[str, ...]
    branch_names: tuple[str, ...]
    branch: Tensor
    scale: float
    batteries: Batteries
    heat_pumps: HeatPumps
    generators: Generators

    @cached_property
    def counts(self) -> tuple[int, int, int]:
        """Number of batteries, heat pumps and generators."""
        return tuple(  # type: ignore[return-value]
            len(group.maximum_power) for group in (self.batteries, self.heat_pumps, self.generators)
        )

    def connected(self, power: Tensor) -> Tensor:
        """Add up what homes that share a connection draw.

        Args:
            power: (batch, 2 agents) kW, then kvar.

        Returns:
            (batch, 2 branches) likewise.
        """
        if power.device.type == "cpu":
            total = power.new_zeros(len(power), 2 * len(self.branch_names))
            return total.scatter_add(1, self._entry.expand_as(power), power)
        # On a GPU additions to one place come in any order, and round as it falls.
        return (power.unflatten(-1, (2, -1)) @ self._connection).flatten(-2)

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    def _entry(self) -> Tensor:
        """(2 agents,) where the connection's kW and kvar are."""
        return torch.cat((self.branch, self.branch + len(self.branch_names)))

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    def _connection(self) -> Tensor:
        """(agents, branches) 1 where a home connects, 0 elsewhere."""
        connects = self.batteries.capacity.new_zeros(len(self.names), len(self.branch_names))
        return connects.scatter_(1, self.branch[:, None], 1.0)

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    def inverter_rating(self) -> Tensor:
        """(agents,) kVA; 0 for heat pumps, whose power factor is fixed."""
        ratings = (
            INVERTER_OVERSIZE * self.batteries.maximum_power,
            torch.zeros_like(self.heat_pumps.maximum_power),
            INVERTER_OVERSIZE * self.generators.maximum_power,
        )
        return torch.cat(ratings)

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    def least_state(self) -> Tensor:
        """(agents,) kWh, °C or share of full power that counts as 0 of a device's range."""
        empty = torch.zeros_like(self.batteries.capacity)
        idle = torch.zeros_like(self.generators.maximum_power)
        return torch.cat((empty, self.heat_pumps.lowest_temperature, idle))

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    def state_range(self) -> Tensor:
        """(agents,) kWh, K or share of full power from there to what counts as 1."""
        band = self.heat_pumps.highest_temperature - self.heat_pumps.lowest_temperature
        full = torch.ones_like(self.generators.maximum_power)
        return torch.cat((self.batteries.capacity, band, full))


def default_home_scale(feeder: Feeder, num_agents: int) -> float:
    """Scale that keeps the fleet in proportion to the feeder, whatever its number of agents."""
    homes = sum(_spot_loads(feeder).values()) / SPOT_LOAD_PER_HOME
    return min(homes / num_agents, LARGEST_HOME_SCALE)


def build_fleet(
    feeder: Feeder,
    num_agents: int,
    seed: int,
    home_scale: float,
    device: torch.device,
    dtype: torch.dtype,
) -> Fleet:
    """A fleet as a function of its seed: a third of each kind, spread like the feeder's spot loads.

    Raises:
        ValueError: no load of the feeder draws power: there is nothing to spread the homes by.
    """
    spots = _spot_loads(feeder)
    counts = [num_agents // 3 + (k < num_agents % 3) for k in range(3)]
    random = [np.random.default_rng([seed, stream]) for stream in range(4)]
    branch = _spread(np.array(list(spots.values())), num_agents, random[3])

    where = {"device": device, "dtype": dtype}
    return Fleet(
        tuple(f"{kind}_{k}" for kind, n in zip(KINDS, counts, strict=True) for k in range(n)),
        tuple(spots),
        torch.tensor(branch, dtype=torch.long, device=device),
        home_scale,
        _group(Batteries, sample_batteries(counts[0], home_scale, random[0]), where),
        _group(HeatPumps, sample_heat_pumps(counts[1], home_scale, random[1]), where),
        _group(Generators, sample_generators(counts[2], home_scale, random[2]), where),
    )


def _spot_loads(feeder: Feeder) -> dict[str, float]:
    """kW of the spot loads at each "bus.phase" (wye) or "bus.phase.phase" (delta)."""
    spots: dict[str, float] = {}
    for load in feeder.loads:
        if load.kw <= 0.0:
            continue
        for phase, return_phase in load.branches:
            place = f"{load.bus}.{phase}" + (f".{return_phase}" if return_phase else "")
            spots[place] = spots.get(place, 0.0) + load.kw / len(load.branches)
    if not spots:
        raise ValueError(
            f"feeder: {feeder.name!r} draws no power, expected loads: homes are placed like them"
        )
    return spots


def _spread(weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Systematic sampling: each place gets its share of `count` to within one, in random order."""
    edges = np.cumsum(weights) / weights.sum()
    ticks = (np.arange(count) + random.uniform()) / count
    return random.permutation(np.minimum(np.searchsorted(edges, ticks), len(weights) - 1))


Group = TypeVar("Group", Batteries, HeatPumps, Generators)


def _group(kind: type[Group], values: dict[str, np.ndarray], where: dict) -> Group:
    return kind(**{f.name: torch.tensor(values[f.name], **where) for f in fields(kind)})

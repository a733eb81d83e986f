"""Fleets at random: so many devices of each kind, spread like the feeder's spot loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gridedge_env.checks import check_known, check_not_negative, check_number, shown
from gridedge_env.devices.fleet import Devices, Fleet, make_fleet
from gridedge_env.devices.kinds import KINDS
from gridedge_env.feeder import Feeder

# A third of the default fleet has each of these.
DEFAULT_KINDS = ("battery", "heat_pump", "generator")
# One home for every so many kW of the published spot loads: 1,000 homes on IEEE 123 (3,490 kW).
SPOT_LOAD_PER_HOME = 3.49
# A fleet smaller than the feeder's number of homes has larger sites, of up to so many homes each.
LARGEST_HOME_SCALE = 10.0
# No fleet has more agents: their names alone would fill a machine's memory.
MOST_AGENTS = 10**7
# Of one home over an ordinary one, chosen by whoever makes a fleet.
HOME_SCALES = 1e-6, 1e6
# The stream of random numbers that no kind of device may have.
PLACES_STREAM = 3


def default_counts(num_agents: int) -> dict[str, int]:
    """Agents with each kind of device in the default fleet, where each has one."""
    kinds = len(DEFAULT_KINDS)
    return {
        kind: num_agents // kinds + (k < num_agents % kinds) for k, kind in enumerate(DEFAULT_KINDS)
    }


def check_mix(value: Any, name: str) -> dict[str, float]:
    """Shares of agents by kind of device, 1 in all, or none."""
    if not isinstance(value, dict):
        raise ValueError(f"{name}: got {shown(value)}, expected shares by kind of device")
    check_known(value, KINDS, name)
    mix = {kind: check_not_negative(share, f"{name}.{kind}") for kind, share in value.items()}
    total = sum(mix.values())
    if mix and abs(total - 1.0) > 1e-6:
        raise ValueError(f"{name}: got shares that add up to {total:g}, expected 1")
    return mix


def mixed_counts(mix: Mapping[str, float], num_agents: int) -> dict[str, int]:
    """Agents with each kind of device where each kind has a share of them; without any, by default.

    Shares that are no whole number of agents are rounded down, and the agents that are left go to
    those that lost most: of equals, to the first of the registry.

    Args:
        mix: as `check_mix` leaves it.
        num_agents: all of them.
    """
    if not mix:
        return default_counts(num_agents)
    total = sum(mix.values())
    wanted = {kind: mix[kind] / total * num_agents for kind in KINDS if kind in mix}
    # A share such as 0.3 is not exact: what is a whole number but for rounding is one.
    counts = {kind: int(count + 1e-6) for kind, count in wanted.items()}
    lost = sorted(counts, key=lambda kind: counts[kind] - wanted[kind])
    for kind in lost[: num_agents - sum(counts.values())]:
        counts[kind] += 1
    return counts


def default_home_scale(feeder: Feeder, num_agents: int) -> float:
    """Scale that keeps the fleet in proportion to the feeder, whatever its number of agents."""
    homes = sum(_spot_loads(feeder).values()) / SPOT_LOAD_PER_HOME
    return min(homes / num_agents, LARGEST_HOME_SCALE)


def check_home_scale(value: Any, name: str) -> float:
    """A size of homes over ordinary ones that single precision can compute with."""
    least, most = HOME_SCALES
    return check_number(
        value, name, f"a number from {least:g} to {most:g}", lambda scale: least <= scale <= most
    )


def sample_fleet(feeder: Feeder, counts: Mapping[str, int], seed: int, home_scale: float) -> Fleet:
    """A fleet as a function of its seed: agents with one device each, "battery_0", ...

    Args:
        feeder: whose spot loads say where homes are.
        counts: agents with each kind of device.
        seed: chooses devices and places.
        home_scale: powers and energies of every home over those of an ordinary one.

    Raises:
        ValueError: a kind that is not known; or no load of the feeder draws power: there is nothing
            to spread the homes by.
    """
    check_known(counts, KINDS, "counts")
    names = {kind: [f"{kind}_{k}" for k in range(count)] for kind, count in counts.items()}
    agents = [name for kind in KINDS for name in names.get(kind, ())]
    places = sample_places(feeder, len(agents), seed)
    devices = {}
    for kind, owners in names.items():
        random = np.random.default_rng([seed, KINDS[kind].random_stream])
        columns = KINDS[kind].sample(len(owners), home_scale, random)
        devices[kind] = Devices(owners, columns)
    where = dict(zip(agents, places, strict=True))
    return make_fleet(where, devices, list(_spot_loads(feeder)))


def sample_places(feeder: Feeder, count: int, seed: int) -> list[str]:
    """Where so many homes stand, as a function of the seed.

    Raises:
        ValueError: no load of the feeder draws power.
    """
    spots = _spot_loads(feeder)
    weights = np.array(list(spots.values()))
    chosen = _spread(weights, count, np.random.default_rng([seed, PLACES_STREAM]))
    names = list(spots)
    return [names[place] for place in chosen]


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

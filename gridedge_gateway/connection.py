"""What a home's connection can carry, whatever its devices are told."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridedge_gateway.file import CustomerFile, Device
from gridedge_gateway.graph import Arrays

# A meter says no more than so many times what a connection carries: its fuse would blow.
MOST_OF_CONNECTION = 2.0
# Steps to find the action by which a device draws what a connection leaves it: to 1/4096.
HALVINGS = 12


def check_connection(most: float | None) -> None:
    """Raises ValueError unless it is a power that a connection can carry, or nobody says, kW."""
    if most is not None and not 0.0 < most < math.inf:
        raise ValueError(f"connection_kw: got {most:g}, expected more than 0")


def within_connection(
    power: Mapping[str, float], loads: tuple[float, float], most: float
) -> dict[str, float]:
    """Powers that a connection carries, on their own and, as far as they can, beside all else.

    Their sum is within it whatever the loads are said to be. What goes too far one way is less by
    the same share; what goes the other way stays.

    Args:
        power: kW drawn by each device.
        loads: kW that all else draws at least and at most, as it was read.
        most: kW.
    """
    found = dict(power)
    for way, load in ((1.0, loads[1]), (-1.0, loads[0])):
        there = sum(max(way * kw, 0.0) for kw in found.values())
        back = sum(max(-way * kw, 0.0) for kw in found.values())
        highest = max(min(most - way * load, most), -most)  # that the sum may be
        room = max(highest + back, 0.0)
        if there > room:
            found = {
                name: kw * room / there if way * kw > 0.0 else kw for name, kw in found.items()
            }
    return found


def flows_of(
    file: CustomerFile,
    power: Mapping[str, float],
    less: Sequence[Device],
    known: Arrays,
    by_fallback: Collection[str],
) -> Arrays:
    """`CustomerFile.operate` where a connection leaves some devices less than they were to draw.

    Their power rises or falls with their action all the way. What draws less than any action
    would, as a car that must charge, moves by as much less.

    Args:
        file: of the customer.
        power: kW drawn by each device.
        less: those that are left less.
        known: as of `operate`, with the action that they were to follow.
        by_fallback: likewise.
    """
    columns = [file.devices.index(device) for device in less]
    entries = np.array([device.slot for device in less])
    wanted = np.array([power[device.name] for device in less])

    def flows(action: NDArray[Any]) -> Arrays:
        return file.operate({**known, "action": action}, by_fallback)

    low, high = known["action"].copy(), known["action"].copy()
    low[0, entries], high[0, entries] = -1.0, 1.0
    falls = flows(high)["power"][0, columns] < flows(low)["power"][0, columns]
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        less_action = (flows(middle)["power"][0, columns] > wanted) != falls
        high[0, entries[less_action]] = middle[0, entries[less_action]]
        low[0, entries[~less_action]] = middle[0, entries[~less_action]]
    found = flows(0.5 * (low + high))
    nearest = found["power"][0, columns]
    shares = np.divide(wanted, nearest, out=np.ones_like(wanted), where=nearest != 0.0)
    for device, share in zip(less, shares.clip(max=1.0), strict=True):
        for name in (name for name in file.begin if name.startswith(f"{device.kind}.")):
            before, after = known[name][..., device.number], found[f"next.{name}"]
            after[..., device.number] = before + share * (after[..., device.number] - before)
    return found

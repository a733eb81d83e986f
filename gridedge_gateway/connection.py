"""What a home's connection can carry, whatever its devices are told."""

from __future__ import annotations

import math
from collections.abc import Mapping

# A meter says no more than so many times what a connection carries: its fuse would blow.
MOST_OF_CONNECTION = 2.0


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

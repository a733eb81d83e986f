"""What a home's connection can carry, whatever its devices are told."""

from __future__ import annotations

from collections.abc import Mapping


def within_connection(power: Mapping[str, float], load: float, most: float) -> dict[str, float]:
    """Powers with which, beside all else at home, no more is drawn or fed in.

    Those that take it too far are less by the same share; what goes the other way stays.

    Args:
        power: kW drawn by each device.
        load: kW drawn by all else.
        most: kW.
    """
    found = dict(power)
    for way in (1.0, -1.0):
        there = sum(max(way * kw, 0.0) for kw in found.values())
        back = sum(max(-way * kw, 0.0) for kw in found.values())
        room = max(most - way * load + back, 0.0)
        if there > room:
            found = {
                name: kw * room / there if way * kw > 0.0 else kw for name, kw in found.items()
            }
    return found

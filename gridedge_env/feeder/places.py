"""Places on a feeder where customers connect, by name, and the loads that no customer replaces.

- "bus.phase" is between a phase and ground,
- "bus.phase.phase" between two phases, or a phase and a neutral that is a conductor of its own,
- "bus" a star over phases 1, 2 and 3, around the bus's neutral where it has one, else ground.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

from gridedge_env.feeder.records import Bus, FeederRecords, Load

# Phases of this number and above are neutrals.
FIRST_NEUTRAL = 4
THREE_PHASES = (1, 2, 3)
PLACE_FORMS = "'bus.phase', 'bus.phase.phase', or 'bus' for all three phases"


@dataclass(frozen=True)
class Place:
    """A place.

    Attributes:
        bus: the bus.
        branches: (phase, phase) that each branch lies between; 0 is ground. What stands there draws
            an equal share of its power by each.
    """

    bus: str
    branches: tuple[tuple[int, int], ...]


def place_at(name: str, buses: Mapping[str, Bus]) -> Place:
    """The place of this name on a feeder with these buses, by name.

    A bus may be written in capitals, too: OpenDSS knows no cases, and tables of it have small ones.

    Raises:
        ValueError: there is none.
    """
    bus, *given = name.split(".")
    bus = bus if bus in buses else bus.lower()
    phases = buses[bus].phases if bus in buses else ()
    by_text = {str(phase): phase for phase in phases}
    numbers = [by_text.get(text, 0) for text in given]
    if not given and set(THREE_PHASES) <= set(phases):
        neutral = neutral_of(phases)
        return Place(bus, tuple((phase, neutral) for phase in THREE_PHASES))
    if len(given) not in (1, 2) or 0 in numbers or numbers[0] >= FIRST_NEUTRAL:
        has = f"{bus} has {', '.join(map(str, phases))}" if phases else f"there is no bus {bus!r}"
        raise ValueError(f"place: got {name!r}, expected {PLACE_FORMS} of the feeder; {has}")
    phase, other = (*numbers, 0)[:2]
    if phase == other:
        raise ValueError(f"place: got {name!r}, expected two different phases")
    return Place(bus, ((phase, other),))


def rated_voltage(place: Place, buses: Mapping[str, Bus]) -> float:
    """V across each of a place's branches at 1 pu: √3 more between two phases than to ground."""
    _, other = place.branches[0]
    return 1e3 * buses[place.bus].base_kv * (sqrt(3.0) if 0 < other < FIRST_NEUTRAL else 1.0)


def neutral_of(phases: Collection[int]) -> int:
    """The neutral of a bus with these phases; 0, the ground, where there is none."""
    return min((phase for phase in phases if phase >= FIRST_NEUTRAL), default=0)


def loads_beside(feeder: FeederRecords, places: Iterable[str]) -> tuple[Load, ...]:
    """The feeder's loads that customers at these places do not replace.

    Customers replace a load, whole, if one of them connects to its bus by one of its phases.

    Raises:
        ValueError: as `place_at`.
    """
    buses = {bus.name: bus for bus in feeder.buses}
    taken = {
        (place.bus, phase)
        for place in (place_at(name, buses) for name in set(places))
        for branch in place.branches
        for phase in branch
    }
    return tuple(
        load
        for load in feeder.loads
        if not any((load.bus, phase) in taken for phase in load.phases if phase < FIRST_NEUTRAL)
    )

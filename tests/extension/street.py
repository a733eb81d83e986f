"""A feeder that the packages know nothing of: a street of four buses at 230 V.

Nothing couples its phases, so that each can be worked out alone.
"""

from __future__ import annotations

import math

from gridedge_env.feeder import Feeder
from gridedge_env.feeder.records import Bus, Line, LineCode, Load, Source

KV = 0.23
PHASES = (1, 2, 3)


def alone(value: float) -> tuple[tuple[float, ...], ...]:
    """A matrix of three phases that do not feel each other."""
    return tuple(tuple(value * (row == column) for column in PHASES) for row in PHASES)


STREET = Feeder(
    name="street",
    frequency=50.0,
    source=Source("station", PHASES, KV * math.sqrt(3.0), 1.0, 0.0, 0.02, 0.03, 0.02, 0.03),
    buses=tuple(Bus(name, PHASES, KV) for name in ("station", "near", "middle", "far")),
    line_codes=(LineCode("cable", 3, alone(0.3), alone(0.1), alone(0.0), 200.0, "km"),),
    lines=(
        Line("first", "station", "near", PHASES, PHASES, "cable", 0.1, "km"),
        Line("second", "near", "middle", PHASES, PHASES, "cable", 0.1, "km"),
        Line("third", "middle", "far", PHASES, PHASES, "cable", 0.2, "km"),
    ),
    loads=tuple(
        Load(f"house_{phase}", "far", (phase,), "wye", "constant_impedance", KV, 4.0 * phase, 1.0)
        for phase in PHASES
    ),
    provenance="Made up for a test.",
)

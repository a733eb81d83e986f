"""What the circuits worked by hand share: solving one, and how closely it must agree."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import pytest

from gridedge_env.feeder import Feeder
from gridedge_env.powerflow import PowerFlow

ROOT3 = math.sqrt(3.0)
TURN = cmath.rect(1.0, -2.0 * math.pi / 3.0)
SENDING = (1.0, TURN, TURN.conjugate())

# The last iteration changed voltages by less than 1e-11 pu; these circuits contract faster than by
# a half, so that no more than that remains. Rounding, 1e-16 times a condition number of 1e4, is
# less.
SAME = 2e-11


@dataclass(frozen=True)
class Solved:
    """Voltages in pu of each bus's base by node, currents in A by branch phase."""

    voltage: dict[str, complex]
    current: dict[str, complex]
    losses: float

    def across(self, one: str, other: str) -> complex:
        return self.voltage[one] - self.voltage[other]


def solve(feeder: Feeder) -> Solved:
    flow = PowerFlow(feeder, () if feeder.loads else feeder.node_names[:1])
    solution = flow.solve()
    assert solution.converged.all()
    return Solved(
        dict(zip(flow.node_names, solution.voltage[0].tolist(), strict=True)),
        dict(zip(flow.branch_names, solution.branch_current[0].tolist(), strict=True)),
        solution.losses.item(),
    )


def same(value: complex, scale: float = 1.0) -> object:
    return pytest.approx(value, abs=SAME * scale, rel=0.0)

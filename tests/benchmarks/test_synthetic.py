"""Feeders of any size."""

from __future__ import annotations

import pytest

from benchmarks.synthetic import HOME_KW, HOMES, synthetic_feeder
from gridedge_env import PowerFlow


@pytest.mark.parametrize(("asked", "areas"), [(1, 1), (99, 1), (100, 2), (300, 4)])
def test_as_many_nodes_as_asked_for_or_just_over(asked: int, areas: int) -> None:
    """3 of the substation, and 96 of each area: 32 buses of three phases."""
    assert len(synthetic_feeder(asked).node_names) == 3 + 96 * areas


def test_its_power_flow_has_a_solution() -> None:
    """Homes draw what they should, and the network loses a little of it."""
    flow = PowerFlow(synthetic_feeder(300))
    solution = flow.solve()
    assert bool(solution.converged.all())
    drawn = 4 * HOMES * HOME_KW
    assert flow.nominal_power.real.sum() == pytest.approx(drawn)
    assert 0.0 < float(solution.losses) < 0.1 * drawn

"""Limits of the feeder in the public plan: where they get tangents, and those nobody can keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gridedge_env
from gridedge_env.constraints import Limits
from gridedge_env.public_plan.groups import numbered
from gridedge_env.reference import Idle, PlanFollowing, Policy, play
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

DAYS = [40, 130, 220, 310]
OUT_OF_REACH: dict[str, tuple[int, dict[str, Any]]] = {
    "minimum voltage": (60, {"limits": Limits(minimum_voltage=1.04)}),
    "loading": (60, {"limits": Limits(maximum_loading=0.05)}),
    "unbalance": (60, {"limits": Limits(maximum_unbalance=0.001)}),
    "voltage, by generators": (
        12,
        {"limits": Limits(minimum_voltage=1.04), "mix": {"generator": 1.0}},
    ),
    "other loads": (12, {"keep_loads": True}),
}


def played(simulator: Simulator, rule: Policy, state: SimulatorState) -> tuple[float, float]:
    """€, and units of violation."""
    results = [result for _, _, result in play(simulator, rule, state)]
    cost = sum(float(result.cost.sum()) for result in results)
    return cost, sum(float(result.violation.sum()) for result in results)


@pytest.mark.parametrize("name", OUT_OF_REACH)
def test_limits_that_nobody_can_keep_have_a_greatest_price(name: str) -> None:
    """What following the plan costs more than rest buys less violation, at the case's penalty.

    Congestion costs no more than all limits together at their greatest prices, twice the range of
    prices and costs of an episode: generators' fuel, at most 0.43 €/kWh, is all that is dearer.
    """
    agents, options = OUT_OF_REACH[name]
    simulator = gridedge_env.make_simulator("ieee13", agents, public_plan=True, **options)
    state = simulator.reset(days=DAYS, split="validation")
    assert state.day.planned is not None
    assert simulator.public_plan is not None
    span = state.day.import_price.max().clamp(min=0.43) - state.day.import_price.min().clamp(max=0)
    most = 2.0 * len(simulator.public_plan.limit_names) * (span + 0.43)
    assert state.day.planned.congestion_price.abs().max() < most
    cost, violation = played(simulator, PlanFollowing(simulator), state)
    rest, violation_at_rest = played(simulator, Idle(simulator), state)
    assert violation < violation_at_rest
    penalty = simulator.case.penalty
    assert cost + penalty * violation < rest + penalty * violation_at_rest


def test_a_limit_that_is_passed_at_rest_is_met_once_more_beyond_it() -> None:
    """Lines at 5 % of their ratings: too much is drawn at rest, and then too much fed in."""
    simulator = gridedge_env.make_simulator(
        "ieee13", 60, public_plan=True, limits=Limits(maximum_loading=0.05)
    )
    plan = simulator.public_plan
    assert plan is not None
    names, network = plan.limit_names, plan.program.network
    pull = network.slope @ network.power.sum(axis=1)
    begins = names.index("loading at transformer.sub.1")
    again = names.index("loading at transformer.sub.1", begins + 1)
    assert pull[begins] > 0.0
    assert pull[again] < 0.0


def test_groups_have_the_same_numbers_however_they_were_found() -> None:
    """In any order of connections, and under any numbers before."""
    names, member = ["b", "d", "a", "c"], np.array([2, 0, 2, 1])
    assert numbered(member, names).tolist() == [0, 2, 0, 1]
    assert numbered(np.array([1, 5, 1, 3]), names).tolist() == [0, 2, 0, 1]
    order = np.array([3, 1, 0, 2])
    turned = numbered(member[order], [names[k] for k in order])
    assert turned.tolist() == numbered(member, names)[order].tolist()

"""Trials in which the world is not as it was known: what differs, and what stays as it was."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from baselines.compare.config import Comparison, Job, comparison_from
from baselines.compare.job import run
from baselines.compare.trials import PLAIN, Trial, World, trial_from_record
from gridedge_env import Simulator, make_simulator
from gridedge_env.reference import Idle, PlanFollowing, Policy, PriceFollowing, play
from gridedge_env.scenarios import Variation
from gridedge_env.state import Result

# Sites as large as thirty homes each.
AGENTS, HOMES = 12, 30.0
TRIALS = {
    "absent": Trial(absent_share=0.3),
    "more_homes": Trial(homes_factor=1.2),
    "other_voltage": Trial(source_voltage=1.02),
    "own_taps": Trial(neutral_taps=False),
}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    size = {"feeder": "ieee13", "num_agents": AGENTS, "home_scale": HOMES}
    return comparison_from(
        {
            "seeds": [0],
            "rules": ["plan_following"],
            "case": {**size, "public_plan": True},
            "days": {"test": 1, "validation": 1, "points": 1},
            "robustness": {name: trial.record for name, trial in TRIALS.items()},
        }
    )


@pytest.fixture(scope="module")
def installed(comparison: Comparison) -> Simulator:
    return make_simulator(case=comparison.case_of(0))


def played(simulator: Simulator, policy: Policy) -> list[Result]:
    return [result for _, _, result in play(simulator, policy, simulator.reset(days=[200]))]


def test_records_are_read_back(comparison: Comparison) -> None:
    assert comparison.robustness == TRIALS
    every = Trial(Variation(1.3, -6.0, 1.15), True, 0.1, 1.2, 1.02, False)
    assert trial_from_record(every.record, "here") == every
    assert every.described.endswith(
        ", devices of 10 % of the homes do nothing, homes on the feeder × 1.2, 1.02 pu behind the "
        "feeder's source, regulators at the feeder's tap positions"
    )
    assert PLAIN.described == "no departure"


@pytest.mark.parametrize("name", TRIALS)
def test_the_plan_is_that_which_was_installed(
    comparison: Comparison, installed: Simulator, name: str
) -> None:
    """Where the feeder differs, it would be another if it were worked out anew."""
    trial = TRIALS[name]
    world = World(comparison.case_of(0, trial), installed, trial)
    known = installed.reset(days=[200]).day.planned
    assert known is not None
    assert world.reset(days=[200]).day.planned == known
    if trial.of_feeder:
        assert make_simulator(case=world.case).reset(days=[200]).day.planned != known


@pytest.mark.parametrize("local_response", [False, True])
def test_more_homes_are_as_larger_ones_to_the_feeder(local_response: bool) -> None:
    """Voltages are those under homes 1.2 times as large, and bills those of the homes as they are.

    The feeder's own loads do not grow with them; what inverters answer with does.
    """
    options = {"keep_loads": True, "local_response": local_response}
    installed, larger = (
        make_simulator("ieee13", AGENTS, home_scale=size * HOMES, **options) for size in (1.0, 1.2)
    )
    world = World(installed.case, installed, TRIALS["more_homes"])
    days = [
        played(simulator, PriceFollowing(simulator)) for simulator in (world, larger, installed)
    ]
    for more, large, known in zip(*days, strict=True):
        # Power flows of single precision end within 1e-6 pu of their solutions.
        torch.testing.assert_close(more.voltage, large.voltage, rtol=0.0, atol=5e-6)
        assert not torch.allclose(more.voltage, known.voltage, rtol=0.0, atol=1e-4)
        torch.testing.assert_close(1.2 * more.cost, large.cost, rtol=1e-5, atol=1e-4)
        assert local_response or torch.equal(more.cost, known.cost)


def test_whoever_is_absent_does_as_idle(comparison: Comparison, installed: Simulator) -> None:
    """The others as they are told. Three tenths of twelve homes are four: none is half absent."""
    world = World(comparison.case_of(0), installed, TRIALS["absent"])
    assert world.absent is not None
    assert int(world.absent.sum()) == 4
    plan = PlanFollowing(world)
    told, idle, seen = (
        torch.stack([result.power for result in played(world, policy)])
        for policy in (plan, Idle(world), world.heeded(plan))
    )
    assert torch.equal(seen[..., world.absent], idle[..., world.absent])
    assert torch.equal(seen[..., ~world.absent], told[..., ~world.absent])
    assert not torch.allclose(told[..., world.absent], idle[..., world.absent])


def test_the_seed_draws_who_is_absent(comparison: Comparison, installed: Simulator) -> None:
    trial = Trial(absent_share=0.5)
    drawn = [World(comparison.case_of(s), installed, trial).absent for s in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert World(comparison.case_of(0), installed, PLAIN).absent is None


def test_every_trial_is_played(comparison: Comparison) -> None:
    """Who does not read the voltage pays the same at other taps; the absent pay otherwise.

    At its own taps, which boost full loads, the feeder is too high for homes that draw little.
    """
    trials = {name: TRIALS[name] for name in ("absent", "own_taps")}
    result = run(replace(comparison, robustness=trials), Job("plan_following", 0))
    rows = pd.DataFrame(result.days).set_index("trial")
    assert list(rows.index) == ["as_observed", *trials]
    assert rows["cost"]["absent"] != rows["cost"]["as_observed"]
    assert rows["cost"]["own_taps"] == rows["cost"]["as_observed"]
    worst = rows["worst_voltage_violation"]
    assert worst["own_taps"] > worst["as_observed"] + 0.03

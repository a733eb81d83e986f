"""Who has what, and that it is the same whoever has it: days and agents know of no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import (
    Differentiated,
    Rollout,
    differentiate,
    make_learner,
    roll_out,
    samples_of,
)
from gradmap_trainer.objective import Objective
from gradmap_trainer.team import ALONE, share_out
from gradmap_trainer.training_days import draw_state
from gridedge_env.case import CaseSettings
from gridedge_env.scenarios import DayAhead, Fixed, Tariff
from gridedge_env.simulator import Simulator

USUAL = replace(USUAL_CASE, num_agents=36, home_scale=30.0)
CASES = {
    "usual": USUAL,
    "no plan": replace(USUAL, public_plan=False),
    "low voltage": CaseSettings(feeder="european_lv", num_agents=20),
    "cars and roofs": replace(
        USUAL,
        home_scale=8.0,
        mix={"ev_charger": 0.5, "pv_inverter": 0.5},
        reactive_power=True,
        tariff=Tariff(DayAhead(), Fixed(0.08)),
    ),
    "quarter-hours": replace(USUAL, step_minutes=15, keep_loads=True),
}
DAYS = 5


@pytest.mark.parametrize(("count", "size"), [(8, 1), (8, 2), (8, 3), (7, 7), (1000, 7)])
def test_everything_is_shared_out_evenly(count: int, size: int) -> None:
    parts = share_out(0, size, 1000, count).days
    assert [place for part in parts for place in range(count)[part]] == list(range(count))
    lengths = {len(range(count)[part]) for part in parts}
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(("agents", "days", "told"), [(9, 2, "batch_days"), (2, 9, "agents")])
def test_nobody_is_without_work(agents: int, days: int, told: str) -> None:
    with pytest.raises(ValueError, match=f"workers: got 3, expected at most 2, as many as {told}"):
        share_out(0, 3, agents, days)


def test_alone_nothing_is_sent() -> None:
    values = torch.rand(2, 3, 4, 1)
    assert ALONE.to_owners(values) is ALONE.every_day(values) is ALONE.total(values) is values
    assert ALONE.agreed(3.5) == 3.5


def played(
    config: TrainConfig, simulator: Simulator, kept: slice = slice(None)
) -> tuple[Rollout, Differentiated]:
    learner = make_learner(config, simulator)
    with torch.no_grad():
        learner.policies.biases[-1][::2] += 0.6  # off rest
    state = draw_state(config, simulator, np.random.default_rng(1), kept)
    rollout = roll_out(simulator, learner.policies, state, config.rollout_sweeps)
    limits = simulator.case.limits.tightened(voltage=0.02)
    objective = Objective(limits, learner.duals, 1500.0, days=DAYS)
    return rollout, differentiate(simulator, rollout, objective)


@pytest.mark.parametrize("name", CASES)
def test_a_day_is_the_same_whatever_others_are_beside_it(name: str) -> None:
    """To the last bit, of what is observed, done and learned from it: in groups of 5, 3, 2 and 1.

    Trained weights would part within twenty iterations otherwise, from a rounding in the first.
    """
    config = TrainConfig(case=CASES[name], batch_days=DAYS)
    simulator = config.make_simulator()
    whole, found = played(config, simulator)
    assert found.gradient.any()
    for kept in (slice(0, 3), slice(3, 5), slice(2, 3)):
        part, alike = played(config, simulator, kept)
        expected = whole.take(kept)
        assert part.start.day == expected.start.day
        assert part.start.devices == expected.start.devices
        for entry in ("private", "shared", "outputs", "base", "device_voltage"):
            assert torch.equal(getattr(part, entry), getattr(expected, entry)), entry
        assert torch.equal(alike.gradient, found.gradient[:, kept])
        for kind, x in alike.violations.items():
            assert torch.equal(x, found.violations[kind][:, kept]), kind


def test_an_agents_samples_are_the_same_whatever_others_there_are() -> None:
    """A root mean square is taken of each agent's gradients, by whoever has the agent."""
    generator = torch.Generator().manual_seed(0)
    gradient = torch.rand(48, DAYS, 40, 2, generator=generator)
    none = torch.zeros(48, DAYS, 40, 0)
    rollout = Rollout(None, none, none[:, :, 0], none, none, none, torch.ones(2))
    whole = samples_of(rollout, gradient)[3]
    for agents in (slice(0, 1), slice(1, 17), slice(17, 40)):
        assert torch.equal(samples_of(rollout, gradient[:, :, agents])[3], whole[agents])

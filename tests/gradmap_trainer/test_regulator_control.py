"""GradMAP where regulators follow their controls: every power flow moves the taps of the next."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import (
    differentiate,
    iterate,
    make_learner,
    roll_out,
)
from gradmap_trainer.objective import Objective
from gradmap_trainer.policies import to_leaning_action
from gradmap_trainer.training_days import draw_state
from gridedge_env import CaseSettings, Limits, Simulator
from gridedge_env.reference import Idle, play

# A source at 0.97 pu, so that the taps have something to do; sites large enough to be felt.
CONFIG = TrainConfig(
    case=CaseSettings(
        feeder="ieee13",
        num_agents=6,
        home_scale=60.0,
        source_voltage=0.97,
        regulator_control=True,
    ),
    iterations=6,
    batch_days=1,
    minibatches=4,
    hidden_sizes=(8,),
    learning_rate=5e-2,
    final_learning_rate=1e-2,
    trust_region=0.3,
    final_trust_region=0.03,
)


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return CONFIG.make_simulator()


def test_six_iterations_are_enough_to_learn(simulator: Simulator) -> None:
    """Numbers everywhere, and days of another year that cost less than rest by 3 %."""
    learner, rows = make_learner(CONFIG, simulator), []
    for _ in range(CONFIG.iterations):
        learner, row = iterate(CONFIG, simulator, learner)
        rows.append(row)
    assert all(np.isfinite(value) for row in rows for value in row.values())
    assert not any(row["nonconverged"] for row in rows)
    state = simulator.reset(split="test", days=[40, 200])
    learned, rest = (
        sum(float(result.cost.sum()) for _, _, result in play(simulator, policy, state))
        for policy in (learner.policies, Idle(simulator))
    )
    assert learned < 0.97 * rest


def test_the_rollout_reads_the_meters_that_the_exact_day_has(simulator: Simulator) -> None:
    """Under control a glance is a whole step: taps of the rollout are those of the simulation.

    So are its voltages, up to the actions' hair off rest, which both have, and to rounding.
    """
    learner = make_learner(CONFIG, simulator)
    state = draw_state(CONFIG, simulator, np.random.default_rng(0))
    assert state.tap_position is not None
    rollout = roll_out(simulator, learner.policies, state, CONFIG.rollout_sweeps)
    result = simulator.simulate(state, to_leaning_action(rollout.outputs))
    exact = result.solution.device_voltage.unflatten(0, (48, 1))
    torch.testing.assert_close(rollout.device_voltage, exact, rtol=0.0, atol=1e-5)


def test_the_objective_has_a_gradient_for_every_agent(simulator: Simulator) -> None:
    learner = make_learner(CONFIG, simulator)
    state = draw_state(CONFIG, simulator, np.random.default_rng(0))
    rollout = roll_out(simulator, learner.policies, state, CONFIG.rollout_sweeps)
    limits = Limits(0.999, 1.001)  # which all break
    found = differentiate(simulator, rollout, Objective(limits, learner.duals, 100.0, days=1))
    assert found.gradient.shape == (48, 1, 6, 1)
    assert found.gradient.isfinite().all()
    assert found.gradient.abs().sum(dim=(0, 1)).min() > 0.0
    assert found.violations["voltage"].any()

"""Self-supervised primal-dual learning: the rival that uses every gradient once.

    python -m baselines.self_supervised --run runs/self-supervised --seconds 120

Networks, multipliers, penalty, margins and days are GradMAP's, and so is the exact gradient of J.
What differs is what becomes of it: it passes through the policies, dJ/da da/dtheta, for one step of
Adam, and is forgotten. Learning from the Lagrangian of a problem, without labels, is known as
self-supervised primal-dual learning (Park and Van Hentenryck, AAAI 2023).

The folder of a run is that of `gradmap-train`; `gradmap-evaluate` and `gradmap-report` read it.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
import tyro
from torch import Tensor

from baselines.methods import Budget, Case, Observe, learn
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import (
    Learner,
    Rollout,
    ascend,
    draw_state,
    objective_gradient,
    outcome,
    progress,
    roll_out,
    samples_of,
)
from gradmap_trainer.policies import Policies
from gradmap_trainer.surrogate import descend
from gradmap_trainer.training import open_run, train
from gridedge_env.reference import Policy
from gridedge_env.simulator import Simulator
from gridedge_env.transfer import to_host

# Chosen on the validation year, as GradMAP's were; docs/baselines.md has the sweep. All else is
# GradMAP's, but that trust region, minibatches and epochs count for nothing.
DEFAULTS = TrainConfig(
    run="runs/self-supervised", batch_days=8, learning_rate=2.5e-2, final_learning_rate=2.5e-3
)


def self_supervised(case: Case, budget: Budget, observe: Observe) -> Policy:
    """See `Method`."""
    return learn(iterate, DEFAULTS, case, budget, observe)


def iterate(
    config: TrainConfig, simulator: Simulator, learner: Learner
) -> tuple[Learner, dict[str, float]]:
    """One rollout, one gradient, one optimiser step.

    Returns:
        The learner after it, and its row of the log.
    """
    began = time.perf_counter()
    fall = config.final_learning_rate / config.learning_rate
    rate = config.learning_rate * fall ** progress(config, learner)
    for group in learner.optimiser.param_groups:
        group["lr"] = rate
    random = np.random.default_rng([config.seed, learner.iteration])

    state = draw_state(config, simulator, random)
    rollout = roll_out(simulator, learner.policies, state, config.rollout_sweeps)
    rolled_out = time.perf_counter()

    limits = simulator.options.limits.tightened(config.voltage_margin, config.loading_margin)
    result, gradient, violations = objective_gradient(
        simulator, rollout, learner.duals, limits, config.quadratic_penalty
    )
    differentiated = time.perf_counter()

    descend_once(learner.policies, learner.optimiser, rollout, gradient)
    duals = ascend(config, learner.duals, violations)
    measured = to_host(
        {
            **outcome(result, violations),
            "dual_norm": torch.stack([dual.norm() for dual in duals]).norm(),
            "gradient_norm": gradient.norm(),
        }
    )
    ended = time.perf_counter()

    following = replace(
        learner,
        duals=duals,
        iteration=learner.iteration + 1,
        seconds=learner.seconds + ended - began,
    )
    row = {
        "iteration": following.iteration,
        "seconds": following.seconds,
        "environment_steps": following.iteration * config.batch_days * simulator.steps,
        **measured,
        "learning_rate": rate,
        "steps_per_second": config.batch_days * simulator.steps / (ended - began),
        "seconds_rollout": rolled_out - began,
        "seconds_gradient": differentiated - rolled_out,
        "seconds_update": ended - differentiated,
    }
    return following, row


def descend_once(
    policies: Policies, optimiser: torch.optim.Optimizer, rollout: Rollout, gradient: Tensor
) -> None:
    """One optimiser step along dJ/dtheta, the sum over samples of dJ/da da/dtheta.

    It is a step down GradMAP's surrogate without its trust region, where that is linear, and takes
    all samples at once. Each agent's dJ/da is over its root mean square, as GradMAP's: the
    direction is the same, and Adam learns faster from gradients whose size does not jump with the
    multipliers.
    """
    samples = samples_of(rollout, gradient)
    order = np.arange(samples[0].shape[-1])[None]
    descend(policies, optimiser, samples, order, minibatches=1, trust_region=math.inf)


def main(
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = DEFAULTS, resume: bool = False
) -> None:
    """Train a run in its folder.

    Args:
        resume: go on with the run in the folder.
    """
    simulator = config.make_simulator()
    train(config, simulator, open_run(config, simulator, resume), iterate=iterate)


if __name__ == "__main__":
    tyro.cli(main)

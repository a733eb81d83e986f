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
import sys
from typing import Annotated

import numpy as np
import tyro
from torch import Tensor

from baselines.methods import Budget, Observe, learn
from gradmap_trainer.commands.exits import failures, mistakes
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.console import interruptible
from gradmap_trainer.event_log import event_log
from gradmap_trainer.flags import TrainFlags
from gradmap_trainer.gradmap import Differentiated, Learner, exchange_weights, samples_of
from gradmap_trainer.surrogate import descend
from gradmap_trainer.training import open_run, train
from gridedge_env.case import Case
from gridedge_env.reference import Policy
from gridedge_env.simulator import Simulator
from gridedge_gateway import process

# Chosen on the validation year, as GradMAP's were; docs/gradmap_findings.md has the sweep. All else
# is GradMAP's, but that trust region, minibatches and epochs count for nothing.
DEFAULTS = TrainConfig(run="runs/self-supervised", learning_rate=2.5e-2, final_learning_rate=7.5e-3)

FLAGS = TrainFlags.of(DEFAULTS)
COMMAND = "python -m baselines.self_supervised"


def self_supervised(case: Case, device: str, budget: Budget, observe: Observe) -> Policy:
    """See `LearningMethod`."""
    return learn(use_gradient_once, DEFAULTS, case, device, budget, observe)


def use_gradient_once(
    config: TrainConfig,
    simulator: Simulator,
    learner: Learner,
    found: Differentiated,
    done: float,
    random: np.random.Generator,
) -> dict[str, Tensor | float]:
    """One optimiser step along dJ/dtheta, the sum over samples of dJ/da da/dtheta; an `Update`.

    It is a step down GradMAP's surrogate without its trust region, where that is linear, and takes
    all samples at once. Each agent's dJ/da is over its root mean square, as GradMAP's: the
    direction is the same, and Adam learns faster from gradients whose size does not jump with the
    multipliers.
    """
    samples = samples_of(found.rollout, found.gradient, learner.team)
    order = np.arange(samples[0].shape[-1])[None]
    descend(
        learner.own,
        learner.optimiser,
        samples,
        order,
        minibatches=1,
        trust_region=math.inf,
    )
    exchange_weights(learner)
    return {}


def main(
    flags: Annotated[TrainFlags, tyro.conf.arg(name="")] = FLAGS,
    resume: bool = False,
    tensorboard: bool = False,
) -> None:
    """Train a run in its folder; exit codes as of `gradmap-train`.

    Args:
        resume: go on with the run in the folder.
        tensorboard: write the log for TensorBoard, too.
    """
    config = flags.config
    with mistakes(COMMAND):
        simulator, write = config.make_simulator(), event_log(config.run, tensorboard)
        learner = open_run(config, simulator, resume)
    with failures(COMMAND, "; go on with --resume"), interruptible() as interrupted:
        train(
            config,
            simulator,
            learner,
            lambda _, row: write(row),
            interrupted,
            use_gradient_once,
        )
    if interrupted():
        sys.exit(process.EXIT_INTERRUPTED)


if __name__ == "__main__":
    process.run(lambda: tyro.cli(main))

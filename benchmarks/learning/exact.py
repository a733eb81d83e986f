"""What does reuse cost? The gradient simulated anew between the optimiser steps that reuse it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.learning.study import Study, header, trained
from benchmarks.records import Measurement, Table
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import (
    Differentiated,
    Learner,
    Update,
    annealed,
    differentiate,
    samples_of,
)
from gradmap_trainer.surrogate import descend
from gridedge_env.simulator import Simulator


def exact(study: Study) -> Measurement:
    """Reuse each gradient for all, for a quarter and for one of an iteration's optimiser steps."""
    config, simulator = study.config, study.simulator
    steps = config.epochs * config.minibatches
    arms = {
        f"{steps}: reuse": simulating_anew(steps),
        f"{config.minibatches}: anew for each pass": simulating_anew(config.minibatches),
        "1: anew for each step": simulating_anew(1),
        "1, and no trust region": simulating_anew(1, bounded=False),
    }
    rows = []
    for name, update in arms.items():
        began = time.process_time()
        policies = trained(config, simulator, update)
        seconds = time.process_time() - began
        rows.append((name, *study.validation.cells(policies), f"{seconds:.0f}"))
    columns = ("steps with one gradient", *header(simulator.case.limits), "CPU s")
    return Measurement(
        "exact",
        f"{study.iterations} iterations of {steps} optimiser steps each, on the same samples of "
        "the same rollouts within the same trust region. What differs is how often the gradient "
        "is simulated anew, at the actions as they have become.",
        (Table("", columns, tuple(rows)),),
    )


def simulating_anew(most: int, bounded: bool = True) -> Update:
    """GradMAP's update, but a gradient serves for at most so many optimiser steps.

    Args:
        most: optimiser steps.
        bounded: whether the trust region holds.
    """

    def update(
        config: TrainConfig,
        simulator: Simulator,
        learner: Learner,
        found: Differentiated,
        done: float,
        random: np.random.Generator,
    ) -> Mapping[str, Tensor | float]:
        trust_region = annealed(config.trust_region, config.final_trust_region, done)
        samples = samples_of(found.rollout, found.gradient)
        count = samples[0].shape[-1]
        passes = (random.permutation(count) for _ in range(config.epochs))
        parts = [part for order in passes for part in np.array_split(order, config.minibatches)]
        for number, part in enumerate(parts):
            if number and number % most == 0:
                samples = samples_of(found.rollout, _gradient_now(simulator, learner, found))
            private, shared, outputs, slope = (values[..., part] for values in samples)
            descend(
                learner.policies,
                learner.optimiser,
                (private, shared, outputs, slope),
                np.arange(len(part))[None],
                minibatches=1,
                trust_region=trust_region if bounded else math.inf,
            )
        return {}

    return update


def _gradient_now(simulator: Simulator, learner: Learner, found: Differentiated) -> Tensor:
    """dJ/da at what the policies do by now where they were in the rollout; shaped like actions."""
    rollout = found.rollout
    private = rollout.private.flatten(0, 1).permute(1, 2, 0)
    with torch.no_grad():
        outputs = learner.policies.outputs(private, rollout.shared.flatten(0, 1).T)
    now = outputs.permute(2, 0, 1).reshape(rollout.outputs.shape)
    return differentiate(simulator, replace(rollout, outputs=now), found.objective).gradient

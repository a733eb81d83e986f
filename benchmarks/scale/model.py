"""A model of an iteration's seconds and bytes: linear in what its parts go through.

A worker's share, of A agents, D days, N nodes and W workers:

    seconds = c0 + c1 D/W + c2 A D/W + c3 (N - M) D/W + c4 M D/W + c5 A/W + c6 bytes received
    MiB     = m0 + m1 N + m2 A + m3 A D/W + m4 N D/W

M is N where the feeder is small enough for matrices in the place of a sparse factor, elsewhere 0.
Policies act and learn from their samples for every agent and day (c2), power flows are solved for
every node and day (c3, c4), the optimiser goes through every agent's weights (c5); each worker
holds all weights (m2). No coefficient is negative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.iterations import Size
from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import make_learner

Array = NDArray[np.float64]

SINGLE = 4  # bytes


@dataclass(frozen=True)
class Model:
    """What an iteration takes.

    Attributes:
        seconds: coefficients c.
        mebibytes: coefficients m.
    """

    seconds: Array
    mebibytes: Array

    def predict(self, size: Size) -> tuple[float, float]:
        """Seconds and MiB of a worker."""
        return float(self.seconds @ of_time(size)), float(self.mebibytes @ of_memory(size))


def fit(sizes: Sequence[Size], seconds: Sequence[float], mebibytes: Sequence[float]) -> Model:
    """With the least squares of relative errors, from what was measured at these sizes."""
    return Model(_coefficients(sizes, of_time, seconds), _coefficients(sizes, of_memory, mebibytes))


def of_time(size: Size) -> Array:
    """What seconds are linear in."""
    share = size.days / size.workers
    return np.array(
        [
            1.0,
            share,
            size.agents * share,
            (size.nodes - size.nodes_of_matrices) * share,
            size.nodes_of_matrices * share,
            size.agents / size.workers,
            received(size),
        ]
    )


def of_memory(size: Size) -> Array:
    """What bytes are linear in."""
    share = size.days / size.workers
    return np.array([1.0, size.nodes, size.agents, size.agents * share, size.nodes * share])


def received(size: Size) -> float:
    """Bytes that a worker receives from the others in an iteration."""
    of_day, weights = numbers_of_agent()
    samples = size.agents / size.workers * size.days * of_day
    return SINGLE * (size.workers - 1) / size.workers * (samples + size.agents * weights)


@cache
def numbers_of_agent() -> tuple[int, int]:
    """How many numbers others are told of an agent of the default case.

    Returns:
        Of each day: private observations, outputs and gradients. Of each iteration: weights.
    """
    config = TrainConfig(case=replace(USUAL_CASE, feeder="ieee13", num_agents=3))
    simulator = config.make_simulator()
    policies = make_learner(config, simulator).policies
    weights = sum(part[0].numel() for part in policies.parameters())
    of_step = simulator.private_size + 2 * simulator.action_size
    return of_step * simulator.clock.steps, weights


def _coefficients(
    sizes: Sequence[Size], terms: Callable[[Size], Array], measured: Sequence[float]
) -> Array:
    relative = np.array([terms(size) for size in sizes]) / np.array(measured)[:, None]
    scale = relative.max(axis=0).clip(min=1e-300)
    found: Array = nnls(relative / scale, np.ones(len(sizes)))[0] / scale
    return found

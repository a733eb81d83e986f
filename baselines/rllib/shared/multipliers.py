"""Lagrange multipliers of the limits, as PPO-Lagrangian has them (Ray et al., 2019).

One for each kind of limit, risen by the violations of the limits of training: those that GradMAP's
duals answer to, in the same units, and with the same leak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm

from baselines.rllib.shared.environment import SharedDays
from gradmap_trainer.config import TrainConfig


def ascend(
    multipliers: Mapping[str, float], violations: Mapping[str, float], step: float
) -> dict[str, float]:
    """Multipliers after an iteration.

    Args:
        multipliers: before, € per unit of violation and agent.
        violations: a day, by kind of limit, in units of their scale.
        step: gained per unit of violation.
    """
    kept = 1.0 - TrainConfig.dual_leak
    return {kind: kept * multipliers.get(kind, 0.0) + step * x for kind, x in violations.items()}


def seen_violations(algorithm: Algorithm) -> dict[str, float]:
    """Of the days that were sampled last, mean over them and all runners."""
    seen = _of_days(algorithm, lambda days: days.violations)
    return {kind: sum(each[kind] for each in seen) / len(seen) for kind in seen[0]}


def charge(algorithm: Algorithm, multipliers: Mapping[str, float]) -> None:
    """Have all runners' days charge multipliers."""
    _of_days(algorithm, lambda days: days.multipliers.update(multipliers))


def _of_days(algorithm: Algorithm, function: Callable[[SharedDays], Any]) -> list[Any]:
    """What a function returns of the days of every process that samples."""
    runners = algorithm.env_runner_group
    assert runners is not None
    alone = algorithm.config.num_env_runners == 0
    return runners.foreach_env_runner(
        lambda runner: function(runner.env.unwrapped), local_env_runner=alone
    )

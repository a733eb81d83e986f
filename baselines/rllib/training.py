"""An RLlib algorithm at work, iteration after iteration."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.tune.trainable import trainable

from baselines.rllib.algorithm import algorithm_config
from baselines.rllib.config import RLConfig
from baselines.rllib.learner import LEARNER_METRICS
from baselines.rllib.policy import fleet_policy
from baselines.rllib.session import caller_random_state
from baselines.rllib.shared.multipliers import ascend, charge, seen_violations
from gradmap_trainer.team import WorkersFailed
from gradmap_trainer.workers.private_folder import private_folder
from gradmap_trainer.workers.session import is_lost
from gridedge_env.memory import keep_freed_memory
from gridedge_env.reference import Policy
from gridedge_env.simulator import Simulator


@dataclass
class Training:
    """What is being learned, and how far it is.

    Attributes:
        config: how to learn.
        simulator: the case by its true limits.
        algorithm: RLlib's.
        iteration: iterations done.
        seconds: time spent on them.
        multipliers: of the limits, by kind of limit, as agents that share parameters are charged.
    """

    config: RLConfig
    simulator: Simulator
    algorithm: Algorithm
    iteration: int = 0
    seconds: float = 0.0
    multipliers: dict[str, float] = field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """The policies as they are, without exploration."""
        return fleet_policy(self.config, self.simulator, self.algorithm.get_module)

    @property
    def progress(self) -> float:
        """Share of the training that is done: by the clock where it has a budget of seconds."""
        if self.config.seconds is not None:
            return self.seconds / self.config.seconds
        return self.iteration / self.config.iterations

    def iterate(self) -> dict[str, float]:
        """Sample and learn once.

        Returns:
            The row of the log. `environment_steps` are steps of the whole fleet so far, all of
            which were learned from; `fleet_return`, in € a day, is with exploration.

        Raises:
            WorkersFailed: Ray's own processes died.
            RayError: a worker failed.
            RuntimeError: RLlib failed.
        """
        if is_lost():  # it would go on for a minute, and then be ended by Ray without a word
            raise WorkersFailed("Ray's own processes died")
        began = time.perf_counter()
        fall = self.config.final_learning_rate / self.config.learning_rate
        rate = self.config.learning_rate * fall**self.progress
        self.algorithm.learner_group.foreach_learner(lambda learner: _set_rate(learner, rate))
        result = self.algorithm.train()
        if self.config.policies == "shared":
            self._ascend()
        self.seconds += time.perf_counter() - began
        self.iteration += 1
        sampled = result["env_runners"]
        learned = result["learners"].get(DEFAULT_MODULE_ID, {})
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "environment_steps": int(sampled["num_env_steps_sampled_lifetime"]),
            "fleet_return": float(sampled["episode_return_mean"]),
            **{name: float(learned.get(name, math.nan)) for name in LEARNER_METRICS},
            "learning_rate": rate,
            **{f"{kind}_multiplier": value for kind, value in self.multipliers.items()},
        }

    def _ascend(self) -> None:
        violations = seen_violations(self.algorithm)
        self.multipliers = ascend(self.multipliers, violations, self.config.multiplier_step)
        charge(self.algorithm, self.multipliers)


@contextmanager
def training(
    config: RLConfig,
    simulator: Simulator,
    checkpoint: Path | None = None,
    iteration: int = 0,
    seconds: float = 0.0,
    multipliers: dict[str, float] | None = None,
) -> Iterator[Training]:
    """Set up RLlib's algorithm, inside a `ray_session`, and stop it at the end.

    Args:
        config: how to learn.
        simulator: the case by its true limits.
        checkpoint: RLlib's, to go on from.
        iteration: of the checkpoint.
        seconds: of the checkpoint.
        multipliers: of the checkpoint.
    """
    keep_freed_memory()
    mixed = np.random.SeedSequence([simulator.case.seed, iteration]).generate_state(1)
    with (
        caller_random_state(),
        private_folder("rllib") as folder,
        # RLlib has each algorithm make a folder in the user's home, in which it then puts nothing.
        mock.patch.object(trainable, "DEFAULT_STORAGE_PATH", str(folder.path)),
    ):
        with warnings.catch_warnings():
            # RLlib registers its environments anew for each algorithm, and Gymnasium warns of it.
            warnings.filterwarnings("ignore", ".*Overriding environment rllib")
            _warm_up(config, simulator)
            algorithm = algorithm_config(config, simulator, int(mixed[0] >> 1)).build_algo()
        try:
            if checkpoint:
                algorithm.restore_from_path(checkpoint.absolute())
            if multipliers:
                charge(algorithm, multipliers)
            yield Training(config, simulator, algorithm, iteration, seconds, multipliers or {})
        finally:
            algorithm.stop()


def _warm_up(config: RLConfig, simulator: Simulator) -> None:
    """Have kernels compiled and days read, as `gradmap_trainer.training.warm_up`.

    Processes that sample find the kernels on disk. RLlib seeds the algorithm that follows anew.
    """
    small = replace(config, batch_days=1, epochs=1, minibatches=1, env_runners=0)
    algorithm = algorithm_config(small, simulator, 0).build_algo()
    try:
        algorithm.train()
    finally:
        algorithm.stop()


def _set_rate(learner: Any, rate: float) -> None:
    for module_id in learner.module.keys():  # noqa: SIM118 (RLlib's, not a dictionary)
        for _, optimiser in learner.get_optimizers_for_module(module_id):
            for group in optimiser.param_groups:
                group["lr"] = rate

"""A run's folder: configuration, log and RLlib's checkpoints, to train in and to go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule

from baselines.rllib.checkpoint import (
    MODULES,
    newest_checkpoint,
    read_record,
    save_checkpoint,
    weights_digest,
)
from baselines.rllib.config import RUN_KIND, RLConfig
from baselines.rllib.policy import fleet_policy
from baselines.rllib.training import Training, training
from gradmap_trainer.checkpoint import check_matches
from gradmap_trainer.config import load_config, save_config
from gradmap_trainer.identity import identity
from gradmap_trainer.lock import locked
from gradmap_trainer.metrics import (
    append_metrics,
    check_metrics,
    seal_metrics,
    truncate_metrics,
)
from gradmap_trainer.run_folder import case_of_run, check_unbegun, holds_run, keep_case
from gradmap_trainer.workers.session import silence
from gridedge_env.checks import check_known, renamed
from gridedge_env.evaluation import TOLERANCE, evaluation_days
from gridedge_env.reference import Policy, play
from gridedge_env.simulator import Simulator, make_simulator
from gridedge_env.state import SimulatorState


class FolderTraining:
    """Training in its run's folder.

    Attributes:
        training: what is under way.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self._folder = Path(training.config.run)
        simulator = training.simulator
        days = validation_days(training.config, simulator)
        self._validation = simulator.reset(split="validation", days=days)

    def rows(self, interrupted: Callable[[], bool] = lambda: False) -> Iterator[dict[str, float]]:
        """Train until the budget is spent or somebody interrupts, and save.

        Yields each iteration's row of the log, once written.
        """
        training, saved = self.training, self.training.seconds
        while training.progress < 1.0 and not interrupted():
            row = training.iterate()
            row |= validate(training.simulator, training.policy, self._validation)
            append_metrics(self._folder, row)
            if training.seconds - saved > training.config.checkpoint_seconds:
                self.save()
                saved = training.seconds
            yield row
        self.save()

    def save(self) -> None:
        """Write a checkpoint, unless there is one of this very iteration."""
        training = self.training
        record = {
            **identity(training.config, training.simulator),
            "ray": ray.__version__,
            "iteration": training.iteration,
            "seconds": training.seconds,
            "multipliers": training.multipliers,
            "log": seal_metrics(self._folder, training.iteration),
        }
        save_checkpoint(self._folder, training.algorithm, record)


def validation_days(config: RLConfig, simulator: Simulator) -> list[int]:
    """Days of the validation year that are played after every iteration.

    Raises:
        ValueError: it has fewer.
    """
    with renamed(days="validation_days"):
        return evaluation_days(simulator, "validation", config.validation_days)


def open_folder(config: RLConfig, simulator: Simulator, resume: bool = False) -> None:
    """Make the run's folder, or check that the run that is there is to be gone on with.

    Raises:
        ValueError: it holds a run and `resume` is not set, or the run is another, or not whole; or
            another process trains there; or no such training is possible on the case.
    """
    folder = Path(config.run)
    config.training_case(simulator.case)
    validation_days(config, simulator)
    with locked(folder):
        if holds_run(folder):
            if not resume:
                raise ValueError(
                    f"run: {folder} already holds a run, expected --resume or another folder"
                )
            _check_own(config, simulator)
        keep_case(simulator.case, folder)
        save_config(config, folder)


def _check_own(config: RLConfig, simulator: Simulator) -> None:
    """Refuse to go on with a run that is another than the one asked for, or not whole."""
    folder = Path(config.run)
    kept, checkpoint = load_config(folder, RLConfig, RUN_KIND), newest_checkpoint(folder)
    if checkpoint is None:
        return check_unbegun(config, kept, folder)
    record = read_record(checkpoint)
    check_matches(record, {**identity(config, simulator), "ray": ray.__version__})
    kinds = [kind.name for kind in simulator.case.limits]
    check_known(record["multipliers"], kinds, f"run: multipliers in {checkpoint}")
    check_metrics(folder, record["iteration"], record["log"])


@contextmanager
def running(config: RLConfig, simulator: Simulator) -> Iterator[FolderTraining]:
    """The run in its folder, from its newest checkpoint if it has one; inside a `ray_session`.

    Args:
        config: as given to `open_folder`.
        simulator: its case.
    """
    folder = Path(config.run)
    with locked(folder):
        checkpoint = newest_checkpoint(folder)
        record: dict[str, Any] = {}
        if checkpoint:
            record = read_record(checkpoint)
        done = {name: record[name] for name in ("iteration", "seconds", "multipliers") if record}
        truncate_metrics(folder, done.get("iteration", 0))
        with training(config, simulator, checkpoint, **done) as learner:
            run = FolderTraining(learner)
            run.save()  # so that whoever finds a log finds a checkpoint
            yield run


def load_policy(folder: Path) -> tuple[RLConfig, Simulator, Policy]:
    """What a finished or interrupted run has learned; needs no `ray_session`.

    Raises:
        FileNotFoundError: no run in the folder, or none with a checkpoint.
        ValueError: what is there is no RLlib run, or has changed since.
    """
    config = load_config(folder, RLConfig, RUN_KIND)
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None:
        raise FileNotFoundError(f"run: {folder} holds no checkpoint, expected a run that has begun")
    simulator = make_simulator(case=case_of_run(folder))
    check_matches(read_record(checkpoint), identity(config, simulator))
    silence()  # of what its own code does with modules that it should not
    modules = MultiRLModule.from_checkpoint((checkpoint / MODULES).absolute())
    return config, simulator, fleet_policy(config, simulator, modules.__getitem__)


def learned(folder: Path) -> tuple[int, str]:
    """Of a run's newest policies, the iteration and the SHA-256 of RLlib's files, hexadecimal."""
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    return read_record(checkpoint)["iteration"], weights_digest(checkpoint)


@torch.no_grad()
def validate(simulator: Simulator, policy: Policy, state: SimulatorState) -> dict[str, float]:
    """€ a day for the fleet, and the shares of steps outside limits, as in GradMAP's log."""
    results = [result for _, _, result in play(simulator, policy, state)]
    outside = {
        kind: torch.stack([result.violations[kind] for result in results]) > TOLERANCE
        for kind in results[0].violations
    }
    return {
        "cost": float(torch.stack([r.cost.sum(dim=1) for r in results]).sum(dim=0).mean()),
        "violation": float(torch.stack([r.violation for r in results]).sum(dim=0).mean()),
        **{f"{kind}_steps": float(x.any(dim=-1).float().mean()) for kind, x in outside.items()},
    }

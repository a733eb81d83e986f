"""Training a run from beginning to end: iterations, log, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from gradmap_trainer.config import TrainConfig, check_minibatches, load_config, save_config
from gradmap_trainer.gradmap import (
    Learner,
    Update,
    iterate,
    make_learner,
    progress,
    reuse_gradient,
)
from gradmap_trainer.identity import identity
from gradmap_trainer.lock import locked
from gradmap_trainer.metrics import (
    append_metrics,
    check_reached,
    truncate_metrics,
)
from gradmap_trainer.run_folder import (
    check_unbegun,
    holds_run,
    keep_case,
    load_learner,
    save_learner,
)
from gradmap_trainer.team import Team
from gradmap_trainer.warm_start import Tell, warm_learner
from gridedge_env.checks import check_links
from gridedge_env.memory import keep_freed_memory
from gridedge_env.simulator import Simulator

Observer = Callable[[Learner, dict[str, float]], None]


def open_run(
    config: TrainConfig,
    simulator: Simulator,
    resume: bool = False,
    tell: Tell = lambda sentence: None,
) -> Learner:
    """Begin a run in its folder, or take up the one that is there.

    Args:
        config: the run.
        simulator: its case.
        resume: whether to take up a run that is there.
        tell: told of a run that begins with another's policies what carries over, in sentences.

    Raises:
        FileNotFoundError: no run that it is to begin with, or none whose options are known.
        OSError: there is no room for a run.
        ValueError: the folder holds a run and `resume` is not set, or one that does not match, that
            has lost its checkpoint or whose log is another; another process trains there; there can
            be no such folder; or the case is one that no training is possible on, or that no
            checkpoint could know again, or that another run's policies cannot act in.
    """
    folder = Path(config.run)
    _check_trainable(config, simulator)
    identity(config, simulator)  # which refuses now what would end the run at its first checkpoint
    check_links(folder, "run")
    with locked(folder):
        if not holds_run(folder):
            return _begin(config, simulator, tell)
        if not resume:
            raise ValueError(
                f"run: {folder} already holds a run, expected --resume to continue it or another "
                "folder"
            )
        return _take_up(config, simulator, tell)


def _begin(config: TrainConfig, simulator: Simulator, tell: Tell) -> Learner:
    """Begin a run, with all that it takes to go on with it: whoever finds a log finds a checkpoint.

    It is also how to find out at once that a disk is full.
    """
    if config.warm_start is None:
        learner = make_learner(config, simulator)
    else:
        learner = warm_learner(config, simulator, tell)
    folder = Path(config.run)
    keep_case(simulator.case, folder)
    save_config(config, folder)
    save_learner(learner, config, simulator, folder)
    return learner


def _take_up(config: TrainConfig, simulator: Simulator, tell: Tell) -> Learner:
    """Go on with what is there; until all of it is known to be the run's own, nothing changes."""
    folder = Path(config.run)
    kept = load_config(folder, TrainConfig)
    try:
        learner = load_learner(config, simulator, folder)
    except FileNotFoundError:  # killed as it began
        check_unbegun(config, kept, folder)
        return _begin(config, simulator, tell)
    keep_case(simulator.case, folder)
    truncate_metrics(folder, learner.iteration)
    save_config(config, folder)
    return learner


def join_run(config: TrainConfig, simulator: Simulator, team: Team) -> Learner:
    """Take up an open run as one of a team, from its newest checkpoint.

    Raises:
        ValueError: the run does not match.
    """
    learner = load_learner(config, simulator, Path(config.run), team=team)
    if team.is_first:
        truncate_metrics(Path(config.run), learner.iteration)
    return learner


def _check_trainable(config: TrainConfig, simulator: Simulator) -> None:
    """Refuse, before anything is written, what the first iteration would end with."""
    if simulator.dtype != torch.float32:
        raise ValueError(
            f"dtype: got a simulator in {simulator.dtype}, expected torch.float32, in which "
            "policies are"
        )
    check_minibatches(config.minibatches, config.batch_days, simulator.clock.steps)
    config.tightened(simulator.case.limits)


def train(
    config: TrainConfig,
    simulator: Simulator,
    learner: Learner,
    observe: Observer = lambda learner, row: None,
    stop: Callable[[], bool] = lambda: False,
    update: Update = reuse_gradient,
) -> Learner:
    """Iterate until the budget is spent, or `stop`; either way, end with a checkpoint.

    What is compiled first counts for no training time. Of a team, all do so at once; the first one
    writes the log, observes, and decides when to save and to stop.

    Args:
        config: the run.
        simulator: its case, `config.make_simulator()`.
        learner: from `open_run`, or of a team from `join_run`.
        observe: called after every iteration with the learner and its row of the log. Where it
            fails, what was learned is saved first.
        stop: asked before every iteration whether to end early.
        update: what becomes of every gradient.

    Raises:
        OSError: the folder can no longer be written to; its last checkpoint stands.
        ValueError: somebody else has gone on with the run since it was opened, or does right now.
    """
    keep_freed_memory()
    with locked(Path(config.run)) if learner.team.size == 1 else nullcontext():
        return _train(config, simulator, learner, observe, stop, update)


def _train(
    config: TrainConfig,
    simulator: Simulator,
    learner: Learner,
    observe: Observer,
    stop: Callable[[], bool],
    update: Update,
) -> Learner:
    folder, team = Path(config.run), learner.team
    if team.is_first:
        check_reached(folder, learner.iteration)
    if progress(config, learner) < 1.0:
        warm_up(config, simulator, update)
    saved = time.monotonic()
    while progress(config, learner) < 1.0 and not team.agreed(stop()):
        learner, row = iterate(config, simulator, learner, update)
        if team.is_first:
            append_metrics(folder, row)
            try:
                observe(learner, row)
            except Exception:
                if team.size == 1:
                    save_learner(learner, config, simulator, folder)
                raise
        if team.agreed(time.monotonic() - saved > config.checkpoint_seconds):
            save_learner(learner, config, simulator, folder)
            saved = time.monotonic()
    save_learner(learner, config, simulator, folder)
    return learner


def warm_up(config: TrainConfig, simulator: Simulator, update: Update = reuse_gradient) -> None:
    """Have kernels compiled and days read by one small iteration of a learner that is thrown away.

    Otherwise the first iteration of a process would take their time, half a minute where nothing
    is on disk yet, for time in which something was learned.
    """
    small = replace(config, batch_days=1, epochs=1, minibatches=1)
    iterate(small, simulator, make_learner(small, simulator), update)

"""The command that trains, validates, evaluates: python -m baselines.rllib.train.

Exit codes: 0 done; 1 RLlib or one of its workers failed; 2 a mistake in what the user gave; 130
stopped by Ctrl-C or SIGTERM (--resume goes on from the last checkpoint).
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from ray.exceptions import RayError
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from rich.console import Console

from baselines.rllib.config import RLConfig, algorithm_config, load_config, save_config
from baselines.rllib.learner import LEARNER_METRICS
from baselines.rllib.policy import fleet_policy
from baselines.rllib.session import ray_session
from gradmap_trainer.config import write_whole
from gradmap_trainer.evaluation import (
    TOLERANCE,
    evaluate,
    evaluation_days,
    save_evaluation,
    summarise,
)
from gradmap_trainer.run_folder import append_metrics, holds_run, truncate_metrics
from gridedge_env.reference import Policy, play
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

COMMAND = "python -m baselines.rllib.train"
CHECKPOINTS = "checkpoint_*"
PROGRESS_FILE = "progress.json"
EXIT_FAILED, EXIT_MISTAKE, EXIT_INTERRUPTED = 1, 2, 130


def main() -> None:
    """Train, evaluate, save; see the module."""
    console = Console()
    with exit_codes(COMMAND):
        config, resume = _parse(sys.argv[1:])
        simulator = config.make_test_simulator()
        days = config.evaluation_days and evaluation_days(simulator, "test", config.evaluation_days)
        open_folder(config, resume)
        with ray_session(1 + config.env_runners), running(config, simulator) as run:
            for row in run.rows():
                console.print(_line(row), soft_wrap=True)
            policy = run.policy
        if days:
            _evaluate(console, config, simulator, policy, days)


class Run:
    """An algorithm at work in its run's folder.

    Args:
        config: the run.
        simulator: its case by the true limits, for validation.
        algorithm: RLlib's.
        iteration: iterations done.
        seconds: training time spent.
    """

    def __init__(
        self,
        config: RLConfig,
        simulator: Simulator,
        algorithm: Algorithm,
        iteration: int,
        seconds: float,
    ) -> None:
        self.config = config
        self.algorithm = algorithm
        self.iteration = iteration
        self.seconds = seconds
        self._simulator = simulator
        self._folder = Path(config.run)
        days = evaluation_days(simulator, "validation", config.validation_days)
        self._validation = simulator.reset(split="validation", days=days)

    @property
    def policy(self) -> Policy:
        """The policies as they are, without exploration."""
        return fleet_policy(self.config, self._simulator, self.algorithm)

    def rows(self) -> Iterator[dict[str, float]]:
        """Train until the time is up; yields every iteration's row of the log, after writing it."""
        config, saved = self.config, self.seconds
        while self.seconds < config.seconds:
            began = time.perf_counter()
            share = config.final_learning_rate / config.learning_rate
            rate = config.learning_rate * share ** (self.seconds / config.seconds)
            self.algorithm.learner_group.foreach_learner(lambda x: _set_rate(x, rate))  # noqa: B023
            result = self.algorithm.train()
            self.seconds += time.perf_counter() - began
            self.iteration += 1
            row = {
                "iteration": self.iteration,
                "seconds": self.seconds,
                **_sampled(result),
                **validate(self._simulator, self.policy, self._validation),
                "learning_rate": rate,
            }
            append_metrics(self._folder, row)
            if self.seconds - saved > config.checkpoint_seconds:
                self.save()
                saved = self.seconds
            yield row
        self.save()

    def save(self) -> None:
        """Write RLlib's checkpoint; a kill at any instant leaves this one or the one before."""
        folder = self._folder / f"checkpoint_{self.iteration:06d}"
        temporary = folder.with_name("unfinished")
        shutil.rmtree(temporary, ignore_errors=True)
        self.algorithm.save_to_path(temporary.absolute())
        progress = {"iteration": self.iteration, "seconds": self.seconds}
        write_whole(temporary / PROGRESS_FILE, json.dumps(progress) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        for older in sorted(self._folder.glob(CHECKPOINTS))[:-1]:
            shutil.rmtree(older)


def open_folder(config: RLConfig, resume: bool) -> None:
    """Make the run's folder, or check that one that is there is to be gone on with.

    Raises:
        ValueError: it holds a run and `resume` is not set.
    """
    folder = Path(config.run)
    if holds_run(folder) and not resume:
        raise ValueError(f"run: {folder} already holds a run, expected --resume or another folder")
    folder.mkdir(parents=True, exist_ok=True)
    save_config(config, folder)


@contextmanager
def running(config: RLConfig, simulator: Simulator) -> Iterator[Run]:
    """The run in `config.run`, from its newest checkpoint if it has one; inside a `ray_session`."""
    folder = Path(config.run)
    checkpoint = newest_checkpoint(folder)
    progress: dict[str, Any] = {"iteration": 0, "seconds": 0.0}
    if checkpoint:
        progress = json.loads((checkpoint / PROGRESS_FILE).read_text(encoding="utf-8"))
    truncate_metrics(folder, progress["iteration"])
    mixed = np.random.SeedSequence([config.seed, progress["iteration"]]).generate_state(1)
    algorithm = algorithm_config(config, simulator, int(mixed[0] >> 1)).build_algo()
    try:
        if checkpoint:
            algorithm.restore_from_path(checkpoint.absolute())
        yield Run(config, simulator, algorithm, **progress)
    finally:
        algorithm.stop()
        shutil.rmtree(algorithm.logdir, ignore_errors=True)  # in the user's home, and empty


def newest_checkpoint(folder: Path) -> Path | None:
    """Of a run, if there is one."""
    return max(folder.glob(CHECKPOINTS), default=None)


def validate(simulator: Simulator, policy: Policy, state: SimulatorState) -> dict[str, float]:
    """€ a day for the fleet, and the shares of steps outside limits, as in GradMAP's log."""
    results = [result for _, _, result in play(simulator, policy, state)]
    outside = {
        "voltage_steps": [result.voltage_violation for result in results],
        "loading_steps": [result.loading_violation for result in results],
    }
    return {
        "cost": float(torch.stack([r.cost.sum(dim=1) for r in results]).sum(dim=0).mean()),
        "violation": float(torch.stack([r.violation for r in results]).sum(dim=0).mean()),
        **{
            name: float((torch.stack(kind) > TOLERANCE).any(dim=-1).float().mean())
            for name, kind in outside.items()
        },
    }


def _set_rate(learner: Any, rate: float) -> None:
    for module_id in learner.module.keys():  # noqa: SIM118 (RLlib's, not a dictionary)
        for _, optimiser in learner.get_optimizers_for_module(module_id):
            for group in optimiser.param_groups:
                group["lr"] = rate


def _sampled(result: dict[str, Any]) -> dict[str, float]:
    """What RLlib says of an iteration."""
    runners, timers = result["env_runners"], result["timers"]
    learned = result["learners"].get(DEFAULT_MODULE_ID, {})
    return {
        "environment_steps": int(runners["num_env_steps_sampled_lifetime"]),
        "fleet_return": float(runners["episode_return_mean"]),
        "seconds_sampling": float(timers["env_runner_sampling_timer"]),
        "seconds_learning": float(timers["learner_update_timer"]),
        **{name: float(learned.get(name, math.nan)) for name in LEARNER_METRICS},
    }


def _parse(arguments: list[str]) -> tuple[RLConfig, bool]:
    """The configuration, and whether to resume; a resumed run's own values are the defaults."""

    def parse(default: RLConfig) -> tuple[RLConfig, bool]:
        def command(
            config: Annotated[RLConfig, tyro.conf.arg(name="")] = default, resume: bool = False
        ) -> tuple[RLConfig, bool]:
            """Train IPPO or MAPPO with RLlib.

            Args:
                resume: go on with the run in the folder if there is one; its configuration holds.
            """
            return config, resume

        return tyro.cli(command, prog=COMMAND, args=arguments)

    config, resume = parse(RLConfig())
    if resume and holds_run(Path(config.run)):
        config, resume = parse(replace(load_config(Path(config.run)), run=config.run))
    return config, resume


def _evaluate(
    console: Console, config: RLConfig, simulator: Simulator, policy: Policy, days: list[int]
) -> None:
    evaluation = evaluate(
        simulator,
        {config.algorithm: policy},
        days,
        foresight_iterations=config.foresight_iterations,
    )
    limits = simulator.options.limits
    save_evaluation(evaluation, limits, Path(config.run))
    for method, episode in evaluation.episodes.items():
        row = summarise(episode, limits)
        console.print(
            f"{method:20} {row['cost']:8,.0f} €/day, steps outside limits: "
            f"voltage {row['voltage_steps']:.2%}, loading {row['loading_steps']:.2%}",
            soft_wrap=True,
        )


def _line(row: dict[str, float]) -> str:
    return (
        f"iteration {row['iteration']:.0f}, {row['seconds']:.0f} s: return "
        f"{row['fleet_return']:,.0f} €; validation {row['cost']:,.0f} €/day, steps outside limits: "
        f"voltage {row['voltage_steps']:.1%}, loading {row['loading_steps']:.1%}"
    )


@contextmanager
def exit_codes(command: str) -> Iterator[None]:
    """Say what went wrong in one line, and end the process with the code that the module lists."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except (ValueError, OSError, RayError, RuntimeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # A worker's error carries its whole traceback; what happened stands at its end.
        failed = isinstance(error, RayError | RuntimeError)
        print(f"{command}: error: {lines[-1 if failed else 0]}", file=sys.stderr)
        sys.exit(EXIT_FAILED if failed else EXIT_MISTAKE)


if __name__ == "__main__":
    main()

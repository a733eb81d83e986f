"""gradmap-train: train, evaluate and report a run."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from gradmap_trainer.commands.evaluate import evaluate_run, show
from gradmap_trainer.commands.exits import failures, mistakes
from gradmap_trainer.commands.report import report_run
from gradmap_trainer.config import USUAL_CASE, TrainConfig, load_config
from gradmap_trainer.console import (
    interruptible,
    outside_limits,
    progress_line,
    say,
    stopped,
    trained,
)
from gradmap_trainer.event_log import Write, event_log
from gradmap_trainer.flags import TrainFlags, check_own_case, read_flags
from gradmap_trainer.gradmap import Learner, progress
from gradmap_trainer.lock import locked
from gradmap_trainer.run_folder import case_to_train, holds_run
from gradmap_trainer.team import share_out
from gradmap_trainer.training import open_run
from gradmap_trainer.workers import torchrun
from gradmap_trainer.workers.choice import Trainer, trainer
from gridedge_env.checks import renamed
from gridedge_env.evaluation import evaluation_days
from gridedge_env.evaluation_files import save_evaluation
from gridedge_env.simulator import Simulator, make_simulator
from gridedge_env.terminal import Terminal
from gridedge_gateway.process import EXIT_INTERRUPTED

COMMAND = "gradmap-train"


def train() -> None:
    """gradmap-train: train, evaluate and report a run."""
    with ExitStack() as held:
        with mistakes(COMMAND):
            if torchrun.is_follower():
                return torchrun.follow()
            asked = parse_train(sys.argv[1:])
            simulator, days, write = _prepare(asked)
            folder = Path(asked.config.run)
            held.enter_context(locked(folder))
            sentences: list[str] = []
            learner = open_run(asked.config, simulator, asked.resume, sentences.append)
        console = Terminal()
        for sentence in sentences:
            console.print(sentence, highlight=False)
        with failures(COMMAND, "; go on with --resume"):
            learner = _train(console, asked, simulator, learner, write)
            if days:
                effort = asked.config.foresight_iterations
                evaluation = evaluate_run(console, simulator, learner, days, effort)
                save_evaluation(evaluation, simulator.case.limits, folder)
                show(console, evaluation, simulator, "test")
                report_run(console, folder, simulator)


def _prepare(asked: _Asked) -> tuple[Simulator, list[int], Write]:
    """The case, the days to evaluate, and what rows of the log are handed to.

    Raises:
        ValueError: a mistake in what was asked for.
    """
    config = asked.config
    write = event_log(config.run, asked.tensorboard)
    case = case_to_train(config.case, Path(config.run), asked.case, asked.resume)
    simulator = make_simulator(case=case, device=config.device)
    with renamed(days="evaluation_days"):
        count = config.evaluation_days
        days = evaluation_days(simulator, "test", count) if count else []
    share_out(0, asked.trainer.workers, simulator.num_agents, config.batch_days)
    return simulator, days, write


def _train(
    console: Terminal, asked: _Asked, simulator: Simulator, learner: Learner, write: Write
) -> Learner:
    """Train an open run to its end, and tell of it; where that is interrupted, exit."""
    config, begun_at = asked.config, learner.iteration
    kinds = ", ".join(f"{len(group)} {group.kind.plural}" for group in simulator.fleet.groups)
    if simulator.case.name:
        console.print(simulator.case.name, style="bold", highlight=False)
    say(
        console,
        f"Training {simulator.num_agents} agents ({kinds}) on "
        f"{simulator.feeder.name} in {config.run}",
    )
    currency = simulator.case.currency
    with interruptible() as interrupted, progress_line(console, "training") as tell:
        tell(progress(config, learner), asked.trainer.beginning)

        def observe(learner: Learner, row: dict[str, float]) -> None:
            write(row)
            note = (
                f"iteration {learner.iteration}, {row['cost']:,.0f} {currency}/day, "
                f"{outside_limits(row, learner.duals)}"
            )
            tell(progress(config, learner), note)

        learner = asked.trainer.train(config, simulator, learner, observe, interrupted)
    if interrupted():
        console.print(stopped(learner.iteration))
        sys.exit(EXIT_INTERRUPTED)
    console.print(trained(learner.iteration, learner.seconds, begun_at))
    return learner


@dataclass(frozen=True)
class _Asked:
    """What the command line of `train` says.

    Attributes:
        config: of the run.
        case: folder of a case that was brought; None: there is none.
        resume: whether to go on with the run.
        tensorboard: whether to write events.
        trainer: what trains.
    """

    config: TrainConfig
    case: Path | None
    resume: bool
    tensorboard: bool
    trainer: Trainer


def parse_train(arguments: list[str]) -> _Asked:
    """What is asked for; a resumed run's own values are the defaults."""

    def parse(default: TrainConfig) -> _Asked:
        flags = TrainFlags.of(default)

        def command(
            config: Annotated[TrainFlags, tyro.conf.arg(name="")] = flags,
            case: Path | None = None,
            resume: bool = False,
            tensorboard: bool = False,
            workers: int | None = None,
            address: str | None = None,
        ) -> _Asked:
            """Train GradMAP: unshared policies for every agent, by the power flow's own gradient.

            Args:
                case: folder of a case of your own, in place of the default case and its options.
                resume: go on with the run in the folder if there is one; only its budget and
                    evaluation can be changed.
                tensorboard: write the log for TensorBoard, too.
                workers: processes to train with, on Ray; the result is the same with any number.
                address: of the Ray cluster that has them: "auto", or "local" for this machine.
            """
            crew = trainer(workers, address, config.device)
            again = resume or torchrun.is_restarted()
            return _Asked(config.config, case, again, tensorboard, crew)

        return read_flags(command, COMMAND, arguments)

    asked = parse(TrainConfig())
    own_case = asked.case is not None
    if asked.resume and holds_run(Path(asked.config.run)):
        kept = load_config(Path(asked.config.run), TrainConfig)
        asked = parse(replace(kept, run=asked.config.run))
        own_case = kept.case is None
    if own_case:
        check_own_case(asked.config.case, USUAL_CASE)
        asked = replace(asked, config=replace(asked.config, case=None))
    return asked

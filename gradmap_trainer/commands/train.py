"""gradmap-train: train, evaluate and report a run."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from gradmap_trainer.commands.evaluate import evaluate_run
from gradmap_trainer.commands.exits import EXIT_FAILED, EXIT_INTERRUPTED, mistakes, stoppable
from gradmap_trainer.commands.report import report_run
from gradmap_trainer.config import USUAL_CASE, TrainConfig, load_config
from gradmap_trainer.console import interruptible, outside_limits, progress_line, say
from gradmap_trainer.event_log import event_log
from gradmap_trainer.flags import TrainFlags, check_own_case, read_flags
from gradmap_trainer.gradmap import Learner, progress
from gradmap_trainer.run_folder import case_to_train, holds_run
from gradmap_trainer.team import WorkersFailed, share_out
from gradmap_trainer.training import open_run
from gradmap_trainer.workers import torchrun
from gradmap_trainer.workers.choice import Trainer, trainer
from gridedge_env.checks import renamed
from gridedge_env.evaluation import evaluation_days
from gridedge_env.evaluation_files import save_evaluation
from gridedge_env.simulator import make_simulator
from gridedge_env.terminal import Terminal, complain


@stoppable
def train() -> None:
    """gradmap-train: train, evaluate and report a run."""
    command = "gradmap-train"
    with mistakes(command):
        if torchrun.is_follower():
            return torchrun.follow()
        asked = parse_train(sys.argv[1:])
        config, crew = asked.config, asked.trainer
        write = event_log(config.run, asked.tensorboard)
        case = case_to_train(config.case, Path(config.run), asked.case, asked.resume)
        simulator = make_simulator(case=case, device=config.device)
        with renamed(days="evaluation_days"):
            count = config.evaluation_days
            days = count and evaluation_days(simulator, "test", count)
        share_out(0, crew.workers, simulator.num_agents, config.batch_days)
        sentences: list[str] = []
        learner = open_run(config, simulator, asked.resume, sentences.append)
        begun_at = learner.iteration
    console = Terminal()
    for sentence in sentences:
        console.print(sentence, highlight=False)
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
        tell(progress(config, learner), crew.beginning)

        def observe(learner: Learner, row: dict[str, float]) -> None:
            write(row)
            note = (
                f"iteration {learner.iteration}, {row['cost']:,.0f} {currency}/day, "
                f"{outside_limits(row, learner.duals)}"
            )
            tell(progress(config, learner), note)

        try:
            learner = crew.train(config, simulator, learner, observe, interrupted)
        except WorkersFailed as error:
            complain(command, f"error: {error}; go on with --resume")
            sys.exit(EXIT_FAILED)
    if interrupted():
        console.print(f"Stopped after iteration {learner.iteration}; go on with --resume.")
        sys.exit(EXIT_INTERRUPTED)
    console.print(_done(learner, begun_at))
    if days:
        evaluation = evaluate_run(console, simulator, learner, days, config.foresight_iterations)
        save_evaluation(evaluation, simulator.case.limits, Path(config.run))
        report_run(console, Path(config.run), simulator)


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
                resume: go on with the run in the folder if there is one; its configuration holds.
                tensorboard: write the log for TensorBoard, too.
                workers: processes to train with, on Ray; the result is the same with any number.
                address: of the Ray cluster that has them: "auto", or "local" for this machine.
            """
            crew = trainer(workers, address, config.device)
            again = resume or torchrun.is_restarted()
            return _Asked(config.config, case, again, tensorboard, crew)

        return read_flags(command, "gradmap-train", arguments)

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


def _done(learner: Learner, begun_at: int) -> str:
    """What was trained, or that nothing was."""
    whole = f"{learner.iteration} iterations in {learner.seconds:.0f} s"
    if learner.iteration > begun_at:
        return f"Trained {whole}."
    return f"Nothing left to train: the run has had {whole}, all that it is to have, or more."

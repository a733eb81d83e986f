"""The commands: gradmap-train, gradmap-evaluate, gradmap-export, gradmap-report, gradmap-monitor.

Exit codes: 0 done; 1 exported files that do not do what the simulator does, or workers that failed;
2 a mistake in what the user gave, said in one line; 130 stopped by Ctrl-C (or SIGTERM), after a
checkpoint of the last iteration.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from gradmap_trainer.config import USUAL_CASE, TrainConfig, load_config
from gradmap_trainer.console import interruptible, outside_limits, progress_line, say
from gradmap_trainer.event_log import event_log
from gradmap_trainer.flags import TrainFlags, check_own_case, read_flags
from gradmap_trainer.gradmap import Learner, progress
from gradmap_trainer.run_folder import case_of_run, case_to_train, holds_run, load_policies
from gradmap_trainer.team import WorkersFailed, share_out
from gradmap_trainer.training import open_run
from gradmap_trainer.workers import torchrun
from gradmap_trainer.workers.choice import Trainer, trainer
from gridedge_env.case import Case
from gridedge_env.checks import check_whole_number, renamed
from gridedge_env.evaluation import Evaluation, evaluation_days, save_evaluation, summarise
from gridedge_env.evaluation import evaluate as evaluate_policies
from gridedge_env.scenarios import CustomerMeters
from gridedge_env.scenarios.observed import ObservedDays, check_split
from gridedge_env.scenarios.series import Faults
from gridedge_env.simulator import Simulator, make_simulator

RunFolder = Annotated[Path, tyro.conf.Positional]

EXIT_PARTED = EXIT_FAILED = 1
EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130

# What the days of each split are to the policies, after their year: of the built-in days.
SPLITS_IN_WORDS = {
    "train": "the year of training",
    "validation": "a year to choose settings by, and homes never seen in training",
    "test": "a year, a site and homes never seen in training",
}


def _stoppable(command: Callable[[], None]) -> Callable[[], None]:
    """Let Ctrl-C end a command without a traceback where there is nothing to save."""

    @functools.wraps(command)
    def run() -> None:
        try:
            command()
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)

    return run


@_stoppable
def train() -> None:
    """gradmap-train: train, evaluate and report a run."""
    command = "gradmap-train"
    with _mistakes(command):
        if torchrun.is_follower():
            return torchrun.follow()
        asked = _parse_train(sys.argv[1:])
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
    console = Console(markup=False, emoji=False)
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
        tell(progress(config, learner), "compiling")

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
            print(f"{command}: error: {error}; go on with --resume", file=sys.stderr)
            sys.exit(EXIT_FAILED)
    if interrupted():
        console.print(f"Stopped after iteration {learner.iteration}; go on with --resume.")
        sys.exit(EXIT_INTERRUPTED)
    console.print(_done(learner, begun_at))
    if days:
        evaluation = _evaluate(console, simulator, learner, days, config.foresight_iterations)
        save_evaluation(evaluation, simulator.case.limits, Path(config.run))
        _report(console, Path(config.run), simulator)


@_stoppable
def evaluate() -> None:
    """gradmap-evaluate: the out-of-sample table of a run."""

    def parse(
        run: RunFolder,
        split: str = "test",
        days: int = 28,
        foresight_iterations: int = 300,
        device: str = "cpu",
    ) -> tuple:
        """Play a run's policies and the reference controllers on the same days of the test year.

        Args:
            run: folder of the run.
            split: "test", which is saved for the report; or "validation", to choose settings by.
            days: number of days, spread evenly over the year.
            foresight_iterations: effort of the perfect-foresight optimum; 0 leaves it out.
            device: where to compute: "cpu", "cuda", ...
        """
        return run, split, days, foresight_iterations, device

    with _mistakes("gradmap-evaluate"):
        run, split, count, iterations, device = tyro.cli(parse)
        check_whole_number(iterations, 0, "foresight_iterations")
        check_split(split)
        _, simulator, learner = load_policies(run, device)
        days = evaluation_days(simulator, split, count)
    console = Console(markup=False, emoji=False)
    evaluation = _evaluate(console, simulator, learner, days, iterations, split)
    if split == "test":
        save_evaluation(evaluation, simulator.case.limits, run)


@_stoppable
def export() -> None:
    """gradmap-export: one deployable file per agent."""

    def parse(run: RunFolder, to: Path | None = None, check: bool = False) -> tuple:
        """Write for every agent an ONNX file of its own, with its policy and what goes with it.

        Args:
            run: folder of the run.
            to: where to write; by default the folder `policies` of the run.
            check: play a day of the test year through the files, too, and compare them with the
                simulator; exit code 1 if they do anything else.
        """
        return run, to or run / "policies", check

    console = Console(markup=False, emoji=False)
    with _mistakes("gradmap-export"):
        run, folder, check = tyro.cli(parse)
        from gradmap_trainer.export import export_run, gateway_starts, replay

        config, trained, learner = load_policies(run)
        simulator = make_simulator(case=trained.case, dtype=torch.float64)
        files = export_run(config, simulator, learner.policies, folder)
        say(console, f"Wrote {len(files)} policies to {folder}")
        if not check:
            return
        starts = gateway_starts(simulator)
        day = starts[len(starts) // 2]
        partings = replay(simulator, learner.policies, folder, day)
    date = simulator.days("test").dates[day]
    apart = [parting for parting in partings if not parting.is_small]
    if apart:
        for parting in apart:
            say(console, f"{parting}, on {date}")
        sys.exit(EXIT_PARTED)
    worst = max(parting.power for parting in partings)
    say(console, f"On {date} they do as the simulator does, to {worst:.0e} of full power")


@_stoppable
def report() -> None:
    """gradmap-report: the HTML report of a run."""

    def parse(run: RunFolder) -> Path:
        """Draw `report.html` from a run's log and evaluation.

        Args:
            run: folder of the run.
        """
        return run

    with _mistakes("gradmap-report"):
        run = tyro.cli(parse)
        load_config(run, TrainConfig)  # which says what else the folder is
        simulator = make_simulator(case=case_of_run(run))
        _report(Console(markup=False, emoji=False), run, simulator)


@_stoppable
def monitor() -> None:
    """gradmap-monitor: what gateways logged, held against what a run promised."""

    def parse(
        run: RunFolder,
        readings: Path,
        policies: Path | None = None,
        to: Path | None = None,
        connection_kw: float | None = None,
    ) -> tuple:
        """Write `monitor.html`: parity, drift, savings, voltages, and who needs retraining.

        Args:
            run: folder of the run.
            readings: folder of the tables that gateways logged (gridedge-gateway serve --log).
            policies: folder of the files that they served; by default `policies` of the run.
            to: folder to write to; by default that of the run.
            connection_kw: what gateways were told that a connection can carry, if they were.
        """
        return run, readings, policies or run / "policies", to or run, connection_kw

    console = Console(markup=False, emoji=False)
    with _mistakes("gradmap-monitor"):
        run, readings, files, folder, connection = tyro.cli(parse)
        from gradmap_trainer.monitor import read_fleet, write_monitor

        config, simulator, learner = load_policies(run)
        with progress_line(console, "playing logs") as tell:
            fleet = read_fleet(
                run, config, simulator, learner.policies, readings, files, connection, tell
            )
        page = write_monitor(fleet, folder)
    say(console, f"Monitor: {page}")
    names = [one.customer for one in fleet.to_retrain]
    if names:
        say(console, f"To be trained again: {', '.join(names)}")
    if fleet.faults:
        print(
            *(f"gradmap-monitor: error: {told}" for told in fleet.faults), sep="\n", file=sys.stderr
        )
        sys.exit(EXIT_MISTAKE)


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


def _parse_train(arguments: list[str]) -> _Asked:
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
            crew, again = trainer(workers, address), resume or torchrun.is_restarted()
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


def _evaluate(
    console: Console,
    simulator: Simulator,
    learner: Learner,
    days: list[int],
    foresight_iterations: int,
    split: str = "test",
) -> Evaluation:
    with progress_line(console, "evaluating") as tell:
        evaluation = evaluate_policies(
            simulator,
            {"gradmap": learner.policies},
            days,
            split,
            foresight_iterations=foresight_iterations,
            progress=lambda method, share: tell(share, method),
        )
    limits = simulator.case.limits
    summary = {name: summarise(episode, limits) for name, episode in evaluation.episodes.items()}
    own = isinstance(simulator.case.demand, CustomerMeters)
    built_in = isinstance(simulator.case.days, ObservedDays) and not own
    words = SPLITS_IN_WORDS[split] if built_in else f"days of {split}"
    when = f"{simulator.days(split).years}, {words}"
    console.print(
        _table(summary, simulator.case, f"{simulator.clock.episodes(len(days))} of {when}")
    )
    return evaluation


def _report(console: Console, folder: Path, simulator: Simulator) -> None:
    from gradmap_trainer.report import write_report

    say(console, f"Report: {write_report(folder, simulator)}")


def _table(summary: dict[str, dict[str, float]], case: Case, when: str) -> Table:
    """The out-of-sample table for a terminal of 80 columns."""
    look: dict[str, Any] = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False}
    title, caption = f"{case.title}: {when}", case.tariff.describe(case.currency)
    table = Table(title=title, caption=caption, collapse_padding=True, **look)
    table.add_column("method", no_wrap=True)
    kinds = [kind.name for kind in case.limits]
    for column in (f"{case.currency}/day", "above optimum", *kinds, "unsolved"):
        table.add_column(column, justify="right", overflow="fold")
    best = summary.get("perfect_foresight", {}).get("cost")
    for method, row in summary.items():
        above = "" if best is None else f"{(row['cost'] - best) / abs(best):+.2%}"
        shares = (f"{row[f'{kind}_steps']:.2%}" for kind in kinds)
        table.add_row(method, f"{row['cost']:,.0f}", above, *shares, str(row["nonconverged"]))
    return table


@contextmanager
def _mistakes(command: str) -> Iterator[None]:
    """Say a user's mistake in one line, those of a case in one each, and exit with 2.

    Warnings are said in one line, too.
    """
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(
            f"{command}: warning: {message}", file=sys.stderr
        )
        try:
            yield
        except (ValueError, OSError, ImportError) as error:
            lines = str(error).splitlines()
            told = lines if isinstance(error, Faults) else lines[:1]
            print("\n".join([f"{command}: error: {told[0]}", *told[1:]]), file=sys.stderr)
            sys.exit(EXIT_MISTAKE)

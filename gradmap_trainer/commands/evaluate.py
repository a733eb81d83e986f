"""gradmap-evaluate: the out-of-sample table of a run."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from gradmap_trainer.commands.exits import RunFolder, failures, mistakes
from gradmap_trainer.console import progress_line
from gradmap_trainer.flags import read_flags
from gradmap_trainer.gradmap import Learner
from gradmap_trainer.run_folder import load_policies, signed
from gridedge_env.case import Case
from gridedge_env.checks import check_whole_number, check_writable
from gridedge_env.evaluation import Evaluation, evaluation_days, summarise
from gridedge_env.evaluation import evaluate as evaluate_policies
from gridedge_env.evaluation_files import EPISODES_FILE, save_evaluation
from gridedge_env.scenarios import CustomerMeters
from gridedge_env.scenarios.observed import ObservedDays, check_split
from gridedge_env.simulator import Simulator
from gridedge_env.terminal import Terminal

COMMAND = "gradmap-evaluate"

# What the days of each split are to the policies, after their year: of the built-in days.
SPLITS_IN_WORDS = {
    "train": "the year of training",
    "validation": "a year to choose settings by, and homes never seen in training",
    "test": "a year, a site and homes never seen in training",
}


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

    with mistakes(COMMAND):
        run, split, count, iterations, device = read_flags(parse, COMMAND)
        check_whole_number(iterations, 0, "foresight_iterations")
        check_split(split)
        _, simulator, learner = load_policies(run, device)
        days = evaluation_days(simulator, split, count)
        if split == "test":
            check_writable(run / EPISODES_FILE, "run")
    console = Terminal()
    with failures(COMMAND):
        evaluation = evaluate_run(console, simulator, learner, days, iterations, split)
        if split == "test":
            save_evaluation(evaluation, simulator.case.limits, run)
        show(console, evaluation, simulator, split)


def evaluate_run(
    console: Console,
    simulator: Simulator,
    learner: Learner,
    days: list[int],
    foresight_iterations: int,
    split: str = "test",
) -> Evaluation:
    """Play the days, and put down which policies did."""
    with progress_line(console, "evaluating") as tell:
        played = evaluate_policies(
            simulator,
            {"gradmap": learner.policies},
            days,
            split,
            foresight_iterations=foresight_iterations,
            progress=lambda method, share: tell(share, method),
        )
    return signed(played, learner)


def show(console: Console, evaluation: Evaluation, simulator: Simulator, split: str) -> None:
    """The table."""
    limits, days = simulator.case.limits, len(evaluation.dates) // simulator.clock.days
    summary = {name: summarise(episode, limits) for name, episode in evaluation.episodes.items()}
    own = isinstance(simulator.case.demand, CustomerMeters)
    built_in = isinstance(simulator.case.days, ObservedDays) and not own
    words = SPLITS_IN_WORDS[split] if built_in else f"days of {split}"
    when = f"{simulator.days(split).years}, {words}"
    console.print(_table(summary, simulator.case, f"{simulator.clock.episodes(days)} of {when}"))


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

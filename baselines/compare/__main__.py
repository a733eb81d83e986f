"""The command: python -m baselines.compare [CONFIG.toml] [--out FOLDER] [--quick].

Exit codes: 0 done; 1 a job failed, and the tables are of the others, or Ray did; 2 a mistake in
what the user gave; 130 stopped by Ctrl-C (the same command goes on where it was).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from baselines.compare import processes, results
from baselines.compare.config import FULL, QUICK, Comparison, Job, load_comparison
from baselines.compare.page import write_page
from baselines.compare.tables import make_tables
from gradmap_trainer.commands.exits import EXIT_FAILED, failures, mistakes
from gradmap_trainer.flags import read_flags
from gradmap_trainer.lock import locked
from gridedge_env.terminal import Terminal, complain
from gridedge_gateway import process

# Does jobs; see `processes.run_jobs`.
RunJobs: TypeAlias = Callable[[Comparison, Sequence[Job], Path, processes.Watch], dict[Job, str]]

COMMAND = "python -m baselines.compare"


def main() -> None:
    """Run what is to be compared, then write tables, figures and page."""
    console = Terminal()
    with ExitStack() as held:
        with mistakes(COMMAND):
            config, folder, case, address = read_flags(_parse, COMMAND)
            comparison = load_comparison(config, case)
            held.enter_context(locked(folder, "out"))
            done = results.load(folder, comparison)
            run_jobs = _runner(address)
            processes.check_folder(folder)
        with failures(COMMAND):
            missing = [job for job in comparison.jobs if job not in done]
            failed = _run(console, comparison, missing, folder, run_jobs) if missing else {}
            lines = processes.summary(failed, folder)
            if found := results.load(folder, comparison):
                tables = make_tables(comparison, found)
                tables.save(folder)
                command = shlex.join([*COMMAND.split(), *sys.argv[1:]])
                text = config.read_text("utf-8")
                page = write_page(folder, comparison, tables, found, lines, command, text)
                console.print(f"Comparison: {page}", soft_wrap=True)
    for line in lines:
        complain(COMMAND, f"failed: {line}")
    if failed:
        sys.exit(EXIT_FAILED)


def _parse(
    config: Annotated[Path | None, tyro.conf.Positional] = None,
    out: Path | None = None,
    quick: bool = False,
    case: Path | None = None,
    address: str | None = None,
) -> tuple[Path, Path, Path | None, str | None]:
    """Compare GradMAP with rules, learners and perfect foresight on the same days.

    Args:
        config: what to compare, a TOML file; by default the full comparison, which takes hours.
        out: folder of the results; by default one in runs/ with the configuration's name. A
            comparison that is there already goes on.
        quick: a comparison in miniature, of a few minutes.
        case: folder of a case of your own, in place of the configuration's `[case]`. Trials in
            other homes or at other taps are left out, for it says what these are; without a public
            plan so is the rule that follows it.
        address: spread the jobs over the Ray cluster there, "auto" for the one of this machine.
    """
    if config and quick:
        raise ValueError(f"quick: got it and {config}, expected one of them")
    chosen = config or (QUICK if quick else FULL)
    return chosen, out or Path("runs") / f"compare-{chosen.stem}", case, address


def _runner(address: str | None) -> RunJobs:
    """What runs jobs: this machine, or a cluster.

    Raises:
        ValueError: there is none at the address.
        ImportError: Ray is not installed.
    """
    if address is None:
        return processes.run_jobs
    try:
        from baselines.compare import cluster
        from gradmap_trainer.workers.session import check_address
    except ImportError as error:
        raise ImportError(f"address: Ray is needed, of gridedge[rllib]: {error}") from error
    check_address(address)
    return partial(cluster.run_jobs, address)


def _run(
    console: Console, comparison: Comparison, jobs: Sequence[Job], folder: Path, run_jobs: RunJobs
) -> dict[Job, str]:
    """Run jobs under a progress bar; returns what went wrong, by job."""
    total = len(comparison.jobs)
    columns = (TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TextColumn("{task.fields[note]}", markup=False), console=console
    ) as bar:
        task = bar.add_task("", total=total, completed=total - len(jobs), note="")

        def watch(running: Sequence[Job], ended: Job | None, failure: str) -> None:
            bar.update(task, note=", ".join(job.name for job in running))
            if ended:
                bar.advance(task)
                outcome = f"failed: {failure}" if failure else "done"
                console.print(f"{ended.name} {outcome}", soft_wrap=True)

        return run_jobs(comparison, jobs, folder, watch)


if __name__ == "__main__":
    process.run(main)

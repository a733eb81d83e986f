"""gradmap-report: the HTML report of a run."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from gradmap_trainer.commands.exits import RunFolder, mistakes
from gradmap_trainer.config import TrainConfig, load_config
from gradmap_trainer.console import say
from gradmap_trainer.flags import read_flags
from gradmap_trainer.run_folder import case_of_run
from gridedge_env.simulator import Simulator, make_simulator
from gridedge_env.terminal import Terminal


def report() -> None:
    """gradmap-report: the HTML report of a run."""

    def parse(run: RunFolder) -> Path:
        """Draw `report.html` and `explorer.html` from a run's log and evaluation.

        Args:
            run: folder of the run.
        """
        return run

    with mistakes("gradmap-report"):
        run = read_flags(parse, "gradmap-report")
        load_config(run, TrainConfig)  # which says what else the folder is
        simulator = make_simulator(case=case_of_run(run))
        report_run(Terminal(), run, simulator)


def report_run(console: Console, folder: Path, simulator: Simulator) -> None:
    """Write it, and say where it is."""
    from gradmap_trainer.report import write_report

    say(console, f"Report: {write_report(folder, simulator)}")

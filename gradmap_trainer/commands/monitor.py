"""gradmap-monitor: what gateways logged, held against what a run promised."""

from __future__ import annotations

import sys
from pathlib import Path

from gradmap_trainer.commands.exits import EXIT_MISTAKE, RunFolder, mistakes
from gradmap_trainer.config import TrainConfig, load_config
from gradmap_trainer.console import progress_line, say
from gradmap_trainer.flags import read_flags
from gradmap_trainer.run_folder import load_policies
from gridedge_env.terminal import Terminal, complain


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

    console = Terminal()
    with mistakes("gradmap-monitor"):
        run, readings, files, folder, connection = read_flags(parse, "gradmap-monitor")
        from gradmap_trainer.monitor import logged_tables, read_fleet, summary, write_monitor

        load_config(run, TrainConfig)  # a run that is not there is told of before what it lacks
        tables = logged_tables(readings, files, folder, connection)
        config, simulator, learner = load_policies(run)
        with progress_line(console, "playing logs") as tell:
            fleet = read_fleet(
                run, config, simulator, learner.policies, tables, files, connection, tell
            )
        page = write_monitor(fleet, folder)
    say(console, f"Monitor: {page}")
    say(console, " ".join(summary(fleet)))
    if fleet.faults:
        for told in fleet.faults:
            complain("gradmap-monitor", f"error: {told}")
        sys.exit(EXIT_MISTAKE)

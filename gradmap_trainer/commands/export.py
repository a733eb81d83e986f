"""gradmap-export: one deployable file per agent."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from gradmap_trainer.commands.exits import EXIT_FAILED, RunFolder, mistakes
from gradmap_trainer.console import say
from gradmap_trainer.flags import read_flags
from gradmap_trainer.run_folder import load_policies
from gridedge_env.simulator import make_simulator
from gridedge_env.terminal import Terminal


def export() -> None:
    """gradmap-export: one deployable file per agent."""

    def parse(run: RunFolder, to: Path | None = None, check: bool = False) -> tuple:
        """Write for every agent an ONNX file of its own, with its policy and what goes with it.

        Args:
            run: folder of the run.
            to: where to write; by default the folder `policies` of the run.
            check: play a day of the test year through the files, too, and compare them with the
                simulator; exit code 1 if they do anything else. What could be read at each customer
                that day goes into a table, as `gridedge-gateway replay` takes it: into the folder
                `readings` beside the files.
        """
        return run, to or run / "policies", check

    console = Terminal()
    with mistakes("gradmap-export"):
        run, folder, check = read_flags(parse, "gradmap-export")
        from gradmap_trainer.export import export_run, gateway_starts, replay

        config, trained, learner = load_policies(run)
        simulator = make_simulator(case=trained.case, dtype=torch.float64)
        files = export_run(config, simulator, learner.policies, folder)
        say(console, f"Wrote {len(files)} policies to {folder}")
        if not check:
            return
        starts = gateway_starts(simulator)
        day = starts[len(starts) // 2]
        tables = folder / "readings"
        partings = replay(simulator, learner.policies, folder, day, tables=tables)
    date = simulator.days("test").dates[day]
    apart = [parting for parting in partings if not parting.is_small]
    if apart:
        for parting in apart:
            say(console, f"{parting}, on {date}")
        sys.exit(EXIT_FAILED)
    worst = max(parting.power for parting in partings)
    say(console, f"On {date} they do as the simulator does, to {worst:.0e} of full power")
    say(console, f"What could be read that day: {tables}")

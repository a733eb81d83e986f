"""Where the installed commands begin: Ctrl-C is in hand before anything that takes long to import.

They are functions of the packages beside this one, which imports none of them before that.
"""

from __future__ import annotations

import os
import signal
from importlib import import_module

EXIT_INTERRUPTED = 130


def case() -> None:
    """gridedge-case."""
    _start("gridedge_env.cli", "case")


def gateway() -> None:
    """gridedge-gateway."""
    _start("gridedge_gateway.cli", "main")


def train() -> None:
    """gradmap-train."""
    _start("gradmap_trainer.commands.train", "train")


def evaluate() -> None:
    """gradmap-evaluate."""
    _start("gradmap_trainer.commands.evaluate", "evaluate")


def export() -> None:
    """gradmap-export."""
    _start("gradmap_trainer.commands.export", "export")


def report() -> None:
    """gradmap-report."""
    _start("gradmap_trainer.commands.report", "report")


def monitor() -> None:
    """gradmap-monitor."""
    _start("gradmap_trainer.commands.monitor", "monitor")


def _start(module: str, name: str) -> None:
    """Import a command and run it."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))  # nothing to save yet
    command = getattr(import_module(module), name)
    import_module("gridedge_gateway.process").run(command)

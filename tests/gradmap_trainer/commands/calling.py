"""A command called in this process, as a user calls it."""

from __future__ import annotations

import sys

import pytest

from gradmap_trainer.commands.evaluate import evaluate
from gradmap_trainer.commands.export import export
from gradmap_trainer.commands.monitor import monitor
from gradmap_trainer.commands.report import report
from gradmap_trainer.commands.train import train

COMMANDS = {
    "gradmap-train": train,
    "gradmap-evaluate": evaluate,
    "gradmap-export": export,
    "gradmap-report": report,
    "gradmap-monitor": monitor,
}
# The smallest run that has everything; it learns fast enough for devices to leave rest.
SMALL = [
    *("--num-agents", "9", "--iterations", "3", "--batch-days", "1", "--minibatches", "2"),
    *("--hidden-sizes", "5", "4", "--evaluation-days", "1", "--foresight-iterations", "5"),
    *("--learning-rate", "0.1"),
]


def call(command: str, *arguments: object) -> int:
    """Run a command in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [command, *map(str, arguments)])
        patch.setenv("COLUMNS", "200")
        try:
            COMMANDS[command]()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


def assert_one_line(errors: str, told: str) -> None:
    """A mistake is told, in a line."""
    assert errors.count("\n") == 1, errors
    assert told in errors
    assert ": error: " in errors

"""What commands say fits a terminal of 80 columns, and is plain lines where there is none."""

from __future__ import annotations

import io
import os
import pty
import re
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from rich.console import Console

from gradmap_trainer.console import outside_limits, progress_line
from tests.gradmap_trainer.commands.calling import COMMANDS

SMALL = [
    *("--feeder", "ieee13", "--num-agents", "3", "--iterations", "2", "--batch-days", "1"),
    *("--minibatches", "2", "--evaluation-days", "1", "--foresight-iterations", "2"),
]
HEADINGS = ("method", "€/day", "above optimum", "voltage", "loading", "unbalance", "unsolved")


def written(ends: tuple[int, int], command: str, *arguments: object) -> str:
    """What a command writes into the second of two ends, read from the first, of 80 columns."""
    parts: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # how Linux says that the other end of a terminal is closed
            while part := os.read(ends[0], 65536):
                parts.append(part)

    reader = Thread(target=read)
    reader.start()
    with pytest.MonkeyPatch.context() as patch, os.fdopen(ends[1], "w") as out:
        patch.setattr(sys, "argv", [command, *map(str, arguments)])
        patch.setattr(sys, "stdout", out)
        patch.setenv("COLUMNS", "80")
        patch.setenv("TERM", "xterm")
        COMMANDS[command]()
    reader.join()
    os.close(ends[0])
    return b"".join(parts).decode()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / ("a folder of which the name is long" * 3)


@pytest.fixture(scope="module")
def screen(run: Path) -> str:
    """What training writes to a terminal, without colours."""
    raw = written(pty.openpty(), "gradmap-train", "--run", run, *SMALL)
    assert "\x1b[2K" in raw, "no line was drawn over"
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw)


def assert_whole_table(lines: list[str]) -> None:
    """Headings and rows in a line each, nothing cut off."""
    (heading,) = [line for line in lines if line.startswith("method")]
    assert re.split(r"  +", heading.strip()) == list(HEADINGS)
    for method in ("gradmap", "idle", "thermostat", "price_following", "perfect_foresight"):
        (row,) = [line for line in lines if line.startswith(f"{method} ")]
        assert len(row.split()) == len(HEADINGS)


def test_a_terminal_of_80_columns_shows_it_whole(screen: str) -> None:
    """But for the path, which is the user's, and left as it is."""
    lines = re.split(r"[\r\n]+", screen)
    assert "…" not in screen
    assert all(len(line) <= 80 for line in lines if "a folder of which" not in line)
    progress = [line for line in lines if line.startswith("training")]
    assert re.search(
        r"━ iteration 2, [\d,.]+ €/day, \w[\w ]+\w( [\d.]+%)? +[-:\d]+ *$", progress[-1]
    )
    assert any(line.startswith("evaluating") and "perfect_foresight" in line for line in lines)
    assert_whole_table(lines)


def test_a_pipe_gets_plain_lines(screen: str, run: Path) -> None:
    """No control codes, no carriage return, and no line broken within a path."""
    options = ("--days", 1, "--foresight-iterations", 2)
    text = written(os.pipe(), "gradmap-evaluate", run, *options)
    assert not re.search(r"[^\n -~€×─]", text)
    lines = text.splitlines()
    assert lines[0] == "evaluating 0%: gradmap"
    assert "evaluating 100%: perfect_foresight" in lines
    assert_whole_table(lines)


def test_plain_lines_are_few_and_say_where_it_stands() -> None:
    """At the beginning, after each tenth, and when something else begins."""
    file = io.StringIO()
    long = "iteration 30 of a run with a name that is longer than what 80 columns hold, by far"
    with progress_line(Console(file=file, width=80), "training") as tell:
        for share in (0.0, 0.04, 0.09, 0.11, 0.12, 0.35):
            tell(share, "going")
        tell(0.4, long)
        tell(0.0, "another")
    assert file.getvalue().splitlines() == [
        "training 0%: going",
        "training 11%: going",
        "training 35%: going",
        f"training 40%: {long}",
        "training 0%: another",
    ]


def test_the_most_broken_limit_is_named() -> None:
    row = {"voltage_steps": 0.0, "loading_steps": 0.125, "unbalance_steps": 0.02}
    assert outside_limits(row, ["voltage", "loading", "unbalance"]) == "loading outside 12.5%"
    assert outside_limits(row, ["voltage"]) == "within limits"

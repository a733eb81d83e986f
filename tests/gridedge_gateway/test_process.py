"""Nobody who does not read what a command says ends it, and Ctrl-C leaves no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Says more than a pipe holds, to both streams, and leaves a file at its end.
TALKATIVE = """
import sys
from gridedge_gateway.process import run

def command():
    for number in range(20_000):
        print(number, "€ ─ × 3")
    print("warning: €", file=sys.stderr)
    open(sys.argv[1], "w").close()
    sys.exit(3)

run(command)
"""
# Whoever starts the tests in the background has Ctrl-C ignored, and by what they start, too.
HASTY = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from gridedge_gateway.process import run

def interrupted():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        {then}

run(interrupted)
"""

ENDED = """
import os, signal
from gridedge_gateway.process import run

def ended():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.kill(os.getpid(), signal.SIGTERM)

run(ended)
"""


def talk(done: Path, encoding: str = "utf-8", **streams: Any) -> int:
    """Its exit code; it is to have come to its end."""
    process = subprocess.run(
        [sys.executable, "-c", TALKATIVE, str(done)],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
        **streams,
    )
    assert done.exists()
    return process.returncode


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "gbk", "cp437"])
def test_a_terminal_without_a_sign_shows_another(tmp_path: Path, encoding: str) -> None:
    with (tmp_path / "said").open("wb") as said:
        assert talk(tmp_path / "done", encoding, stdout=said, stderr=said) == 3
    text = (tmp_path / "said").read_text(encoding)
    assert "0 € ─" in text or "0 ? " in text
    assert "19999 " in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_a_full_disk_takes_what_it_is_told(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        assert talk(tmp_path / "done", stdout=full, stderr=full) == 3


def test_a_pipe_may_be_closed(tmp_path: Path) -> None:
    """By `head -1`, long before there is nothing more to say."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        assert talk(tmp_path / "done", stdout=pipe, stderr=pipe) == 3


@pytest.mark.skipif(os.name == "nt", reason="descriptors are closed the Unix way")
def test_there_may_be_no_output_at_all(tmp_path: Path) -> None:
    assert talk(tmp_path / "done", preexec_fn=lambda: os.closerange(1, 3)) == 3


@pytest.mark.parametrize("then", ["raise", "raise ImportError('half', name='half')", "exit(2)"])
def test_ctrl_c_ends_it_whatever_becomes_of_it(then: str) -> None:
    """Libraries that are imported may make another error of it."""
    process = subprocess.run(
        [sys.executable, "-c", HASTY.format(then=then)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (130, "")


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM is not handled there")
def test_so_does_whoever_ends_it_where_ctrl_c_counts_for_nothing() -> None:
    """As of a shell's background, `nohup ... &`, whose processes ignore Ctrl-C."""
    process = subprocess.run(
        [sys.executable, "-c", ENDED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert (process.returncode, process.stderr) == (130, "")

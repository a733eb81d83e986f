"""A folder for this process alone that is gone once the process is, however it ends.

Who is killed has no time to tidy up, nor has who is aborted by a library. So a process of its own
waits for the end and sweeps: this file, as a script of Python's own library alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# Others that write there may take moments to notice that it is over.
PATIENCE_SECONDS = 20.0
# The last that is told of a process that has left the context.
IN_ORDER = "in-order"


@dataclass(frozen=True)
class PrivateFolder:
    """A folder that nobody else can enter.

    Attributes:
        path: where it is.
    """

    path: Path
    _sweeper: IO[str]

    def is_used_by(self, session: int) -> None:
        """Have the processes of a session killed at the end, before the folder is removed."""
        print(session, file=self._sweeper, flush=True)


@contextmanager
def private_folder(
    prefix: str, within: Path | None = None, last_words: str = ""
) -> Iterator[PrivateFolder]:
    """Make a folder that nobody else can enter, and have it removed at the end.

    Args:
        prefix: of its name.
        within: where; by default among temporary files.
        last_words: said on the error stream should the process end without leaving the context.
    """
    folder = tempfile.mkdtemp(prefix=prefix, dir=within)
    words = [sys.executable, "-I", "-S", __file__, folder, last_words]
    # In a session of its own no signal to the process group reaches it.
    sweeper = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=None if last_words else subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert sweeper.stdin is not None
    try:
        yield PrivateFolder(Path(folder), sweeper.stdin)
    finally:
        sweeper.communicate(IN_ORDER)


def sweep(folder: Path, last_words: str) -> None:
    """Wait until nobody holds the other end of standard input; kill whom it named, and remove."""
    told = sys.stdin.read().split()
    in_order = IN_ORDER in told
    if last_words and not in_order:
        _say(last_words)
    sessions = [int(session) for session in told[: len(told) - in_order]]
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found = [session for session in sessions if _kill(session)]
        shutil.rmtree(folder, ignore_errors=True)
        # Whom a killed one had just begun would make the folder again.
        if not found and not folder.exists():
            break
        time.sleep(0.1)


def _say(words: str) -> None:
    """And let go of the error stream: whoever reads it is not to wait for what follows."""
    with suppress(OSError):
        os.write(2, f"{words}\n".encode())
        os.close(2)


def _kill(session: int) -> bool:
    """Its first process group; where Linux tells who else is of the session, these, too.

    Returns:
        Whether Linux told of any.
    """
    found = False
    with suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            told = status.read_text().rpartition(")")[2].split()  # state, parent, group, session
            if int(told[3]) == session and told[0] != "Z":
                os.kill(int(status.parent.name), signal.SIGKILL)
                found = True
    return found


if __name__ == "__main__":
    sweep(Path(sys.argv[1]), sys.argv[2])

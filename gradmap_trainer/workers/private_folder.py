"""A folder for this process alone that is gone once the process is, however it ends.

Who is killed has no time to tidy up, nor has who is aborted by a library. So a process of its own
waits for the end and sweeps: this file, as a script of Python's own library alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Others that write there may take moments to notice that it is over.
PATIENCE_SECONDS = 20.0


@contextmanager
def private_folder(prefix: str, within: Path | None = None) -> Iterator[Path]:
    """Make a folder that nobody else can enter, and have it removed at the end.

    Args:
        prefix: of its name.
        within: where; by default among temporary files.
    """
    folder = tempfile.mkdtemp(prefix=prefix, dir=within)
    words = [sys.executable, "-I", "-S", __file__, folder]
    # In a session of its own no signal to the process group reaches it, and nobody waits for it at
    # the other end of this one's output.
    sweeper = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Path(folder)
    finally:
        sweeper.communicate()


def sweep(folder: Path) -> None:
    """Wait until nobody holds the other end of standard input; then remove the folder."""
    sys.stdin.read()
    until = time.monotonic() + PATIENCE_SECONDS
    while folder.exists() and time.monotonic() < until:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)


if __name__ == "__main__":
    sweep(Path(sys.argv[1]))

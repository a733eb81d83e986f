"""`gradmap-train` in a process of its own, and what there is of it on this machine (Linux)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[3]
TRAIN = [sys.executable, "-c", "from gradmap_trainer.cli import train; train()"]
TORCHRUN = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
    *("--nproc-per-node", "2", "--no-python", "--"),
]
LISTENING = "0A"


class Command:
    """A command whose processes are known by a home of their own.

    Args:
        words: of it.
        home: for what it leaves in homes and in places for temporary files.
    """

    def __init__(self, words: list[str], home: Path) -> None:
        own = {"HOME": str(home), "TMPDIR": str(home), "OMP_NUM_THREADS": "1"}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.home = home
        self.process = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**os.environ, **own, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self) -> tuple[int, str, str]:
        """Exit code, output and errors, once it is through."""
        output, errors = self.process.communicate(timeout=300)
        return self.process.returncode, output, errors

    def wait_for(self, what: Callable[[], bool]) -> None:
        """While it runs."""
        while not what():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def processes(self) -> dict[int, str]:
        """Its processes by number, and what they call themselves."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"TMPDIR={self.home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    called = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = called
        return found

    def is_gone(self) -> bool:
        """Whether nothing of it runs any more; it may take moments to notice that it is over."""
        until = time.monotonic() + 10.0
        while self.processes() and time.monotonic() < until:
            time.sleep(0.1)
        return not self.processes()

    def kill(self) -> None:
        """All of it, at once."""
        for number in self.processes():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


@contextmanager
def started(words: list[str], home: Path) -> Iterator[Command]:
    """A command, and at the end nothing of it, whatever went wrong."""
    command = Command(words, home)
    try:
        yield command
    finally:
        command.kill()
        command.process.communicate()


def rows(folder: Path) -> int:
    """Whole lines of a run's log, but for its header."""
    path = folder / "metrics.csv"
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


def addresses_listened_on(processes: Iterator[int] | dict[int, str]) -> set[str]:
    """Of all TCP servers of some processes."""
    sockets = set()
    for number in processes:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{number}/fd").iterdir():
                with suppress(OSError):
                    sockets.add(os.readlink(descriptor))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            (
                _,
                local,
                _,
                state,
                *_,
            ) = line.split()
            if state == LISTENING and f"socket:[{line.split()[9]}]" in sockets:
                found.add(_address(local.partition(":")[0]))
    return found


def _address(digits: str) -> str:
    """Of four bytes or sixteen, which the kernel tells in words of four, in its own order."""
    raw = bytes.fromhex(digits)
    words = b"".join(
        raw[k : k + 4][:: -1 if sys.byteorder == "little" else 1] for k in range(0, len(raw), 4)
    )
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, words).removeprefix("::ffff:")

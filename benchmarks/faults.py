"""Does training survive? Workers killed at random instants, and all processes of a run at once.

    python -m benchmarks.faults worker --times 20
    python -m benchmarks.faults everything --times 20
    python -m benchmarks.faults everything --times 5 --no-torchrun

A run by two workers is hit again and again at random instants, three times out of four only after
it has got further. Ray starts a worker again by itself; where everything is killed, the command
goes on with --resume. In the end weights, multipliers, moments and log must be those of a run by
one process that nothing befell, to the last bit. Linux alone: processes are known by what they have
in their environment.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from gradmap_trainer.checkpoint import load_checkpoint
from gradmap_trainer.metrics import METRICS_FILE
from gridedge_gateway import process

ROOT = Path(__file__).parents[1]
TRAIN = [sys.executable, "-c", "from gridedge_commands import train; train()"]
TORCHRUN = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
    *("--nproc-per-node", "2", "--max-restarts", "1", "--no-python", "--"),
]
WORKER = "ray::RayTrainWorker"
LONGEST_WAIT = 8.0  # s


class Command:
    """A command whose processes are known by a home of their own.

    Args:
        words: of it.
        home: for what it leaves in homes and in places for temporary files; short, for Ray's
            sockets are there.
    """

    def __init__(self, words: Sequence[str], home: Path) -> None:
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
        output, errors = self.process.communicate()
        return self.process.returncode, output, errors

    def wait_for(self, what: Callable[[], bool]) -> None:
        """While it runs.

        Raises:
            RuntimeError: it has ended; with what it said.
        """
        while not what():
            if self.process.poll() is not None:
                raise RuntimeError(f"ended too early: {self.end()}")
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

    def called(self, name: str) -> list[int]:
        """Those of its processes that call themselves so, to begin with."""
        return [number for number, called in self.processes().items() if called.startswith(name)]

    def is_gone(self, within: float = 10.0) -> bool:
        """Whether nothing of it runs any more; it may take seconds to notice that it is over."""
        until = time.monotonic() + within
        while self.processes() and time.monotonic() < until:
            time.sleep(0.1)
        return not self.processes()

    def kill(self) -> None:
        """All of it, at once."""
        for number in self.processes():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


@contextmanager
def started(words: Sequence[str], home: Path) -> Iterator[Command]:
    """A command, and at the end nothing of it, whatever went wrong."""
    command = Command(words, home)
    try:
        yield command
    finally:
        command.kill()
        command.process.communicate()


def rows(folder: Path) -> int:
    """Whole lines of a run's log, but for its header."""
    path = folder / METRICS_FILE
    return max(path.read_bytes().count(b"\n") - 1, 0) if path.exists() else 0


def differences(folder: Path, other: Path) -> list[str]:
    """What is not the same in two runs, but for what clocks say."""
    (tensors, record), (others, expected) = load_checkpoint(folder), load_checkpoint(other)
    names = [n for n in tensors.keys() | others.keys() if not _same(tensors.get(n), others.get(n))]
    if record["iteration"] != expected["iteration"]:
        names.append("iteration")
    return [*sorted(names), *([METRICS_FILE] if _log(folder) != _log(other) else [])]


def _same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    return one is not None and other is not None and torch.equal(one, other)


def _log(folder: Path) -> list[list[str]]:
    """Its words, but for times and speeds."""
    lines = [line.split(",") for line in (folder / METRICS_FILE).read_text().splitlines()]
    kept = [k for k, name in enumerate(lines[0]) if "second" not in name]
    return [[line[k] for k in kept] for line in lines]


def main(
    what: Annotated[Literal["worker", "everything"], tyro.conf.Positional],
    times: int = 20,
    iterations: int = 2000,
    seed: int = 0,
    torchrun: bool = True,
) -> None:
    """Hit a run, and compare what comes of it.

    Args:
        what: is killed.
        times: how often.
        iterations: of the run; it must last.
        seed: of the instants.
        torchrun: whether everything is torchrun's; otherwise Ray's.
    """
    chance, everything = random.Random(seed), what == "everything"
    options = ["--num-agents", "6", "--batch-days", "2", "--minibatches", "2", "--epochs", "1"]
    options += ["--step-minutes", "60", "--evaluation-days", "0", "--checkpoint-seconds", "1"]
    options += ["--iterations", str(iterations), "--resume"]
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as runs:
        alone, hit = Path(runs) / "alone", Path(runs) / "hit"
        with started([*TRAIN, "--run", str(alone), *options], Path(home)) as command:
            command.end()
        words = [*TRAIN, "--run", str(hit), *options]
        words = [*TORCHRUN, *words] if everything and torchrun else [*words, "--workers", "2"]
        for number in range(times if everything else 0):
            with started(words, Path(home)) as command:
                _wait(command, hit, chance)
            print(f"{number + 1}: everything killed after iteration {rows(hit)}", flush=True)
        with started(words, Path(home)) as command:
            for number in range(0 if everything else times):
                _wait(command, hit, chance)
                command.wait_for(lambda: bool(command.called(WORKER)))
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(command.called(WORKER)), signal.SIGKILL)
                print(f"{number + 1}: a worker killed after iteration {rows(hit)}", flush=True)
            code, output, errors = command.end()
            if code:
                sys.exit(f"exit code {code}: {errors or output}")
        found = differences(hit, alone)
    print(f"{what} killed {times} times: {', '.join(found) or 'the same to the last bit'}")
    sys.exit(bool(found))


def _wait(command: Command, folder: Path, chance: random.Random) -> None:
    """Until a random instant, and until the run has got further, as a rule."""
    before = rows(folder)
    if chance.random() < 0.75:
        command.wait_for(lambda: rows(folder) not in (0, before))
    until = time.monotonic() + chance.uniform(0.0, LONGEST_WAIT)
    command.wait_for(lambda: time.monotonic() > until)


if __name__ == "__main__":
    process.run(lambda: tyro.cli(main))

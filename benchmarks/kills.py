"""Does a run's folder survive? Training, evaluation, report and export killed, again and again.

    python -m benchmarks.kills --times 50

At a random instant, or before a random change of a file, a command on the folder of a small run is
killed (kill -9). After each kill, whatever the folder holds must be whole, and what it held before
must still be there. When training is done all commands come to their ends, and checkpoint, log,
evaluation, bills and customers' files must be those of a run that nothing befell, to the last bit;
then another run begins, until each command was killed as often as asked. Each command begins in a
fork of this process, which has all imported.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import tyro

from benchmarks.faults import differences
from gradmap_trainer.checkpoint import load_checkpoint
from gradmap_trainer.commands.evaluate import evaluate
from gradmap_trainer.commands.export import export
from gradmap_trainer.commands.report import report
from gradmap_trainer.commands.train import train
from gradmap_trainer.metrics import METRICS_FILE, check_metrics
from gradmap_trainer.report import EXPLORER_FILE, REPORT_FILE
from gradmap_trainer.report.bills import BILLS_FILE
from gradmap_trainer.run_folder import case_of_run
from gridedge_env.evaluation import Evaluation, summarise
from gridedge_env.evaluation_files import EPISODES_FILE, SUMMARY_FILE, load_evaluation
from gridedge_env.simulator import make_simulator
from gridedge_gateway import process
from gridedge_gateway.file import CustomerFile

OPTIONS = [
    *("--feeder", "ieee13", "--num-agents", "6", "--batch-days", "2", "--minibatches", "2"),
    *("--step-minutes", "60", "--hidden-sizes", "4", "--epochs", "1", "--evaluation-days", "0"),
    *("--checkpoint-seconds", "0", "--no-public-plan", "--resume"),
]
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


@dataclass(frozen=True)
class Command:
    """A command on the folder of a run.

    Attributes:
        call: it.
        words: what it is told besides the folder.
    """

    call: Callable[[], None]
    words: Sequence[str] = ()

    def start(self, folder: Path, kill_before: int = 0) -> tuple[ForkProcess, Synchronized]:
        """Begin it; also how many changes of files it has come to.

        Args:
            folder: of the run.
            kill_before: the number of the change before which it is to be killed; 0: none.
        """
        context = get_context("fork")
        changes = context.Value("i", 0)
        child = context.Process(target=self._run, args=(folder, changes, kill_before))
        child.start()
        return child, changes

    def finish(self, folder: Path) -> tuple[float, int]:
        """Let it come to its end: how many seconds that takes, and changes of files.

        Raises:
            RuntimeError: it failed.
        """
        began = time.monotonic()
        child, changes = self.start(folder)
        child.join()
        if child.exitcode:
            raise RuntimeError(f"{self.call.__name__} ended with exit code {child.exitcode}")
        return time.monotonic() - began, changes.value

    def _run(self, folder: Path, changes: Synchronized, kill_before: int) -> None:
        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            if not is_change(event, arguments, str(folder)):
                return
            changes.value += 1
            if changes.value == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.argv = ["command", *self.words, str(folder)]
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sys.addaudithook(watch)
        self.call()


def is_change(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Whether an event that Python tells its auditors of changes a file of a folder."""
    if event == "open":
        path, mode, _ = arguments
        return str(path).startswith(folder) and bool(set(mode or "r") & set("wax+"))
    return event in CHANGES and str(arguments[0]).startswith(folder)


def commands(iterations: int) -> dict[str, Command]:
    """What is killed, in the order in which a run has them."""
    return {
        "train": Command(train, [*OPTIONS, "--iterations", str(iterations), "--run"]),
        "evaluate": Command(evaluate, ["--days", "2", "--foresight-iterations", "5"]),
        "report": Command(report),
        "export": Command(export),
    }


def held(folder: Path) -> set[str]:
    """Names of what a run's folder holds, all of it found whole.

    Raises:
        ValueError: something is not.
    """
    found = set()
    if any(folder.glob("checkpoint-*")):
        _, record = load_checkpoint(folder)
        check_metrics(folder, int(str(record["iteration"])), str(record["log"]))
        found.add("checkpoint and log")
    if (folder / EPISODES_FILE).exists():
        _check_evaluation(folder)
        found.add(EPISODES_FILE)
    for name, end in ((REPORT_FILE, "</html>\n"), (EXPLORER_FILE, "</html>\n"), (BILLS_FILE, "\n")):
        path = folder / name
        if path.exists():
            found.add(name)
            if not path.read_text(encoding="utf-8").endswith(end):
                raise ValueError(f"{path} is cut short")
    for path in (folder / "policies").glob("*.onnx"):
        CustomerFile(path)  # which knows by a checksum
        found.add(path.name)
    return found


def _check_evaluation(folder: Path) -> None:
    """Its table, if there is one, is that of the trajectories."""
    evaluation, limits = _evaluation(folder), case_of_run(folder).limits
    path = folder / SUMMARY_FILE
    table = {name: summarise(played, limits) for name, played in evaluation.episodes.items()}
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != table:
        raise ValueError(f"{path} is the table of another evaluation")


def _evaluation(folder: Path) -> Evaluation:
    return load_evaluation(folder, make_simulator(case=case_of_run(folder)))


def parted(folder: Path, other: Path) -> list[str]:
    """What is not the same in two runs that were evaluated, reported and exported."""
    found = differences(folder, other)
    if _evaluation(folder) != _evaluation(other):
        found.append(EPISODES_FILE)
    names = [BILLS_FILE, *(f"policies/{path.name}" for path in (other / "policies").iterdir())]
    found += [n for n in names if (folder / n).read_bytes() != (other / n).read_bytes()]
    return found


@dataclass
class Kills:
    """Commands on runs, killed.

    Attributes:
        run: the commands, by name.
        usual: how many seconds each takes and how many changes of files it makes, left alone.
        chance: what decides.
        count: how often each was killed.
    """

    run: dict[str, Command]
    usual: dict[str, tuple[float, int]]
    chance: random.Random
    count: dict[str, int]

    def befall(self, folder: Path, times: int) -> None:
        """Kill commands on one run until its training is done or all were killed often enough.

        Raises:
            ValueError: what a kill left is not whole.
        """
        before: set[str] = set()
        while lacking := [name for name, count in self.count.items() if count < times]:
            has_log = (folder / METRICS_FILE).exists()  # before, there is nothing to report
            name = self.chance.choice(lacking) if has_log else "train"
            exit_code = self._kill(name, folder)
            now = held(folder)
            if before - now:
                raise ValueError(f"{name}, killed: lost {', '.join(sorted(before - now))}")
            before = now
            if name == "train" and exit_code == 0:
                return

    def _kill(self, name: str, folder: Path) -> int | None:
        if name == "report":  # which there is of the newest policies alone
            self.run["evaluate"].finish(folder)
        seconds, changes = self.usual[name]
        at_change = self.chance.random() < 0.5
        child, reached = self.run[name].start(
            folder, self.chance.randint(1, changes) if at_change else 0
        )
        child.join(None if at_change else self.chance.uniform(0.0, seconds))
        child.kill()
        child.join()
        self.count[name] += child.exitcode == -signal.SIGKILL
        print(f"{name}: exit code {child.exitcode} after {reached.value} changes", flush=True)
        return child.exitcode


def main(times: int = 50, seed: int = 0, iterations: int = 12) -> None:
    """Kill commands, and compare what comes of it.

    Args:
        times: how often each.
        seed: of what is killed when.
        iterations: of a run.
    """
    run, runs = commands(iterations), 0
    with tempfile.TemporaryDirectory() as folder:
        alone, hit = Path(folder, "alone"), Path(folder, "hit")
        usual = {name: command.finish(alone) for name, command in run.items()}
        kills = Kills(run, usual, random.Random(seed), dict.fromkeys(run, 0))
        while min(kills.count.values()) < times:
            kills.befall(hit, times)
            for command in run.values():
                command.finish(hit)
            if found := parted(hit, alone):
                sys.exit(f"not the same as a run that nothing befell: {', '.join(found)}")
            shutil.rmtree(hit)
            runs += 1
    counts = ", ".join(f"{name} {count}" for name, count in kills.count.items())
    print(f"killed {counts} times in {runs} runs: the same to the last bit")


if __name__ == "__main__":
    process.run(partial(tyro.cli, main))

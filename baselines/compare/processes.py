"""Jobs side by side, each in a process of its own: one that fails or hangs stops no other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from baselines.compare.config import Comparison, Job
from baselines.compare.results import RESULTS, path_of
from gridedge_env.checks import check_writable

LOGS = "logs"
COMMAND = [sys.executable, "-m", "baselines.compare.job"]
# Every library that computes has a pool of its own.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
POLL_SECONDS = 0.1
# After a request to end: time for whatever a job has started to be shut down in order.
GRACE_SECONDS = 15.0

# Told of every change: the jobs at work, and one that has ended with what went wrong, if anything.
Watch = Callable[[Sequence[Job], Job | None, str], None]


@dataclass(frozen=True)
class _Process:
    job: Job
    process: subprocess.Popen
    log: Path
    until: float


def run_jobs(
    comparison: Comparison, jobs: Sequence[Job], folder: Path, watch: Watch
) -> dict[Job, str]:
    """Run jobs; each leaves its result in the folder, or its log if it fails.

    However this ends, by an exception such as Ctrl-C's too, no process is left.

    Returns:
        What went wrong, by job.
    """
    waiting, running = list(jobs), list[_Process]()
    failures: dict[Job, str] = {}
    check_folder(folder)
    try:
        while waiting or running:
            while waiting and len(running) < comparison.running.processes:
                running.append(_start(comparison, waiting.pop(0), folder))
                watch([one.job for one in running], None, "")
            time.sleep(POLL_SECONDS)
            for one in running[:]:
                failure = _ended(one, folder)
                if failure is None:
                    continue
                running.remove(one)
                if failure:
                    failures[one.job] = failure
                else:
                    one.log.unlink()
                watch([other.job for other in running], one.job, failure)
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            _stop(one.process)
    return failures


def check_folder(folder: Path) -> None:
    """Refuse a folder in which jobs could not leave what they find; make what there is not."""
    for name in (LOGS, RESULTS):
        check_writable(folder / name / "written", "out")


def _start(comparison: Comparison, job: Job, folder: Path) -> _Process:
    threads = str(comparison.running.threads)
    log = folder / LOGS / f"{job.name}.txt"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, threads), "PYTHONPATH": _path()},
            start_new_session=True,  # Ctrl-C is for us: we end the jobs in order
        )
    task = {"comparison": comparison.record, "job": asdict(job), "folder": str(folder.absolute())}
    assert process.stdin is not None
    # A process that is already dead shows as one that failed.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{json.dumps(task)}\n".encode())
        process.stdin.flush()
    limit = (job.seconds or 0.0) + comparison.running.overhead_seconds
    return _Process(job, process, log, time.monotonic() + limit)


def _path() -> str:
    """Where a job finds this package, which is not installed, and whatever else was found here."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])


def _ended(one: _Process, folder: Path) -> str | None:
    """What went wrong with a job, "" if nothing did; None while it runs."""
    code = one.process.poll()
    if code is None and time.monotonic() < one.until:
        return None
    if code is None:
        one.process.terminate()
    _stop(one.process)
    if code is None:
        return "stopped: not done by its budget and running.overhead_seconds"
    if code == 0 and path_of(folder, one.job).is_file():
        return ""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    log = one.log.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"ended with exit code {code}"


def _stop(process: subprocess.Popen) -> None:
    """Wait for a process that was asked to end, or has; then end all that is left of its group."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()  # waits, and closes its standard input


def summary(failures: Mapping[Job, str], folder: Path) -> list[str]:
    """A line for each job that failed."""
    return [
        f"{job.name}: {failure} ({folder / LOGS / f'{job.name}.txt'})"
        for job, failure in failures.items()
    ]

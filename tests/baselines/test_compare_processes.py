"""Jobs in processes of their own: however one ends, it is said, and nobody is left.

The process is a stand-in that needs no libraries; tests/baselines/test_compare.py has the real one.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from baselines.compare import processes
from baselines.compare.config import Comparison, Job, comparison_from

# Does as its method is called.
STAND_IN = """
import json, os, pathlib, subprocess, sys, threading, time
task = json.loads(sys.stdin.readline())
method, folder = task["job"]["method"], pathlib.Path(task["folder"])
(folder / f"pid-{method}").write_text(str(os.getpid()))
if method == "hang":
    time.sleep(60)
if method == "orphan":
    threading.Thread(target=lambda: (sys.stdin.read(), os.kill(os.getpid(), 15))).start()
    time.sleep(60)
if method == "die":
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    (folder / "pid-child").write_text(str(child.pid))
    os.kill(os.getpid(), 9)
if method == "crash":
    raise ValueError("no luck")
(folder / "results" / f"{method}-seed0-1s.json").write_text(os.environ["OMP_NUM_THREADS"])
"""


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    monkeypatch.setattr(processes, "COMMAND", [sys.executable, "-S", "-c", STAND_IN])


def compared(methods: list[str], **running: float) -> Comparison:
    learners = {method: [1.0] for method in methods}
    return comparison_from({"seeds": [0], "learners": learners, "running": running})


def trainings(comparison: Comparison) -> list[Job]:
    return [job for job in comparison.jobs if job.seconds]


def ended(pid: int) -> bool:
    """Whether a process is no more, or soon is not."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_failures_are_said_and_stop_nobody(tmp_path):
    comparison = compared(["crash", "die", "fine", "last"], processes=2, threads=3)
    told = []
    failures = processes.run_jobs(
        comparison,
        trainings(comparison),
        tmp_path,
        lambda running, job, failure: told.append((len(running), job, failure)),
    )
    assert {job.method: failure for job, failure in failures.items()} == {
        "crash": "ValueError: no luck",
        "die": "killed by SIGKILL",
    }
    results = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert results == ["fine-seed0-1s.json", "last-seed0-1s.json"]
    assert (tmp_path / "results" / results[0]).read_text() == "3"
    assert ended(int((tmp_path / "pid-child").read_text()))
    assert max(running for running, _, _ in told) == 2
    assert sorted(job.method for _, job, _ in told if job) == ["crash", "die", "fine", "last"]
    logs = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert logs == ["crash-seed0-1s.txt", "die-seed0-1s.txt"]
    assert "Traceback" in (tmp_path / "logs" / logs[0]).read_text()


def test_a_job_that_does_not_end_is_stopped(tmp_path):
    """One second of training and next to none beside it."""
    comparison = compared(["hang", "fine"], overhead_seconds=0.01)
    failures = processes.run_jobs(comparison, trainings(comparison), tmp_path, lambda *_: None)
    assert list(failures.values()) == [
        "stopped: not done by its budget and running.overhead_seconds"
    ]
    assert ended(int((tmp_path / "pid-hang").read_text()))
    assert (tmp_path / "results" / "fine-seed0-1s.json").is_file()


def test_ctrl_c_leaves_no_processes(tmp_path):
    comparison = compared(["hang", "orphan"], processes=2)
    pids = [tmp_path / "pid-hang", tmp_path / "pid-orphan"]

    def interrupt(running: list[Job], job: Job | None, failure: str) -> None:
        if len(running) == 2:
            wait_for(pids)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        processes.run_jobs(comparison, trainings(comparison), tmp_path, interrupt)
    assert all(ended(int(path.read_text())) for path in pids)


def wait_for(paths: list[Path]) -> None:
    for _ in range(200):
        if all(path.is_file() and path.read_text() for path in paths):
            return
        time.sleep(0.05)
    raise AssertionError(f"no {paths}")

"""Folders of runs in which somebody has changed files, and what commands make of them.

A command ends with exit code 0, or with 2 and lines that each begin with its name; everything else
that happens is a fault of GridEdge.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from gradmap_trainer.checkpoint import load_checkpoint, save_checkpoint
from gradmap_trainer.run_folder import load_policies
from tests.gradmap_trainer.commands.calling import call
from tests.gradmap_trainer.monitor.gateway_logs import log_episodes
from tests.gridedge_env.case_files import test_mutations as cases
from tests.robustness.hostile import PLAIN, TEXTS

RUN, LOGS = "run", "logs"
SMALL = [
    *("--feeder", "ieee13", "--num-agents", "3", "--iterations", "1", "--batch-days", "1"),
    *("--minibatches", "1", "--hidden-sizes", "4", "--evaluation-days", "1"),
    *("--foresight-iterations", "0"),
]
# What each command reads of the folder beside the run's case.
READ = {
    "gradmap-report": ("config.json", "metrics.csv", "evaluation.npz", "checkpoint-latest*"),
    "gradmap-export": ("config.json", "checkpoint-latest*"),
    "gradmap-monitor": ("config.json", "checkpoint-latest*", "policies/*", f"../{LOGS}/*"),
}
NUMBERS = st.sampled_from([0.0, -1.0, 1e15, 1e30, 1e300, np.nan, np.inf]) | st.floats()

Draw = Callable[[Any], Any]


def write_run(folder: Path) -> None:
    """A run of three homes, evaluated, reported and exported, and what gateways logged of it."""
    run = folder / RUN
    with redirect_stdout(StringIO()):
        assert call("gradmap-train", "--run", run, *SMALL) == 0
        assert call("gradmap-export", run) == 0
    _, simulator, learner = load_policies(run)
    log_episodes(simulator, learner.policies, run / "policies", folder / LOGS, [10])


def of_runs(pristine: Path, command: str, draw: Draw) -> str:
    """A command on a copy of a folder of `write_run` with one or two files changed."""
    folder = pristine.with_name("damaged")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder)
    run, errors = folder / RUN, StringIO()
    parts = draw(st.sampled_from([READ[command], READ[command], ("case/**/*",)]))
    files = sorted(path for part in parts for path in run.glob(part) if path.is_file())
    for path in draw(st.lists(st.sampled_from(files), min_size=1, max_size=2, unique=True)):
        _damage(path, draw)
    words = ["--readings", folder / LOGS] if command == "gradmap-monitor" else []
    with redirect_stdout(StringIO()), redirect_stderr(errors):
        code = call(command, run, *words)
    lines = errors.getvalue().splitlines()
    assert code in (0, 2), lines
    assert all(line.startswith((f"{command}: ", "  ")) for line in lines), lines
    assert any(f"{command}: error: " in line for line in lines) == (code == 2), lines
    return "refused" if code else "taken"


def _damage(path: Path, draw: Draw) -> None:
    """Change what is in a file, or put something else in its place."""
    contents = {".npz": _arrays, ".safetensors": _tensors, ".json": _record}
    change = contents.get(path.suffix, _text if path.suffix in (".csv", ".toml") else _bytes)
    draw(st.sampled_from([change] * 16 + [_bytes] * 4 + PLACES))(path, draw)


def _record(path: Path, draw: Draw) -> None:
    """A value somewhere in JSON."""
    record: Any = json.loads(path.read_text())
    part = record
    while isinstance(part, dict) and part:
        above, name = part, draw(st.sampled_from(sorted(part)))
        part = above[name]
    above[name] = draw(PLAIN)
    path.write_text(json.dumps(record), encoding="utf-8", errors="surrogatepass")


def _text(path: Path, draw: Draw) -> None:
    """Cells, lines or the encoding of a table or a description."""
    content = draw(cases.damaged(path.name, {path.name: path.read_bytes()}))
    path.unlink() if content is None else path.write_bytes(content)


def _bytes(path: Path, draw: Draw) -> None:
    """Some bytes, or how many."""
    content = bytearray(path.read_bytes() or b" ")
    for _ in range(draw(st.integers(0, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    path.write_bytes(content[: draw(st.integers(0, 2 * len(content)))])


def _arrays(path: Path, draw: Draw) -> None:
    """An array of an evaluation."""
    with np.load(path) as found:
        arrays = dict(found)
    name = draw(st.sampled_from(sorted(arrays)))
    how = draw(st.sampled_from(["number", "all", "shape", "type", "text", "gone", "objects"]))
    values = arrays[name].copy()
    with np.errstate(all="ignore"):
        if how in ("number", "all") and values.dtype.kind == "f":
            where = draw(st.integers(0, values.size - 1)) if how == "number" else slice(None)
            values.reshape(-1)[where] = draw(NUMBERS)
        elif how == "shape":
            values = draw(
                st.sampled_from([values.reshape(-1)[:0], values.reshape(-1), values[None]])
            )
        elif how == "type":
            values = np.zeros(values.shape, draw(st.sampled_from(["f2", "f8", "i8", "?", "c8"])))
        elif how == "text":
            values = np.array(draw(st.sampled_from([t for t in TEXTS if t.isprintable()])))
        elif how == "objects":
            values = np.array([{}], dtype=object)
    del arrays[name]
    if how != "gone":
        arrays[name] = values
    np.savez_compressed(path, allow_pickle=True, **arrays)


def _tensors(path: Path, draw: Draw) -> None:
    """A tensor or a field of a checkpoint, with the right digest."""
    tensors, record = load_checkpoint(path.parent)
    for other in path.parent.glob("checkpoint-*"):
        other.unlink()
    if draw(st.booleans()):
        record[draw(st.sampled_from(sorted(record)))] = draw(PLAIN)
    else:
        name = draw(st.sampled_from(sorted(tensors)))
        number = torch.tensor(draw(NUMBERS), dtype=torch.float64)
        tensors[name].reshape(-1)[0] = number.to(tensors[name].dtype)
    save_checkpoint(path.parent, tensors, record)


def _places() -> Iterator[Callable[[Path, Draw], None]]:
    """Ways to put something else in the place of a file."""

    def in_place(make: Callable[[Path], object], path: Path, draw: Draw) -> None:
        path.unlink()
        make(path)

    yield partial(in_place, lambda path: None)
    yield partial(in_place, os.mkfifo)
    yield partial(in_place, Path.mkdir)
    yield partial(in_place, lambda path: path.symlink_to("/dev/zero"))
    yield partial(in_place, lambda path: path.symlink_to("nowhere"))
    yield partial(in_place, lambda path: path.write_bytes(b"x" * 10**6))


PLACES = list(_places())

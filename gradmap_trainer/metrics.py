"""A run's log, `metrics.csv`: a row for every iteration, from the first on.

A checkpoint says by a digest which rows it was saved after: those are never lost or mixed up
unnoticed. Rows beyond them are of iterations that no checkpoint has, and are played again.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path

from gridedge_env.writing import to_disk, write_whole
from gridedge_gateway.mistakes import regular_file

METRICS_FILE = "metrics.csv"
LONGEST_ROW = 2**14  # bytes


class Diverged(ArithmeticError):
    """An iteration came to numbers that are not finite; what was learned in it is lost."""


def check_finite(numbers: Mapping[str, float], iteration: int) -> None:
    """Refuse what no training goes on from.

    Raises:
        Diverged: names the first number that is not finite, and the iteration.
    """
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise Diverged(
                f"{name}: got {number} in iteration {iteration + 1}, expected a finite number: a "
                "setting of the training or a number of the case is too large to train with"
            )


def append_metrics(folder: Path, row: Mapping[str, float]) -> None:
    """Add a row.

    Raises:
        ValueError: the log has other columns.
    """
    path = _path(folder)
    with path.open("a+", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if not file.tell():
            writer.writeheader()
        file.seek(0)
        header = file.readline().strip()
        if header and header != ",".join(row):
            raise ValueError(
                f"run: {path} has the columns {header:.80}, expected {','.join(row):.80}"
            )
        writer.writerow(row)


def seal_metrics(folder: Path, iteration: int) -> str:
    """Bring the log to the disk: a digest of its rows up to an iteration, for the checkpoint."""
    path = _path(folder)
    if path.exists():
        with path.open("rb+") as file:
            to_disk(file)
    return _digest(_lines(path)[: _kept(iteration)])


def check_metrics(folder: Path, iteration: int, digest: str) -> None:
    """Whether the log is the one that a checkpoint was saved with.

    Raises:
        ValueError: it is not: cut, mended, or another run's.
    """
    path = _path(folder)
    lines = _lines(path)
    if _digest(lines[: _kept(iteration)]) != digest:
        raise ValueError(
            f"run: {path} is not the log that its checkpoint was saved with, expected the same "
            f"{iteration} rows (got {max(len(lines) - 1, 0)} in all)"
        )


def check_reached(folder: Path, iteration: int) -> None:
    """Whether a log ends with an iteration.

    Raises:
        ValueError: it does not.
    """
    reached = int(last_metrics(folder).get("iteration", 0))
    if reached != iteration:
        raise ValueError(
            f"run: the log of {folder} ends with iteration {reached}, expected {iteration}, where "
            "the run was opened"
        )


def truncate_metrics(folder: Path, iteration: int) -> None:
    """Drop the rows after an iteration, and a line that a kill cut short."""
    path = _path(folder)
    lines = _lines(path)[: _kept(iteration)]
    if lines:
        write_whole(path, "".join(lines))
    else:
        path.unlink(missing_ok=True)


def last_metrics(folder: Path) -> dict[str, float]:
    """The newest whole row of a log that others may be writing; empty before there is one."""
    try:
        with _path(folder).open("rb") as file:
            names = file.readline().decode().strip().split(",")
            begun = file.tell()
            file.seek(max(begun, file.seek(0, os.SEEK_END) - LONGEST_ROW))
            *lines, _ = file.read().decode().split("\n")
    except FileNotFoundError:
        return {}
    values = lines[-1].split(",") if lines else []
    return dict(zip(names, map(float, values), strict=True)) if values else {}


def _path(folder: Path) -> Path:
    return regular_file(folder / METRICS_FILE)


def _kept(iteration: int) -> int:
    """Lines of a log of so many iterations: a header, where there are any."""
    return iteration + 1 if iteration else 0


def _lines(path: Path) -> list[str]:
    """Whole lines of a log.

    Raises:
        ValueError: it is no text.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except ValueError as error:
        raise ValueError(f"run: {path} is not a run's log: {error}") from error
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()

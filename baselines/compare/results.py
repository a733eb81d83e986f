"""What a job leaves: one JSON file, written whole or not at all, that says under which settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from baselines.compare.config import Comparison, Job
from baselines.methods import Point
from gridedge_env.writing import write_whole
from gridedge_gateway.mistakes import regular_file

RESULTS = "results"


@dataclass(frozen=True)
class JobResult:
    """What came of a job.

    Attributes:
        job: which.
        settings: all that bears on it, as `Comparison.bearing`.
        machine: that it ran on.
        load: average number of processes at work on the machine, over the last minute of training.
        curve: what the policies were worth in training, on days of the validation year.
        days: a row for each trial and test day: `trial`, `date`, `lowest_price` (day-ahead, €/kWh),
            and the fields of `summarise`.
    """

    job: Job
    settings: Mapping[str, Any]
    machine: str
    load: float
    curve: tuple[Point, ...]
    days: tuple[Mapping[str, Any], ...]


def path_of(folder: Path, job: Job) -> Path:
    """Where a job's result is, or will be."""
    return folder / RESULTS / f"{job.name}.json"


def save(folder: Path, result: JobResult) -> None:
    """Write a result."""
    write_whole(path_of(folder, result.job), json.dumps(asdict(result), indent=1) + "\n")


def load(folder: Path, comparison: Comparison) -> dict[Job, JobResult]:
    """The results that a folder holds of the jobs of a comparison; it may hold more.

    Raises:
        ValueError: a file is damaged, or came about under other settings.
    """
    results = [_read(path) for path in sorted((folder / RESULTS).glob("*.json"))]
    for result in results:
        _check(folder, result.settings, comparison.bearing)
    found = {result.job: result for result in results}
    return {job: found[job] for job in comparison.jobs if job in found}


def _read(path: Path) -> JobResult:
    try:
        record = json.loads(regular_file(path).read_text(encoding="utf-8"))
        return JobResult(
            **{
                **record,
                "job": Job(**record["job"]),
                "curve": tuple(Point(**point) for point in record["curve"]),
                "days": tuple(record["days"]),
            }
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f"out: {path} is damaged ({error}), expected a job's result; without it the job is "
            "run again"
        ) from error


def _check(folder: Path, held: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for name in sorted({*held, *asked}):
        old, new = (settings.get(name, "nothing") for settings in (held, asked))
        if old != new:
            raise ValueError(
                f"out: {folder} holds results with {name} = {old}, the configuration has {new}; "
                "expected the same, or another folder"
            )

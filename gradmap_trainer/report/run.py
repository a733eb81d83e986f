"""What a run's folder holds for its report, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradmap_trainer.config import CONFIG_FILE
from gradmap_trainer.run_folder import METRICS_FILE
from gridedge_env.checks import check_number
from gridedge_env.constraints import Limits
from gridedge_env.devices import DeviceKind
from gridedge_env.evaluation import Evaluation
from gridedge_env.evaluation_files import SUMMARY_FILE, load_evaluation
from gridedge_env.scenarios import SPLITS
from gridedge_env.simulator import Simulator

OURS, RIVAL, REST, FLOOR = "gradmap", "price_following", "idle", "perfect_foresight"


@dataclass(frozen=True)
class EvaluatedRun:
    """A run that was trained and evaluated.

    Attributes:
        name: as the user gave it.
        config: as written.
        metrics: the log, a row per iteration.
        table: the out-of-sample table, a row per method.
        evaluation: the trajectories behind it.
        split: whose days were evaluated.
        simulator: its case.
    """

    name: str
    config: Mapping[str, Any]
    metrics: pd.DataFrame
    table: Mapping[str, Mapping[str, float]]
    evaluation: Evaluation
    split: str
    simulator: Simulator

    @property
    def currency(self) -> str:
        """Of the case."""
        return self.simulator.case.currency

    @property
    def kinds(self) -> list[DeviceKind[Any, Any]]:
        """The kinds of device that there are."""
        return [group.kind for group in self.simulator.fleet.groups]


def read_run(folder: Path, simulator: Simulator) -> EvaluatedRun:
    """Read a run's folder.

    Raises:
        FileNotFoundError: it lacks its configuration, log or evaluation.
        ValueError: one of them is damaged, or belongs to another case.
    """
    config = _read_object(folder / CONFIG_FILE, "the folder of a GridEdge run")
    limits = simulator.case.limits
    metrics = _read_metrics(folder / METRICS_FILE, limits)
    table = _read_object(folder / SUMMARY_FILE, f"after gradmap-evaluate {folder}")
    evaluation = load_evaluation(folder, simulator)
    _check_table(folder / SUMMARY_FILE, table, evaluation, limits)
    name = str(config.get("run", folder.name))
    split = _split_of(folder, evaluation, simulator)
    return EvaluatedRun(name, config, metrics, table, evaluation, split, simulator)


def _read_object(path: Path, expected: str) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found, expected {expected}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({error}), expected JSON") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path}: got a {type(record).__name__}, expected a JSON object")
    return record


def _read_metrics(path: Path, limits: Limits) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found, expected the log of gradmap-train")
    try:
        metrics = pd.read_csv(path)
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}), expected CSV with a header") from error
    needed = {"seconds", "cost", *(f"{kind.name}_steps" for kind in limits)}
    if absent := sorted(needed - set(metrics)):
        raise ValueError(f"{path}: got no column {', '.join(absent)}, expected one per quantity")
    if metrics.empty:
        raise ValueError(f"{path}: got no rows, expected one per iteration")
    for column in metrics:
        if not pd.api.types.is_numeric_dtype(metrics[column]):
            raise ValueError(f"{path}, column {column}: got text, expected numbers")
        if column in needed and not np.isfinite(metrics[column]).all():
            raise ValueError(f"{path}, column {column}: got no number, expected finite ones")
    return metrics


def _check_table(
    path: Path, table: Mapping[str, Any], evaluation: Evaluation, limits: Limits
) -> None:
    methods, played = sorted(table), sorted(evaluation.episodes)
    if methods != played or not {OURS, RIVAL, REST} <= set(methods):
        raise ValueError(
            f"{path}: got methods {', '.join(methods)}, expected those of the trajectories "
            f"({', '.join(played)}), among them {OURS}, {RIVAL} and {REST}"
        )
    columns = ["cost", "any_steps", "nonconverged"]
    for kind in limits:
        columns += [f"{kind.name}_steps", kind.worst_name]
    for key, row in table.items():
        for column in columns:
            try:
                check_number(row[column] if isinstance(row, dict) else None, column)
            except (KeyError, ValueError):
                told = f"got no number {column}, expected one"
                raise ValueError(f"{path}, {key}: {told}") from None


def _split_of(folder: Path, evaluation: Evaluation, simulator: Simulator) -> str:
    """The split that the evaluated days are of; training's, if these have them too."""
    days = {date.fromisoformat(str(day)) for day in evaluation.dates}
    for split in SPLITS:
        if days <= set(simulator.days(split).dates):
            return split
    raise ValueError(
        f"{folder}: evaluated on {min(days)} to {max(days)}, expected days of one split of the case"
    )

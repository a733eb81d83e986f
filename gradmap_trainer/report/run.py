"""What a run's folder holds for its report, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from gradmap_trainer.checkpoint import load_checkpoint
from gradmap_trainer.config import CONFIG_FILE
from gradmap_trainer.identity import weights_digest
from gradmap_trainer.metrics import METRICS_FILE, check_metrics, last_metrics
from gradmap_trainer.run_folder import policies_of
from gridedge_env.checks import check_whole_number
from gridedge_env.constraints import Limits
from gridedge_env.devices import DeviceKind
from gridedge_env.evaluation import Evaluation, summarise
from gridedge_env.evaluation_files import EPISODES_FILE, load_evaluation
from gridedge_env.scenarios import SPLITS
from gridedge_env.simulator import Simulator
from gridedge_gateway.mistakes import one_line, regular_file

OURS, RIVAL, REST, FLOOR = "gradmap", "price_following", "idle", "perfect_foresight"


@dataclass(frozen=True)
class EvaluatedRun:
    """A run that was trained and evaluated.

    Attributes:
        name: as the user gave it.
        config: as written.
        metrics: the log, a row per iteration, up to that of the evaluated policies.
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
        ValueError: one of them is damaged, or belongs to another case, or the evaluation to other
            policies than the run's.
    """
    config = _read_object(folder / CONFIG_FILE, "the folder of a GridEdge run")
    limits = simulator.case.limits
    metrics = _read_metrics(folder / METRICS_FILE, limits)
    evaluation = load_evaluation(folder, simulator)
    _check_methods(folder, evaluation)
    _check_current(folder, evaluation)
    metrics = metrics[metrics["iteration"] <= evaluation.iteration]
    table = {name: summarise(episode, limits) for name, episode in evaluation.episodes.items()}
    name = str(config.get("run", folder.name))
    split = _split_of(folder, evaluation, simulator)
    return EvaluatedRun(name, config, metrics, table, evaluation, split, simulator)


def _read_object(path: Path, expected: str) -> dict[str, Any]:
    if not path.exists():
        raise FileNotFoundError(f"{one_line(path)}: not found, expected {expected}")
    try:
        record = json.loads(regular_file(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({error}), expected JSON") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path}: got a {type(record).__name__}, expected a JSON object")
    return record


def _read_metrics(path: Path, limits: Limits) -> pd.DataFrame:
    if not path.exists():
        raise FileNotFoundError(f"{one_line(path)}: not found, expected the log of gradmap-train")
    try:
        metrics = pd.read_csv(regular_file(path))
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}), expected CSV with a header") from error
    needed = {"iteration", "seconds", "cost", *(f"{kind.name}_steps" for kind in limits)}
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


def _check_current(folder: Path, evaluation: Evaluation) -> None:
    """Refuse to show policies beside the log of others: the run may have learned on since."""
    try:
        tensors, record = load_checkpoint(folder)
    except FileNotFoundError:  # no policies are left that others could be held against
        reached, known = int(last_metrics(folder)["iteration"]), evaluation.weights
    else:
        reached = check_whole_number(cast(int, record.get("iteration", -1)), 0, "iteration")
        known = weights_digest(policies_of(tensors))
        check_metrics(folder, reached, str(record.get("log")))
    if (evaluation.iteration, evaluation.weights) != (reached, known):
        raise ValueError(
            f"run: {folder} was evaluated with policies of iteration {evaluation.iteration} and "
            f"has others, of iteration {reached}, expected gradmap-evaluate {folder} first"
        )


def _check_methods(folder: Path, evaluation: Evaluation) -> None:
    played = sorted(evaluation.episodes)
    if not {OURS, RIVAL, REST} <= set(played):
        raise ValueError(
            f"{folder / EPISODES_FILE}: got methods {', '.join(played)}, expected {OURS}, {RIVAL} "
            f"and {REST} among them"
        )


def _split_of(folder: Path, evaluation: Evaluation, simulator: Simulator) -> str:
    """The split that the evaluated days are of; training's, if these have them too."""
    days = {date.fromisoformat(str(day)) for day in evaluation.dates}
    for split in SPLITS:
        if days <= set(simulator.days(split).dates):
            return split
    raise ValueError(
        f"{folder}: evaluated on {min(days)} to {max(days)}, expected days of one split of the case"
    )

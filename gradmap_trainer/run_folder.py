"""A run's folder: configuration, log and checkpoints; from fresh learner to exactly resumed one."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import torch

from gradmap_trainer.checkpoint import (
    check_matches,
    check_tensors,
    load_checkpoint,
    save_checkpoint,
    save_shard,
    shard_names,
)
from gradmap_trainer.config import CONFIG_FILE, USUAL_CASE, TrainConfig, load_config, write_whole
from gradmap_trainer.gradmap import Learner, make_learner
from gradmap_trainer.identity import identity
from gradmap_trainer.team import ALONE, Team
from gridedge_env.case import Case, CaseSettings, load_case
from gridedge_env.checks import check_not_negative, check_whole_number
from gridedge_env.simulator import Simulator, make_simulator

METRICS_FILE = "metrics.csv"
CASE_FOLDER = "case"
CHECKPOINT_FORMAT = 1
LONGEST_ROW = 2**14  # bytes, of a log


def case_of_run(folder: Path) -> Case:
    """The case that a run is about, as its folder holds it.

    Raises:
        FileNotFoundError: part of it is not there.
        ValueError: what is there is no case, or there is none.
    """
    kept = folder / CASE_FOLDER
    if not kept.is_dir():
        raise ValueError(
            f"run: {folder} holds no {CASE_FOLDER}/, expected the case of the run (one with days "
            "or demand from a source of your own in Python goes on from Python alone)"
        )
    return load_case(kept)


def case_to_train(
    settings: CaseSettings | None, folder: Path, brought: Path | None, resume: bool
) -> Case:
    """What a run is to be trained on: its own case, one that was brought, or the settings'.

    Raises:
        FileNotFoundError: no case in the folder that was brought.
        ValueError: there is none, or one was brought to a run that is about another, or that would
            write among its tables.
    """
    if brought is not None and brought.resolve() == folder.resolve():
        raise ValueError(f"run: got {folder}, the folder of the case; expected another")
    if not (resume and holds_run(folder)):
        return (settings or USUAL_CASE).make() if brought is None else load_case(brought)
    case = case_of_run(folder)
    if brought is not None and load_case(brought) != case:
        raise ValueError(f"case: {brought} is not the case of {folder}, expected that or none")
    return case


def keep_case(case: Case, folder: Path) -> None:
    """Put the whole case into a run's folder, unless it has a source that no file can hold.

    Raises:
        ValueError: there is another one already; names the fields that differ.
    """
    kept = folder / CASE_FOLDER
    if not case.can_be_saved:
        return
    if kept.is_dir():
        held = load_case(kept)
        differ = [f.name for f in fields(case) if getattr(case, f.name) != getattr(held, f.name)]
        if differ:
            raise ValueError(
                f"run: {folder} is about another case, expected the same {', '.join(differ)}"
            )
        return
    temporary = folder / f"{CASE_FOLDER}.temporary"
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed meanwhile
    case.save(temporary)
    temporary.rename(kept)


def holds_run(folder: Path) -> bool:
    """Whether the folder already holds a run, or what is left of one."""
    return any((folder / name).exists() for name in (CONFIG_FILE, METRICS_FILE))


def save_learner(learner: Learner, config: TrainConfig, simulator: Simulator, folder: Path) -> None:
    """Write a checkpoint from which training goes on to the same bits, with any number of workers.

    Of a team, all save at once, each the rows of its own agents.
    """
    team, rows, common = learner.team, dict[str, torch.Tensor](), dict[str, torch.Tensor]()
    for name, weights in learner.own.state_dict().items():
        rows[f"policies.{name}"] = weights
    for index, moments in learner.optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            (rows if value.dim() else common)[f"optimiser.{index}.{name}"] = value
    common |= {f"duals.{kind}": dual for kind, dual in learner.duals.items()}
    record = {
        "format": CHECKPOINT_FORMAT,
        **identity(config, simulator),
        "torch": str(torch.__version__),
        "iteration": learner.iteration,
        "seconds": learner.seconds,
    }
    if team.size == 1:
        save_checkpoint(folder, rows | common, record)
        return
    shards = shard_names(learner.iteration, team.size)
    save_shard(folder, shards[team.rank], rows)
    team.wait()
    if team.is_first:
        save_checkpoint(folder, common, record, shards)


def load_learner(
    config: TrainConfig,
    simulator: Simulator,
    folder: Path,
    exact: bool = True,
    team: Team = ALONE,
) -> Learner:
    """The learner of the newest usable checkpoint.

    Args:
        config: of the run that is to go on.
        simulator: its case.
        folder: where the checkpoints are.
        exact: refuse another PyTorch version or device too, whose bits may differ; for use of the
            policies alone that does not matter.
        team: who is to go on with it, whoever wrote it.

    Raises:
        FileNotFoundError: no checkpoint.
        ValueError: damaged, it belongs to another configuration, feeder, fleet or version, or its
            tensors are not such a learner's.
    """
    tensors, contents = load_checkpoint(folder)
    record = cast(dict[str, Any], contents)
    expected = {"format": CHECKPOINT_FORMAT, **identity(config, simulator)}
    if exact:
        expected["torch"] = str(torch.__version__)
    else:
        del expected["config"]["device"]
    check_matches(record, expected)
    iteration = check_whole_number(record.get("iteration", -1), 0, "iteration")
    seconds = check_not_negative(record.get("seconds"), "seconds")
    learner = make_learner(config, simulator, team)
    check_tensors(tensors, *_tensors_like(learner, iteration > 0))
    learner.policies.load_state_dict(_below(tensors, "policies."))
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in _below(tensors, "optimiser.").items():
        index, name = key.split(".")
        own = value[team.own_agents].clone() if value.dim() else value
        moments.setdefault(int(index), {})[name] = own
    fresh = learner.optimiser.state_dict()
    learner.optimiser.load_state_dict({**fresh, "state": moments})
    saved = _below(tensors, "duals.")
    duals = {kind: saved[kind].to(simulator.device) for kind in learner.duals}
    return replace(learner, duals=duals, iteration=iteration, seconds=float(seconds))


def _tensors_like(learner: Learner, trained: bool) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Tensors such as those of a checkpoint, of all agents; and which have no negative numbers."""
    policies, duals = learner.policies, {f"duals.{k}": dual for k, dual in learner.duals.items()}
    weights = {f"policies.{name}": value for name, value in policies.state_dict().items()}
    moments = {
        f"optimiser.{index}.{name}": like
        for index, weight in enumerate(policies.parameters() if trained else ())
        for name, like in (("step", weight.sum()), ("exp_avg", weight), ("exp_avg_sq", weight))
    }
    squares = [name for name in moments if not name.endswith(".exp_avg")]
    return weights | moments | duals, [*squares, *duals]


def load_policies(folder: Path, device: str = "cpu") -> tuple[TrainConfig, Simulator, Learner]:
    """A finished or interrupted run, ready to be evaluated or exported.

    Args:
        folder: of the run.
        device: where to, whatever the run was trained on.

    Raises:
        FileNotFoundError: no run in the folder.
        ValueError: what is there is not a run, or damaged.
    """
    config = replace(load_config(folder, TrainConfig), device=device)
    simulator = make_simulator(case=case_of_run(folder), device=device)
    return config, simulator, load_learner(config, simulator, folder, exact=False)


def append_metrics(folder: Path, row: Mapping[str, float]) -> None:
    """Add a row to `metrics.csv`."""
    path = folder / METRICS_FILE
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def last_metrics(folder: Path) -> dict[str, float]:
    """The newest whole row of a log that others may be writing; empty before there is one."""
    try:
        with (folder / METRICS_FILE).open("rb") as file:
            names = file.readline().decode().strip().split(",")
            begun = file.tell()
            file.seek(max(begun, file.seek(0, os.SEEK_END) - LONGEST_ROW))
            *lines, _ = file.read().decode().split("\n")
    except FileNotFoundError:
        return {}
    values = lines[-1].split(",") if lines else []
    return dict(zip(names, map(float, values), strict=True)) if values else {}


def truncate_metrics(folder: Path, iteration: int) -> None:
    """Drop the rows after an iteration, and a line that a kill cut short.

    Raises:
        ValueError: the log is no text, or has a row that does not begin with the number of an
            iteration.
    """
    path = folder / METRICS_FILE
    if not path.exists():
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        header, *rows = [line for line in lines if line.endswith("\n")] or [""]
        if not header:
            path.unlink()
            return
        kept = [row for row in rows if int(row.split(",")[0]) <= iteration]
    except ValueError as error:
        raise ValueError(f"run: {path} is not a run's log: {error}") from error
    write_whole(path, "".join([header, *kept]))


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

"""A run's folder: configuration, log and checkpoints; from fresh learner to exactly resumed one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from gradmap_trainer.checkpoint import (
    SHARDS,
    check_matches,
    check_tensors,
    load_checkpoint,
    save_checkpoint,
    save_shard,
    shard_names,
)
from gradmap_trainer.config import CONFIG_FILE, USUAL_CASE, TrainConfig, load_config
from gradmap_trainer.gradmap import Learner, make_learner
from gradmap_trainer.identity import FREE_FIELDS, identity, weights_digest
from gradmap_trainer.metrics import METRICS_FILE, check_metrics, seal_metrics
from gradmap_trainer.team import ALONE, Team
from gridedge_env.case import Case, CaseSettings, load_case
from gridedge_env.checks import check_not_negative, check_whole_number
from gridedge_env.evaluation import Evaluation
from gridedge_env.simulator import Simulator, make_simulator

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CASE_FOLDER = "case"
CHECKPOINTS = ("checkpoint-*.safetensors", "checkpoint_[0-9]*")  # GradMAP's, RLlib's
CHECKPOINT_FORMAT = 1


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
    parts = (CONFIG_FILE, METRICS_FILE, *CHECKPOINTS, SHARDS)
    return any(path for part in parts for path in folder.glob(part))


def check_unbegun(config: DataclassInstance, kept: DataclassInstance, folder: Path) -> None:
    """Refuse to begin again a run that has lost its checkpoint, or with other options than it had.

    A run writes its first checkpoint before its log.

    Args:
        config: to begin with.
        kept: what the run was to begin with when it was killed.
        folder: of the run.

    Raises:
        ValueError: there is a log, or options differ that no run can change.
    """
    if (folder / METRICS_FILE).exists():
        raise ValueError(
            f"run: {folder} has a log and no checkpoint, expected the one that it was saved with"
        )
    own = [entry.name for entry in fields(config) if entry.name not in FREE_FIELDS | {"case"}]
    differ = [name for name in own if getattr(config, name) != getattr(kept, name)]
    if differ:
        raise ValueError(f"run: {folder} has other options, expected its own {', '.join(differ)}")


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
        "log": seal_metrics(folder, learner.iteration) if team.is_first else "",
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
        exact: to go on with it: refuse another PyTorch version or device too, whose bits may
            differ, and another log; for use of the policies alone that does not matter.
        team: who is to go on with it, whoever wrote it.

    Raises:
        FileNotFoundError: no checkpoint.
        ValueError: damaged, it belongs to another configuration, feeder, fleet, version or log, or
            its tensors are not such a learner's.
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
    seconds = check_not_negative(record.get("seconds", -1), "seconds")
    if exact:
        check_metrics(folder, iteration, str(record.get("log")))
    learner = make_learner(config, simulator, team)
    check_tensors(tensors, *_tensors_like(learner, iteration > 0))
    learner.policies.load_state_dict(policies_of(tensors))
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


def signed(evaluation: Evaluation, learner: Learner) -> Evaluation:
    """An evaluation of a run's policies that says which they are, as a report of it needs it."""
    weights = weights_digest(learner.policies.state_dict())
    return replace(evaluation, iteration=learner.iteration, weights=weights)


def policies_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The policies' weights by name, of a checkpoint's tensors."""
    return _below(tensors, "policies.")


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


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

"""A small run from beginning to end: what an addition must go through without being named."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import export_policies, export_run, replay
from gradmap_trainer.gradmap import Learner, make_learner
from gradmap_trainer.report import write_report
from gradmap_trainer.run_folder import signed
from gradmap_trainer.training import open_run, train
from gridedge_env import Case, CaseSettings, Simulator, make_simulator
from gridedge_env.evaluation import Evaluation, evaluate, evaluation_days
from gridedge_env.evaluation_files import load_evaluation, save_evaluation

ROOT = Path(__file__).parents[2]
PACKAGES = ("gridedge_gateway", "gridedge_env", "gradmap_trainer", "baselines")
# Sums of some 40 products of size 1 in single precision, and two layers that carry them on.
SAME_ACTION = 2e-5


def small_config(folder: Path, **changes: Any) -> TrainConfig:
    """A few quick iterations."""
    given: dict[str, Any] = {
        "case": CaseSettings(feeder="ieee13", num_agents=3),
        "iterations": 3,
        "batch_days": 2,
        "minibatches": 4,
        "hidden_sizes": (6,),
        "evaluation_days": 0,
    }
    return TrainConfig(run=str(folder), **{**given, **changes})


@dataclass(frozen=True)
class WholeRun:
    """What came of it.

    Attributes:
        simulator: of the case.
        fresh: the learner before the first iteration.
        learner: after the last.
        log: a row for each iteration.
        evaluation: as played.
        loaded: the same, read back from its file.
        table: the rows of the methods, from their file.
        report: the page.
        exported: a file for each agent.
    """

    simulator: Simulator
    fresh: Learner
    learner: Learner
    log: list[dict[str, float]]
    evaluation: Evaluation
    loaded: Evaluation
    table: dict[str, dict[str, float]]
    report: str
    exported: list[Path]


def whole_run(case: Case, folder: Path, /, **changes: Any) -> WholeRun:
    """Train, evaluate on two days, report and export."""
    simulator, config = make_simulator(case=case), small_config(folder, **changes)
    log: list[dict[str, float]] = []
    learner = open_run(config, simulator)
    learner = train(config, simulator, learner, lambda learner, row: log.append(row))
    days = evaluation_days(simulator, "test", 2)
    policies = {"gradmap": learner.policies}
    played = evaluate(simulator, policies, days, foresight_iterations=3)
    evaluation = signed(played, learner)
    save_evaluation(evaluation, case.limits, folder)
    table = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    report = write_report(folder, simulator).read_text(encoding="utf-8")
    weights, biases = learner.policies.layers()
    names = list(simulator.fleet.names)
    exported = export_policies(
        weights, biases, simulator.observation_fields, names, folder / "policies"
    )
    fresh, loaded = make_learner(config, simulator), load_evaluation(folder, simulator)
    return WholeRun(simulator, fresh, learner, log, evaluation, loaded, table, report, exported)


def assert_complete(run: WholeRun) -> None:
    """Numbers everywhere, what was saved comes back, and every agent learned something."""
    assert len(run.log) == 3
    for row in run.log:
        assert all(np.isfinite(value) for value in row.values()), row
        assert row["nonconverged"] == 0
    assert run.loaded == run.evaluation
    assert list(run.table) == list(run.evaluation.episodes)
    for row in run.table.values():
        assert all(np.isfinite(value) for value in row.values())
    for before, after in zip(
        run.fresh.policies.parameters(), run.learner.policies.parameters(), strict=True
    ):
        assert (before != after).flatten(1).any(dim=1).all()


def assert_exported(run: WholeRun) -> None:
    """The files know their agents and fields, and do what the policies do."""
    simulator = run.simulator
    assert [path.stem for path in run.exported] == list(simulator.fleet.names)
    state = simulator.reset(batch_size=3, split="test", seed=1)
    with torch.no_grad():
        actions = run.learner.policies(*simulator.observe_parts(state))
    observations = simulator.observe(state)
    for agent, path in enumerate(run.exported):
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        fields = json.loads(metadata["observation_fields"])
        assert [f["name"] for f in fields] == [f.name for f in simulator.observation_fields]
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (action,) = session.run(["action"], {"observation": observations[:, agent].numpy()})
        np.testing.assert_allclose(action, actions[:, agent], rtol=0.0, atol=SAME_ACTION)


def assert_deployable(run: WholeRun, folder: Path) -> None:
    """What a gateway works out from a customer's file is what the simulator does."""
    simulator = make_simulator(case=run.simulator.case, dtype=torch.float64)
    policies = run.learner.policies
    export_run(small_config(folder), simulator, policies, folder)
    for parting in replay(simulator, policies, folder, 100):
        assert parting.is_small, str(parting)


def files_that_name(word: str) -> list[str]:
    """Files of the packages with a word in them: what an addition had to touch."""
    return [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if word in path.read_text(encoding="utf-8")
    ]

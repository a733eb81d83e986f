"""What does the public plan bring: being observed, being corrected, or being followed?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.learning.study import Study, header, trained
from benchmarks.records import Measurement, Table
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import Differentiated, Learner, Update, make_learner, reuse_gradient
from gridedge_env.reference import PlanFollowing
from gridedge_env.simulator import Simulator


def plan(study: Study) -> Measurement:
    """Train without a plan, with one that is observed or corrected alone, and with both."""
    config, simulator = study.config, study.simulator
    plain = replace(config, case=replace(study.case, public_plan=False)).make_simulator()
    unbased, blind = make_learner(config, simulator), make_learner(config, simulator)
    unbased.policies.planned = ()
    unbased.policies.reach.fill_(1.0)
    told = columns_of_the_plan(simulator, plain)
    with torch.no_grad():
        blind.policies.private_weight[..., told] = 0.0

    exam = study.validation
    arms = {
        "none": exam.cells(trained(config, plain), plain),
        "observed": exam.cells(trained(config, simulator, learner=unbased)),
        "followed, nothing learned": exam.cells(PlanFollowing(simulator)),
        "corrected, not observed": exam.cells(trained(config, simulator, unseeing(told), blind)),
        "observed and corrected": exam.cells(trained(config, simulator)),
    }
    return Measurement(
        "plan",
        "What of the public plan helps? All arms train with the same settings.",
        (
            Table(
                "",
                ("the plan is", *header(simulator.case.limits)),
                tuple((name, *cells) for name, cells in arms.items()),
            ),
        ),
    )


def columns_of_the_plan(informed: Simulator, plain: Simulator) -> list[int]:
    """Private entries of observations in one case that there are not in another."""
    known = {entry.name for entry in plain.observation_fields}
    private = informed.observation_fields[: informed.private_size]
    return [k for k, entry in enumerate(private) if entry.name not in known]


def unseeing(columns: list[int]) -> Update:
    """GradMAP's update, to which some private entries of the observations are 0.

    Weights on them that are 0 remain so.
    """

    def update(
        config: TrainConfig,
        simulator: Simulator,
        learner: Learner,
        found: Differentiated,
        done: float,
        random: np.random.Generator,
    ) -> Mapping[str, Tensor | float]:
        private = found.rollout.private.clone()
        private[..., columns] = 0.0
        found = replace(found, rollout=replace(found.rollout, private=private))
        return reuse_gradient(config, simulator, learner, found, done, random)

    return update

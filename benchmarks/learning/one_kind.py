"""Do simultaneous moves cost, and which devices earn what? One kind learns, the others follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.learning.study import Study, at_the_plan, header, trained
from benchmarks.records import Measurement, Table
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import Differentiated, Learner, Update, make_learner, reuse_gradient
from gradmap_trainer.policies import Policies
from gridedge_env.reference import PlanFollowing, Policy
from gridedge_env.simulator import Simulator


def one_kind(study: Study) -> Measurement:
    """Homes with one kind of device learn alone; all at once; all, but one kind at a time."""
    simulator, config = study.simulator, study.config
    owners = {group.kind.name: group.agent for group in simulator.fleet.groups}

    def learned(config: TrainConfig, update: Update) -> Policies:
        learner = make_learner(config, simulator)
        at_the_plan(learner.policies)
        return trained(config, simulator, update, learner)

    in_turn = replace(config, iterations=len(owners) * config.iterations)
    policies: dict[str, Policy] = {
        "none": PlanFollowing(simulator),
        **{f"{kind} alone": learned(config, only([own])) for kind, own in owners.items()},
        "all at once": learned(config, reuse_gradient),
        "all, in turn": learned(in_turn, only(list(owners.values()))),
    }
    rows = tuple((name, *study.validation.cells(policy)) for name, policy in policies.items())
    return Measurement(
        "one_kind",
        "Which kind of device earns what by learning, and is it lost that all move at once? Who "
        f"does not learn follows the plan. In turn: {study.iterations} iterations for each kind, "
        "in each of which the others stay as they are.",
        (Table("", ("who learns", *header(simulator.case.limits)), rows),),
    )


def only(homes: Sequence[Tensor]) -> Update:
    """GradMAP's update for some homes alone, another group of them in each iteration.

    Adam's moments of the others decay; their weights stay as they are.

    Args:
        homes: rows of the agents of each group.
    """

    def update(
        config: TrainConfig,
        simulator: Simulator,
        learner: Learner,
        found: Differentiated,
        done: float,
        random: np.random.Generator,
    ) -> Mapping[str, Tensor | float]:
        parameters = list(learner.policies.parameters())
        before = [parameter.detach().clone() for parameter in parameters]
        row = reuse_gradient(config, simulator, learner, found, done, random)
        others = torch.ones(simulator.num_agents, dtype=torch.bool, device=simulator.device)
        others[homes[learner.iteration % len(homes)]] = False
        with torch.no_grad():
            for parameter, kept in zip(parameters, before, strict=True):
                parameter[others] = kept[others]
        return row

    return update

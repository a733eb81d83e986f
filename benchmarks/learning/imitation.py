"""Can it be read from observations? Regression of the policies on perfect foresight's actions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.learning.study import Exam, Study, at_the_plan, header
from benchmarks.records import Measurement, Table
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import annealed, make_learner
from gradmap_trainer.policies import Policies, following
from gridedge_env.evaluation import evaluation_days
from gridedge_env.reference import PlanFollowing, Policy, play

DAYS = 40


def imitation(study: Study) -> Measurement:
    """Fit policies to perfect foresight on 40 training days; play these and validation days."""
    learned = study.exam("train", evaluation_days(study.simulator, "train", DAYS))
    learner = make_learner(study.config, study.simulator)
    policies = at_the_plan(learner.policies)
    played: dict[str, Policy] = {"plan": PlanFollowing(study.simulator), "imitation": policies}
    seen = Seen.of(learned)
    random = np.random.default_rng(study.seed)
    fit(policies, learner.optimiser, seen, study.config, random)
    rows = tuple(
        (name, days, f"{observed.explained(policy):.1%}", *exam.cells(policy))
        for days, exam, observed in (
            (f"the {DAYS} training days", learned, seen),
            (f"{study.days} validation days", study.validation, Seen.of(study.validation)),
        )
        for name, policy in played.items()
    )
    columns = ("policies", "on", "explained", *header(study.simulator.case.limits))
    return Measurement(
        "imitation",
        "How much of perfect foresight's actions can be read from observations? Explained: share "
        "of the variance of its actions, along its own trajectories. Then each plays for itself.",
        (Table("", columns, rows),),
    )


@dataclass(frozen=True, eq=False)
class Seen:
    """What agents would have observed along perfect foresight's trajectories, and what it did.

    Attributes:
        private: (steps x days, agents, private entries).
        shared: (steps x days, shared entries).
        actions: (steps x days, agents, action_size).
    """

    private: Tensor
    shared: Tensor
    actions: Tensor

    @classmethod
    def of(cls, exam: Exam) -> Seen:
        """On the days of an exam."""
        observed: list[tuple[Tensor, Tensor]] = []
        actions = iter(exam.plan)

        def policy(private: Tensor, shared: Tensor) -> Tensor:
            observed.append((private, shared))
            return next(actions)

        for _ in play(exam.simulator, policy, exam.state):
            pass
        private, shared = (torch.cat(part) for part in zip(*observed, strict=True))
        return cls(private, shared, exam.plan.flatten(0, 1))

    @torch.no_grad()
    def explained(self, policy: Policy) -> float:
        """Share of the variance of the actions, each agent's about its own mean."""
        wrong = (policy(self.private, self.shared) - self.actions).square().sum()
        return float(1.0 - wrong / (self.actions - self.actions.mean(dim=0)).square().sum())


def fit(
    policies: Policies,
    optimiser: torch.optim.Optimizer,
    seen: Seen,
    config: TrainConfig,
    random: np.random.Generator,
) -> None:
    """Least squares in outputs, where rest has its band: `iterations` passes over the samples."""
    target = (
        following(seen.actions, policies.least_planned) - policies.base(seen.private)
    ) / policies.reach
    samples = [seen.private.permute(1, 2, 0), seen.shared.T, target.permute(1, 2, 0)]
    for done in range(config.iterations):
        share = done / config.iterations
        for group in optimiser.param_groups:
            group["lr"] = annealed(config.learning_rate, config.final_learning_rate, share)
        order = torch.from_numpy(random.permutation(len(target))).to(target.device)
        for chosen in order.tensor_split(config.minibatches):
            private, shared, wanted = (values[..., chosen] for values in samples)
            wrong = policies.outputs(private, shared) - wanted
            optimiser.zero_grad(set_to_none=True)
            wrong.square().mean(dim=-1).sum().backward()
            optimiser.step()

"""What an experiment is told, and what experiments share: training, judging, the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from baselines.compare.config import Quality
from benchmarks.records import Cell
from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import (
    Learner,
    Update,
    iterate,
    make_learner,
    progress,
    reuse_gradient,
)
from gradmap_trainer.policies import Policies
from gridedge_env.case import CaseSettings
from gridedge_env.checks import check_whole_number
from gridedge_env.constraints import Limits
from gridedge_env.evaluation import evaluation_days, record, summarise
from gridedge_env.reference import Policy, perfect_foresight
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

ITERATIONS = TrainConfig().iterations


@dataclass(frozen=True)
class Study:
    """A case of the default kind, and how much is spent on it.

    Attributes:
        feeder: a built-in feeder's name, a folder of tables, or an OpenDSS script.
        agents: number of homes.
        seed: of homes, initial weights and training days.
        iterations: of a training.
        days: of the validation year that judge.
        foresight_iterations: effort of perfect foresight.
        public_plan: whether agents observe the public plan and policies correct it.
    """

    feeder: str = "ieee123"
    agents: int = 1000
    seed: int = 0
    iterations: int = ITERATIONS
    days: int = 24
    foresight_iterations: int = 300
    public_plan: bool = True

    @property
    def case(self) -> CaseSettings:
        """What is learned."""
        return replace(
            USUAL_CASE,
            feeder=self.feeder,
            num_agents=self.agents,
            seed=self.seed,
            public_plan=self.public_plan,
        )

    @property
    def config(self) -> TrainConfig:
        """Of GradMAP, with its usual settings."""
        return TrainConfig(case=self.case, iterations=self.iterations)

    def of_seeds(self, count: int) -> list[Study]:
        """The same under so many seeds, from its own on."""
        check_whole_number(count, 1, "seeds")
        return [replace(self, seed=self.seed + k) for k in range(count)]

    @cached_property
    def simulator(self) -> Simulator:
        """Of the case."""
        return self.config.make_simulator()

    @cached_property
    def validation(self) -> Exam:
        """Days of the validation year."""
        days = evaluation_days(self.simulator, "validation", self.days)
        return self.exam("validation", days)

    def exam(self, split: str, days: Sequence[int]) -> Exam:
        """Days at some rows of a split."""
        return Exam(self.simulator, split, tuple(days), self.foresight_iterations)


@dataclass(frozen=True, eq=False)
class Exam:
    """Days on which policies are judged, and what perfect foresight makes of them.

    Attributes:
        simulator: the case.
        split: whose days.
        days: their rows.
        foresight_iterations: effort of perfect foresight.
    """

    simulator: Simulator
    split: str
    days: tuple[int, ...]
    foresight_iterations: int = field(repr=False)

    @property
    def state(self) -> SimulatorState:
        """The days at midnight."""
        return self.simulator.reset(split=self.split, days=self.days)

    @cached_property
    def plan(self) -> Tensor:
        """(steps, days, agents, action_size), perfect foresight's actions."""
        return perfect_foresight(self.simulator, self.state, self.foresight_iterations)

    @cached_property
    def best(self) -> float:
        """€ a day under perfect foresight."""
        actions = iter(self.plan)
        return self.outcome(lambda private, shared: next(actions))["cost"]

    def outcome(self, policy: Policy, simulator: Simulator | None = None) -> dict[str, float]:
        """The row of `summarise`.

        Args:
            policy: that plays the days.
            simulator: another of the same homes, in which it observes something else.
        """
        if simulator is None:
            simulator = self.simulator
        state = simulator.reset(split=self.split, days=self.days)
        return summarise(record(simulator, state, policy), simulator.case.limits)

    def cells(self, policy: Policy, simulator: Simulator | None = None) -> tuple[Cell, ...]:
        """Under `header`, of a policy as in `outcome`."""
        outcome = self.outcome(policy, simulator)
        return f"{self.above(outcome):.2%}", *shares(outcome, self.simulator.case.limits)

    def above(self, outcome: dict[str, float]) -> float:
        """By what share of it a cost is above that of perfect foresight."""
        return (outcome["cost"] - self.best) / abs(self.best)


def header(limits: Limits) -> tuple[str, ...]:
    """Of the columns of `Exam.cells`."""
    return "above perfect foresight", *(kind.heading for kind in limits)


def shares(outcome: dict[str, float], limits: Limits) -> tuple[str, ...]:
    """How many steps were outside each kind of limit."""
    return tuple(f"{outcome[f'{kind.name}_steps']:.2%}" for kind in limits)


def score(outcome: dict[str, float]) -> float:
    """€ a day: the cost, and the price of every percentage point of steps outside any limit."""
    return outcome["cost"] + Quality().price * 100.0 * outcome["any_steps"]


def trained(
    config: TrainConfig,
    simulator: Simulator,
    update: Update = reuse_gradient,
    learner: Learner | None = None,
) -> Policies:
    """Policies after all iterations of a configuration.

    Args:
        config: the training.
        simulator: its case.
        update: what becomes of every gradient.
        learner: to begin with; by default a fresh one.
    """
    learner = learner or make_learner(config, simulator)
    while progress(config, learner) < 1.0:
        learner, _ = iterate(config, simulator, learner, update)
    return learner.policies


def at_the_plan(policies: Policies) -> Policies:
    """The same policies, whose networks put out nothing to begin with: they follow the plan."""
    with torch.no_grad():
        policies.weights[-1].zero_()
    return policies

"""The contract for methods: whatever trains under a budget and ends with decentralised policies.

    trained = train("gradmap", default_case(num_agents=1000), Budget(seconds=60.0))
    trained.policy  # from local observations to actions: a `gridedge_env.reference.Policy`
    trained.curve  # what it was worth on days of the validation year, as training went on

A method is one function, `LearningMethod`. To add one, write it in a file of its own and name it in
`METHODS`, or ask for it as "package.module:function".
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import Update, iterate, make_learner, progress, reuse_gradient
from gradmap_trainer.training import warm_up
from gridedge_env.case import Case
from gridedge_env.evaluation import evaluation_days, record, summarise
from gridedge_env.reference import (
    Idle,
    PlanFollowing,
    Policy,
    PriceFollowing,
    Thermostat,
    VoltVar,
    VoltWatt,
)
from gridedge_env.simulator import Simulator, make_simulator

# Where each is; imported when asked for, so that nobody needs what only another method needs.
METHODS = {
    "idle": "baselines.methods:idle",
    "thermostat": "baselines.methods:thermostat",
    "price_following": "baselines.methods:price_following",
    "plan_following": "baselines.methods:plan_following",
    "volt_watt": "baselines.methods:volt_watt",
    "volt_var": "baselines.methods:volt_var",
    "gradmap": "baselines.methods:gradmap",
    "self_supervised": "baselines.self_supervised:self_supervised",
    "ippo": "baselines.rllib.methods:ippo",
    "mappo": "baselines.rllib.methods:mappo",
    "shared_ippo": "baselines.rllib.methods:shared_ippo",
    "shared_mappo": "baselines.rllib.methods:shared_mappo",
}


@dataclass(frozen=True)
class Budget:
    """What training may take: so much time, or so many evaluations of the environment.

    By the clock no two trainings are alike; by evaluations the same seed gives the same policies.

    Attributes:
        seconds: of training by the wall clock, without start-up and validation.
        environment_steps: steps of the whole fleet that are simulated and learned from.
    """

    seconds: float | None = None
    environment_steps: int | None = None

    def __post_init__(self) -> None:
        given = [x for x in (self.seconds, self.environment_steps) if x is not None]
        if len(given) != 1 or not (given[0] > 0 and math.isfinite(given[0])):
            raise ValueError(
                f"budget: got seconds {self.seconds} and environment_steps "
                f"{self.environment_steps}, expected one of them, positive"
            )

    def share(self, seconds: float, environment_steps: int) -> float:
        """The share of it that is spent."""
        if self.seconds is not None:
            return seconds / self.seconds
        assert self.environment_steps is not None
        return environment_steps / self.environment_steps

    def iterations(self, steps: int) -> int:
        """How many, of so many environment steps each, use them up; 1 if it has none."""
        return max(1, math.ceil((self.environment_steps or 0) / steps))


# Told seconds and environment steps so far and the policies as they are, which it plays at once.
Observe = Callable[[float, int, Policy], None]


class LearningMethod(Protocol):
    """Learns the policies of a case."""

    def __call__(self, case: Case, device: str, budget: Budget, observe: Observe) -> Policy:
        """Train until the budget is spent.

        Args:
            case: what is to be learned. Only the training split may be learned from. Its seed also
                begins all that training draws.
            device: where to compute.
            budget: when to stop. Whoever cannot keep to one of its kinds refuses it.
            observe: to be called after every iteration; its time is not training's.

        Returns:
            The policies: each agent's action from its own observation and the shared one alone.

        Raises:
            ValueError: a case or a budget that the method is not for.
        """


@dataclass(frozen=True)
class Point:
    """What a method was worth on days of the validation year, at a moment of its training.

    Attributes:
        seconds: of training by then.
        environment_steps: by then.
        outcome: the row of `summarise`.
    """

    seconds: float
    environment_steps: int
    outcome: dict[str, float]


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        policy: of the whole fleet.
        curve: from the first iteration to the end.
    """

    policy: Policy
    curve: tuple[Point, ...]


def train(
    method: str,
    case: Case,
    budget: Budget,
    device: str = "cpu",
    validation_days: int = 8,
    points: int = 20,
) -> Trained:
    """Train a method and follow it on the validation year.

    Args:
        method: a name in `METHODS`, or "package.module:function".
        case: what is to be learned.
        budget: for training alone.
        device: where to compute.
        validation_days: days of each point of the curve, spread evenly over the year.
        points: of the curve, spread evenly over the budget.
    """
    function = find(method)
    simulator = make_simulator(case=case, device=device)
    days = evaluation_days(simulator, "validation", validation_days)
    state = simulator.reset(split="validation", days=days)
    curve: list[Point] = []
    latest = (0.0, 0)

    def add(seconds: float, environment_steps: int, policy: Policy) -> None:
        row = summarise(record(simulator, state, policy), case.limits)
        curve.append(Point(seconds, environment_steps, row))

    def observe(seconds: float, environment_steps: int, policy: Policy) -> None:
        nonlocal latest
        latest = seconds, environment_steps
        if budget.share(*latest) * points >= len(curve):
            add(*latest, policy)

    policy = function(case, device, budget, observe)
    if not curve or latest != (curve[-1].seconds, curve[-1].environment_steps):
        add(*latest, policy)
    return Trained(policy, tuple(curve))


def find(method: str) -> LearningMethod:
    """The method of a name.

    Raises:
        ValueError: there is none.
    """
    module, _, name = METHODS.get(method, method).partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        raise ValueError(
            f"method: got {method!r} ({error}), expected one of {', '.join(METHODS)}, or "
            "'package.module:function'"
        ) from error


# --- The methods that need no file of their own ---------------------------------------------------


def gradmap(case: Case, device: str, budget: Budget, observe: Observe) -> Policy:
    """See `LearningMethod`."""
    return learn(reuse_gradient, TrainConfig(), case, device, budget, observe)


def learn(
    update: Update,
    config: TrainConfig,
    case: Case,
    device: str,
    budget: Budget,
    observe: Observe,
) -> Policy:
    """A method on GradMAP's iteration, from what becomes of gradients and from its settings.

    The settings' own case and budget count for nothing.
    """
    steps = config.batch_days * case.clock.steps
    config = replace(config, seconds=budget.seconds, iterations=budget.iterations(steps))
    simulator = make_simulator(case=case, device=device)
    learner = make_learner(config, simulator)
    warm_up(config, simulator, update)
    while progress(config, learner) < 1.0:
        learner, row = iterate(config, simulator, learner, update)
        observe(learner.seconds, int(row["environment_steps"]), learner.policies)
    return learner.policies


@dataclass(frozen=True)
class Rule:
    """A `LearningMethod` that has nothing to learn.

    Attributes:
        make: the policy on the devices of a simulator.
    """

    make: Callable[[Simulator], Policy]

    def __call__(self, case: Case, device: str, budget: Budget, observe: Observe) -> Policy:
        """See `LearningMethod`."""
        return self.make(make_simulator(case=case, device=device))


idle = Rule(Idle)
thermostat = Rule(Thermostat)
price_following = Rule(PriceFollowing)
plan_following = Rule(PlanFollowing)
volt_watt = Rule(lambda simulator: VoltWatt(simulator, PriceFollowing(simulator)))
volt_var = Rule(lambda simulator: VoltVar(simulator, PriceFollowing(simulator)))

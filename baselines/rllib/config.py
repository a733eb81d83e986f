"""The configuration of an RLlib run: command line, defaults and what is written down."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from gradmap_trainer.config import (
    TrainConfig,
    check_hidden_sizes,
    check_minibatches,
    tightened,
)
from gridedge_env.case import Case, CaseSettings
from gridedge_env.checks import (
    check_choice,
    check_not_negative,
    check_number,
    check_positive,
    check_share,
    check_text,
    settle,
    whole_number,
)
from gridedge_env.clock import Clock
from gridedge_env.simulator import Simulator, make_simulator

# What its runs are called in errors.
RUN_KIND = "an RLlib run"

Algorithm: TypeAlias = Literal["ippo", "mappo"]
Form: TypeAlias = Literal["joint", "shared", "by-kind", "separate"]
Credit: TypeAlias = Literal["equal", "marginal"]
# Forms of policies that use a setting, where not all do.
USED_BY: dict[str, tuple[Form, ...]] = {
    "price_variation": ("joint", "shared"),
    "entropy": ("shared", "by-kind", "separate"),
    "initial_deviation": ("joint", "shared"),
    "reward_scale": ("joint", "shared"),
    "credit": ("shared",),
    "multiplier_step": ("shared",),
}

# RLlib keeps books for every agent's module at every step; beyond this it crawls.
MOST_SEPARATE_MODULES = 100


@dataclass(frozen=True)
class RLConfig:
    """What `python -m baselines.rllib.train` takes.

    Attributes:
        run: folder of the run.
        algorithm: "ippo", an agent's critic sees what the agent sees; "mappo", also the fleet's
            state: of "joint" policies what agents alone observe, as mean and spread over each kind
            of device; of "shared" ones the global state, whole.
        policies: "joint": unshared, the fleet as one agent to RLlib. "shared": likewise, but homes
            with the same devices share parameters, and outputs correct the public plan where there
            is one. "by-kind": one policy for all devices of a kind, "separate": one each; both
            through PettingZoo, by RLlib's own PPO, with its own networks.
        case: what is learned; its seed also chooses initial weights, training days and exploration.
            None: a case that was brought, of which the run's folder holds all.
        iterations: of sampling and learning, over which the learning rate falls.
        seconds: stop after so much training, without start-up, validation and evaluation; the
            learning rate then follows the clock. None: after the iterations.
        batch_days: days per iteration.
        price_variation: standard deviation of the logarithm of a random factor on each training
            day's prices ("joint" and "shared").
        epochs: passes over an iteration's samples.
        minibatches: optimiser steps per pass.
        hidden_sizes: units of each network's hidden layers.
        learning_rate: Adam's, at the beginning.
        final_learning_rate: Adam's, at the end.
        clip: largest change of a likelihood ratio per iteration that still earns.
        discount: of later rewards.
        trace: λ of the advantage estimation.
        entropy: what the policies' entropy earns ("shared", "by-kind" and "separate").
        initial_deviation: standard deviation of the policies' outputs at the beginning ("joint" and
            "shared").
        reward_scale: of the rewards that are learned from, per € and ordinary home ("joint" and
            "shared").
        credit: what of the network's violation an agent is charged: "equal", all of it; "marginal",
            what is gone, to first order, if this agent alone rests or follows the plan ("shared").
        multiplier_step: by which each kind of limit's multiplier rises per unit of violation and
            iteration; what all agents are charged for it then rises above `training_penalty`. 0:
            none ("shared").
        training_penalty: € per unit of the network's violation that every agent pays in training,
            in place of its share of the case's; `--penalty` on the command line, where the case's
            is `--reward-penalty`. What all pay together is `num_agents` times as much: at 100, an
            agent feels all that it does to the network as the environment's own reward counts it.
        voltage_margin: pu that the penalty begins before the voltage limits.
        loading_margin: share of rating that it begins before the rating.
        env_runners: processes that sample; 0: the one that learns. Through a worker that fails, the
            run fails.
        validation_days: days of the validation year played after every iteration for the log.
        checkpoint_seconds: training time between checkpoints.
        evaluation_days: days of the test year to evaluate on when training is done; 0: none.
        foresight_iterations: effort of the perfect-foresight optimum in that evaluation.
    """

    run: str = "runs/rllib"
    algorithm: Algorithm = "ippo"
    policies: Form = "joint"
    case: CaseSettings | None = CaseSettings()
    iterations: int = 300
    seconds: float | None = 600.0
    batch_days: int = 16
    price_variation: float = 0.0
    epochs: int = 2
    minibatches: int = 8
    hidden_sizes: tuple[int, ...] = (16, 16)
    learning_rate: float = 1.5e-2
    final_learning_rate: float = 1.5e-3
    clip: float = 0.2
    discount: float = 1.0
    trace: float = 0.95
    entropy: float = 0.0
    initial_deviation: float = 0.5
    reward_scale: float = 1.0
    credit: Credit = "equal"
    multiplier_step: float = 0.0
    training_penalty: float = 10.0
    voltage_margin: float = 0.0
    loading_margin: float = 0.0
    env_runners: int = 0
    validation_days: int = 8
    checkpoint_seconds: float = 60.0
    evaluation_days: int = 28
    foresight_iterations: int = 300

    def __post_init__(self) -> None:
        check_text(self.run, "run", "the path of a folder")
        for name, choices in _CHOICES.items():
            check_choice(getattr(self, name), name, choices)
        settle(self, **_NUMBERS, hidden_sizes=check_hidden_sizes)
        if self.seconds is not None:
            settle(self, seconds=check_positive)
        self.check_used([x for x in USED_BY if getattr(self, x) != getattr(RLConfig, x)])
        if self.policies in ("by-kind", "separate") and self.algorithm != "ippo":
            raise ValueError(
                f"algorithm: got {self.algorithm!r} with policies {self.policies!r}, "
                "expected 'ippo': a centralised critic needs 'joint' or 'shared' policies"
            )
        if self.case is not None:
            self._check_size(Clock.of_minutes(self.case.step_minutes), self.case.num_agents)

    def check_used(self, given: Collection[str]) -> None:
        """Refuse settings that policies of this form do not use.

        Args:
            given: names of fields.

        Raises:
            ValueError: one of them is not used.
        """
        for name, forms in USED_BY.items():
            if name in given and self.policies not in forms:
                raise ValueError(
                    f"{name}: got {getattr(self, name)!r} with policies {self.policies!r}, "
                    f"expected none: only {' or '.join(map(repr, forms))} policies use it"
                )

    def _check_size(self, clock: Clock, num_agents: int) -> None:
        check_minibatches(self.minibatches, self.batch_days, clock.steps)
        if self.policies == "separate" and num_agents > MOST_SEPARATE_MODULES:
            raise ValueError(
                f"num_agents: got {num_agents} with separate policies, expected at most "
                f"{MOST_SEPARATE_MODULES}, or 'joint' policies, which are unshared too"
            )

    def make_simulator(self) -> Simulator:
        """The case by its true limits.

        Raises:
            ValueError: a case that was brought, which the configuration does not hold.
        """
        if self.case is None:
            raise ValueError("case: got none, expected settings, or the folder of a run")
        return make_simulator(case=self.case.make())

    def training_case(self, case: Case) -> Case:
        """A case with the penalty and the margins of training.

        Raises:
            ValueError: too large a case, or too small a one; or margins that leave nothing of its
                limits.
        """
        self._check_size(case.clock, len(case.fleet.names))
        margins = {"voltage": self.voltage_margin, "loading": self.loading_margin}
        limits = tightened(case.limits, margins)
        penalty = self.training_penalty * len(case.fleet.names)
        return replace(case, penalty=penalty, limits=limits)


def check_whole_share(value: Any, name: str) -> float:
    """A share that may be the whole."""
    return check_number(value, name, "0 to 1", lambda share: 0.0 <= share <= 1.0)


# What a field may be; the case checks its own.
_CHOICES = {
    "algorithm": get_args(Algorithm),
    "policies": get_args(Form),
    "credit": get_args(Credit),
}
_NUMBERS: dict[str, Callable[[Any, str], float]] = {
    "iterations": whole_number(1),
    "batch_days": whole_number(1),
    "epochs": whole_number(1),
    "minibatches": whole_number(1),
    "env_runners": whole_number(0),
    "validation_days": whole_number(1),
    "evaluation_days": whole_number(0),
    "foresight_iterations": whole_number(0),
    "price_variation": check_not_negative,
    "discount": check_whole_share,
    "trace": check_whole_share,
    "learning_rate": check_positive,
    "final_learning_rate": check_positive,
    "clip": check_positive,
    "initial_deviation": check_positive,
    "entropy": check_not_negative,
    "reward_scale": check_positive,
    "multiplier_step": check_not_negative,
    "training_penalty": check_not_negative,
    "voltage_margin": check_not_negative,
    "loading_margin": check_share,
    "checkpoint_seconds": check_not_negative,
}

# Of the field's recipe, but for what was searched for on validation days (docs/baselines.md).
# Variation and margins are GradMAP's.
SHARED = RLConfig(
    policies="shared",
    batch_days=8,
    price_variation=TrainConfig.price_variation,
    epochs=4,
    minibatches=4,
    hidden_sizes=(64, 64),
    learning_rate=2.5e-3,
    final_learning_rate=2.5e-4,
    clip=0.1,
    discount=1.0,
    trace=1.0,  # without a critic's word for it: hardly one learns what stored energy is worth
    initial_deviation=1.0,
    credit="marginal",
    multiplier_step=10.0,
    training_penalty=80.0,
    voltage_margin=TrainConfig.voltage_margin,
    loading_margin=TrainConfig.loading_margin,
)


def usual(policies: Form) -> RLConfig:
    """Settings for policies of a form, before any are given."""
    return SHARED if policies == "shared" else RLConfig()

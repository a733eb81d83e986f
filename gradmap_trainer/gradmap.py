"""GradMAP: gradient-based multi-agent proximal learning, readable from top to bottom.

One outer iteration, for a batch of days and all agents:

    rollout without gradients      observations o, outputs z = policy(o), actions a = to_action(z)
    G = dJ/da                      one exact simulation of the whole batch, one implicit adjoint;
                                   actions are the leaves: no backward pass through any policy
    proximal reuse of G            many optimiser steps on the surrogate
                                   mean max(G d, G clip(d, -e, e)),  d = policy(o) - z
                                   whose trust region e lies in action space
    dual ascent                    one multiplier per step of the episode and constraint

with  J = mean over days [ cost / s + sum over steps and constraints (dual x + q/2 x²) ]
where x is the violation of tightened limits in units of its scale, and s the day's spread of
prices over a usual one: days on which everything costs thrice as much bid no more for the limits,
and are learned from no more, than others. All agents move at once, and the
surrogate does not see their joint curvature: a small, annealed trust region is what makes one
expensive gradient last for many cheap steps.

What becomes of a gradient is an argument of the iteration, an `Update`; `reuse_gradient` is
GradMAP's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.metrics import check_finite
from gradmap_trainer.objective import Objective, sum_of_days
from gradmap_trainer.policies import Policies, to_leaning_action
from gradmap_trainer.surrogate import Samples, descend
from gradmap_trainer.team import ALONE, Team
from gradmap_trainer.training_days import draw_state
from gridedge_env.evaluation import TOLERANCE
from gridedge_env.observation import least_planned_action, planned_columns
from gridedge_env.record import Record, batch
from gridedge_env.simulator import Simulator
from gridedge_env.state import Result, SimulatorState
from gridedge_env.transfer import to_host

ADAM_BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class Learner:
    """All that training changes; policies and optimiser are updated in place.

    Attributes:
        policies: networks of all agents.
        own: of these, those of the agents that this worker trains: the same weights.
        optimiser: Adam over the own ones.
        duals: multipliers by kind of limit, (steps, places) each.
        team: who trains what.
        iteration: outer iterations done.
        seconds: training time so far.
    """

    policies: Policies
    own: Policies
    optimiser: torch.optim.Optimizer
    duals: Mapping[str, Tensor]
    team: Team = ALONE
    iteration: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Rollout(Record):
    """What the agents saw and did on a batch of days.

    Attributes:
        start: the days at midnight.
        private: (steps, batch, agents, private entries) observations.
        shared: (steps, batch, shared entries) observations.
        outputs: (steps, batch, agents, action_size) of the networks.
        base: likewise, what they correct.
        reach: (action_size,) how much of an output counts in an action.
        device_voltage: (steps, batch, 2 branches) approximate voltages to start power flows
            from.
    """

    start: SimulatorState
    private: Tensor = field(metadata=batch(1))
    shared: Tensor = field(metadata=batch(1))
    outputs: Tensor = field(metadata=batch(1))
    base: Tensor = field(metadata=batch(1))
    device_voltage: Tensor = field(metadata=batch(1))
    reach: Tensor

    @property
    def actions(self) -> Tensor:
        """Likewise, a hair off rest."""
        return to_leaning_action(self.base + self.reach * self.outputs)


@dataclass(frozen=True)
class Differentiated:
    """A rollout's actions, simulated exactly, and what they should have been.

    Attributes:
        rollout: the rollout.
        objective: J.
        result: the trajectory.
        violations: by kind of limit, (steps, batch, places), in units of their scale.
        gradient: dJ/da, shaped like the actions.
    """

    rollout: Rollout
    objective: Objective
    result: Result
    violations: Mapping[str, Tensor]
    gradient: Tensor


# What becomes of a gradient: changes the learner's policies in place, and returns numbers for the
# log. It is told the share of the run that is done, and has a source of randomness.
Update: TypeAlias = Callable[
    [TrainConfig, Simulator, Learner, Differentiated, float, np.random.Generator],
    Mapping[str, "Tensor | float"],
]


def make_learner(config: TrainConfig, simulator: Simulator, team: Team = ALONE) -> Learner:
    """Fresh policies, optimiser and multipliers."""
    private = simulator.private_size
    shared = len(simulator.observation_fields) - private
    policies = Policies(
        simulator.num_agents,
        private,
        shared,
        simulator.action_size,
        config.hidden_sizes,
        simulator.case.seed,
        simulator.device,
        planned_columns(simulator.observation_fields),
        least_planned_action(simulator.observation_fields),
    )
    own = policies if team.size == 1 else policies.of(team.own_agents)
    optimiser = torch.optim.Adam(
        own.parameters(), lr=config.learning_rate, betas=ADAM_BETAS, fused=True
    )
    duals = {
        kind.name: torch.full(
            (simulator.clock.steps, len(kind.places(simulator.power_flow))),
            config.dual_initial,
            device=simulator.device,
            dtype=torch.float32,
        )
        for kind in simulator.case.limits
    }
    return Learner(policies, own, optimiser, duals, team)


def reuse_gradient(
    config: TrainConfig,
    simulator: Simulator,
    learner: Learner,
    found: Differentiated,
    done: float,
    random: np.random.Generator,
) -> dict[str, Tensor | float]:
    """GradMAP's `Update`: as many steps as a small trust region lets one gradient last for."""
    trust_region = annealed(config.trust_region, config.final_trust_region, done)
    samples = samples_of(found.rollout, found.gradient, learner.team)
    improve_policies(learner.own, learner.optimiser, samples, trust_region, config, random)
    exchange_weights(learner)
    seen = change_on_first_day(simulator, learner.policies, found, trust_region)
    return {**seen, "trust_region": trust_region}


def iterate(
    config: TrainConfig, simulator: Simulator, learner: Learner, update: Update = reuse_gradient
) -> tuple[Learner, dict[str, float]]:
    """One outer iteration.

    Returns:
        The learner after it, and its row of the log.

    Raises:
        Diverged: a number that is not finite, in the actions (on the CPU) or in the row.
    """
    began = time.perf_counter()
    done = progress(config, learner)
    learning_rate = annealed(config.learning_rate, config.final_learning_rate, done)
    for group in learner.optimiser.param_groups:
        group["lr"] = learning_rate
    # The iteration's own source of randomness: resuming needs no generator state.
    random = np.random.default_rng([simulator.case.seed, learner.iteration])

    state = draw_state(config, simulator, random, learner.team.own_days)
    rollout = roll_out(simulator, learner.policies, state, config.rollout_sweeps)
    rolled_out = time.perf_counter()
    if simulator.device.type == "cpu":
        check_finite({"action": rollout.actions.sum().item()}, learner.iteration)

    limits = config.tightened(simulator.case.limits)
    objective = Objective(limits, learner.duals, config.quadratic_penalty, config.batch_days)
    found = differentiate(simulator, rollout, objective)
    differentiated = time.perf_counter()

    updated = update(config, simulator, learner, found, done, random)
    duals = ascend(config, learner, found.violations)
    measured = to_host({**outcome(found, duals, learner.team), **updated})
    check_finite(measured, learner.iteration)
    ended = time.perf_counter()

    following = replace(
        learner,
        duals=duals,
        iteration=learner.iteration + 1,
        seconds=learner.team.agreed(learner.seconds + ended - began),
    )
    steps = config.batch_days * simulator.clock.steps
    row = {
        "iteration": following.iteration,
        "seconds": following.seconds,
        "environment_steps": following.iteration * steps,
        **measured,
        "learning_rate": learning_rate,
        "steps_per_second": steps / (ended - began),
        "seconds_rollout": rolled_out - began,
        "seconds_gradient": differentiated - rolled_out,
        "seconds_update": ended - differentiated,
    }
    return following, row


def progress(config: TrainConfig, learner: Learner) -> float:
    """Share of the run that is done, 0 to 1: by the clock where it has a budget of seconds."""
    if config.seconds is not None:
        return min(learner.seconds / config.seconds, 1.0)
    return min(learner.iteration / config.iterations, 1.0)


def annealed(first: float, last: float, done: float) -> float:
    """A setting that falls geometrically with the share of the run that is done."""
    return first * (last / first) ** done


@torch.no_grad()
def roll_out(
    simulator: Simulator, policies: Policies, state: SimulatorState, sweeps: int
) -> Rollout:
    """Play the policies for a day; meters are read after a few sweeps of the power flow."""
    start, seen = state, []
    while state.step < simulator.clock.steps:
        private, shared = simulator.observe_parts(state)
        output = policies.outputs(private.permute(1, 2, 0), shared.T).permute(2, 0, 1).contiguous()
        base = policies.base(private)
        state = simulator.glance(state, to_leaning_action(base + policies.reach * output), sweeps)
        seen.append((private, shared, output, base, state.device_voltage))
    private, shared, outputs, base, voltage = map(torch.stack, zip(*seen, strict=True))
    return Rollout(start, private, shared, outputs, base, voltage, policies.reach)


def differentiate(simulator: Simulator, rollout: Rollout, objective: Objective) -> Differentiated:
    """Simulate a rollout's actions exactly and differentiate the mean of J with respect to them."""
    actions = rollout.actions.requires_grad_()
    result = simulator.simulate(rollout.start, actions, rollout.device_voltage)
    violations = result.scaled_violations(objective.limits)
    mean = objective.of_days(rollout.start.day, result.cost, violations).sum() / objective.days
    (gradient,) = torch.autograd.grad(mean, actions)
    # Rest passes the gradient on; the ends of the range do not pull further out.
    beyond = ((actions >= 1.0) & (gradient < 0.0)) | ((actions <= -1.0) & (gradient > 0.0))
    gradient = torch.where(beyond, 0.0, gradient)
    seen = {kind: x.detach() for kind, x in violations.items()}
    return Differentiated(rollout, objective, result, seen, gradient)


def improve_policies(
    policies: Policies,
    optimiser: torch.optim.Optimizer,
    samples: Samples,
    trust_region: float,
    config: TrainConfig,
    random: np.random.Generator,
) -> None:
    """Descend the clipped surrogate; agents do not interact here."""
    orders = np.stack([random.permutation(samples[0].shape[-1]) for _ in range(config.epochs)])
    descend(policies, optimiser, samples, orders, config.minibatches, trust_region)


def samples_of(rollout: Rollout, gradient: Tensor, team: Team = ALONE) -> Samples:
    """A rollout and its gradient as the inner loop takes them: (agents, entries, samples).

    Of a team's, all days of the own agents.

    Returns:
        Private observations, shared ones (entries, samples), outputs, and the gradient, which is
        scaled to a root mean square of one over each agent's samples.
    """
    private, outputs, slope = (
        team.to_owners(values).flatten(0, 1).permute(1, 2, 0)
        for values in (rollout.private, rollout.outputs, gradient)
    )
    shared = team.every_day(rollout.shared.transpose(0, 1)).transpose(0, 1).flatten(0, 1).T
    # Row by row, or the rounding of an agent's would depend on how many others there are.
    slope = slope.contiguous()
    scale = slope.square().mean(dim=(1, 2), keepdim=True).sqrt()
    return private, shared, outputs, slope / scale.clamp(min=torch.finfo(slope.dtype).tiny)


def exchange_weights(learner: Learner) -> None:
    """Have everybody know what the own agents have learned, and know what the others' have."""
    for weights in learner.policies.parameters():
        learner.team.gather(weights.data)


def ascend(
    config: TrainConfig, learner: Learner, violations: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Raise each multiplier by the violations of its step and place, and let it leak."""
    kept = 1.0 - config.dual_leak

    def risen(dual: Tensor, x: Tensor) -> Tensor:
        total = learner.team.total(x.sum(dim=1, dtype=torch.float64))
        mean = (total / config.batch_days).to(dual.dtype)
        return (kept * dual + config.dual_step * mean).clamp(min=0.0)

    return {kind: risen(learner.duals[kind], x) for kind, x in violations.items()}


@torch.no_grad()
def change_on_first_day(
    simulator: Simulator, policies: Policies, found: Differentiated, trust_region: float
) -> dict[str, Tensor]:
    """What an update did to the batch's first day.

    How much J fell, by the gradient and in truth, € at usual prices, positive where it fell: where
    the two part, the trust region is too wide for the fleet's joint curvature. And the share of
    actions that it moved further than the trust region: an output may go as far as it likes within
    the rest band, or beyond what makes a full action, and moves none.
    """
    first, objective = found.rollout.take(slice(1)), found.objective
    outputs = policies.outputs(first.private[:, 0].permute(1, 2, 0), first.shared[:, 0].T)
    outputs = outputs.permute(2, 0, 1)[:, None]
    step = policies.reach * (outputs - first.outputs)
    predicted = -objective.days * (found.gradient[:, :1] * step).sum()  # J is a mean over days

    before = objective.of_days(
        first.start.day,
        found.result.cost[:, :1],
        {kind: x[:, :1] for kind, x in found.violations.items()},
    )
    updated = replace(first, outputs=outputs)
    after = simulator.simulate(first.start, updated.actions, first.device_voltage)
    violations = after.scaled_violations(objective.limits)
    realised = before - objective.of_days(first.start.day, after.cost, violations)
    moved = (updated.actions - first.actions).abs()
    return {
        "beyond_trust_region": (moved > trust_region * policies.reach).float().mean(),
        "predicted_improvement": predicted,
        "realised_improvement": realised[0],
    }


@torch.no_grad()
def outcome(found: Differentiated, duals: Mapping[str, Tensor], team: Team) -> dict[str, Tensor]:
    """What the trajectories of all days were, and what came of them, for the log: scalars."""
    result, solution, day = found.result, found.result.solution, found.rollout.start.day
    steps_of_days = found.gradient.shape[:2]
    each = {"cost": sum_of_days(result.cost) / day.clock.days}  # (days,) each
    for kind, tightened in found.violations.items():
        each[f"{kind}_violation"] = sum_of_days(tightened)
        outside = (result.violations[kind] > TOLERANCE).any(dim=-1)
        each[f"{kind}_steps"] = outside.float().mean(dim=0)
    each["powerflow_residual"] = solution.residual.view(steps_of_days).amax(dim=0)
    each["powerflow_iterations"] = solution.iterations.view(steps_of_days).float().mean(dim=0)
    each["nonconverged"] = (~result.converged).float().sum(dim=0)
    each["squares"] = sum_of_days(found.gradient.square())
    every = dict(zip(each, team.every_day(torch.stack([*each.values()], dim=1)).T, strict=True))
    squares = every.pop("squares")
    return {
        **{name: values.mean() for name, values in every.items()},
        "powerflow_residual": every["powerflow_residual"].max(),
        "nonconverged": every["nonconverged"].sum(),
        "dual_norm": torch.stack([dual.norm() for dual in duals.values()]).norm(),
        "gradient_norm": squares.sum().sqrt(),
    }

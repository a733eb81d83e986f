"""GradMAP: gradient-based multi-agent proximal learning, readable from top to bottom.

One outer iteration, for a batch of days and all agents:

    rollout without gradients      observations o, outputs z = policy(o), actions a = to_action(z)
    G = dJ/da                      one exact simulation of the whole batch, one implicit adjoint;
                                   actions are the leaves: no backward pass through any policy
    proximal reuse of G            many optimiser steps on the surrogate
                                   mean max(G d, G clip(d, -e, e)),  d = policy(o) - z
                                   whose trust region e lies in action space
    dual ascent                    one multiplier per step of the day and constraint

with  J = mean over days [ cost + sum over steps and constraints (dual x + q/2 x²) ]
and x the violation of tightened limits in units of its scale. All agents move at once, and the
surrogate does not see their joint curvature: a small, annealed trust region is what makes one
expensive gradient last for many cheap steps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.evaluation import TOLERANCE
from gradmap_trainer.policies import Policies, to_leaning_action
from gradmap_trainer.surrogate import Samples, descend
from gridedge_env.limits import Limits
from gridedge_env.scenarios import Variation, load_days
from gridedge_env.simulator import Simulator
from gridedge_env.state import Result, SimulatorState
from gridedge_env.transfer import to_device, to_host

ADAM_BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class Learner:
    """All that training changes; policies and optimiser are updated in place.

    Attributes:
        policies: networks of all agents.
        optimiser: Adam over their weights.
        duals: multipliers of voltage, loading and unbalance, (steps, constraints) each.
        iteration: outer iterations done.
        seconds: training time so far.
    """

    policies: Policies
    optimiser: torch.optim.Optimizer
    duals: tuple[Tensor, ...]
    iteration: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Rollout:
    """What the agents saw and did on a batch of days.

    Attributes:
        start: the days at midnight.
        private: (steps, batch, agents, private entries) observations.
        shared: (steps, batch, shared entries) observations.
        outputs: (steps, batch, agents, action_size) of the networks.
        device_voltage: (steps, batch, 2 branches) approximate voltages to start power flows from.
    """

    start: SimulatorState
    private: Tensor
    shared: Tensor
    outputs: Tensor
    device_voltage: Tensor


def make_learner(config: TrainConfig, simulator: Simulator) -> Learner:
    """Fresh policies, optimiser and multipliers."""
    private = simulator.private_size
    shared = len(simulator.observation_fields) - private
    policies = Policies(
        simulator.num_agents,
        private,
        shared,
        simulator.action_size,
        config.hidden_sizes,
        config.seed,
        simulator.device,
    )
    optimiser = torch.optim.Adam(
        policies.parameters(), lr=config.learning_rate, betas=ADAM_BETAS, fused=True
    )
    flow = simulator.power_flow
    duals = tuple(
        torch.full((simulator.steps, len(names)), config.dual_initial, device=simulator.device)
        for names in (flow.node_names, flow.branch_names, flow.three_phase_buses)
    )
    return Learner(policies, optimiser, duals)


def iterate(
    config: TrainConfig, simulator: Simulator, learner: Learner
) -> tuple[Learner, dict[str, float]]:
    """One outer iteration.

    Returns:
        The learner after it, and its row of the log.
    """
    began = time.perf_counter()
    annealed = _annealed(config, learner)
    for group in learner.optimiser.param_groups:
        group["lr"] = annealed["learning_rate"]
    # The iteration's own source of randomness: resuming needs no generator state.
    random = np.random.default_rng([config.seed, learner.iteration])

    state = draw_state(config, simulator, random)
    rollout = roll_out(simulator, learner.policies, state, config.rollout_sweeps)
    rolled_out = time.perf_counter()

    limits = simulator.options.limits.tightened(config.voltage_margin, config.loading_margin)
    result, gradient, violations = objective_gradient(
        simulator, rollout, learner.duals, limits, config.quadratic_penalty
    )
    differentiated = time.perf_counter()

    clipped = improve_policies(
        learner.policies,
        learner.optimiser,
        rollout,
        gradient,
        annealed["trust_region"],
        config,
        random,
    )
    predicted, realised = improvement_on_first_day(
        simulator, learner, rollout, result, gradient, limits, config.quadratic_penalty
    )
    duals = ascend(config, learner.duals, violations)
    measured = to_host(
        {
            **outcome(result, violations),
            "dual_norm": torch.stack([dual.norm() for dual in duals]).norm(),
            "clip_fraction": clipped,
            "predicted_improvement": predicted,
            "realised_improvement": realised,
            "gradient_norm": gradient.norm(),
        }
    )
    ended = time.perf_counter()

    following = replace(
        learner,
        duals=duals,
        iteration=learner.iteration + 1,
        seconds=learner.seconds + ended - began,
    )
    row = {
        "iteration": following.iteration,
        "seconds": following.seconds,
        "environment_steps": following.iteration * config.batch_days * simulator.steps,
        **measured,
        **annealed,
        "steps_per_second": config.batch_days * simulator.steps / (ended - began),
        "seconds_rollout": rolled_out - began,
        "seconds_gradient": differentiated - rolled_out,
        "seconds_update": ended - differentiated,
    }
    return following, row


def draw_state(
    config: TrainConfig, simulator: Simulator, random: np.random.Generator
) -> SimulatorState:
    """A batch of training days at midnight, each departing from the observed one at random."""
    seed = int(random.integers(2**31))
    days = draw_days(config.batch_days, random)

    def drawn(deviation: float) -> Tensor:
        values = random.normal(0.0, deviation, len(days))
        return to_device(torch.from_numpy(values).to(simulator.dtype), simulator.device)

    varied = Variation(
        price_factor=drawn(config.price_variation).exp(),
        temperature_shift=drawn(config.temperature_variation),
        demand_factor=drawn(config.demand_variation).exp(),
    )
    return simulator.reset(split="train", seed=seed, days=days, variation=varied)


def draw_days(count: int, random: np.random.Generator) -> list[int]:
    """Training days, one from each of `count` equal groups by the spread of their prices.

    The few days on which everybody wants the same hour decide whether limits hold: every batch has
    some, and none has too many. Each day is drawn as often as any other.
    """
    spread = load_days("train").day_ahead_price.std(dim=1).argsort().tolist()
    edges = np.linspace(0, len(spread), count + 1) + random.uniform(0.0, len(spread))
    places = random.uniform(edges[:-1], edges[1:]) % len(spread)
    return [spread[int(place)] for place in places]


@torch.no_grad()
def roll_out(
    simulator: Simulator, policies: Policies, state: SimulatorState, sweeps: int
) -> Rollout:
    """Play the policies for a day; meters are read after a few sweeps of the power flow."""
    start, seen = state, []
    while state.step < simulator.steps:
        private, shared = simulator.observe_parts(state)
        output = policies.outputs(private.permute(1, 2, 0), shared.T).permute(2, 0, 1).contiguous()
        state = simulator.glance(state, to_leaning_action(output), sweeps)
        seen.append((private, shared, output, state.device_voltage))
    return Rollout(start, *(torch.stack(parts) for parts in zip(*seen, strict=True)))


def objective_gradient(
    simulator: Simulator,
    rollout: Rollout,
    duals: tuple[Tensor, ...],
    limits: Limits,
    quadratic_penalty: float,
) -> tuple[Result, Tensor, tuple[Tensor, ...]]:
    """Simulate a rollout's actions exactly and differentiate J with respect to them.

    Returns:
        The trajectory, dJ/da shaped like the actions, and of each kind the violations (steps,
        batch, constraints) in units of their scale.
    """
    actions = to_leaning_action(rollout.outputs).requires_grad_()
    result = simulator.simulate(rollout.start, actions, rollout.device_voltage)
    violations = result.scaled_violations(limits)
    objective = day_objective(result, violations, duals, quadratic_penalty).mean()
    (gradient,) = torch.autograd.grad(objective, actions)
    # Rest passes the gradient on; the ends of the range do not pull further out.
    beyond = ((actions >= 1.0) & (gradient < 0.0)) | ((actions <= -1.0) & (gradient > 0.0))
    gradient = torch.where(beyond, 0.0, gradient)
    return result, gradient, tuple(x.detach() for x in violations)


def day_objective(
    result: Result,
    violations: tuple[Tensor, ...],
    duals: tuple[Tensor, ...],
    quadratic_penalty: float,
) -> Tensor:
    """J of each day of a trajectory: (batch,) €."""
    objective = result.cost.sum(dim=(0, 2))
    for dual, x in zip(duals, violations, strict=True):
        price = dual[:, None, :] + 0.5 * quadratic_penalty * x
        objective = objective + (price * x).sum(dim=(0, 2))
    return objective


def improve_policies(
    policies: Policies,
    optimiser: torch.optim.Optimizer,
    rollout: Rollout,
    gradient: Tensor,
    trust_region: float,
    config: TrainConfig,
    random: np.random.Generator,
) -> Tensor:
    """Descend the clipped surrogate; agents do not interact here.

    Returns:
        The share of samples at the edge of the trust region in the last minibatch.
    """
    samples = samples_of(rollout, gradient)
    orders = np.stack([random.permutation(samples[0].shape[-1]) for _ in range(config.epochs)])
    return descend(policies, optimiser, samples, orders, config.minibatches, trust_region)


def samples_of(rollout: Rollout, gradient: Tensor) -> Samples:
    """What the policies learn from, with samples innermost: (agents, entries, samples).

    Returns:
        Private observations, shared ones (entries, samples), outputs, and the gradient, which is
        scaled to a root mean square of one over each agent's samples.
    """
    slope = gradient.flatten(0, 1).permute(1, 2, 0)
    scale = slope.square().mean(dim=(1, 2), keepdim=True).sqrt()
    return (
        rollout.private.flatten(0, 1).permute(1, 2, 0),
        rollout.shared.flatten(0, 1).T,
        rollout.outputs.flatten(0, 1).permute(1, 2, 0),
        slope / scale.clamp(min=torch.finfo(slope.dtype).tiny),
    )


def ascend(
    config: TrainConfig, duals: tuple[Tensor, ...], violations: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Raise each multiplier by the violations of its step and place, and let it leak."""
    return tuple(
        ((1.0 - config.dual_leak) * dual + config.dual_step * x.mean(dim=1)).clamp(min=0.0)
        for dual, x in zip(duals, violations, strict=True)
    )


@torch.no_grad()
def improvement_on_first_day(
    simulator: Simulator,
    learner: Learner,
    rollout: Rollout,
    result: Result,
    gradient: Tensor,
    limits: Limits,
    quadratic_penalty: float,
) -> tuple[Tensor, Tensor]:
    """How much J of the batch's first day fell, by the gradient and in truth, €.

    Positive where it fell. Where the two part, the trust region is too wide for the fleet's joint
    curvature.
    """
    first = _first_day(rollout.start)
    outputs = learner.policies.outputs(
        rollout.private[:, 0].permute(1, 2, 0), rollout.shared[:, 0].T
    ).permute(2, 0, 1)[:, None]
    days = rollout.outputs.shape[1]  # J, and so its gradient, is a mean over them
    predicted = -days * (gradient[:, :1] * (outputs - rollout.outputs[:, :1])).sum()

    def objective(trajectory: Result, day: slice) -> Tensor:
        violations = tuple(x[:, day] for x in trajectory.scaled_violations(limits))
        cost = replace(trajectory, cost=trajectory.cost[:, day])
        return day_objective(cost, violations, learner.duals, quadratic_penalty)

    after = simulator.simulate(first, to_leaning_action(outputs), rollout.device_voltage[:, :1])
    realised = objective(result, slice(0, 1)) - objective(after, slice(0, 1))
    return predicted, realised[0]


def _first_day(state: SimulatorState) -> SimulatorState:
    """The first day of a batch."""
    day = state.day
    return replace(
        state,
        day=replace(
            day,
            table_row=day.table_row[:1],
            outdoor_temperature=day.outdoor_temperature[:1],
            irradiance=day.irradiance[:1],
            import_price=day.import_price[:1],
            export_price=day.export_price[:1],
            demand=day.demand[:1],
            shared_observation=day.shared_observation[:1],
        ),
        energy=state.energy[:1],
        temperature=state.temperature[:1],
        loading=state.loading[:1],
        device_voltage=state.device_voltage[:1],
    )


def _annealed(config: TrainConfig, learner: Learner) -> dict[str, float]:
    """Trust region and learning rate: both fall geometrically with the share of the run done."""
    done = progress(config, learner)
    return {
        "trust_region": config.trust_region
        * (config.final_trust_region / config.trust_region) ** done,
        "learning_rate": config.learning_rate
        * (config.final_learning_rate / config.learning_rate) ** done,
    }


def progress(config: TrainConfig, learner: Learner) -> float:
    """Share of the run that is done, 0 to 1: by the clock where it has a budget of seconds."""
    if config.seconds is not None:
        return min(learner.seconds / config.seconds, 1.0)
    return min(learner.iteration / config.iterations, 1.0)


@torch.no_grad()
def outcome(result: Result, violations: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Cost and violations of a trajectory for the log, scalars."""
    row = {"cost": result.cost.sum(dim=(0, 2)).mean()}
    kinds = {
        "voltage": result.voltage_violation,
        "loading": result.loading_violation,
        "unbalance": result.unbalance_violation,
    }
    for (kind, violation), tightened in zip(kinds.items(), violations, strict=True):
        row[f"{kind}_violation"] = tightened.mean(dim=1).sum()
        row[f"{kind}_steps"] = (violation.amax(dim=-1) > TOLERANCE).float().mean()
    row["powerflow_residual"] = result.solution.residual.max()
    row["powerflow_iterations"] = result.solution.iterations.float().mean()
    row["nonconverged"] = (~result.converged).sum()
    return row

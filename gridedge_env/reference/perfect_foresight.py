"""Perfect foresight: the best that a central planner could do who knew the whole day.

A floor on cost for decentralised policies. Each battery starts from its own best schedule at the
day's prices; then gradient descent on all actions of all agents, through the same differentiable
simulator, with the network's limits as an augmented Lagrangian. The best found:
in terms of actions the problem is not convex (an empty battery does not feel that it should have
kept its energy), which is why the start matters. How far it is from the best, `lower_bound` says.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gridedge_env.devices.battery import action_for_change
from gridedge_env.devices.battery_schedule import Levels, battery_schedule
from gridedge_env.simulator import HOURS_PER_STEP, Simulator
from gridedge_env.state import SimulatorState

# Planned with this much room to the limits, so that what is left of the violations is inside them.
VOLTAGE_MARGIN = 0.0005
LOADING_MARGIN = 0.006
# How far an action moves in one of Adam's first steps. A battery that rests all day on its own does
# best near rest with the limits, too; long strides would only wear it out around zero.
BATTERY_STRIDE = 0.04
IDLE_BATTERY_STRIDE = 0.01
STRIDE = 0.2
FINAL_SHARE_OF_STRIDE = 0.02
DUAL_STEP = 150.0
QUADRATIC_PENALTY = 400.0
# The limits' weight grows to its full size over this share of the iterations, from this much of
# it. All at once, every battery would recoil together and only slowly find back.
RAMP_SHARE = 0.4
RAMP_START = 0.02


def perfect_foresight(
    simulator: Simulator,
    state: SimulatorState,
    iterations: int = 300,
    progress: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """Plan each day.

    Args:
        simulator: the case.
        state: midnight, as `reset` returns it.
        iterations: gradient steps.
        progress: called with the number of iterations done.

    Returns:
        Actions (steps, batch, agents, action_size) in [-1, 1], for `simulator.simulate`.

    Raises:
        ValueError: fewer than one iteration.
    """
    if iterations < 1:
        raise ValueError(f"iterations: got {iterations}, expected at least 1")
    limits = simulator.options.limits.tightened(VOLTAGE_MARGIN, LOADING_MARGIN)
    start = _selfish_plan(simulator, state)
    stride = _strides(simulator, start)
    moves = torch.zeros_like(start).requires_grad_()
    optimiser = torch.optim.Adam([moves], lr=1.0, betas=(0.9, 0.99))
    anneal = torch.optim.lr_scheduler.ExponentialLR(
        optimiser, FINAL_SHARE_OF_STRIDE ** (1.0 / iterations)
    )
    duals: tuple[Tensor, ...] = ()
    voltage = None
    for iteration in range(iterations):
        result = simulator.simulate(state, start + stride * moves, voltage)
        voltage = result.solution.device_voltage.unflatten(0, start.shape[:2])
        violations = result.scaled_violations(limits)
        duals = duals or tuple(torch.zeros_like(x) for x in violations)
        weight = RAMP_START ** max(0.0, 1.0 - iteration / (RAMP_SHARE * iterations))
        objective = result.cost.sum() + sum(
            (dual * x + 0.5 * weight * QUADRATIC_PENALTY * x * x).sum()
            for dual, x in zip(duals, violations, strict=True)
        )
        optimiser.zero_grad(set_to_none=True)
        objective.backward()
        optimiser.step()
        anneal.step()
        with torch.no_grad():
            moves.copy_(((start + stride * moves).clamp(-1.0, 1.0) - start) / stride)
            for dual, x in zip(duals, violations, strict=True):
                dual.add_(weight * DUAL_STEP * x)
        progress(iteration + 1)
    return (start + stride * moves).detach().clamp(-1.0, 1.0)


def _strides(simulator: Simulator, start: Tensor) -> Tensor:
    """Stride of every agent on every day: (1, batch, agents, action_size)."""
    stride = torch.full_like(start[:1], STRIDE)
    batteries = simulator.fleet.counts[0]
    busy = (start[:, :, :batteries, :1].abs() > 1e-3).any(dim=0, keepdim=True)
    stride[:, :, :batteries, :1] = torch.where(busy, BATTERY_STRIDE, IDLE_BATTERY_STRIDE)
    return stride


def _selfish_plan(simulator: Simulator, state: SimulatorState) -> Tensor:
    """Actions that follow each battery's own best schedule; everything else half-way.

    Returns:
        (steps, batch, agents, action_size).
    """
    batteries, count = simulator.fleet.batteries, simulator.fleet.counts[0]
    shape = (simulator.steps, len(state.energy), simulator.num_agents, simulator.action_size)
    plan = torch.zeros(shape, device=simulator.device, dtype=simulator.dtype)
    levels = Levels.of(batteries, HOURS_PER_STEP)
    path = battery_schedule(batteries, levels, state.energy, state.day.import_price, HOURS_PER_STEP)
    energy = state.energy
    for t, target in enumerate(path):
        left = (simulator.steps - t - 1) * HOURS_PER_STEP
        plan[t, :, :count, 0] = action_for_change(
            batteries, energy, target - energy, HOURS_PER_STEP, left
        )
        energy = target
    return plan

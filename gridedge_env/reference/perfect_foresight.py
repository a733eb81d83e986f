"""Perfect foresight: the best that a central planner could do who knew the whole day.

A floor on cost for decentralised policies. Each battery starts from its own best schedule at the
day's prices; then gradient descent on all actions of all agents, through the same differentiable
simulator, with the network's limits as an augmented Lagrangian. The best found:
in terms of actions the problem is not convex (an empty battery does not feel that it should have
kept its energy), which is why the start matters. How far it is from the best, `lower_bound` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import torch
from torch import Tensor
from torch.nn import functional

from gridedge_env.checks import check_whole_number
from gridedge_env.reference.policies import play
from gridedge_env.reference.rules import Idle
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

# Planned with this much room to the limits, so that what is left of the violations is inside them.
VOLTAGE_MARGIN = 0.0005
LOADING_MARGIN = 0.006
# How far an action moves in one of Adam's first steps, where its kind has no better idea.
STRIDE = 0.2
FINAL_SHARE_OF_STRIDE = 0.02
DUAL_STEP = 150.0
QUADRATIC_PENALTY = 400.0
# The limits' weight grows to its full size over this share of the iterations, from this much of
# it. All at once, every battery would recoil together and only slowly find back.
RAMP_SHARE = 0.4
RAMP_START = 0.02
# Steps of agents, over days, that are planned at once: a gradient holds a quarter of a kB of each.
AT_ONCE = 2_000_000


def perfect_foresight(
    simulator: Simulator,
    state: SimulatorState,
    iterations: int = 300,
    progress: Callable[[float], None] = lambda share: None,
    absent: Tensor | None = None,
) -> Tensor:
    """Plan each day; of large fleets a few days at a time, for the memory.

    Args:
        simulator: the case.
        state: midnight, as `reset` returns it.
        iterations: gradient steps.
        progress: called with the share of all that is done, after each iteration.
        absent: (agents,) bool, homes whose devices do as `Idle` says, which the planner knows.

    Returns:
        Actions (steps, batch, agents, action_size) in [-1, 1], for `simulator.simulate`.

    Raises:
        ValueError: fewer than one iteration.
    """
    check_whole_number(iterations, 1, "iterations")
    days, steps, agents = state.day.demand.shape
    some = max(1, AT_ONCE // (steps * agents))
    parts = [state.take(slice(start, start + some)) for start in range(0, days, some)]
    done = count(1)

    def tell() -> None:
        progress(next(done) / (iterations * len(parts)))

    return torch.cat([_plan(simulator, part, iterations, tell, absent) for part in parts], dim=1)


def _plan(
    simulator: Simulator,
    state: SimulatorState,
    iterations: int,
    tell: Callable[[], None],
    absent: Tensor | None,
) -> Tensor:
    """`perfect_foresight` of days at once; `tell` is called after each iteration."""
    limits = simulator.case.limits.tightened(voltage=VOLTAGE_MARGIN, loading=LOADING_MARGIN)
    start, stride = _lone_plans(simulator, state)
    reach = stride
    if absent is not None:
        idle = torch.stack([action for _, action, _ in play(simulator, Idle(simulator), state)])
        start = torch.where(absent[:, None], idle, start)
        reach = stride.masked_fill(absent[:, None], 0.0)
    moves = torch.zeros_like(start).requires_grad_()
    optimiser = torch.optim.Adam([moves], lr=1.0, betas=(0.9, 0.99))
    anneal = torch.optim.lr_scheduler.ExponentialLR(
        optimiser, FINAL_SHARE_OF_STRIDE ** (1.0 / iterations)
    )
    duals: dict[str, Tensor] = {}
    voltage = None
    for iteration in range(iterations):
        result = simulator.simulate(state, start + reach * moves, voltage)
        voltage = result.solution.device_voltage.unflatten(0, start.shape[:2])
        violations = result.scaled_violations(limits)
        duals = duals or {kind: torch.zeros_like(x) for kind, x in violations.items()}
        weight = RAMP_START ** max(0.0, 1.0 - iteration / (RAMP_SHARE * iterations))
        objective = result.cost.sum() + sum(
            (duals[kind] * x + 0.5 * weight * QUADRATIC_PENALTY * x * x).sum()
            for kind, x in violations.items()
        )
        optimiser.zero_grad(set_to_none=True)
        objective.backward()
        optimiser.step()
        anneal.step()
        with torch.no_grad():
            moves.copy_(((start + reach * moves).clamp(-1.0, 1.0) - start) / stride)
            for kind, x in violations.items():
                duals[kind].add_(weight * DUAL_STEP * x)
        tell()
    return (start + reach * moves).detach().clamp(-1.0, 1.0)


def _lone_plans(simulator: Simulator, state: SimulatorState) -> tuple[Tensor, Tensor]:
    """What each device would do on its own, and how far a first step may go from it.

    Returns:
        (steps, batch, agents, action_size), and the strides (1, batch, agents, action_size).
    """
    fleet, day, plans, strides = simulator.fleet, state.day, [], []
    for group, own in zip(fleet.groups, state.devices, strict=True):
        behind = replace(
            day,
            demand=day.demand[..., group.agent],
            mean_demand=day.mean_demand[group.agent],
        )
        plans.append(group.kind.lone_plan(group.parameters, own, behind))
        strides.append(group.kind.plan_stride(plans[-1], STRIDE))
    plan, stride = fleet.actions(plans), fleet.actions(strides)
    reactive = simulator.action_size - plan.shape[-1]
    stride = stride.masked_fill(stride == 0.0, STRIDE)  # where there is no device, any will do
    return functional.pad(plan, (0, reactive)), functional.pad(stride, (0, reactive), value=STRIDE)

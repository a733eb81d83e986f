"""The batched simulator: steps without gradients, and whole days with them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import gridedge_env
from benchmarks.records import Cell, Measurement, Spread, Table, Target
from benchmarks.suite import Settings
from benchmarks.timing import repeated, take_turns
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

AGENTS = 1_000
BATCHES: tuple[int, ...] = (1, 8, 64, 128, 512)
DAYS: tuple[int, ...] = (1, 8, 32)
MORE_ON_A_GPU = (4_096,)
STEPS = 12
LEAST_STEPS = {"cpu": 20_000.0, "cuda": 1_000_000.0}  # a second


def measure(settings: Settings) -> Measurement:
    """Steps at every batch, then days."""
    on_cpu = settings.device.type == "cpu"
    batches, days = BATCHES, DAYS
    if settings.quick:
        batches, days = BATCHES[:2], DAYS[:1]
    elif not on_cpu:
        batches += MORE_ON_A_GPU
    simulator = gridedge_env.make_simulator(num_agents=AGENTS, device=settings.device)
    stepped = tuple(_step_row(simulator, batch, settings) for batch in batches)
    whole = tuple(_day_row(simulator, batch, settings) for batch in days)
    best = max(row[1].median for row in stepped if isinstance(row[1], Spread))
    what = f"batched simulator, 1,000 agents, {settings.where}, at its fastest batch"
    bound = LEAST_STEPS.get(settings.device.type, LEAST_STEPS["cpu"])
    return Measurement(
        "simulator",
        f"{AGENTS:,} agents on IEEE 123 in single precision, on {settings.where}. A step is "
        "one half-hour of one environment: devices, exact power flow, costs, reward, and the next "
        "observations.",
        (
            Table("Step by step, without gradients.", ("batch", *_STEP), stepped),
            Table(
                "Whole days at once under known actions (`simulate`): reward; with gradients, "
                "those of its sum with respect to all actions as well.",
                ("days", *_DAY),
                whole,
            ),
        ),
        (Target(what, best, bound, True, "environment steps/s"),),
    )


_STEP = ("environment steps/s", "ms a batched step")
_DAY = ("environment steps/s, forward", "environment steps/s, with gradients", "ms, with gradients")


def _step_row(simulator: Simulator, batch: int, settings: Settings) -> tuple[Cell, ...]:
    steps = 2 if settings.quick else STEPS
    sampler = repeated(step_by_step(simulator, batch, steps), settings.device)
    samples = take_turns({"": sampler}, settings.either(4.0, 0.0))[""]
    rate, each = Spread.of_rates(samples, steps * batch), Spread.of(samples, 1e3 / steps)
    return (batch, rate, each)


def step_by_step(simulator: Simulator, batch: int, steps: int) -> Callable[[], Tensor]:
    """Work: the first steps of a batch of days, each observed and rewarded."""
    begin = simulator.reset(batch_size=batch)
    actions = _draw_actions(simulator, batch, steps)

    @torch.no_grad()
    def work() -> Tensor:
        state, rewards = begin, torch.zeros(())
        for action in actions:
            state, result = simulator.step(state, action)
            rewards = result.reward
            simulator.observe(state)
        return rewards

    return work


def _day_row(simulator: Simulator, batch: int, settings: Settings) -> tuple[Cell, ...]:
    begin = simulator.reset(batch_size=batch)
    actions = _draw_actions(simulator, batch, simulator.clock.steps)
    work = {
        "forward": lambda: simulate(simulator, begin, actions),
        "gradients": lambda: simulate_with_gradients(simulator, begin, actions),
    }
    samplers = {name: repeated(call, settings.device) for name, call in work.items()}
    samples = take_turns(samplers, settings.either(4.0, 0.0))
    total = batch * simulator.clock.steps
    rates = [Spread.of_rates(seconds, total) for seconds in samples.values()]
    return (batch, *rates, Spread.of(samples["gradients"], 1e3))


@torch.no_grad()
def simulate(simulator: Simulator, begin: SimulatorState, actions: Tensor) -> Tensor:
    """Reward of every step and agent."""
    return simulator.simulate(begin, actions).reward


def simulate_with_gradients(simulator: Simulator, begin: SimulatorState, actions: Tensor) -> Tensor:
    """Gradient of the sum of rewards with respect to the actions."""
    leaf = actions.clone().requires_grad_()
    total = simulator.simulate(begin, leaf).reward.sum()
    (gradient,) = torch.autograd.grad(total, leaf)
    return gradient


def _draw_actions(simulator: Simulator, batch: int, steps: int) -> Tensor:
    """(steps, batch, agents, 1) from -0.5 to 0.5: far enough from where power flows fail."""
    generator = torch.Generator().manual_seed(0)
    shape = (steps, batch, simulator.num_agents, simulator.action_size)
    actions = torch.rand(shape, generator=generator) - 0.5
    return actions.to(simulator.device, simulator.dtype)

"""How time grows with nodes, agents and steps; how much memory is used at most."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import torch

import gridedge_env
from benchmarks.power_flow import FEEDERS, MICROSECONDS, draw_power, forward, with_gradients
from benchmarks.records import Cell, Measurement, Spread, Table
from benchmarks.simulator import simulate, step_by_step
from benchmarks.suite import Settings
from benchmarks.timing import repeated, take_turns
from gridedge_env import PowerFlow, load_feeder

BATCH = 64
AGENTS = (10, 100, 1_000, 10_000)
DAYS = 8
STEPS = (1, 3, 12, 48)
TRAINED = (1_000, 10_000)


def measure(settings: Settings) -> Measurement:
    """Three curves and a table of memory."""
    count = 2 if settings.quick else None
    memory, notes = _memory(() if settings.quick else settings.agents or TRAINED, settings)
    return Measurement(
        "growth",
        f"Power flow: batch of {BATCH}, double precision, every feeder's own loads. Simulator: "
        f"{DAYS} days at once on IEEE 123, single precision. Memory: the most that a fresh process "
        f"ever held. All on {settings.where}.",
        (
            Table(
                "Power flow over nodes, µs a flow.",
                ("nodes", "forward", "with gradients", "loads"),
                tuple(_nodes(settings, FEEDERS[:count])),
            ),
            Table(
                "A simulator's step over agents, ms.",
                ("agents", f"a step of {DAYS} days"),
                tuple(_agents(settings, AGENTS[:count])),
            ),
            Table(
                "`simulate` over steps of the day, ms.",
                ("steps", f"{DAYS} days, 1,000 agents, forward"),
                tuple(_steps(settings, STEPS[:count])),
            ),
            Table("Most memory, MiB.", ("process", "MiB"), memory),
        ),
        notes=notes,
    )


def _nodes(settings: Settings, feeders: tuple[str, ...]) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for name in feeders:
        flow = PowerFlow(load_feeder(name), device=settings.device)
        power = draw_power(flow, BATCH)
        samplers = {
            "forward": repeated(forward(flow, power), settings.device),
            "gradients": repeated(with_gradients(flow, power), settings.device),
        }
        samples = take_turns(samplers, settings.either(3.0, 0.0))
        spreads = [Spread.of(values, MICROSECONDS / BATCH) for values in samples.values()]
        rows.append((len(flow.node_names), *spreads, len(flow.injection_names)))
    return rows


def _agents(settings: Settings, sizes: tuple[int, ...]) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for agents in sizes:
        simulator = gridedge_env.make_simulator(num_agents=agents, device=settings.device)
        steps = 4
        sampler = repeated(step_by_step(simulator, DAYS, steps), settings.device)
        samples = take_turns({"": sampler}, settings.either(3.0, 0.0))[""]
        rows.append((agents, Spread.of(samples, 1e3 / steps)))
    return rows


def _steps(settings: Settings, counts: tuple[int, ...]) -> list[tuple[Cell, ...]]:
    simulator = gridedge_env.make_simulator(device=settings.device)
    begin = simulator.reset(batch_size=DAYS)
    samplers = {}
    for steps in counts:
        actions = torch.zeros(steps, DAYS, 1_000, 1, device=settings.device)
        work = partial(simulate, simulator, begin, actions)
        samplers[str(steps)] = repeated(work, settings.device)
    samples = take_turns(samplers, settings.either(6.0, 0.0))
    return [(steps, Spread.of(samples[str(steps)], 1e3)) for steps in counts]


# --- Memory ---------------------------------------------------------------------------------------

IMPORT_TORCH = "import torch"
IMPORT = "import gridedge_env"
STEP = """
import gridedge_env
environment = gridedge_env.parallel_env(num_agents=1000, device="{device}")
environment.reset()
environment.step(dict((a, environment.action_space(a).sample()) for a in environment.agents))
"""
TRAIN = """
from dataclasses import replace
from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner
config = TrainConfig(case=replace(USUAL_CASE, num_agents={agents}), device="{device}")
simulator = config.make_simulator()
learner = make_learner(config, simulator)
for _ in range(2):
    learner, _ = iterate(config, simulator, learner)
"""
TELL = """
from benchmarks.memory import most_held
print(most_held())
"""


def _memory(
    trained: tuple[int, ...], settings: Settings
) -> tuple[tuple[tuple[Cell, ...], ...], tuple[str, ...]]:
    """Rows, and what could not be measured."""
    where = settings.device
    programs = {"import torch": IMPORT_TORCH, "import gridedge_env": IMPORT}
    if not settings.quick:
        programs["a step of 1,000 agents through dictionaries"] = STEP.format(device=where)
    programs |= {
        f"two iterations of GradMAP, {n:,} agents": TRAIN.format(agents=n, device=where)
        for n in trained
    }
    rows: list[tuple[Cell, ...]] = []
    notes = []
    for name, program in programs.items():
        limited = f"import torch; torch.set_num_threads({settings.threads})\n"
        done = subprocess.run(
            [sys.executable, "-c", limited + program + TELL],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            notes.append(f"Memory of {name}: {done.stderr.strip().splitlines()[-1]}")
        else:
            rows.append((name, Spread.of([int(done.stdout.split()[-1]) / 2**20])))
    return tuple(rows), tuple(notes)

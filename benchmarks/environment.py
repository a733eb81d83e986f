"""`env.step` through dictionaries, beside other environments and beside doing nothing."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from pettingzoo import ParallelEnv

import gridedge_env
from benchmarks.peers import why_missing
from benchmarks.records import Cell, Measurement, Spread, Table, Target
from benchmarks.suite import Settings
from benchmarks.timing import Sampler, once, take_turns, threads

SIZES = (10, 100, 1_000, 10_000)
STEPS = 47  # of the day's 48, so that no episode ends
LEAST_STEPS = 1_000.0  # a second, 1,000 agents, one core


@dataclass(frozen=True)
class Contender:
    """An environment to be stepped.

    Attributes:
        simulates: what a step computes.
        agents: who act; 1 where one agent acts for all.
        sampler: seconds a step.
    """

    simulates: str
    agents: int
    sampler: Sampler


def measure(settings: Settings) -> Measurement:
    """Ours and one that does nothing at each size, then the others."""
    sizes = SIZES[:2] if settings.quick else SIZES
    steps = 3 if settings.quick else STEPS
    rows: list[tuple[Cell, ...]] = []
    targets: list[Target] = []
    with threads(1):
        for size in sizes:
            nothing = Contender("nothing: dictionaries only", size, _steps_of(Nothing(size), steps))
            rows += _rows(_ours(size, steps, settings) | {"PettingZoo alone": nothing}, settings)
            if size == 1_000:
                speed = rows[-3][3]
                assert isinstance(speed, Spread)
                what = "env.step with 1,000 agents through dictionaries, one core"
                targets.append(Target(what, speed.median, LEAST_STEPS, True, "steps/s"))
        others, notes = _others(settings)
        rows += _rows(others, settings)
    return Measurement(
        "environment",
        "Steps through the dictionaries of PettingZoo's ParallelEnv, or whatever a peer's own "
        "interface is, with fixed random actions, on one core; resets are not counted. Ours: the "
        f"{STEPS if not settings.quick else steps} first half-hours of a day, devices, exact "
        "three-phase power flow of IEEE 123, observations, rewards. The environment that does "
        "nothing hands out arrays of the same shapes: what the interface itself costs.",
        (Table("", HEADER, tuple(rows)),),
        tuple(targets),
        tuple(notes),
    )


HEADER = ("environment", "a step simulates", "agents", "steps/s", "agent steps/s")


def _rows(contenders: dict[str, Contender], settings: Settings) -> list[tuple[Cell, ...]]:
    samplers = {name: contender.sampler for name, contender in contenders.items()}
    samples = take_turns(samplers, settings.either(5.0, 0.0))
    return [
        (
            name,
            contender.simulates,
            contender.agents,
            Spread.of_rates(samples[name]),
            Spread.of_rates(samples[name], contender.agents),
        )
        for name, contender in contenders.items()
    ]


def _ours(size: int, steps: int, settings: Settings) -> dict[str, Contender]:
    """Through dictionaries, and through arrays."""
    environment = gridedge_env.parallel_env(num_agents=size, device=settings.device)
    array = np.array(list(_random_actions(environment).values()))
    by_array = _sampler(environment, lambda: environment.step_array(array), steps)
    what = "homes, three-phase AC power flow"
    return {
        "GridEdge": Contender(what, size, _steps_of(environment, steps)),
        "GridEdge, step_array": Contender(what, size, by_array),
    }


def _steps_of(environment: ParallelEnv[Any, Any, Any], steps: int) -> Sampler:
    """Seconds a step through dictionaries: those of the first steps of an episode."""
    actions = _random_actions(environment)
    return _sampler(environment, lambda: environment.step(actions), steps)


def _random_actions(environment: ParallelEnv[Any, Any, Any]) -> dict[str, Any]:
    random = np.random.default_rng(0)
    environment.reset(seed=0)
    actions = {}
    for agent in environment.agents:
        space = environment.action_space(agent)
        space.seed(int(random.integers(2**31)))
        actions[agent] = space.sample()
    return actions


def _sampler(
    environment: ParallelEnv[Any, Any, Any], step: Callable[[], object], steps: int
) -> Sampler:
    def play() -> None:
        for _ in range(steps):
            step()

    def sample() -> float:
        environment.reset(seed=0)
        return once(play) / steps

    sample()
    return sample


class Nothing(ParallelEnv[str, Any, Any]):
    """Observations, rewards and infos of the shapes of ours, and nothing behind them."""

    metadata = {"name": "nothing"}  # noqa: RUF012

    def __init__(self, agents: int) -> None:
        self.possible_agents = [f"agent_{k}" for k in range(agents)]
        self.agents = self.possible_agents
        fields = len(gridedge_env.make_simulator("ieee13", 3).observation_fields)
        self._observations = np.zeros((agents, fields), np.float32)
        self._action_space = Box(-1.0, 1.0, (1,), np.float32)

    def action_space(self, agent: str) -> Box:
        """One number."""
        return self._action_space

    def reset(self, seed: int | None = None, options: dict | None = None) -> Any:
        """Nothing to begin."""
        return dict(zip(self.agents, self._observations, strict=True)), {}

    def step(self, actions: dict[str, Any]) -> Any:
        """Stack the actions; hand out what a step has to."""
        stacked = np.stack([actions[agent] for agent in self.agents])
        rewards = stacked[:, 0].tolist()
        return (
            dict(zip(self.agents, self._observations, strict=True)),
            dict(zip(self.agents, rewards, strict=True)),
            dict.fromkeys(self.agents, False),
            dict.fromkeys(self.agents, False),
            {a: {"cost": r, "violation": 0.0} for a, r in zip(self.agents, rewards, strict=True)},
        )


# --- Others' --------------------------------------------------------------------------------------


def _others(settings: Settings) -> tuple[dict[str, Contender], list[str]]:
    found: dict[str, Contender] = {}
    notes = []
    for package, make in OTHERS.items():
        try:
            importlib.import_module(package)
            found |= make(settings)
        except Exception as error:  # whatever else is wrong with it is theirs
            notes.append(why_missing(package, error))
    return found, notes


def _particles(settings: Settings) -> dict[str, Contender]:
    """Multi-particle environments by Farama, of PettingZoo's own kind."""
    from mpe2 import simple_spread_v3

    return {
        f"mpe2, simple_spread_v3, {size}": Contender(
            "moving particles, no power flow",
            size,
            _steps_of(simple_spread_v3.parallel_env(N=size, max_cycles=1_000), 3),
        )
        for size in (SIZES[:1] if settings.quick else SIZES[:2])
    }


def _transmission(settings: Settings) -> dict[str, Contender]:
    """Grid2Op's 14-bus sandbox with its own default backend."""
    import warnings

    import grid2op

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        environment = grid2op.make("l2rpn_case14_sandbox", test=True)
        environment.reset()
        nothing = environment.action_space({})

        def sample() -> float:
            spent, steps = 0.0, 3
            for _ in range(steps):
                began = time.perf_counter()
                *_, done, _ = environment.step(nothing)
                spent += time.perf_counter() - began
                if done:
                    environment.reset()
            return spent / steps

        sample()
    simulates = "14-bus transmission grid, balanced power flow"
    return {"grid2op, l2rpn_case14_sandbox": Contender(simulates, 1, sample)}


OTHERS = {"mpe2": _particles, "grid2op": _transmission}

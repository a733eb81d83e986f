"""Out-of-sample tests: methods play the same days, with the exact power flow, and are compared.

The test days come from a year and a site, and their demand from homes, that no training has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gridedge_env.checks import check_callable, check_type, check_whole_number
from gridedge_env.constraints import Limits
from gridedge_env.day import Window
from gridedge_env.limit import Limit
from gridedge_env.record import Record, batch
from gridedge_env.reference import (
    Idle,
    PlanFollowing,
    Policy,
    PriceFollowing,
    Thermostat,
    perfect_foresight,
    play,
)
from gridedge_env.simulator import Simulator
from gridedge_env.state import Result, SimulatorState

# A violation counts from here: ten times the rounding of single precision, a tenth of any meter's
# error.
TOLERANCE = 1e-5

FORESIGHT = "perfect_foresight"


@dataclass(frozen=True, eq=False)
class Episode(Record):
    """One method on all evaluated days: NumPy arrays, whose batch are the days.

    Episodes of several days are cut into theirs.

    Attributes:
        cost: (days,) € of the whole fleet.
        agent_cost: (days, agents) € of every customer.
        agent_electricity: (days, agents) € of it that the meter bills; the rest are wear, fuel and
            discomfort.
        agent_moved: (days, agents) kWh that the meter drew more, or less, than at rest, step by
            step; the larger of the two. 0 if that is not known.
        quantities: (days, steps, places) what is limited, by kind of limit: "voltage", "loading",
            ...
        converged: (days, steps) bool.
        power: (days, steps, agents) kW at every meter.
        store: (days, steps, devices) the state of every device before the step, from 0 to 1 of its
            range, in the order of the fleet's groups; sun can warm rooms beyond it.
    """

    cost: np.ndarray = field(metadata=batch())
    agent_cost: np.ndarray = field(metadata=batch())
    agent_electricity: np.ndarray = field(metadata=batch())
    agent_moved: np.ndarray = field(metadata=batch())
    quantities: Mapping[str, np.ndarray] = field(metadata=batch())
    converged: np.ndarray = field(metadata=batch())
    power: np.ndarray = field(metadata=batch())
    store: np.ndarray = field(metadata=batch())

    @property
    def fleet_power(self) -> np.ndarray:
        """(days, steps) kW, all meters together."""
        return self.power.sum(axis=-1)


@dataclass(frozen=True, eq=False)
class Evaluation(Record):
    """What was evaluated and how it went.

    Attributes:
        dates: (days,) ISO dates.
        import_price: (days, steps) €/kWh.
        outdoor_temperature: (days, steps) °C.
        agents: (agents,) their names.
        episodes: by method.
        iteration: of training, after which the learned policies were played.
        weights: a digest of theirs; "" where nothing is known of them.
    """

    dates: np.ndarray
    import_price: np.ndarray
    outdoor_temperature: np.ndarray
    agents: np.ndarray
    episodes: Mapping[str, Episode]
    iteration: int = 0
    weights: str = ""


def evaluation_days(simulator: Simulator, split: str, count: int) -> list[int]:
    """Rows at which `count` episodes begin, spread evenly over the split's year.

    Raises:
        ValueError: more than the split has, or none.
    """
    check_type(simulator, Simulator, "simulator", "a Simulator")
    starts = simulator.starts(split)
    available = len(starts)
    count = check_whole_number(count, 1, "days", available)
    return [starts[int((k + 0.5) * available / count)] for k in range(count)]


def evaluate(
    simulator: Simulator,
    policies: Mapping[str, Policy],
    days: list[int],
    split: str = "test",
    seed: int = 0,
    foresight_iterations: int = 300,
    progress: Callable[[str, float], None] = lambda method, share: None,
) -> Evaluation:
    """Play the given policies and the reference controllers on the same days.

    Args:
        simulator: the case.
        policies: learned policies by method name.
        days: rows of `simulator.days(split)` at which episodes begin.
        split: whose weather, prices and homes.
        seed: chooses demand and initial room temperatures.
        foresight_iterations: effort of the perfect-foresight optimum; 0 leaves it out.
        progress: called with the method at work and the share of it that is done.

    Raises:
        ValueError: an argument of another type, a policy with the name of a reference controller;
            or as of `simulator.reset`.
    """
    check_type(simulator, Simulator, "simulator", "a Simulator")
    check_type(policies, Mapping, "policies", "policies by the names of their methods")
    for name, policy in policies.items():
        check_callable(policy, f"policies[{name!r}]", "a Policy")
    check_callable(progress, "progress", "a function of a method and a share")
    check_type(days, Iterable, "days", "rows of the table of days")
    days = list(days)
    check_whole_number(foresight_iterations, 0, "foresight_iterations")
    state = simulator.reset(split=split, days=days, seed=seed)
    rules: dict[str, Policy] = {
        "idle": Idle(simulator),
        "thermostat": Thermostat(simulator),
        "price_following": PriceFollowing(simulator),
    }
    if simulator.case.public_plan:
        rules["plan_following"] = PlanFollowing(simulator)
    for name in (*rules, FORESIGHT):
        if name in policies:
            raise ValueError(
                f"policies: got one named {name!r}, expected names that no reference controller has"
            )
    at_rest = torch.stack([result.power for _, _, result in play(simulator, rules["idle"], state)])
    episodes = {}
    for method, policy in {**policies, **rules}.items():
        progress(method, 0.0)
        episodes[method] = record(simulator, state, policy, at_rest)
    if foresight_iterations:
        plan = perfect_foresight(
            simulator,
            state,
            foresight_iterations,
            partial(progress, FORESIGHT),
        )
        planned = iter(plan)
        episodes[FORESIGHT] = record(
            simulator, state, lambda private, shared: next(planned), at_rest
        )
    dates, clock = simulator.days(split).dates, simulator.clock
    every = [day + k for day in days for k in range(clock.days)]
    return Evaluation(
        np.array([dates[day].isoformat() for day in every]),
        _numpy(state.day.import_price).reshape(len(every), -1),
        _numpy(state.day.outdoor_temperature).reshape(len(every), -1),
        np.array(simulator.fleet.names),
        episodes,
    )


def record(
    simulator: Simulator, state: SimulatorState, policy: Policy, at_rest: Tensor | None = None
) -> Episode:
    """Play the days with the exact power flow and keep what the table and the report need.

    Args:
        simulator: the case.
        state: the days at midnight.
        policy: of all agents.
        at_rest: (steps, episodes, agents) kW at the meters when every device does least.
    """
    days = simulator.clock.days
    results: list[Result] = []
    stores: list[Tensor] = []
    for before, _, result in play(simulator, policy, state):
        stores.append(_stores(simulator, before))
        results.append(result)
    power = torch.stack([r.power for r in results])
    cost = torch.stack([r.cost for r in results])
    window = Window(state.day, state.step, len(power))
    electricity = window.with_electricity(torch.zeros_like(power), power)
    moved = simulator.clock.hours * (power - (power if at_rest is None else at_rest))
    more, less = (_sum_by_day(part, days) for part in (torch.relu(moved), torch.relu(-moved)))
    return Episode(
        cost=_numpy(_sum_by_day(cost.sum(dim=-1), days)),
        agent_cost=_numpy(_sum_by_day(cost, days)),
        agent_electricity=_numpy(_sum_by_day(electricity, days)),
        agent_moved=_numpy(torch.maximum(more, less)),
        quantities={
            kind.name: _by_day([r.quantities[kind.name] for r in results], days)
            for kind in simulator.case.limits
        },
        converged=_by_day([r.converged for r in results], days),
        power=_by_day([r.power for r in results], days),
        store=_by_day(stores, days),
    )


def outside_limits(episode: Episode, limits: Limits) -> dict[str, np.ndarray]:
    """Whether a step breaks its limits anywhere: (days, steps) bool for each kind of limit."""
    return {
        kind.name: kind.outside(episode.quantities[kind.name], episode.converged, TOLERANCE)
        for kind in limits
    }


def outside_any(episode: Episode, limits: Limits) -> np.ndarray:
    """Whether a step breaks any limit: (days, steps) bool."""
    return np.any(list(outside_limits(episode, limits).values()), axis=0)


def summarise(episode: Episode, limits: Limits) -> dict[str, float]:
    """The row of a method in the out-of-sample table.

    Returns:
        cost: € per day for the fleet. voltage_steps and the like of each kind of limit: share of
        day-steps outside. any_steps: share outside any of them. worst_voltage_violation, pu,
        worst_loading, current over rating, and the like. nonconverged: number of power flows.
    """
    outside = outside_limits(episode, limits)
    return {
        "cost": float(episode.cost.mean()),
        **{f"{kind}_steps": float(steps.mean()) for kind, steps in outside.items()},
        "any_steps": float(outside_any(episode, limits).mean()),
        **{kind.worst_name: kind.worst(episode.quantities[kind.name]) for kind in limits},
        "nonconverged": int((~episode.converged).sum()),
    }


def worst_moment(episode: Episode, kind: Limit) -> tuple[int, int]:
    """Day and step at which a limit is exceeded furthest somewhere, or most nearly reached.

    Power flows that did not converge have no voltages to speak of and are passed over.
    """
    excess = kind.excess(episode.quantities[kind.name]).max(axis=-1)
    solved = np.where(episode.converged, excess, -np.inf)
    day, step = np.unravel_index(solved.argmax(), solved.shape)
    return int(day), int(step)


def _stores(simulator: Simulator, state: SimulatorState) -> Tensor:
    """What `Episode.store` says of one step: (batch, devices)."""
    groups = zip(simulator.fleet.groups, state.devices, strict=True)
    return torch.cat([group.kind.stored(group.parameters, own) for group, own in groups], dim=-1)


def _sum_by_day(values: Tensor, days: int) -> Tensor:
    """From steps of episodes of so many days, (steps, batch, ...), to (all days, ...)."""
    return values.unflatten(0, (days, -1)).sum(dim=1).transpose(0, 1).flatten(0, 1)


def _by_day(steps: list[Tensor], days: int) -> np.ndarray:
    """From the steps of episodes of so many days, (batch, ...) each, to (all days, steps, ...)."""
    return _numpy(torch.stack(steps, dim=1).unflatten(1, (days, -1)).flatten(0, 1))


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()

"""Out-of-sample tests: methods play the same days, with the exact power flow, and are compared.

The test days come from a year and a site, and their demand from homes, that no training has seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from gridedge_env.limits import Limits
from gridedge_env.reference import Idle, Policy, PriceFollowing, Thermostat, perfect_foresight, play
from gridedge_env.simulator import Simulator
from gridedge_env.state import Result, SimulatorState

# A violation counts from here: ten times the rounding of single precision, a tenth of any meter's
# error.
TOLERANCE = 1e-5

SUMMARY_FILE = "evaluation.json"
EPISODES_FILE = "evaluation.npz"


@dataclass(frozen=True)
class Episode:
    """One method on all evaluated days: NumPy arrays.

    Attributes:
        cost: (days,) € of the whole fleet.
        voltage: (days, steps, nodes) pu.
        loading: (days, steps, branch phases) current over rating.
        unbalance: (days, steps, three-phase buses).
        converged: (days, steps) bool.
        fleet_power: (days, steps) kW, all meters together.
        example_power: (days, steps, kinds) kW at the meter of one agent of each kind that there is.
        example_store: (days, steps, kinds) its own state before the step: 0 to 1 of its range, of
            the comfort band for rooms, which sun can warm beyond it.
    """

    cost: np.ndarray
    voltage: np.ndarray
    loading: np.ndarray
    unbalance: np.ndarray
    converged: np.ndarray
    fleet_power: np.ndarray
    example_power: np.ndarray
    example_store: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """What was evaluated and how it went.

    Attributes:
        dates: (days,) ISO dates.
        import_price: (days, steps) €/kWh.
        outdoor_temperature: (days, steps) °C.
        examples: names of the example agents.
        episodes: by method.
    """

    dates: np.ndarray
    import_price: np.ndarray
    outdoor_temperature: np.ndarray
    examples: np.ndarray
    episodes: Mapping[str, Episode]


def evaluation_days(simulator: Simulator, split: str, count: int) -> list[int]:
    """`count` days spread evenly over the split's year.

    Raises:
        ValueError: more days than the split has, or none.
    """
    available = len(simulator.days(split).dates)
    if not 1 <= count <= available:
        raise ValueError(f"days: got {count}, expected 1 to {available}")
    return [int((k + 0.5) * available / count) for k in range(count)]


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
        days: rows of `simulator.days(split)`.
        split: whose weather, prices and homes.
        seed: chooses demand and initial room temperatures.
        foresight_iterations: effort of the perfect-foresight optimum; 0 leaves it out.
        progress: called with the method at work and the share of it that is done.
    """
    state = simulator.reset(split=split, days=days, seed=seed)
    rules: dict[str, Policy] = {
        "idle": Idle(simulator),
        "thermostat": Thermostat(simulator),
        "price_following": PriceFollowing(simulator),
    }
    episodes = {}
    for method, policy in {**policies, **rules}.items():
        progress(method, 0.0)
        episodes[method] = record(simulator, state, policy)
    if foresight_iterations:
        plan = perfect_foresight(
            simulator,
            state,
            foresight_iterations,
            lambda done: progress("perfect_foresight", done / foresight_iterations),
        )
        planned = iter(plan)
        episodes["perfect_foresight"] = record(
            simulator, state, lambda private, shared: next(planned)
        )
    dates = simulator.days(split).dates
    return Evaluation(
        np.array([dates[day].isoformat() for day in days]),
        _numpy(state.day.import_price),
        _numpy(state.day.outdoor_temperature),
        np.array([simulator.fleet.names[agent] for agent in _examples(simulator)]),
        episodes,
    )


def record(simulator: Simulator, state: SimulatorState, policy: Policy) -> Episode:
    """Play the days with the exact power flow and keep what the table and the report need."""
    agents = _examples(simulator)
    results: list[Result] = []
    stores: list[Tensor] = []
    for before, _, result in play(simulator, policy, state):
        stores.append(_stores(simulator, before)[:, agents])
        results.append(result)
    return Episode(
        cost=_numpy(torch.stack([r.cost.sum(dim=-1) for r in results]).sum(dim=0)),
        voltage=_by_day([r.voltage_magnitude for r in results]),
        loading=_by_day([r.loading for r in results]),
        unbalance=_by_day([r.unbalance for r in results]),
        converged=_by_day([r.converged for r in results]),
        fleet_power=_by_day([r.power.sum(dim=-1) for r in results]),
        example_power=_by_day([r.power[:, agents] for r in results]),
        example_store=_by_day(stores),
    )


def outside_limits(episode: Episode, limits: Limits) -> dict[str, np.ndarray]:
    """Whether a step breaks its limits anywhere: (days, steps) bool for each kind of limit.

    A step whose power flow did not converge counts as one outside its voltage limits.
    """
    loading = (episode.loading - limits.maximum_loading).max(axis=-1)
    unbalance = (episode.unbalance - limits.maximum_unbalance).max(axis=-1)
    return {
        "voltage": (_voltage_excess(episode, limits) > TOLERANCE) | ~episode.converged,
        "loading": loading > TOLERANCE,
        "unbalance": unbalance > TOLERANCE,
    }


def summarise(episode: Episode, limits: Limits) -> dict[str, float]:
    """The row of a method in the out-of-sample table.

    Returns:
        cost: € per day for the fleet. voltage_steps, loading_steps, unbalance_steps: share of
        day-steps outside limits. worst_voltage_violation: pu. worst_loading: current over rating.
        nonconverged: number of power flows.
    """
    return {
        "cost": float(episode.cost.mean()),
        **{f"{k}_steps": float(v.mean()) for k, v in outside_limits(episode, limits).items()},
        "worst_voltage_violation": float(np.maximum(_voltage_excess(episode, limits), 0.0).max()),
        "worst_loading": float(episode.loading.max()),
        "nonconverged": int((~episode.converged).sum()),
    }


def worst_moment(episode: Episode, limits: Limits) -> tuple[int, int]:
    """Day and step at which some voltage is furthest outside its band, or closest to leaving it.

    Power flows that did not converge have no voltages to speak of and are passed over.
    """
    solved = np.where(episode.converged, _voltage_excess(episode, limits), -np.inf)
    day, step = np.unravel_index(solved.argmax(), solved.shape)
    return int(day), int(step)


def save_evaluation(evaluation: Evaluation, limits: Limits, folder: Path) -> None:
    """Write the table as `evaluation.json` and the trajectories as `evaluation.npz`."""
    table = {name: summarise(episode, limits) for name, episode in evaluation.episodes.items()}
    arrays = {
        f"{method}/{field.name}": getattr(episode, field.name)
        for method, episode in evaluation.episodes.items()
        for field in fields(Episode)
    }
    about = {
        f.name: getattr(evaluation, f.name) for f in fields(Evaluation) if f.name != "episodes"
    }
    np.savez_compressed(folder / EPISODES_FILE, **arrays, **about)
    (folder / SUMMARY_FILE).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def load_evaluation(folder: Path) -> Evaluation:
    """Read `evaluation.npz` back.

    Raises:
        FileNotFoundError: the run has not been evaluated.
        ValueError: the file is damaged.
    """
    path = folder / EPISODES_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found, expected after gradmap-evaluate {folder}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            methods = dict.fromkeys(key.rpartition("/")[0] for key in arrays if "/" in key)
            episodes = {
                method: Episode(**{f.name: arrays[f"{method}/{f.name}"] for f in fields(Episode)})
                for method in methods
            }
            about = {f.name: arrays[f.name] for f in fields(Evaluation) if f.name != "episodes"}
    except (BadZipFile, EOFError, KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: damaged ({error}), expected what gradmap-evaluate writes"
        ) from error
    return Evaluation(**about, episodes=episodes)


def _voltage_excess(episode: Episode, limits: Limits) -> np.ndarray:
    """How far the worst node is outside the voltage band, negative inside: (days, steps) pu."""
    below = limits.minimum_voltage - episode.voltage
    above = episode.voltage - limits.maximum_voltage
    return np.maximum(below, above).max(axis=-1)


def _stores(simulator: Simulator, state: SimulatorState) -> Tensor:
    """What `Episode.example_store` says of all agents: (batch, agents)."""
    fleet, pumps = simulator.fleet, simulator.fleet.heat_pumps
    band = pumps.highest_temperature - pumps.lowest_temperature
    warmth = (state.temperature - pumps.lowest_temperature) / band
    return torch.cat((state.energy / fleet.batteries.capacity, warmth, state.loading), dim=-1)


def _examples(simulator: Simulator) -> list[int]:
    """The first agent of each kind that there is."""
    starts = np.cumsum([0, *simulator.fleet.counts[:-1]])
    return [int(s) for s, n in zip(starts, simulator.fleet.counts, strict=True) if n > 0]


def _by_day(steps: list[Tensor]) -> np.ndarray:
    return _numpy(torch.stack(steps, dim=1))


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()

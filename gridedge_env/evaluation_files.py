"""An evaluation as files: the table, and the trajectories behind it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from gridedge_env.constraints import Limits
from gridedge_env.evaluation import Episode, Evaluation, summarise
from gridedge_env.scenarios import SPLITS
from gridedge_env.simulator import Simulator
from gridedge_env.writing import to_disk, whole_file, write_whole
from gridedge_gateway.mistakes import one_line, regular_file
from gridedge_gateway.packing import arrays_of

SUMMARY_FILE = "evaluation.json"
EPISODES_FILE = "evaluation.npz"
# Of which there may be trajectories.
MOST_METHODS = 20


def save_evaluation(evaluation: Evaluation, limits: Limits, folder: Path) -> None:
    """Write the trajectories as `evaluation.npz`, and the table of these as `evaluation.json`.

    A kill at any instant leaves trajectories that are whole, and never the table of others.
    """
    table = {name: summarise(episode, limits) for name, episode in evaluation.episodes.items()}
    arrays: dict[str, Any] = {
        f"{method}/{name}": values
        for method, episode in evaluation.episodes.items()
        for name, values in _arrays(episode).items()
    }
    about = {
        f.name: getattr(evaluation, f.name) for f in fields(Evaluation) if f.name != "episodes"
    }
    with whole_file(folder / EPISODES_FILE) as file:
        np.savez_compressed(file, **arrays, **about)
        to_disk(file)
        (folder / SUMMARY_FILE).unlink(missing_ok=True)
    write_whole(folder / SUMMARY_FILE, json.dumps(table, indent=2) + "\n")


def load_evaluation(folder: Path, simulator: Simulator) -> Evaluation:
    """Read `evaluation.npz` back.

    Args:
        folder: that was saved to.
        simulator: of the case that was evaluated.

    Raises:
        FileNotFoundError: the run has not been evaluated.
        ValueError: the file is damaged, or about another case.
    """
    path = folder / EPISODES_FILE
    if not path.exists():
        expected = f"expected after gradmap-evaluate {folder}"
        raise FileNotFoundError(one_line(f"{path}: not found, {expected}"))
    try:
        arrays = arrays_of(regular_file(path), MOST_METHODS * _largest(simulator))
        methods = dict.fromkeys(key.rpartition("/")[0] for key in arrays if "/" in key)
        episodes = {
            method: _episode(
                {
                    key.removeprefix(f"{method}/"): values
                    for key, values in arrays.items()
                    if key.rpartition("/")[0] == method
                }
            )
            for method in methods
        }
        about: dict[str, Any] = {name: values for name, values in arrays.items() if "/" not in name}
        about |= {"iteration": int(about["iteration"]), "weights": str(about["weights"])}
        evaluation = Evaluation(**about, episodes=episodes)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: damaged ({error}), expected what gradmap-evaluate writes"
        ) from error
    try:
        _check(evaluation, simulator)
    except ValueError as error:
        raise ValueError(f"{path}: {error} as of {simulator.case.title}") from error
    return evaluation


def _shapes(simulator: Simulator, days: int) -> dict[str, tuple[int, ...]]:
    """Of an episode's arrays, by name, as `_arrays` has them."""
    steps, agents = simulator.clock.day.steps, simulator.num_agents
    of_agents = dict.fromkeys(("agent_cost", "agent_electricity", "agent_moved"), (days, agents))
    of_steps = {
        "converged": (days, steps),
        "power": (days, steps, agents),
        "store": (days, steps, sum(simulator.fleet.counts)),
    }
    limits = {
        kind.name: (days, steps, len(kind.places(simulator.power_flow)))
        for kind in simulator.case.limits
    }
    return {"cost": (days,), **of_agents, **of_steps, **limits}


def _largest(simulator: Simulator) -> int:
    """Bytes of an episode of all days that a split has, in double precision."""
    days = max(len(simulator.days(split).dates) for split in SPLITS)
    shapes = _shapes(simulator, days).values()
    return 8 * sum(math.prod(shape) for shape in shapes)


def _check(evaluation: Evaluation, simulator: Simulator) -> None:
    """Refuse arrays of other shapes and types than the case's, and numbers that are none."""
    days, steps = len(np.atleast_1d(evaluation.dates)), simulator.clock.day.steps
    _check_array("dates", evaluation.dates, (days,), "U")
    _check_array("agents", evaluation.agents, (simulator.num_agents,), "U")
    names = zip(evaluation.agents.tolist(), simulator.fleet.names, strict=True)
    for got, expected in names:
        if got != expected:
            raise ValueError(f"agents: got {got!r:.80}, expected {expected!r:.80}")
    for name in ("import_price", "outdoor_temperature"):
        _check_array(name, getattr(evaluation, name), (days, steps), "f")
    for day in evaluation.dates.tolist():
        date.fromisoformat(day)
    for method, episode in evaluation.episodes.items():
        _check_episode(method, episode, _shapes(simulator, days))


def _check_episode(method: str, episode: Episode, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Likewise; where a power flow did not converge, what is limited may be any number."""
    arrays = _arrays(episode)
    if arrays.keys() != shapes.keys():
        raise ValueError(f"{method}: got {', '.join(arrays)}, expected {', '.join(shapes)}")
    for name, shape in shapes.items():
        place, values = f"{method}/{name}", arrays[name]
        if name == "converged":
            _check_array(place, values, shape, "b")
            continue
        _check_array(place, values, shape, "f")
        solved = values[episode.converged] if name in episode.quantities else values
        if not np.isfinite(solved).all():
            raise ValueError(f"{place}: got numbers that are none, expected finite ones")


def _check_array(name: str, values: np.ndarray, shape: tuple[int, ...], kind: str) -> None:
    if values.shape != shape or values.dtype.kind != kind:
        types = {"U": "text", "f": "floating-point numbers", "b": "True and False"}
        got = f"{values.dtype} {values.shape}"
        raise ValueError(f"{name}: got {got}, expected {types[kind]} {shape}")


def _arrays(episode: Episode) -> dict[str, np.ndarray]:
    """The arrays of an episode by name; quantities lie beside the others."""
    plain = {f.name: getattr(episode, f.name) for f in fields(Episode) if f.name != "quantities"}
    return {**plain, **episode.quantities}


def _episode(arrays: Mapping[str, np.ndarray]) -> Episode:
    """The inverse of `_arrays`."""
    names = [f.name for f in fields(Episode) if f.name != "quantities"]
    quantities = {name: values for name, values in arrays.items() if name not in names}
    return Episode(quantities=quantities, **{name: arrays[name] for name in names})

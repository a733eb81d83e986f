"""The configuration of a run: one record is command line, defaults and what is written down."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from numbers import Real
from pathlib import Path
from typing import Any

import gridedge_env
from gridedge_env.options import check_whole_number
from gridedge_env.simulator import Simulator

CONFIG_FILE = "config.json"
STEPS_PER_DAY = 48

# What a field may be; the simulator checks those that are its own.
WHOLE_NUMBERS = {
    "num_agents": 1,
    "seed": 0,
    "iterations": 1,
    "batch_days": 1,
    "minibatches": 1,
    "epochs": 1,
    "rollout_sweeps": 1,
    "evaluation_days": 0,
    "foresight_iterations": 0,
}
Range = tuple[str, Callable[[float], bool]]
_POSITIVE: Range = ("a positive number", lambda value: value > 0.0)
_NOT_NEGATIVE: Range = ("a number of at least 0", lambda value: value >= 0.0)
_SHARE: Range = ("a share from 0 to below 1", lambda value: 0.0 <= value < 1.0)
NUMBERS = {
    "learning_rate": _POSITIVE,
    "final_learning_rate": _POSITIVE,
    "trust_region": _POSITIVE,
    "final_trust_region": _POSITIVE,
    "price_variation": _NOT_NEGATIVE,
    "temperature_variation": _NOT_NEGATIVE,
    "demand_variation": _NOT_NEGATIVE,
    "dual_initial": _NOT_NEGATIVE,
    "dual_step": _NOT_NEGATIVE,
    "dual_leak": _SHARE,
    "quadratic_penalty": _NOT_NEGATIVE,
    # Half of the voltage band: beyond it no operating point would be left.
    "voltage_margin": ("0 to below 0.05 pu", lambda value: 0.0 <= value < 0.05),
    "loading_margin": _SHARE,
    "checkpoint_seconds": _NOT_NEGATIVE,
}


@dataclass(frozen=True)
class TrainConfig:
    """What `gradmap-train` takes.

    Attributes:
        run: folder of the run.
        feeder: a built-in feeder's name, or a folder of tables.
        num_agents: number of homes.
        seed: chooses homes, initial weights and training days.
        device: "cpu", "cuda", ...
        iterations: outer iterations, over which trust region and learning rate are annealed.
        seconds: stop after so much training; the annealing then follows the clock instead.
        batch_days: days per iteration.
        price_variation: standard deviation of the logarithm of a random factor on each training
            day's prices, so that dearer and cheaper years than the training year are no surprise.
        temperature_variation: standard deviation of a random shift of each training day's outdoor
            temperature, K.
        demand_variation: standard deviation of the logarithm of a random factor on each training
            day's household demand.
        minibatches: optimiser steps per pass over an iteration's samples.
        epochs: passes over an iteration's samples.
        hidden_sizes: units of each network's hidden layers.
        learning_rate: Adam's, at the beginning.
        final_learning_rate: Adam's, at the end.
        trust_region: largest change of an action per iteration that still earns, at the beginning.
        final_trust_region: the same at the end.
        dual_initial: multiplier of every constraint at the beginning, € per unit of violation.
        dual_step: multiplier gained per unit of violation and iteration.
        dual_leak: share of every multiplier lost per iteration.
        quadratic_penalty: € per unit of violation squared.
        voltage_margin: pu that training stays inside the voltage limits.
        loading_margin: share of rating that training stays below it.
        rollout_sweeps: sweeps of the power flow per step from which agents read their meters in
            training.
        source_voltage: pu behind the feeder's source.
        home_scale: size of every home over an ordinary one's; None: in proportion to the feeder.
        reactive_power: whether batteries and generators also control reactive power.
        checkpoint_seconds: time between checkpoints.
        evaluation_days: days of the test year to evaluate on when training is done; 0: none.
        foresight_iterations: effort of the perfect-foresight optimum in that evaluation.
    """

    run: str = "runs/default"
    feeder: str = "ieee123"
    num_agents: int = 1000
    seed: int = 0
    device: str = "cpu"
    iterations: int = 200
    seconds: float | None = None
    batch_days: int = 12
    price_variation: float = 0.75
    temperature_variation: float = 3.0
    demand_variation: float = 0.15
    minibatches: int = 12
    epochs: int = 4
    hidden_sizes: tuple[int, ...] = (16, 16)
    learning_rate: float = 1.2e-2
    final_learning_rate: float = 1.2e-3
    trust_region: float = 0.05
    final_trust_region: float = 0.0015
    dual_initial: float = 0.5
    dual_step: float = 50.0
    dual_leak: float = 0.05
    quadratic_penalty: float = 400.0
    voltage_margin: float = 0.009
    loading_margin: float = 0.10
    rollout_sweeps: int = 2
    source_voltage: float = 1.0
    home_scale: float | None = None
    reactive_power: bool = False
    checkpoint_seconds: float = 20.0
    evaluation_days: int = 28
    foresight_iterations: int = 300

    def __post_init__(self) -> None:
        for name, least in WHOLE_NUMBERS.items():
            check_whole_number(getattr(self, name), least, name)
        for name, allowed in NUMBERS.items():
            _check_number(getattr(self, name), allowed, name)
        if self.seconds is not None:
            _check_number(self.seconds, _POSITIVE, "seconds")
        if not self.hidden_sizes:
            raise ValueError("hidden_sizes: got none, expected one or more layers")
        for units in self.hidden_sizes:
            check_whole_number(units, 1, "hidden_sizes")
        samples = self.batch_days * STEPS_PER_DAY
        if self.minibatches > samples:
            raise ValueError(
                f"minibatches: got {self.minibatches}, expected at most {samples} "
                f"(batch_days x {STEPS_PER_DAY})"
            )

    def make_simulator(self) -> Simulator:
        """The case that this configuration trains on."""
        return gridedge_env.make_simulator(
            self.feeder,
            self.num_agents,
            self.device,
            seed=self.seed,
            source_voltage=self.source_voltage,
            home_scale=self.home_scale,
            reactive_power=self.reactive_power,
        )


def save_config(config: TrainConfig, folder: Path) -> None:
    """Write `config.json`."""
    write_whole(folder / CONFIG_FILE, json.dumps(asdict(config), indent=2) + "\n")


def load_config(folder: Path) -> TrainConfig:
    """Read `config.json` of a run.

    Raises:
        FileNotFoundError: no such folder, or no run in it.
        ValueError: the file is not the configuration of a run.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"run: {path} not found, expected the folder of a GridEdge run")
    try:
        return config_from_record(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"run: {path} is not a run's configuration: {error}") from error


def config_from_record(record: Any) -> TrainConfig:
    """A configuration from its JSON record.

    Raises:
        ValueError: not an object with every field, or a field is unknown or out of range.
    """
    known = {field.name for field in fields(TrainConfig)}
    if not isinstance(record, dict):
        raise ValueError(f"got {record!r:.80}, expected an object")
    for name in sorted(known ^ set(record)):
        raise ValueError(f"field {name!r} is {'missing' if name in known else 'unknown'}")
    return TrainConfig(**{**record, "hidden_sizes": tuple(record["hidden_sizes"])})


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that a kill at any instant leaves the old one or the new one."""
    temporary = path.with_name(f"{path.name}.temporary")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, path)


def _check_number(value: Any, allowed: Range, name: str) -> None:
    expected, accept = allowed
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and accept(value)):
        raise ValueError(f"{name}: got {value!r}, expected {expected}")

"""The configuration of a run: one record is the command line, the defaults and what is written down."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import gridedge_env
from gridedge_env.simulator import Simulator

CONFIG_FILE = "config.json"


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
        rollout_sweeps: sweeps of the power flow per step from which agents read their meters in training.
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
    iterations: int = 400
    seconds: float | None = None
    batch_days: int = 8
    minibatches: int = 16
    epochs: int = 1
    hidden_sizes: tuple[int, ...] = (16, 16)
    learning_rate: float = 6e-3
    final_learning_rate: float = 1.2e-3
    trust_region: float = 0.03
    final_trust_region: float = 0.003
    dual_initial: float = 0.5
    dual_step: float = 50.0
    dual_leak: float = 0.05
    quadratic_penalty: float = 100.0
    voltage_margin: float = 0.004
    loading_margin: float = 0.02
    rollout_sweeps: int = 2
    source_voltage: float = 1.0
    home_scale: float | None = None
    reactive_power: bool = False
    checkpoint_seconds: float = 20.0
    evaluation_days: int = 28
    foresight_iterations: int = 300

    def __post_init__(self) -> None:
        for name in ("iterations", "batch_days", "minibatches", "epochs", "rollout_sweeps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected at least 1")
        for name in ("learning_rate", "final_learning_rate", "trust_region", "final_trust_region"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name}: got {value}, expected a positive number")
        if self.seconds is not None and not self.seconds > 0.0:
            raise ValueError(f"seconds: got {self.seconds}, expected a positive number")
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise ValueError(
                f"hidden_sizes: got {self.hidden_sizes}, expected one or more positive numbers"
            )
        if not 0.0 <= self.dual_leak < 1.0:
            raise ValueError(f"dual_leak: got {self.dual_leak}, expected 0 <= dual_leak < 1")
        samples = self.batch_days * 48
        if self.minibatches > samples:
            raise ValueError(
                f"minibatches: got {self.minibatches}, expected at most {samples} (batch_days x 48)"
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
    text = json.dumps(asdict(config), indent=2) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


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
        ValueError: not an object, or a field is unknown or out of range.
    """
    known = {field.name for field in fields(TrainConfig)}
    if not isinstance(record, dict) or not set(record) <= known:
        raise ValueError(f"got {record!r:.80}, expected an object with fields of {sorted(known)}")
    values = {**record}
    if "hidden_sizes" in values:
        values["hidden_sizes"] = tuple(values["hidden_sizes"])
    return TrainConfig(**values)

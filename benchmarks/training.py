"""An outer iteration of GradMAP and of its self-supervised rival, and where the time goes."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.records import Cell, Measurement, Spread, Table
from benchmarks.suite import Settings
from benchmarks.timing import once, take_turns
from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner

AGENTS = (1_000, 10_000)
# By name: the module, and in it the function of what becomes of gradients.
METHODS = {
    "GradMAP": ("gradmap_trainer.gradmap", "reuse_gradient"),
    "self-supervised": ("baselines.self_supervised", "use_gradient_once"),
}
PARTS = ("rollout", "gradient", "update")


class Training:
    """A method under way: every call is one more iteration."""

    def __init__(self, module: str, update: str, agents: int, settings: Settings) -> None:
        found = importlib.import_module(module)
        self._update = getattr(found, update)
        defaults = getattr(found, "DEFAULTS", TrainConfig())
        case, device = replace(USUAL_CASE, num_agents=agents), str(settings.device)
        self._config = replace(defaults, case=case, device=device)
        self._simulator = self._config.make_simulator()
        self._learner = make_learner(self._config, self._simulator)
        self.rows: list[dict[str, float]] = []

    def __call__(self) -> None:
        """One iteration."""
        self._learner, row = iterate(self._config, self._simulator, self._learner, self._update)
        self.rows.append(row)


def measure(settings: Settings) -> Measurement:
    """Both methods in turns, at each size."""
    sizes = settings.agents or ((10,) if settings.quick else AGENTS)
    rows: list[tuple[Cell, ...]] = []
    notes: list[str] = []
    for agents in sizes:
        found, missing = _methods(agents, settings)
        rows += _rows(found, agents, settings)
        notes += [note for note in missing if note not in notes]
    days = TrainConfig().batch_days
    return Measurement(
        "training",
        f"Outer iterations with the settings of `gradmap-train`, {days} days of 48 half-hours "
        f"each, IEEE 123, on {settings.where}; the first iteration is not counted. GradMAP's "
        "takes many optimiser steps with one gradient, the other's takes one. Parts are "
        "those that the training log has: rollout, gradient through the power flow, update of "
        "the policies.",
        (Table("", HEADER, tuple(rows)),),
        notes=tuple(notes),
    )


HEADER = (
    *("method", "agents", "iteration, ms"),
    *(f"{part}, ms" for part in PARTS),
    "environment steps/s",
)


def _methods(agents: int, settings: Settings) -> tuple[dict[str, Training], list[str]]:
    found, missing = {}, []
    for name, (module, update) in METHODS.items():
        try:
            found[name] = Training(module, update, agents, settings)
        except ImportError as error:
            missing.append(f"{name}: {error}")
    return found, missing


def _rows(methods: dict[str, Training], agents: int, settings: Settings) -> list[tuple[Cell, ...]]:
    for training in methods.values():
        training()
        training.rows.clear()
    device = settings.device
    samplers = {name: partial(once, work, device) for name, work in methods.items()}
    samples = take_turns(samplers, settings.either(20.0, 0.0))
    return [
        (
            name,
            agents,
            Spread.of(samples[name], 1e3),
            *(_of_log(training, f"seconds_{part}", 1e3) for part in PARTS),
            _of_log(training, "steps_per_second"),
        )
        for name, training in methods.items()
    ]


def _of_log(training: Training, field: str, scale: float = 1.0) -> Cell:
    values: list[Any] = [row[field] for row in training.rows if field in row]
    return Spread.of(values, scale) if values else "–"

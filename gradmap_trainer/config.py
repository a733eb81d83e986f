"""The configuration of a run: one record is command line, defaults and what is written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import gridedge_env
from gradmap_trainer.release import VERSION_FIELD, check_release
from gridedge_env.case import CaseSettings, settings_from_record
from gridedge_env.checks import (
    check_known,
    check_links,
    check_not_negative,
    check_number,
    check_positive,
    check_share,
    check_text,
    check_type,
    check_whole_number,
    settle,
    shown,
    whole_number,
)
from gridedge_env.clock import Clock
from gridedge_env.constraints import Limits
from gridedge_env.simulator import Simulator, make_simulator
from gridedge_env.writing import write_whole
from gridedge_gateway.mistakes import one_line, regular_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ConfigT = TypeVar("ConfigT", bound="DataclassInstance")

CONFIG_FILE = "config.json"
LARGEST_VOLTAGE_MARGIN = 0.05
# Of a layer: a thousand homes with two such layers would fill any machine's memory.
MOST_UNITS = 10**4


def check_deviation(value: Any, name: str) -> float:
    """Of a factor's logarithm: at 3, one in three is beyond 20, or below a twentieth."""
    return check_number(value, name, "a number from 0 to 3", lambda number: 0.0 <= number <= 3.0)


def check_warming(value: Any, name: str) -> float:
    """Of a temperature's shift, K."""
    return check_number(value, name, "0 to 100 K", lambda number: 0.0 <= number <= 100.0)


def check_voltage_margin(value: Any, name: str) -> float:
    """Within half of the usual voltage band, pu: beyond it no operating point would be left."""
    expected = f"0 to below {LARGEST_VOLTAGE_MARGIN} pu"
    return check_number(value, name, expected, lambda pu: 0.0 <= pu < LARGEST_VOLTAGE_MARGIN)


def check_hidden_sizes(value: Any, name: str) -> tuple[int, ...]:
    """Units of each hidden layer, of which there are some."""
    check_type(value, (tuple, list), name, "units of each layer")
    if not value:
        raise ValueError(f"{name}: got none, expected one or more layers")
    return tuple(check_whole_number(units, 1, name, MOST_UNITS) for units in value)


# What a field may be; the case checks its own.
NUMBERS: dict[str, Callable[[Any, str], float]] = {
    "iterations": whole_number(1),
    "batch_days": whole_number(1),
    "minibatches": whole_number(1),
    "epochs": whole_number(1),
    "rollout_sweeps": whole_number(1),
    "evaluation_days": whole_number(0),
    "foresight_iterations": whole_number(0),
    "learning_rate": check_positive,
    "final_learning_rate": check_positive,
    "trust_region": check_positive,
    "final_trust_region": check_positive,
    "price_variation": check_deviation,
    "temperature_variation": check_warming,
    "demand_variation": check_deviation,
    "dual_initial": check_not_negative,
    "dual_step": check_not_negative,
    "dual_leak": check_share,
    "quadratic_penalty": check_not_negative,
    "voltage_margin": check_voltage_margin,
    "loading_margin": check_share,
    "checkpoint_seconds": check_not_negative,
}
# Policies correct the public plan, unless they are asked not to.
USUAL_CASE = CaseSettings(public_plan=True)


@dataclass(frozen=True)
class TrainConfig:
    """What `gradmap-train` takes.

    Attributes:
        run: folder of the run.
        case: what is trained on; its seed also chooses initial weights and training days. None: a
            case that was brought, of which the run's folder holds all.
        warm_start: folder of a run whose policies customers that it knew begin with. Afterwards it
            only tells where the run came from.
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
        trust_region: largest change of a network's output per iteration that still earns, at the
            beginning.
        final_trust_region: the same at the end.
        dual_initial: multiplier of every constraint at the beginning, € at usual prices per unit of
            violation.
        dual_step: multiplier gained per unit of violation and iteration.
        dual_leak: share of every multiplier lost per iteration.
        quadratic_penalty: € at usual prices per unit of violation squared.
        voltage_margin: pu that training stays inside the voltage limits.
        loading_margin: share of rating that training stays below it.
        rollout_sweeps: sweeps of the power flow per step from which agents read their meters in
            training.
        checkpoint_seconds: time between checkpoints.
        evaluation_days: days of the test year to evaluate on when training is done; 0: none.
        foresight_iterations: effort of the perfect-foresight optimum in that evaluation.

    Raises:
        ValueError: a field is of another type or out of range; names it, what came and what was
            expected.
    """

    run: str = "runs/default"
    case: CaseSettings | None = USUAL_CASE
    warm_start: str | None = None
    device: str = "cpu"
    iterations: int = 80
    seconds: float | None = None
    batch_days: int = 8
    price_variation: float = 0.5
    temperature_variation: float = 2.0
    demand_variation: float = 0.04
    minibatches: int = 12
    epochs: int = 4
    hidden_sizes: tuple[int, ...] = (16, 16)
    learning_rate: float = 1.2e-2
    final_learning_rate: float = 3e-3
    trust_region: float = 0.05
    final_trust_region: float = 0.004
    dual_initial: float = 0.5
    dual_step: float = 50.0
    dual_leak: float = 0.05
    quadratic_penalty: float = 1500.0
    voltage_margin: float = 0.0055
    loading_margin: float = 0.045
    rollout_sweeps: int = 2
    checkpoint_seconds: float = 20.0
    evaluation_days: int = 28
    foresight_iterations: int = 300

    def __post_init__(self) -> None:
        check_text(self.run, "run", "the path of a folder")
        check_text(self.device, "device", "a name such as 'cpu'")
        if self.case is not None:
            check_type(self.case, CaseSettings, "case", "CaseSettings or None")
        if self.warm_start is not None:
            check_text(self.warm_start, "warm_start", "the folder of a run")
        settle(self, **NUMBERS, hidden_sizes=check_hidden_sizes)
        if self.seconds is not None:
            settle(self, seconds=check_positive)
        if self.case is not None:
            steps = Clock.of_minutes(self.case.step_minutes).steps
            check_minibatches(self.minibatches, self.batch_days, steps)

    @property
    def margins(self) -> dict[str, float]:
        """By how much training stays inside each kind of limit."""
        return {"voltage": self.voltage_margin, "loading": self.loading_margin}

    def tightened(self, limits: Limits) -> Limits:
        """The limits within which training stays.

        Raises:
            ValueError: a margin that leaves nothing of its limit.
        """
        return tightened(limits, self.margins)

    def make_simulator(self) -> Simulator:
        """The case that this configuration trains on.

        Raises:
            ValueError: a case that was brought, which the configuration does not hold.
        """
        if self.case is None:
            raise ValueError("case: got none, expected settings, or the folder of a run")
        return make_simulator(case=self.case.make(), device=self.device)


def tightened(limits: Limits, margins: Mapping[str, float]) -> Limits:
    """The limits less margins by kind, which are the fields "<kind>_margin" of a configuration.

    Raises:
        ValueError: a margin that leaves nothing of its limit.
    """
    for kind, margin in margins.items():
        try:
            limits = limits.tightened(**{kind: margin})
        except ValueError as error:
            raise ValueError(
                f"{kind}_margin: got {margin}, expected one that leaves something of the "
                f"limits ({str(error).removeprefix('limits: ')})"
            ) from error
    return limits


def check_minibatches(minibatches: int, batch_days: int, steps: int) -> None:
    """Refuse more minibatches than there are samples, days times steps.

    Raises:
        ValueError: so many came.
    """
    samples = batch_days * steps
    if minibatches > samples:
        raise ValueError(
            f"minibatches: got {minibatches}, expected at most {samples} (batch_days x {steps})"
        )


def save_config(config: DataclassInstance, folder: Path) -> None:
    """Write `config.json`, and by which version."""
    record = {VERSION_FIELD: gridedge_env.__version__, **asdict(config)}
    write_whole(folder / CONFIG_FILE, json.dumps(record, indent=2) + "\n")


def load_config(folder: Path, kind: type[ConfigT], run_kind: str = "a GridEdge run") -> ConfigT:
    """Read `config.json` of a run.

    Args:
        folder: of the run.
        kind: of its configuration.
        run_kind: what it is called in errors.

    Raises:
        FileNotFoundError: no such folder, or no run in it.
        ValueError: the file is not the configuration of such a run, or another release's.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        raise FileNotFoundError(
            f"run: {one_line(path)} not found, expected the folder of {run_kind}"
        )
    check_links(folder, "run")
    try:
        record = json.loads(regular_file(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"run: {path} is not the configuration of {run_kind}: {error}") from error
    if isinstance(record, dict) and VERSION_FIELD in record:
        check_release(record.pop(VERSION_FIELD), f"run: {path}")
    try:
        return config_from_record(record, kind)
    except (ValueError, TypeError) as error:
        raise ValueError(f"run: {path} is not the configuration of {run_kind}: {error}") from error


def config_from_record(record: Any, kind: type[ConfigT]) -> ConfigT:
    """A configuration from its JSON record.

    Raises:
        ValueError: not an object with every field, or a field is unknown or out of range.
    """
    known = [field.name for field in fields(kind)]
    if not isinstance(record, dict):
        raise ValueError(f"got {shown(record)}, expected an object")
    check_known(record, known, "field")
    for name in known:
        if name not in record:
            raise ValueError(f"field {name!r} is missing")
    case, sizes = record["case"], record["hidden_sizes"]
    settings = None if case is None else settings_from_record(case)
    sizes = tuple(sizes) if isinstance(sizes, list) else sizes
    return kind(**{**record, "case": settings, "hidden_sizes": sizes})

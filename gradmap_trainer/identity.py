"""What a run's results depend on: a checkpoint and whatever goes on from it agree on all of it.

A case can hold more than the configuration tells, when it is put together in Python: another fleet,
other days. They are known again by what they hold, not by their names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import date, time, timedelta, tzinfo
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from gradmap_trainer.release import VERSION_FIELD, release
from gridedge_env.case import Case
from gridedge_env.clock import Clock
from gridedge_env.constraints import Limits
from gridedge_env.scenarios import Tariff
from gridedge_env.simulator import Simulator

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# A resumed run may have another budget, and may be evaluated otherwise; all else must agree.
FREE_FIELDS = {
    "run",
    "iterations",
    "seconds",
    "checkpoint_seconds",
    "evaluation_days",
    "foresight_iterations",
}
# Of a case: what has a fingerprint beside it, and what only tables and reports show.
ELSEWHERE = {"feeder", "fleet"}
WORDS = {"name", "currency"}
# Types whose values are equal where they read the same, in every process.
_PLAIN: tuple[type, ...] = (
    *(type(None), str, bytes, int, float, np.generic),
    *(date, time, timedelta, tzinfo, PurePath),
)


def identity(config: DataclassInstance, simulator: Simulator) -> dict[str, Any]:
    """What a run is known by, for `checkpoint.check_matches`.

    Args:
        config: of the run; its field `case` is a `CaseSettings` or None.
        simulator: of the case that it is really about.

    Raises:
        ValueError: a source of days or demand that cannot be known again.
    """
    fixed = {name: value for name, value in asdict(config).items() if name not in FREE_FIELDS}
    if fixed["case"] is not None:
        del fixed["case"]["limits"]  # only those that are not the usual ones: all are in the case
    return {
        VERSION_FIELD: release(),
        "feeder_fingerprint": simulator.feeder.fingerprint,
        "fleet_fingerprint": simulator.fleet.fingerprint,
        "observation_fingerprint": _digest(repr(simulator.observation_fields).encode()),
        "config": fixed,
        "case": _case(simulator.case),
    }


def _case(case: Case) -> dict[str, Any]:
    """What a case holds besides feeder and fleet, whatever the configuration says of it."""
    return {
        entry.name: _part(getattr(case, entry.name), f"case.{entry.name}")
        for entry in fields(case)
        if entry.name not in ELSEWHERE | WORDS
    }


def _part(value: Any, name: str) -> Any:
    """A field of a case: in full, or of a source of data its digest."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Clock | Tariff):
        return asdict(value)
    return value.thresholds if isinstance(value, Limits) else _source(value, name)


def _source(source: Any, name: str) -> dict[str, str]:
    """A source of days or demand: its class, and a digest of what its fields hold."""
    if not is_dataclass(source):
        raise ValueError(
            f"{name}: got {type(source).__name__}, expected a dataclass, by whose fields a "
            "checkpoint knows its data again"
        )
    return {
        "source": type(source).__name__,
        "fingerprint": _digest(_in_words(source, name).encode()),
    }


def _in_words(value: Any, name: str) -> str:
    """A text that equal values have in common, in every process, and no others.

    Of dataclasses those fields count by which they are compared.

    Raises:
        ValueError: a value, called `name`, of a type of which there is no such text.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype.str} {value.shape} {_digest(value.tobytes())}"
    if isinstance(value, _PLAIN):
        return repr(value)
    if is_dataclass(value):
        parts = {entry.name: getattr(value, entry.name) for entry in fields(value) if entry.compare}
        return f"{type(value).__name__} {_in_words(parts, name)}"
    if isinstance(value, Mapping):
        words = (f"{key!r}: {_in_words(part, f'{name}.{key}')}" for key, part in value.items())
        return f"{{{', '.join(words)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_in_words(part, name) for part in value)}]"
    raise ValueError(
        f"{name}: got {type(value).__name__}, expected numbers, text, dates, arrays, tensors, or "
        "lists, mappings and dataclasses of these, by which a checkpoint knows its data again"
    )


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """By which policies are known again, from their weights by name: SHA-256, hexadecimal."""
    return _digest(_in_words(dict(sorted(weights.items())), "weights").encode())


def _digest(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()

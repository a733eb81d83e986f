"""What agents hand over as actions: finite numbers of any type, those out of range clipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.ma import MaskedArray
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gridedge_env.checks import shown

# Kinds of NumPy's types that are real numbers: bits, whole ones with and without a sign, floating.
NUMBERS = "biuf"


def stacked(actions: Mapping[str, ArrayLike], agents: Sequence[str], size: int) -> NDArray[Any]:
    """Actions of all agents, (agents, size), finite.

    Args:
        actions: by agent, (size,) numbers each.
        agents: all of them, in the order of the rows.
        size: numbers per action.

    Raises:
        ValueError: no dictionary, an action that is missing or of an unknown agent, of the wrong
            shape, or not of finite numbers; names the agent.
    """
    check_by_agent(actions)
    if list(actions) == agents:
        given = list(actions.values())
    else:
        _check_agents(actions, agents)
        given = [actions[agent] for agent in agents]
    try:
        values = np.array(given)
        sound = values.dtype.kind in NUMBERS and bool(np.isfinite(values).all())
    except (RuntimeError, TypeError, ValueError):
        sound = False
    if not sound or values.shape != (len(agents), size) or MaskedArray in set(map(type, given)):
        # Each for itself: whoever is at fault is named, and what differs in type is no fault.
        values = np.stack([read_action(*own, size) for own in zip(agents, given, strict=True)])
    return values


def check_by_agent(actions: Any) -> None:
    """Refuse what is no dictionary.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(actions, Mapping):
        raise ValueError(f"actions: got {type(actions).__name__}, expected a dictionary by agent")


def clipped(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers outside [-1, 1] as the nearer end, in a type that PyTorch has."""
    return values.clip(-1.0, 1.0).astype(np.float32 if values.dtype == np.float32 else np.float64)


def _check_agents(actions: Mapping[str, ArrayLike], agents: Sequence[str]) -> None:
    for agent in agents:
        if agent not in actions:
            raise ValueError(f"actions: none for {agent!r}, expected one for each of env.agents")
    unknown = sorted(map(str, set(actions) - set(agents)))
    if unknown:
        raise ValueError(
            f"actions: unknown agent {unknown[0]!r}, expected only those in env.agents"
        )


def read_action(agent: str, given: ArrayLike, size: int) -> NDArray[Any]:
    """One agent's action, (size,), finite.

    Raises:
        ValueError: it is none; names the agent.
    """
    name = f"actions[{agent!r}]"
    if isinstance(given, Tensor) and given.requires_grad:
        raise ValueError(
            f"{name}: got a tensor with a graph, expected numbers; differentiable_step keeps a "
            "graph, and detach() drops it"
        )
    if isinstance(given, MaskedArray):
        raise ValueError(f"{name}: got an array with a mask, expected a number in every place")
    try:
        value = np.asarray(given)
        if value.dtype == object:  # whole numbers beyond 64 bits, fractions
            value = np.array([_as_float(number) for number in value.flat]).reshape(value.shape)
    except (RuntimeError, TypeError, ValueError):
        value = np.array("")
    if value.dtype.kind not in NUMBERS:
        raise ValueError(f"{name}: got {shown(given)}, expected an array of numbers")
    if value.shape != (size,):
        raise ValueError(f"{name}: got shape {value.shape}, expected {(size,)}")
    if not np.isfinite(value).all():
        raise ValueError(f"{name}: got {value}, expected numbers in [-1, 1]")
    return value


def _as_float(number: Any) -> float:
    """A number as it is, or the nearer end of what an action may be where no float is as large.

    Raises:
        TypeError: it is no real number.
    """
    is_real = isinstance(number, Real)
    if not is_real:
        raise TypeError
    try:
        return float(number)
    except OverflowError:
        return 1.0 if number > 0 else -1.0

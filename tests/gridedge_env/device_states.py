"""Devices of one kind, picked out of the state of all."""

from __future__ import annotations

from typing import TypeVar

from gridedge_env.record import Record
from gridedge_env.state import SimulatorState

StateT = TypeVar("StateT", bound=Record)


def state_of(state: SimulatorState, kind: type[StateT]) -> StateT:
    """Of those whose own record is a `kind`."""
    (found,) = (own for own in state.devices if isinstance(own, kind))
    return found

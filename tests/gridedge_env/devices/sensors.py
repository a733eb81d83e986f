"""What sensors would read where devices stand, for tests of what is made of that."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gridedge_env.clock import HOURS_PER_DAY
from gridedge_env.day import Window
from gridedge_env.devices.charging import EvChargers, EvChargerState
from gridedge_env.record import Record


def sensors_of(kind: str, parameters: Any, state: Any, window: Window) -> dict[str, Tensor]:
    """(batch, devices) of each of a kind's readings, before a step; {} of kinds without any."""
    if kind == "battery":
        return {"state_of_charge": 100.0 * state.energy / parameters.capacity}
    if kind == "heat_pump":
        return {"room_temperature": state.temperature}
    if kind == "pv_inverter":
        return {"power": state.output * parameters.maximum_power}
    return _of_cars(parameters, state, window) if kind == "ev_charger" else {}


def _of_cars(chargers: EvChargers, state: EvChargerState, window: Window) -> dict[str, Tensor]:
    day, hour = divmod(window.first * window.hours, HOURS_PER_DAY)
    departure, arrival, trip = (
        values[int(day)] for values in (state.departure, state.arrival, state.trip_energy)
    )
    there = (hour < departure) | (hour >= arrival)
    return {
        "state_of_charge": 100.0 * state.energy / chargers.capacity,
        "plugged": there.to(trip),
        "departure": departure,
        "arrival": arrival,
        "target": 100.0 * (trip + chargers.limits.least) / chargers.capacity,
    }


def nothing_read(readings: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same, of sensors that are silent."""
    return {name: torch.full_like(values, torch.nan) for name, values in readings.items()}


def same_to_rounding(one: Record, other: Record) -> bool:
    """Whether two states are the same to 1e-12 of each number: percent are rounded, and back."""
    return all(
        torch.allclose(values, getattr(other, name), rtol=1e-12, atol=1e-12)
        for name, values in vars(one).items()
    )

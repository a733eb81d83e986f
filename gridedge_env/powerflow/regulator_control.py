"""Regulator control in time, as OpenDSS's RegControl does it.

A control is out of its band while the voltage that it sees is more than half the bandwidth from its
target. Whoever has the shortest delay among those moves by one tap towards its target; the network
settles; then all look again. Each move takes the mover's delay. What cannot be done in the time
given waits for the next time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gridedge_env.feeder.records import Regulator
from gridedge_env.powerflow.power_flow import PowerFlow

SHORTEST_DELAY = 1.0
"""Seconds that a tap takes at least: a delay of 0 would let a control hunt without end."""


@torch.no_grad()
def settle_taps(
    power_flow: PowerFlow, power: Tensor, start: Tensor, tap_position: Tensor, seconds: float
) -> Tensor:
    """Where the taps stand after their controls have acted on one operating point.

    Args:
        power_flow: of the feeder whose regulators they are.
        power: (batch, 2 branches) kW, then kvar, drawn all the while.
        start: (batch, 2 branches) device voltages near the solution.
        tap_position: (batch, regulators) at the beginning.
        seconds: time that they have.

    Returns:
        (batch, regulators) positions; those of scenarios without an operating point do not move.
    """
    regulators = power_flow.feeder.regulators
    if not regulators:
        return tap_position
    target = _column(regulators, "target_voltage", tap_position)
    half_band = _column(regulators, "bandwidth", tap_position) / 2.0
    delay = _column(regulators, "delay", tap_position).clamp(min=SHORTEST_DELAY)
    limit = _column(regulators, "tap_limit", tap_position)
    elapsed = torch.zeros_like(tap_position[:, :1])
    while True:
        solution = power_flow.solve_branches(power, start, tap_position)
        start = solution.device_voltage
        error = target - solution.control_voltage
        moved = tap_position + error.sign()
        due = (error.abs() > half_band) & (moved.abs() <= limit) & solution.converged[:, None]
        wait = torch.where(due, delay, torch.inf)
        soonest = wait.amin(dim=1, keepdim=True)
        elapsed = elapsed + soonest
        moving = due & (wait == soonest) & (elapsed <= seconds)
        if not bool(moving.any()):
            return tap_position
        tap_position = torch.where(moving, moved, tap_position)


def _column(regulators: Sequence[Regulator], field: str, like: Tensor) -> Tensor:
    return like.new_tensor([float(getattr(regulator, field)) for regulator in regulators])

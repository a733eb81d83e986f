"""The best schedule of each charger on its own, at known prices: dynamic programming.

As that of batteries (`battery_schedule`), over energies less what the trips to come will use,
whose bounds change from step to step and from day to day.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gridedge_env.devices.battery_schedule import cheapest_levels
from gridedge_env.devices.charging import EvChargers, Room

# Levels that a charger climbs in an hour at full power.
LEVELS_PER_HOUR = 40


@torch.no_grad()
def charging_schedule(
    chargers: EvChargers, room: Room, energy: Tensor, price: Tensor, hours: float
) -> Tensor:
    """Energy after every step under the cheapest schedule of each charger alone.

    Energies are less what the trips to come will use. The host looks at them.

    Args:
        chargers: parameters.
        room: in each step, (steps, batch, chargers).
        energy: (batch, chargers) kWh at midnight.
        price: (batch, steps) €/kWh paid and earned.
        hours: length of a step.

    Returns:
        (steps, batch, chargers) kWh; half full at midnight, and within half a level of the room.
    """
    limits = chargers.limits
    climb = round(LEVELS_PER_HOUR * hours)
    spacing = hours * limits.charge / climb
    lowest = torch.minimum(room.lowest.amin(dim=0), energy).amin(dim=0)
    highest = torch.maximum(room.highest.amax(dim=0), energy).amax(dim=0)
    below, above = (
        int((far.clamp(min=0.0) / spacing).max().ceil())
        for far in (limits.middle - lowest, highest - limits.middle)
    )
    fall = int((hours * limits.discharge / spacing).max().ceil())
    where: dict[str, Any] = {"device": energy.device, "dtype": energy.dtype}
    moves = torch.arange(-fall, climb + 1, **where)[:, None, None]
    change = moves * spacing  # (moves, 1, chargers)
    drawn = change.clamp(min=0.0) / chargers.charge_efficiency
    delivered = -change.clamp(max=0.0) * chargers.discharge_efficiency
    levels = limits.middle[:, None] + spacing[:, None] * torch.arange(-below, above + 1, **where)

    paths = []
    for k in range(len(price)):  # a day at a time: costs to come are kept of every step
        charge, discharge, least, most = (values[:, k, None] for values in room)
        cost = price[k, :, None, None, None] * (drawn - delivered) + chargers.wear_cost * delivered
        far = (change > charge[:, None] + 0.5 * spacing) | (
            change < -discharge[:, None] - 0.5 * spacing * limits.two_way
        )
        slack = 0.5 * spacing[:, None]
        outside = (levels < least[..., None] - slack) | (levels > most[..., None] + slack)
        outside = torch.cat((torch.zeros_like(outside[:1]), outside[:-1]))  # before each step
        barrier = torch.zeros(outside.shape, **where).masked_fill(outside, torch.inf)
        first = ((energy[k] - limits.middle) / spacing).round().long()[None] + below
        paths.append(cheapest_levels(cost.masked_fill(far, torch.inf), barrier, first, below, fall))
    return limits.middle + (torch.cat(paths, dim=1) - below) * spacing

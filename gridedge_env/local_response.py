"""What the inverters of a fleet do about the voltage on the spot: volt-watt and volt-var.

The power flow solves for voltages and responses together (`RESPONSE_LAW` of its load models), so
that there is nothing to hunt for. Here is what the curves of IEEE 1547-2018 are shares of there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gridedge_env.devices import Fleet
from gridedge_env.powerflow.curves import VOLT_VAR

# Of the rating, at either end of the curve.
MOST_REACTIVE = max(map(abs, VOLT_VAR.share))


def fed_in(fleet: Fleet, output: Tensor) -> Tensor:
    """(..., agents) kW that the inverters of each home would feed in.

    Args:
        fleet: the homes.
        output: (..., devices) kW drawn by the devices.
    """
    return fleet.by_agent((-output).clamp(min=0.0) * (fleet.inverter_rating > 0.0))


def response_bases(fleet: Fleet, output: Tensor, chosen: Tensor | None) -> Tensor:
    """What local responses are shares of, as `Wiring.drawn` takes it.

    Of reactive power that is the rating or, where active power and the agent's own choice leave
    less of it than the ends of the curve ask for, so much that these ends are what is left.

    Args:
        fleet: the homes.
        output: (steps, batch, devices) kW drawn by the devices.
        chosen: likewise, the reactive power that agents choose, as a share of what active power
            leaves; None: they choose none.

    Returns:
        (steps x batch, 2 connections) kW fed in, then kVA.
    """
    room = fleet.reactive_room(output)
    if chosen is not None:
        room = room * (1.0 - chosen.abs())
    base = fleet.by_agent(torch.minimum(fleet.inverter_rating, room / MOST_REACTIVE))
    return fleet.connected(torch.cat((fed_in(fleet, output), base), dim=-1).flatten(0, 1))

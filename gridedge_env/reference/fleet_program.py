"""The devices of one known day as linear programs: all that a planner may choose, and its cost.

Whatever a fleet does in the simulator is a feasible point here, at the same cost or less; the
network is left out. Where the devices are convex, which is nearly everywhere, nothing is lost; what
is relaxed, each kind of device says in its `linear_program`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gridedge_env.day import Window
from gridedge_env.devices.linear_program import LinearProgram, Meters
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState


def fleet_programs(
    simulator: Simulator, state: SimulatorState, output: np.ndarray | None = None
) -> list[LinearProgram]:
    """The programs of the homes with each kind of device.

    Args:
        simulator: the case.
        state: midnight of one day, a batch of one.
        output: (steps, agents) kW that devices are expected to draw, where programs are to be
            close; by default as each would alone.

    Raises:
        ValueError: homes have several devices behind one meter; exports earn more than imports
            cost; or a home without its device exports at another price than it imports: bills
            that are not convex, or not as simple as assumed.
    """
    fleet, state = simulator.fleet, state.to("cpu", torch.float64)
    day = state.day
    if not fleet.one_each:
        raise ValueError(
            "fleet: got agents with several devices, expected one each: a meter's bill is not the "
            "sum of its devices'"
        )
    demand = day.demand[0].numpy()
    imported, exported = (p[0, :, None].numpy() for p in (day.import_price, day.export_price))
    if (exported > imported).any():
        step = int((exported - imported).argmax())
        raise ValueError(
            f"tariff: got {exported[step, 0]:.3f} {simulator.case.currency}/kWh for exports and "
            f"{imported[step, 0]:.3f} for imports in step {step}, expected no more for exports: "
            "bills must be convex"
        )
    if (demand < 0.0).any() and (exported < imported).any():
        raise ValueError(
            f"demand: got {demand.min():.3f} kW, expected at least 0 if exports earn less than "
            "imports cost"
        )
    demands = _by_kind(demand, fleet.counts)
    expected = [None] * len(demands) if output is None else _by_kind(output, fleet.counts)
    return [
        group.kind.linear_program(
            group.parameters.to("cpu", torch.float64),
            own,
            day,
            Meters(day.clock.hours, demand, imported, exported),
            around,
        )
        for group, own, demand, around in zip(
            fleet.groups, state.devices, demands, expected, strict=True
        )
    ]


@torch.no_grad()
def actions_for(simulator: Simulator, state: SimulatorState, output: np.ndarray) -> Tensor:
    """Actions under which the devices draw what a plan says, as nearly as they can.

    Args:
        simulator: the case.
        state: midnight of one day, a batch of one.
        output: (steps, agents) kW.

    Returns:
        (steps, 1, agents, 1) in [-1, 1].
    """
    fleet, devices, actions = simulator.fleet, list(state.devices), []
    wanted = torch.from_numpy(output).to(state.device_voltage)
    for t, power in enumerate(wanted):
        window, chosen = Window(state.day, t, 1), []
        for k, (group, own) in enumerate(zip(fleet.groups, devices, strict=True)):
            part = fleet.split(power[None, :, None])[k]
            action = group.kind.action_for_power(group.parameters, own, part, window)
            devices[k] = group.kind.run(group.parameters, own, action[None], window)[0]
            chosen.append(action)
        actions.append(fleet.actions(chosen))
    return torch.stack(actions)


def _by_kind(values: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """(steps, agents) -> (steps, devices) of each kind, of which there are so many."""
    return np.split(values, np.cumsum(sizes)[:-1], axis=1)

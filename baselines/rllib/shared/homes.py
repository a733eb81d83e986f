"""What each home is, as networks that many homes share observe it: constants of an installation."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gridedge_env.devices import Fleet
from gridedge_env.feeder.places import THREE_PHASES, place_at
from gridedge_env.simulator import Simulator

# kW that a home draws to find out what its place does to voltages: far above rounding, and far
# from a collapse.
PROBE = 10.0
# Constants lie within so many standard deviations of the mean over homes of their kind.
LARGEST_DEVIATION = 3.0


@dataclass(frozen=True)
class Homes:
    """The homes by what they have.

    Attributes:
        rows: of each kind of home ("battery", "battery_and_heat_pump"), which agents they are.
        constants: of each kind of home, (homes, constants) in standard deviations: parameters of
            the devices, and the place.
    """

    rows: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]

    @property
    def count(self) -> int:
        """Number of agents."""
        return sum(map(len, self.rows))


def homes_of(simulator: Simulator) -> Homes:
    """The homes of a case, in single precision on the host."""
    fleet = simulator.fleet
    place = torch.cat((phases(simulator), standardised(voltage_drops(simulator))), dim=1)
    kinds = dict.fromkeys(fleet.agent_kinds)
    rows = [
        torch.tensor(
            [row for row, own in enumerate(fleet.agent_kinds) if own == kind],
            dtype=torch.long,
            device="cpu",
        )
        for kind in kinds
    ]
    constants = [
        torch.cat((standardised(parameters(fleet, own)), place[own]), dim=1).to(
            "cpu", torch.float32
        )
        for own in rows
    ]
    return Homes(tuple(rows), tuple(constants))


def parameters(fleet: Fleet, agents: Tensor) -> Tensor:
    """Of all devices of agents that have the same: (agents, parameters)."""
    columns = []
    for group in fleet.groups:
        device, owner = (group.agent[:, None] == agents).nonzero(as_tuple=True)
        if not len(device):
            continue
        # Devices of one home stay in the order of its action.
        device = device[(owner * fleet.slots + group.slot[device]).argsort()]
        of_devices = [
            getattr(group.parameters, entry.name)[device] for entry in fields(group.parameters)
        ]
        columns.append(torch.stack(of_devices, dim=-1).reshape(len(agents), -1))
    return torch.cat(columns, dim=1)


def phases(simulator: Simulator) -> Tensor:
    """(agents, 3) 1 for each phase at which a home connects, 0 for the others."""
    buses = {bus.name: bus for bus in simulator.feeder.buses}
    of_places = []
    for name in simulator.fleet.connection_names:
        touched = {phase for branch in place_at(name, buses).branches for phase in branch}
        of_places.append([float(phase in touched) for phase in THREE_PHASES])
    connection = simulator.fleet.connection
    table = torch.tensor(of_places, dtype=simulator.dtype, device=simulator.device)
    return table[connection]


@torch.no_grad()
def voltage_drops(simulator: Simulator) -> Tensor:
    """(agents, 2) pu at each meter, when homes there draw 10 kW, and when all do in the mean.

    The first grows with the length of the line, the second is that of what all share of it.
    """
    fleet, flow = simulator.fleet, simulator.power_flow
    places = len(fleet.connection_names)
    drawn = PROBE * torch.eye(places, dtype=simulator.dtype, device=simulator.device)
    homes = torch.cat((torch.zeros_like(drawn[:1]), drawn))
    branches = simulator.wiring.drawn(torch.cat((homes, torch.zeros_like(homes)), dim=1), None)
    voltage = simulator.wiring.meter_voltage(flow.solve_branches(branches).injection_voltage)
    drop = voltage[:1] - voltage[1:]
    own = drop.gather(0, fleet.connection[None])[0]
    return torch.stack((own, drop.mean(dim=0)), dim=1)


def standardised(values: Tensor) -> Tensor:
    """Columns to mean 0 and spread 1 over the rows; 0 where all are alike."""
    spread = values.std(dim=0, correction=0)
    alike = spread <= 1e-6 * values.abs().amax(dim=0)
    scaled = (values - values.mean(dim=0)) / spread.where(~alike, torch.inf)
    return scaled.clamp(-LARGEST_DEVIATION, LARGEST_DEVIATION)

"""Where homes and the feeder's own loads meet the power flow: who draws where, what meters read.

The power flow's injections are the feeder's loads, which take no part, then the homes' connections
and, where inverters answer the voltage by themselves, the responses there. Each has a branch for
each of its phases.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.devices import Fleet
from gridedge_env.powerflow import PowerFlow
from gridedge_env.powerflow.load_models import CURTAILED
from gridedge_env.powerflow.solution import magnitude
from gridedge_env.scenarios import LoadProfiles


class Wiring:
    """The connections of a fleet on a feeder.

    Args:
        power_flow: of the feeder; its injections beyond the feeder's loads are the connections, and
            responses at all of them or at none.
        fleet: on the host.
        profiles: of the feeder's loads; None: they draw their nominal power.
    """

    def __init__(self, power_flow: PowerFlow, fleet: Fleet, profiles: LoadProfiles | None) -> None:
        self._power_flow = power_flow
        self._profiles = profiles
        self._device = power_flow.device
        loads = len(power_flow.feeder.loads)
        self._responds = len(power_flow.injection_names) > loads + len(fleet.connection_names)
        nominal = power_flow.nominal_power[:loads]
        self._loads = torch.stack((nominal.real, nominal.imag)) if loads else None
        self._column = self._indices(profiles.columns) if profiles else None
        self._meter_branch = self._branches_of(fleet, loads)

    def drawn(
        self, homes: Tensor, multiplier: Tensor | None, response: Tensor | None = None
    ) -> Tensor:
        """What all branches draw.

        Args:
            homes: (batch, 2 connections) kW, then kvar, of the homes at each connection.
            multiplier: (batch, profiles) of the feeder's loads, as `multipliers` has them.
            response: (batch, 2 connections) kW, then kVA, that local responses are shares of; None:
                no inverter responds.

        Returns:
            (batch, 2 branches) kW, then kvar.
        """
        if self._responds:
            answers = torch.zeros_like(homes) if response is None else response
            both = [x.unflatten(-1, (2, x.shape[-1] // 2)) for x in (homes, answers)]
            homes = torch.cat(both, dim=-1).flatten(-2)
        if self._loads is not None:
            loads = self._loads
            if multiplier is not None and self._column is not None:
                loads = loads * multiplier.index_select(-1, self._column).unsqueeze(-2)
            of_homes = homes.unflatten(-1, (2, homes.shape[-1] // 2))
            beside = loads.expand(len(homes), -1, -1)
            homes = torch.cat((beside, of_homes), dim=-1).flatten(-2)
        return self._power_flow.spread(homes)

    def multipliers(self, dates: Sequence[date], clock: Clock) -> Tensor | None:
        """(days, steps, profiles) of nominal power; None if it is drawn all the time."""
        if self._profiles is None:
            return None
        return self._profiles.on(dates, clock).to(self._device, self._power_flow.dtype)

    def meter_voltage(self, device_voltage: Tensor) -> Tensor:
        """What meters read: the mean over a home's phases of the voltage across each.

        (batch, agents) pu from (batch, 2 branches), real parts first.
        """
        return self._at_meters(magnitude(device_voltage))

    def curtailed_share(self, device_voltage: Tensor) -> Tensor:
        """(batch, agents) of what a home's inverters would feed in; as in `meter_voltage`."""
        return self._at_meters(CURTAILED(magnitude(device_voltage)))

    def _at_meters(self, of_branches: Tensor) -> Tensor:
        """The mean over the phases of each home, (batch, agents) from (batch, branches)."""
        read = [of_branches.index_select(-1, branch) for branch in self._meter_branch]
        return read[0] if len(read) == 1 else torch.stack(read).mean(dim=0)

    def _branches_of(self, fleet: Fleet, loads: int) -> list[Tensor]:
        """(agents,) the branch of each agent's first phase, second, ...; they begin anew."""
        branches: list[list[int]] = [[] for _ in fleet.connection_names]
        for branch, injection in enumerate(self._power_flow.branch_injection):
            if loads <= injection < loads + len(branches):
                branches[injection - loads].append(branch)
        of_agents = [branches[place] for place in fleet.connection.tolist()]
        most = max(map(len, of_agents))  # one or three
        return [self._indices([own[k % len(own)] for own in of_agents]) for k in range(most)]

    def _indices(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)

"""A kind of limit that the packages know nothing of, as its file beside `limit.py` would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gridedge_env.limit import Array, Limit
from gridedge_env.powerflow import PowerFlow, PowerFlowSolution


@dataclass(frozen=True)
class NetworkLosses(Limit):
    """What the network itself may consume.

    Attributes:
        maximum_losses: kW.
    """

    maximum_losses: float = 1e6

    name = "losses"
    heading = "with too much lost"
    event = "losses beyond the agreed ones"
    colour = "#7a5c00"
    scale = 10.0
    worst_name = "worst_losses"
    worst_heading = "worst losses, kW"
    in_percent = False

    @property
    def rule(self) -> str:
        """See `Limit`."""
        return f"{self.maximum_losses:g} kW of losses"

    def places(self, power_flow: PowerFlow) -> Sequence[str]:
        """The network as a whole."""
        return ["network"]

    def quantity(self, power_flow: PowerFlow, solution: PowerFlowSolution) -> Tensor:
        """kW."""
        return solution.losses[:, None]

    def edges(self, quantity: Array) -> tuple[Array, ...]:
        """See `Limit`."""
        return (quantity - self.maximum_losses,)

    def tightened(self, margin: float) -> NetworkLosses:
        """See `Limit`."""
        return NetworkLosses(self.maximum_losses - margin)

"""The limits of the network, and by how much an operating point is outside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# What counts as one unit of violation when kinds of violation are added up.
VOLTAGE_SCALE = 0.05
LOADING_SCALE = 1.0
UNBALANCE_SCALE = 0.02

# A power flow that did not converge counts as this far outside its limits, everywhere.
UNSOLVED_VOLTAGE_VIOLATION = 0.05


@dataclass(frozen=True)
class Limits:
    """Limits of a distribution network.

    Attributes:
        minimum_voltage: pu, at every node (ANSI C84.1 range A).
        maximum_voltage: pu, likewise.
        maximum_loading: current over rating, in every rated branch phase.
        maximum_unbalance: |V2| / |V1| at every three-phase bus (IEC 61000-2-2).
    """

    minimum_voltage: float = 0.95
    maximum_voltage: float = 1.05
    maximum_loading: float = 1.0
    maximum_unbalance: float = 0.02

    def __post_init__(self) -> None:
        if not 0.0 < self.minimum_voltage < self.maximum_voltage:
            raise ValueError(
                f"limits: got voltages {self.minimum_voltage} to {self.maximum_voltage}, "
                "expected 0 < minimum < maximum"
            )
        if not (self.maximum_loading > 0.0 and self.maximum_unbalance > 0.0):
            raise ValueError(
                f"limits: got loading {self.maximum_loading} and unbalance "
                f"{self.maximum_unbalance}, expected both above 0"
            )

    def tightened(self, voltage: float, loading: float) -> Limits:
        """The same limits less a margin (pu of voltage, share of rating) to stay clear of them."""
        return Limits(
            self.minimum_voltage + voltage,
            self.maximum_voltage - voltage,
            self.maximum_loading - loading,
            self.maximum_unbalance,
        )

    def voltage_violation(self, magnitude: Tensor, converged: Tensor) -> Tensor:
        """pu outside the band: (..., nodes), 0 inside; `converged` is (...)."""
        # A clamp, whose own gradient would take several times as long as this one's.
        nearest = functional.hardtanh(magnitude, self.minimum_voltage, self.maximum_voltage)
        unsolved = ~converged.unsqueeze(-1)
        return (magnitude - nearest).abs().add(unsolved, alpha=UNSOLVED_VOLTAGE_VIOLATION)

    def loading_violation(self, loading: Tensor) -> Tensor:
        """Share of rating beyond the limit: same shape, 0 inside."""
        return torch.relu(loading - self.maximum_loading)

    def unbalance_violation(self, unbalance: Tensor) -> Tensor:
        """Unbalance factor beyond the limit: same shape, 0 inside."""
        return torch.relu(unbalance - self.maximum_unbalance)


def check_limited_nodes(node_names: Sequence[str], energised: Sequence[bool]) -> None:
    """Refuse nodes to which a voltage band does not apply.

    Args:
        node_names: "bus.phase".
        energised: per node, whether a path leads to the source.

    Raises:
        ValueError: a node without a path to the source, or of a neutral (phase 4 and above).
    """
    dead = [name for name, live in zip(node_names, energised, strict=True) if not live]
    neutral = [name for name in node_names if int(name.rpartition(".")[2]) > 3]
    for nodes, problem in ((dead, "without a path to the source"), (neutral, "of a neutral")):
        if nodes:
            raise ValueError(
                f"feeder: {len(nodes)} nodes {problem}: {', '.join(nodes[:5])}"
                f"{', ...' if len(nodes) > 5 else ''}, expected energised phases at every node"
            )

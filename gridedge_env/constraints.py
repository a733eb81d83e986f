"""The limits of the network, by kind, and by how much an operating point is outside them.

A kind of limit is a class, its thresholds are fields; `limit.py` says what it must bring. To add
one, write its file and name it in `LIMIT_KINDS`: multipliers, logs, evaluations, tables and plots
go through these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields

import numpy as np
from torch import Tensor
from torch.nn import functional

from gridedge_env.checks import check_known, check_number
from gridedge_env.limit import Array, Limit
from gridedge_env.powerflow import PowerFlow, PowerFlowSolution

# A power flow that did not converge counts as this far outside its voltage limits, everywhere, pu.
UNSOLVED_VOLTAGE_VIOLATION = 0.05


@dataclass(frozen=True)
class VoltageBand(Limit):
    """A band of voltage at every node (ANSI C84.1 range A), to the neutral of a bus that has one.

    Attributes:
        minimum_voltage: pu.
        maximum_voltage: pu.
    """

    minimum_voltage: float = 0.95
    maximum_voltage: float = 1.05

    name = "voltage"
    heading = "out of voltage band"
    event = "a voltage out of band"
    colour = "#5e3c99"
    scale = 0.05
    worst_name = "worst_voltage_violation"
    worst_heading = "worst voltage violation, pu"
    in_percent = False
    axis_title = "node voltage, pu"

    def __post_init__(self) -> None:
        if not 0.0 < self.minimum_voltage < self.maximum_voltage:
            raise ValueError(
                f"limits: got voltages {_told(self.minimum_voltage)} to "
                f"{_told(self.maximum_voltage)}, expected 0 < minimum < maximum"
            )

    @property
    def rule(self) -> str:
        """See `Limit`."""
        return f"{self.minimum_voltage:g} to {self.maximum_voltage:g} pu at every node"

    def places(self, power_flow: PowerFlow) -> Sequence[str]:
        """Nodes that are no neutral."""
        return power_flow.phase_names

    def quantity(self, power_flow: PowerFlow, solution: PowerFlowSolution) -> Tensor:
        """Voltage magnitude, pu."""
        return power_flow.phase_voltage(solution)

    def edges(self, quantity: Array) -> tuple[Array, ...]:
        """See `Limit`."""
        return self.minimum_voltage - quantity, quantity - self.maximum_voltage

    def tightened(self, margin: float) -> VoltageBand:
        """See `Limit`."""
        return VoltageBand(self.minimum_voltage + margin, self.maximum_voltage - margin)

    def violation(self, quantity: Tensor, converged: Tensor) -> Tensor:
        """pu outside the band; nowhere 0 in a power flow that did not converge."""
        # A clamp, whose own gradient would take several times as long as this one's.
        nearest = functional.hardtanh(quantity, self.minimum_voltage, self.maximum_voltage)
        unsolved = ~converged.unsqueeze(-1)
        return (quantity - nearest).abs().add(unsolved, alpha=UNSOLVED_VOLTAGE_VIOLATION)

    def outside(self, quantity: np.ndarray, converged: np.ndarray, tolerance: float) -> np.ndarray:
        """A power flow that did not converge counts as one outside."""
        return super().outside(quantity, converged, tolerance) | ~converged

    def worst(self, quantity: np.ndarray) -> float:
        """The largest violation, pu."""
        return float(np.maximum(self.excess(quantity), 0.0).max())


@dataclass(frozen=True)
class Loading(Limit):
    """Current over rating in every rated branch phase.

    Attributes:
        maximum_loading: as a share of the rating.
    """

    maximum_loading: float = 1.0

    name = "loading"
    heading = "overloaded"
    event = "an overload"
    colour = "#b2182b"
    scale = 1.0
    worst_name = "worst_loading"
    worst_heading = "worst loading, % of rating"
    axis_title = "highest loading anywhere, % of rating"

    def __post_init__(self) -> None:
        _check_threshold(self.maximum_loading, "maximum_loading")

    @property
    def rule(self) -> str:
        """See `Limit`."""
        share = f"{100.0 * self.maximum_loading:g} %"
        return f"{share} of the rating in every phase of every rated line and transformer"

    def places(self, power_flow: PowerFlow) -> Sequence[str]:
        """Phases of branches."""
        return power_flow.branch_names

    def quantity(self, power_flow: PowerFlow, solution: PowerFlowSolution) -> Tensor:
        """Current over rating; 0 where unrated."""
        return solution.branch_current_magnitude / power_flow.branch_rating

    def edges(self, quantity: Array) -> tuple[Array, ...]:
        """See `Limit`."""
        return (quantity - self.maximum_loading,)

    def tightened(self, margin: float) -> Loading:
        """See `Limit`."""
        return Loading(self.maximum_loading - margin)


@dataclass(frozen=True)
class Unbalance(Limit):
    """Voltage unbalance factor |V2| / |V1| at every three-phase bus (IEC 61000-2-2).

    Attributes:
        maximum_unbalance: of that factor.
    """

    maximum_unbalance: float = 0.02

    name = "unbalance"
    heading = "unbalanced"
    event = "an unbalance"
    colour = "#35978f"
    scale = 0.02
    worst_name = "worst_unbalance"
    worst_heading = "worst unbalance"

    def __post_init__(self) -> None:
        _check_threshold(self.maximum_unbalance, "maximum_unbalance")

    @property
    def rule(self) -> str:
        """See `Limit`."""
        share = f"{100.0 * self.maximum_unbalance:g} %"
        return f"{share} of voltage unbalance at every three-phase bus"

    def places(self, power_flow: PowerFlow) -> Sequence[str]:
        """Three-phase buses."""
        return power_flow.three_phase_buses

    def quantity(self, power_flow: PowerFlow, solution: PowerFlowSolution) -> Tensor:
        """The unbalance factor."""
        return solution.unbalance

    def edges(self, quantity: Array) -> tuple[Array, ...]:
        """See `Limit`."""
        return (quantity - self.maximum_unbalance,)

    def tightened(self, margin: float) -> Unbalance:
        """See `Limit`."""
        return Unbalance(self.maximum_unbalance - margin)


# The registry of kinds of limit, in the order of tables.
LIMIT_KINDS: tuple[type[Limit], ...] = (VoltageBand, Loading, Unbalance)


@dataclass(frozen=True, init=False)
class Limits:
    """All limits of a network: one of each kind, with its thresholds.

    `Limits(minimum_voltage=0.94)` and `Limits(0.94)` have the defaults in all other thresholds.
    Each is an attribute, too: `limits.minimum_voltage`.

    Attributes:
        kinds: in the order of `LIMIT_KINDS`.

    Raises:
        ValueError: a threshold that is unknown, given twice, or out of range.
    """

    kinds: tuple[Limit, ...] = field()

    def __init__(self, *in_order: float, **thresholds: float) -> None:
        known = [entry.name for kind in LIMIT_KINDS for entry in fields(kind)]
        if len(in_order) > len(known):
            raise ValueError(f"limits: got {len(in_order)} thresholds, expected {', '.join(known)}")
        first = dict(zip(known, in_order, strict=False))
        for name in filter(thresholds.__contains__, first):
            raise ValueError(f"limits.{name}: got it twice, in order and by name")
        given = {**first, **thresholds}
        for name in given:
            if name not in known:
                raise ValueError(
                    f"limits: unknown threshold {name!r}, expected one of {', '.join(known)}"
                )
        thresholds = {name: check_number(value, f"limits.{name}") for name, value in given.items()}
        kinds = tuple(
            kind(**{e.name: thresholds[e.name] for e in fields(kind) if e.name in thresholds})
            for kind in LIMIT_KINDS
        )
        object.__setattr__(self, "kinds", kinds)

    def __iter__(self) -> Iterator[Limit]:
        return iter(self.kinds)

    def __getattr__(self, name: str) -> float:
        for kind in self.__dict__.get("kinds", ()):
            if name in kind.__dict__:
                return kind.__dict__[name]
        raise AttributeError(f"Limits has no threshold {name!r}")

    @property
    def thresholds(self) -> dict[str, float]:
        """All thresholds by name: `Limits(**limits.thresholds) == limits`."""
        return {name: value for kind in self.kinds for name, value in asdict(kind).items()}

    def tightened(self, **margins: float) -> Limits:
        """The same limits less margins, by the names of the kinds, to stay clear of them.

        Raises:
            ValueError: no kind has such a name, or nothing is left within the margins.
        """
        check_known(margins, [kind.name for kind in self.kinds], "margins")
        tightened = [
            kind.tightened(margins[kind.name]) if kind.name in margins else kind
            for kind in self.kinds
        ]
        return Limits(**{k: v for kind in tightened for k, v in asdict(kind).items()})


def scaled_edges(
    limits: Limits, power_flow: PowerFlow, solution: PowerFlowSolution
) -> list[Tensor]:
    """By how much limits are passed over their scales, negative inside; (power flows, places).

    One entry for each edge of each kind of limit.
    """
    return [
        edge / kind.scale
        for kind in limits
        for edge in kind.edges(kind.quantity(power_flow, solution))
    ]


def _check_threshold(value: float, name: str) -> None:
    if not value > 0.0:
        raise ValueError(f"limits: got {name} {_told(value)}, expected it above 0")


def _told(threshold: float) -> float:
    """Without the rounding that taking a margin off has left."""
    return round(threshold, 9)


def check_limited_nodes(node_names: Sequence[str], energised: Sequence[bool]) -> None:
    """Refuse nodes to which a voltage band does not apply.

    Args:
        node_names: "bus.phase".
        energised: per node, whether a path leads to the source.

    Raises:
        ValueError: a node without a path to the source.
    """
    dead = [name for name, live in zip(node_names, energised, strict=True) if not live]
    if dead:
        raise ValueError(
            f"feeder: {len(dead)} nodes without a path to the source: {', '.join(dead[:5])}"
            f"{', ...' if len(dead) > 5 else ''}, expected energised phases at every node"
        )

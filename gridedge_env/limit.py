"""What a kind of limit must bring: `Limit`. The kinds themselves are in `constraints.py`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from gridedge_env.powerflow import PowerFlow, PowerFlowSolution

Array = TypeVar("Array", Tensor, np.ndarray)
LimitT = TypeVar("LimitT", bound="Limit")


@dataclass(frozen=True)
class Limit(ABC):
    """A kind of limit.

    Attributes:
        name: of its multipliers, columns and arrays: "voltage".
        heading: of its column in tables, after the steps' length: "out of voltage band".
        event: in sentences: "a voltage out of band".
        colour: of its curves, one that no method has.
        scale: what counts as one unit of violation when kinds of violation are added up.
        worst_name: column of the worst that happened.
        worst_heading: of that column, with its unit.
        in_percent: whether that is a share, to be read as a percentage.
    """

    name: ClassVar[str]
    heading: ClassVar[str]
    event: ClassVar[str]
    colour: ClassVar[str]
    scale: ClassVar[float]
    worst_name: ClassVar[str]
    worst_heading: ClassVar[str]
    in_percent: ClassVar[bool] = True

    @property
    @abstractmethod
    def rule(self) -> str:
        """What must hold, in words."""

    @property
    def axis_title(self) -> str:
        """Of the quantity, where it is drawn: by default as its worst is called in tables."""
        return self.worst_heading

    @abstractmethod
    def places(self, power_flow: PowerFlow) -> Sequence[str]:
        """Where on a feeder it holds: names of the columns of `quantity`."""

    @abstractmethod
    def quantity(self, power_flow: PowerFlow, solution: PowerFlowSolution) -> Tensor:
        """(batch, places) what is limited, differentiable in the power drawn."""

    @abstractmethod
    def edges(self, quantity: Array) -> tuple[Array, ...]:
        """By how much each edge of what is allowed is passed, negative inside; same shapes."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest quantity that is allowed; infinite where there is no such edge."""
        lowest, highest = -np.inf, np.inf
        for passed in self.edges(np.array([0.0, 1.0])):  # by a quantity of 0, and by one of 1
            if passed[1] < passed[0]:
                lowest = float(passed[0])
            else:
                highest = -float(passed[0])
        return lowest, highest

    @property
    def middle(self) -> float:
        """A quantity well within: half-way, or a unit of violation from the only bound."""
        low, high = self.bounds
        if math.isfinite(low) and math.isfinite(high):
            return 0.5 * (low + high)
        if math.isfinite(low):
            return low + self.scale
        return high - self.scale if math.isfinite(high) else 0.0

    @property
    def half_width(self) -> float:
        """From there to a bound; a unit of violation if there is none."""
        low, high = self.bounds
        return 0.5 * (high - low) if math.isfinite(high - low) else self.scale

    @abstractmethod
    def tightened(self: LimitT, margin: float) -> LimitT:
        """The same less a margin, in units of the quantity, to stay clear of it."""

    def violation(self, quantity: Tensor, converged: Tensor) -> Tensor:
        """By how much the quantity (..., places) is outside, 0 inside; `converged` is (...)."""
        return reduce(torch.add, map(torch.relu, self.edges(quantity)))

    def outside(self, quantity: np.ndarray, converged: np.ndarray, tolerance: float) -> np.ndarray:
        """(...) bool: whether the quantity (..., places) is outside anywhere."""
        return self.excess(quantity).max(axis=-1, initial=-np.inf) > tolerance

    def excess(self, quantity: np.ndarray) -> np.ndarray:
        """By how much the worst edge is passed, negative inside: same shape."""
        return np.max(self.edges(quantity), axis=0)

    def worst(self, quantity: np.ndarray) -> float:
        """The column `worst_name`: by default the largest quantity anywhere."""
        return float(quantity.max(initial=0.0))

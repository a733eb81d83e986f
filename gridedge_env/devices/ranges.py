"""What a parameter of a device may be, as its field's metadata says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf

import numpy as np

from gridedge_env.record import Record

_RANGE = "range"


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`.

    Attributes:
        least: the least of them.
        most: the greatest, or the greatest share of another parameter of the same device.
        of: the name of that parameter; "" is none.
        without_least: whether the least itself is left out.
    """

    least: float
    most: float
    of: str
    without_least: bool

    @property
    def words(self) -> str:
        """What is expected."""
        least = f"{'a number above' if self.without_least else 'at least'} {self.least:g}"
        if self.of:
            share = "" if self.most == 1.0 else f"{self.most:g} × "
            return f"{least}, at most {share}{self.of}"
        return least if self.most == inf else f"{least}, at most {self.most:g}"

    def outside(self, values: np.ndarray, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """(devices,) bool: whether a value is out of range."""
        most = self.most * columns[self.of] if self.of else self.most
        low = values <= self.least if self.without_least else values < self.least
        return low | (values > most)


def within(
    least: float = 0.0, most: float = inf, of: str = "", without_least: bool = False
) -> dict[str, Range]:
    """Metadata of a parameter: its `Range`; by default 0 and more."""
    return {_RANGE: Range(least, most, of, without_least)}


def positive(most: float = inf) -> dict[str, Range]:
    """Metadata of a parameter that is positive."""
    return within(0.0, most, without_least=True)


def out_of_range(
    parameters: type[Record], columns: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, str]]:
    """The parameters that are: (devices,) bool which, and what is expected.

    Args:
        parameters: the record of a kind.
        columns: (devices,) finite numbers of each of its fields.
    """
    found = {}
    for entry in fields(parameters):
        if _RANGE in entry.metadata:
            outside = entry.metadata[_RANGE].outside(columns[entry.name], columns)
            if outside.any():
                found[entry.name] = outside, entry.metadata[_RANGE].words
    return found

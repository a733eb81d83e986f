"""What a parameter of a device may be, as its field's metadata says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from gridedge_env.checks import LARGEST_NUMBER, SMALLEST_POSITIVE
from gridedge_env.record import Record

_RANGE = "range"


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`.

    Attributes:
        least: the least of them.
        most: the greatest, or the greatest share of another parameter of the same device.
        of: the name of that parameter; "" is none.
        lasting: the name of a parameter with which it makes a time constant, in h: of less than a
            step of the clock, states would swing from step to step, ever further; "" is none.
    """

    least: float
    most: float
    of: str
    lasting: str

    def words(self, hours: float) -> str:
        """What is expected, in steps of so many hours."""
        share = "" if self.most == 1.0 else f"{self.most:g} × "
        most = f"{share}{self.of}" if self.of else f"{self.most:g}"
        if self.lasting and hours > 0.0:
            most += f", and times {self.lasting} at least the {hours:g} h of a step"
        positive = "a positive number of " if self.least == SMALLEST_POSITIVE else ""
        return f"{positive}at least {self.least:g}, at most {most}"

    def outside(
        self, values: np.ndarray, columns: Mapping[str, np.ndarray], hours: float
    ) -> np.ndarray:
        """(devices,) bool: whether a value is out of range, in steps of so many hours."""
        most = self.most * columns[self.of] if self.of else self.most
        inside = (values >= self.least) & (values <= most)
        if self.lasting:
            inside &= values * columns[self.lasting] >= hours
        return ~inside


def within(
    least: float = 0.0, most: float = LARGEST_NUMBER, of: str = "", lasting: str = ""
) -> dict[str, Range]:
    """Metadata of a parameter: its `Range`; by default 0 and more."""
    return {_RANGE: Range(least, most, of, lasting)}


def positive(most: float = LARGEST_NUMBER, lasting: str = "") -> dict[str, Range]:
    """Metadata of a parameter that is positive, and may be divided by."""
    return within(SMALLEST_POSITIVE, most, lasting=lasting)


def out_of_range(
    parameters: type[Record], columns: Mapping[str, np.ndarray], hours: float = 0.0
) -> dict[str, tuple[np.ndarray, str]]:
    """The parameters that are: (devices,) bool which, and what is expected.

    Args:
        parameters: the record of a kind.
        columns: (devices,) numbers of each of its fields.
        hours: of a step of the clock; 0 where there is none yet.
    """
    found = {}
    for entry in fields(parameters):
        if _RANGE in entry.metadata:
            limits = entry.metadata[_RANGE]
            outside = limits.outside(columns[entry.name], columns, hours)
            if outside.any():
                found[entry.name] = outside, limits.words(hours)
    return found


def check_ranges(
    kind: str, parameters: type[Record], columns: Mapping[str, np.ndarray], hours: float = 0.0
) -> None:
    """Refuse devices of a kind with a parameter out of range; arguments as of `out_of_range`.

    Raises:
        ValueError: names the first such parameter, what came and what was expected.
    """
    for name, (outside, expected) in out_of_range(parameters, columns, hours).items():
        raise ValueError(f"{kind}.{name}: got {columns[name][outside][0]:g}, expected {expected}")

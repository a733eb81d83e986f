"""Everything about a case besides its feeder and the number of agents."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from numbers import Real
from typing import Any, SupportsIndex

from gridedge_env.limits import Limits
from gridedge_env.scenarios import DemandSource, GeneratedDemand, Tariff


@dataclass(frozen=True)
class SimulatorOptions:
    """Options of a simulator; each has a default.

    Attributes:
        seed: chooses homes, devices and where they stand.
        source_voltage: pu behind the feeder's source.
        neutral_taps: regulators at neutral, not at the feeder's tap positions. Those of the
            published feeders boost a full, one-way load; homes that import less and also export
            would see overvoltage at rest.
        regulator_control: taps follow their controls: after every step they move as OpenDSS's would
            under its voltages, within the step's half hour, and stand there in the next step.
            Without it they are frozen.
        home_scale: powers and energies of every home over an ordinary one's; None: so that the
            fleet is in proportion to the feeder (1 for 1,000 agents on IEEE 123).
        reactive_power: batteries and generators get a second action, reactive power within their
            inverter's rating.
        penalty: € in the reward per unit of network violation.
        tariff: retail prices.
        limits: of the network.
        demand: where household demand comes from.
    """

    seed: int = 0
    source_voltage: float = 1.0
    neutral_taps: bool = True
    regulator_control: bool = False
    home_scale: float | None = None
    reactive_power: bool = False
    penalty: float = 100.0
    tariff: Tariff = Tariff()
    limits: Limits = Limits()
    demand: DemandSource[Any] = GeneratedDemand()

    def __post_init__(self) -> None:
        check_whole_number(self.seed, 0, "seed")
        _check_positive(self.source_voltage, "source_voltage")
        if self.home_scale is not None:
            _check_positive(self.home_scale, "home_scale")
        if not (_is_finite(self.penalty) and self.penalty >= 0.0):
            raise ValueError(f"penalty: got {self.penalty!r}, expected a number of at least 0")
        for name in ("neutral_taps", "regulator_control", "reactive_power"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ValueError(f"{name}: got {value!r}, expected True or False")


def check_whole_number(value: SupportsIndex, least: int, name: str) -> int:
    """`value` as an int.

    Raises:
        ValueError: it is not a whole number, or is below `least`.
    """
    try:
        whole = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        whole = None
    if whole is None or whole < least:
        raise ValueError(f"{name}: got {value!r}, expected a whole number of at least {least}")
    return whole


def _check_positive(value: float, name: str) -> None:
    if not (_is_finite(value) and value > 0.0):
        raise ValueError(f"{name}: got {value!r}, expected a positive number")


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)

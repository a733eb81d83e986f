"""Trials: the test days, played otherwise than anybody was trained or planned for.

Policies and the public plan stay as they were installed; the days, the homes or the feeder differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from gridedge_env.case import Case
from gridedge_env.checks import (
    check_flag,
    check_known,
    check_number,
    check_positive,
    check_share,
    check_source_voltage,
)
from gridedge_env.devices import Fleet
from gridedge_env.powerflow import PowerFlow
from gridedge_env.reference import Idle, Policy
from gridedge_env.scenarios import LoadProfiles, Variation
from gridedge_env.simulator import Simulator
from gridedge_env.wiring import Wiring


@dataclass(frozen=True)
class Trial:
    """How the test days are played: as observed, or otherwise.

    Attributes:
        variation: of the days, all by the same numbers.
        other_fleet: the policies of a seed act in the homes of the next seed, and go by the public
            plan that these were given.
        absent_share: of homes whose devices do least, whatever policies say; the seed draws them.
        homes_factor: how many times as many homes there are as were known: each counts so often on
            the feeder, and its bill stays that of one.
        source_voltage: pu behind the feeder's source; None: as it was.
        neutral_taps: regulators at neutral, or at the feeder's tap positions; None: as they were.
    """

    variation: Variation = Variation()
    other_fleet: bool = False
    absent_share: float = 0.0
    homes_factor: float = 1.0
    source_voltage: float | None = None
    neutral_taps: bool | None = None

    @property
    def record(self) -> dict[str, Any]:
        """As a TOML table has it: the variation's fields beside its own."""
        own = asdict(self)
        return {**own.pop("variation"), **own}

    @property
    def of_feeder(self) -> dict[str, Any]:
        """What `CaseSettings` say of the feeder, where that is not as it was."""
        told = {"source_voltage": self.source_voltage, "neutral_taps": self.neutral_taps}
        return {name: value for name, value in told.items() if value is not None}

    @property
    def of_settings(self) -> list[str]:
        """What it asks that a case of one's own cannot do: its homes and its taps are given."""
        asked = {"other_fleet": self.other_fleet, "neutral_taps": self.neutral_taps is not None}
        return [name for name, wanted in asked.items() if wanted]

    @property
    def described(self) -> str:
        """What is different."""
        parts, days = [], self.variation
        if days.temperature_shift:
            warmer = "warmer" if days.temperature_shift > 0.0 else "colder"
            parts.append(f"days {abs(days.temperature_shift):g} °C {warmer}")
        if days.demand_factor != 1.0:
            parts.append(f"household demand × {days.demand_factor:g}")
        if days.price_factor != 1.0:
            parts.append(f"day-ahead prices × {days.price_factor:g}")
        if self.other_fleet:
            parts.append("in other homes: the policies of each seed act on the next seed's fleet")
        if self.absent_share:
            parts.append(f"devices of {100.0 * self.absent_share:g} % of the homes do nothing")
        if self.homes_factor != 1.0:
            parts.append(f"homes on the feeder × {self.homes_factor:g}")
        if self.source_voltage is not None:
            parts.append(f"{self.source_voltage:g} pu behind the feeder's source")
        if self.neutral_taps is not None:
            where = "neutral" if self.neutral_taps else "the feeder's tap positions"
            parts.append(f"regulators at {where}")
        return ", ".join(parts) or "no departure"


# Days as observed, in the world as it was known.
PLAIN = Trial()

CHECKS: dict[str, Callable[[Any, str], Any]] = {
    **{entry.name: check_positive for entry in fields(Variation)},
    "temperature_shift": check_number,
    "other_fleet": check_flag,
    "absent_share": check_share,
    "homes_factor": check_positive,
    "source_voltage": check_source_voltage,
    "neutral_taps": check_flag,
}


def trial_from_record(record: Mapping[str, Any], where: str) -> Trial:
    """A trial from what a TOML table or `Trial.record` says.

    Raises:
        ValueError: a field is unknown or not what it should be; names it after `where`.
    """
    check_known(record, list(CHECKS), where)
    given = {name: value for name, value in record.items() if value is not None}
    for name, value in given.items():
        CHECKS[name](value, f"{where}.{name}")
    of_days = {e.name: given.pop(e.name) for e in fields(Variation) if e.name in given}
    return Trial(Variation(**of_days), **given)


class World(Simulator):
    """A case as it is in a trial, whose agents go by the public plan as it was installed.

    Args:
        case: as it is.
        installed: the case as it was known.
        trial: what else differs.

    Attributes:
        absent: (agents,) bool, homes whose devices do least; None: there are none.
    """

    def __init__(self, case: Case, installed: Simulator, trial: Trial) -> None:
        super().__init__(case, installed.device, installed.dtype)
        self.public_plan = installed.public_plan
        if trial.homes_factor != 1.0:
            where = self.power_flow, case.fleet, case.load_profiles
            self.wiring = _MoreHomes(*where, trial.homes_factor)
        self.absent: Tensor | None = None
        if trial.absent_share:
            generator = torch.Generator("cpu").manual_seed(case.seed)
            order = torch.randperm(
                self.num_agents, generator=generator, device="cpu", dtype=torch.int64
            )
            self.absent = (order < trial.absent_share * self.num_agents).to(self.device)

    def heeded(self, policy: Policy) -> Policy:
        """What becomes of a policy where some are absent."""
        if self.absent is None:
            return policy
        absent, idle = self.absent[:, None], Idle(self)
        return lambda private, shared: torch.where(
            absent, idle(private, shared), policy(private, shared)
        )


class _MoreHomes(Wiring):
    """Where each home counts as several, or as a part of one."""

    def __init__(
        self, power_flow: PowerFlow, fleet: Fleet, profiles: LoadProfiles | None, factor: float
    ) -> None:
        super().__init__(power_flow, fleet, profiles)
        self._factor = factor

    def drawn(
        self, homes: Tensor, multiplier: Tensor | None, response: Tensor | None = None
    ) -> Tensor:
        """See `Wiring`."""
        answers = None if response is None else self._factor * response
        return super().drawn(self._factor * homes, multiplier, answers)

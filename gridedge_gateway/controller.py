"""From readings to set-points: what runs at a customer's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gridedge_gateway.readings import Readings


@dataclass(frozen=True)
class SetPoint:
    """What devices are to do in a step.

    Attributes:
        time: at which the step began, UTC.
        power: kW drawn, by the device's name; negative where it is fed in.
        reactive_power: kvar drawn, of inverters, under a case that chooses it.
        follows: "policy", or "fallback" where all devices do what is safe.
        reasons: what was missing or wrong: "name: what came, what is done instead".
    """

    time: datetime
    power: Mapping[str, float]
    reactive_power: Mapping[str, float]
    follows: str
    reasons: tuple[str, ...]

    def as_json(self) -> str:
        """As an object, its time in ISO 8601."""
        return json.dumps({**vars(self), "time": self.time.isoformat()}, ensure_ascii=False)


class Controller:
    """A customer's."""

    @classmethod
    def load(cls, path: str | Path) -> Controller:
        """The controller of a file.

        Raises:
            FileNotFoundError: no such file.
            ValueError: it is damaged, or of another format; the file is named.
        """
        raise NotImplementedError

    def step(self, readings: Readings) -> SetPoint:
        """Set-points for the step in which the time of the readings lies; never an error."""
        raise NotImplementedError

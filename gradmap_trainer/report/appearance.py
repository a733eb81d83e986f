"""Names and colours of methods, the same in every figure and table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradmap_trainer.report.words import listed
from gridedge_env.devices import DeviceKind


@dataclass(frozen=True)
class Appearance:
    """How a method appears.

    Attributes:
        name: for people.
        colour: of its lines.
        about: what it knows and does.
    """

    name: str
    colour: str
    about: str


# Of the methods that a run is evaluated with.
APPEARANCES = {
    "gradmap": Appearance(
        "GradMAP", "#0072b2", "the policies trained here; each home acts on its own observations."
    ),
    "perfect_foresight": Appearance(
        "Perfect foresight",
        "#009e73",
        "a central planner that knows the day of every home beforehand; the best to hope for.",
    ),
    "price_following": Appearance(
        "Price-following",
        "#d55e00",
        "each home uses cheap hours and avoids dear ones, and knows nothing of the network.",
    ),
    "plan_following": Appearance(
        "Plan-following",
        "#e69f00",
        "each home does what the public plan asks of a device like its own; nothing is learned.",
    ),
    "thermostat": Appearance(
        "Thermostat",
        "#cc79a7",
        "as doing nothing, but devices see to comfort.",
    ),
    "idle": Appearance(
        "Doing nothing",
        "#8a8a8a",
        "every device does least.",
    ),
}


def about(key: str, kinds: Sequence[DeviceKind[Any, Any]]) -> str:
    """What a method knows and does with devices of these kinds; empty if it is not known."""
    told = appearance(key).about
    more = told.removesuffix(".")
    if key == "idle":
        return f"{more}: {listed([f'{kind.plural} {kind.at_rest}' for kind in kinds])}."
    if key == "thermostat":
        changed = [f"{kind.plural} {kind.for_comfort}" for kind in kinds if kind.for_comfort]
        return f"{more}: {listed(changed)}." if changed else "the same as doing nothing here."
    return told


def appearance(key: str) -> Appearance:
    """The appearance of a method, known or not."""
    return APPEARANCES.get(key) or Appearance(key.replace("_", " ").capitalize(), "#444444", "")

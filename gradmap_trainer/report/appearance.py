"""Names and colours of methods, the same in every figure and table."""

from __future__ import annotations

from dataclasses import dataclass


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
    "thermostat": Appearance(
        "Thermostat",
        "#cc79a7",
        "as doing nothing, but heat pumps hold rooms mid-way in their comfort band and cars charge "
        "at once.",
    ),
    "idle": Appearance(
        "Doing nothing",
        "#8a8a8a",
        "batteries rest, generators stay off, heat pumps keep rooms just warm enough, cars charge "
        "as late as they may and roofs feed in all that they have.",
    ),
}


def appearance(key: str) -> Appearance:
    """The appearance of a method, known or not."""
    return APPEARANCES.get(key) or Appearance(key.replace("_", " ").capitalize(), "#444444", "")

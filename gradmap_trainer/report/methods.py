"""Names and colours of methods and kinds of limit, the same in every figure and table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """How a method appears.

    Attributes:
        name: for people.
        colour: of its lines.
        about: what it knows and does.
    """

    name: str
    colour: str
    about: str


METHODS = {
    "gradmap": Method(
        "GradMAP", "#0072b2", "the policies trained here; each home acts on its own observations."
    ),
    "self_supervised": Method(
        "Self-supervised", "#6a3d9a", "the same policies, one optimiser step per gradient."
    ),
    "ippo": Method("IPPO", "#a6761d", "reinforcement learning, each home with its own critic."),
    "mappo": Method("MAPPO", "#56b4e9", "reinforcement learning with one critic for the fleet."),
    "perfect_foresight": Method(
        "Perfect foresight",
        "#009e73",
        "a central planner that knows the day of every home beforehand; the best to hope for.",
    ),
    "price_following": Method(
        "Price-following",
        "#d55e00",
        "each home uses cheap hours and avoids dear ones, and knows nothing of the network.",
    ),
    "thermostat": Method(
        "Thermostat",
        "#cc79a7",
        "batteries rest, generators stay off, heat pumps hold rooms mid-way in their comfort band.",
    ),
    "idle": Method(
        "Doing nothing",
        "#8a8a8a",
        "batteries rest, generators stay off, heat pumps keep rooms just warm enough.",
    ),
}

# Kinds of limit: name, and a colour that no method has.
KINDS = {
    "voltage": ("voltage", "#5e3c99"),
    "loading": ("loading", "#b2182b"),
    "unbalance": ("unbalance", "#35978f"),
}


def method(key: str) -> Method:
    """The appearance of a method, known or not."""
    return METHODS.get(key) or Method(key.replace("_", " ").capitalize(), "#444444", "")

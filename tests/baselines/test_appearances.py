"""Methods have names and colours that nothing else in a figure has."""

from __future__ import annotations

from baselines.appearances import APPEARANCES
from baselines.compare.config import FORESIGHT
from baselines.compare.figures import SPARE_COLOURS
from baselines.methods import METHODS
from gridedge_env.constraints import LIMIT_KINDS


def test_only_methods_have_an_appearance() -> None:
    """A method that has none is given a spare colour: adding one is not adding an appearance."""
    assert {"gradmap", "self_supervised", "ippo", "mappo", "volt_watt", "volt_var"} <= {
        *APPEARANCES
    }
    assert set(APPEARANCES) <= {*METHODS, FORESIGHT}
    assert all(one.about.endswith(".") for one in APPEARANCES.values())


def test_names_and_colours_are_told_apart() -> None:
    names = [one.name for one in APPEARANCES.values()]
    assert len(set(names)) == len(names)
    colours = [
        *(one.colour for one in APPEARANCES.values()),
        *(kind.colour for kind in LIMIT_KINDS),
        *SPARE_COLOURS,
    ]
    assert len(set(colours)) == len(colours)

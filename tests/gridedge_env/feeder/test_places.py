"""Where customers connect, and which loads they replace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.feeder.places import loads_beside, place_at
from gridedge_env.feeder.records import Bus, Load

BUSES = {
    "street": Bus("street", (1, 2, 3, 4), 0.23),
    "pole": Bus("pole", (1, 2, 3), 0.23),
    "end": Bus("end", (2, 5, 4), 0.23),
}


@pytest.mark.parametrize(
    ("name", "branches"),
    [
        ("street.2", ((2, 0),)),
        ("street.3.1", ((3, 1),)),
        ("street.1.4", ((1, 4),)),
        ("end.2.5", ((2, 5),)),
        ("street", ((1, 4), (2, 4), (3, 4))),
        ("pole", ((1, 0), (2, 0), (3, 0))),
    ],
)
def test_a_place_is_between_phases_and_neutral_or_ground(
    name: str, branches: tuple[tuple[int, int], ...]
) -> None:
    place = place_at(name, BUSES)
    assert (place.bus, place.branches) == (name.partition(".")[0], branches)


def test_a_bus_is_known_in_capitals_too() -> None:
    """OpenDSS knows no cases; where a table has both, the bus is the one that is written."""
    assert place_at("Street.2", BUSES) == place_at("street.2", BUSES)
    both = {**BUSES, "Street": Bus("Street", (1,), 0.23)}
    assert place_at("Street.1", both).bus == "Street"


@pytest.mark.parametrize(
    ("name", "has"), [("moon.1", "there is no bus 'moon'"), ("end.1", "end has 2, 5, 4")]
)
def test_a_refusal_says_what_there_is(name: str, has: str) -> None:
    with pytest.raises(ValueError, match=f"of the feeder; {has}$"):
        place_at(name, BUSES)


@pytest.mark.parametrize(
    "name",
    [
        *("", "moon", "end", "end.1", "street.01", "street.0", "street.1.0", "street.1.2.3"),
        *("street.4", "street.4.1", "street.1.", "street.1.1", "street. 1"),
    ],
)
def test_what_is_no_place_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="^place: got '.*', expected"):
        place_at(name, BUSES)


@pytest.fixture
def street() -> Feeder:
    """IEEE 13 with a house on 634.1, a workshop on all of 671, a motor between 671.1 and 671.2."""
    law = {"model": "constant_power", "kvar": 0.0}
    loads = (
        Load("house", "634", (1,), "wye", kv=0.277, kw=5.0, **law),
        Load("workshop", "671", (1, 2, 3), "wye", kv=4.16, kw=90.0, **law),
        Load("motor", "671", (1, 2), "delta", kv=4.16, kw=20.0, **law),
        Load("solar", "671", (3,), "wye", kv=2.4, kw=-4.0, **law),
    )
    return replace(load_feeder("ieee13"), loads=loads)


@pytest.mark.parametrize(
    ("places", "stay"),
    [
        ([], ["house", "workshop", "motor", "solar"]),
        (["634.2", "632.1", "634.2"], ["house", "workshop", "motor", "solar"]),
        (["634.1"], ["workshop", "motor", "solar"]),
        (["671.2"], ["house", "solar"]),
        (["671.2.3"], ["house"]),
        (["671.3"], ["house", "motor"]),
        (["634", "671"], []),
    ],
)
def test_customers_replace_the_loads_that_share_a_phase_with_them(
    street: Feeder, places: list[str], stay: list[str]
) -> None:
    assert [load.name for load in loads_beside(street, places)] == stay

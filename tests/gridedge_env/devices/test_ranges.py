"""A device that cannot be is refused by the name of its parameter."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_env.devices.ranges import out_of_range


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_is_sampled_is_in_range(kind):
    columns = kind.sample(2000, 0.3, np.random.default_rng(0))
    assert out_of_range(kind.parameters, columns) == {}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_parameter_has_a_range(kind):
    """A number that no device has is refused, whichever parameter it is."""
    columns = kind.sample(3, 1.0, np.random.default_rng(0))
    for entry in fields(kind.parameters):
        odd = {**columns, entry.name: np.array([columns[entry.name][0], -1e6, 1e6])}
        assert entry.name in out_of_range(kind.parameters, odd)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("battery", {"capacity": -40.0}, "capacity: got -40, expected a number above 0"),
        (
            "battery",
            {"charge_efficiency": 0.0},
            "charge_efficiency: got 0, expected a numb",
        ),
        ("battery", {"charge_efficiency": 1.5}, "charge_efficiency: got 1.5, .* at most 1"),
        ("battery", {"capacity": 10.0, "minimum_energy": 6.0}, "got 6, .*at most 0.5 × capacity"),
        ("generator", {"quadratic_cost": 0.0}, "quadratic_cost: got 0, expected a number above 0"),
        ("heat_pump", {"lowest_temperature": 25.0}, "got 25, .*at most highest_temperature"),
        ("ev_charger", {"departure": 20.0, "arrival": 8.0}, "got 20, .*at most arrival"),
        ("pv_inverter", {"tilt": 100.0}, "tilt: got 100, expected at least 0, at most 90"),
    ],
)
def test_what_cannot_be_is_refused(kind, changes, message):
    columns = KINDS[kind].sample(1, 1.0, np.random.default_rng(0))
    columns |= {name: np.array([value]) for name, value in changes.items()}
    with pytest.raises(ValueError, match=f"^{kind}.*{message}"):
        make_fleet({"a": "671.1"}, {kind: Devices(["a"], columns)})

"""A device that cannot be is refused by the name of its parameter."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from gridedge_env import Case, Clock, default_case, make_simulator
from gridedge_env.checks import LARGEST_NUMBER
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_env.devices.ranges import out_of_range


@pytest.fixture(scope="module")
def case() -> Case:
    return default_case("ieee13", 3, public_plan=True)


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
        ("battery", {"capacity": -40.0}, "capacity: got -40, expected a positive number"),
        (
            "battery",
            {"charge_efficiency": 0.0},
            "charge_efficiency: got 0, expected a positive number of at least 1e-15, at most 1",
        ),
        ("battery", {"maximum_power": 1e-46}, "maximum_power: got 1e-46, .*of at least 1e-15"),
        ("generator", {"linear_cost": 1e300}, r"got 1e\+300, expected at least 0, at most 1e\+15"),
        ("battery", {"charge_efficiency": 1.5}, "charge_efficiency: got 1.5, .* at most 1"),
        ("battery", {"capacity": 10.0, "minimum_energy": 6.0}, "got 6, .*at most 0.5 × capacity"),
        ("generator", {"quadratic_cost": 0.0}, "quadratic_cost: got 0, expected a positive numb"),
        (
            "heat_pump",
            {"lowest_temperature": 25.0},
            "got 25, .*at most 0.999 × highest_temperature",
        ),
        ("heat_pump", {"lowest_temperature": 20.0, "highest_temperature": 20.0}, "got 20, .*0.999"),
        ("ev_charger", {"departure": 20.0, "arrival": 8.0}, "got 20, .*at most arrival"),
        ("pv_inverter", {"tilt": 100.0}, "tilt: got 100, expected at least 0, at most 90"),
    ],
)
def test_what_cannot_be_is_refused(kind, changes, message):
    columns = KINDS[kind].sample(1, 1.0, np.random.default_rng(0))
    columns |= {name: np.array([value]) for name, value in changes.items()}
    with pytest.raises(ValueError, match=f"^{kind}.*{message}"):
        make_fleet({"a": "671.1"}, {kind: Devices(["a"], columns)})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("most", [False, True])
def test_days_of_devices_at_the_ends_of_their_ranges_are_finite(kind, most, case):
    """In single precision: a device for each parameter that is as small, or large, as may be."""
    ranges = {entry.name: entry.metadata["range"] for entry in fields(kind.parameters)}
    columns = kind.sample(len(ranges), 1.0, np.random.default_rng(0))
    for row, (name, its) in enumerate(ranges.items()):
        share = columns[its.of][row] if its.of else 1.0
        columns[name][row] = its.most * share if most else its.least
        for other, limits in ranges.items():  # what is to be less, or to last as long
            if limits.of == name:
                columns[other][row] = limits.least
            if not most and {name, other} == {"capacity", "resistance"}:
                columns[other][row] = LARGEST_NUMBER
    names = list(ranges)
    fleet = make_fleet(dict.fromkeys(names, "671.1"), {kind.name: Devices(names, columns)})
    clock = Clock.of_minutes(60)
    simulator = make_simulator(case=replace(case, fleet=fleet, clock=clock))
    state = begin = simulator.reset(1, seed=0)
    random = torch.Generator().manual_seed(0)
    actions = 2.0 * torch.rand(clock.steps, 1, len(names), 1, generator=random) - 1.0
    for action in actions:
        assert simulator.observe(state).isfinite().all()
        state = simulator.glance(state, action)
    result = simulator.simulate(begin, actions)
    assert result.cost.isfinite().all()
    assert result.power.isfinite().all()


@pytest.mark.parametrize("changes", [{"capacity": 0.1}, {"resistance": 0.06}])
def test_a_building_that_keeps_heat_for_less_than_a_step_is_refused(changes, case):
    """Temperatures would swing from step to step, ever further."""
    columns = KINDS["heat_pump"].sample(1, 1.0, np.random.default_rng(0))
    columns |= {"capacity": np.array([8.0]), "resistance": np.array([4.0])}
    columns |= {name: np.array([value]) for name, value in changes.items()}
    fleet = make_fleet({"a": "671.1"}, {"heat_pump": Devices(["a"], columns)})
    told = rf"heat_pump.capacity: got {columns['capacity'][0]:g}, .* times resistance at least the "
    with pytest.raises(ValueError, match=f"^{told}0.5 h of a step"):
        replace(case, fleet=fleet)
    quarters = replace(case, fleet=fleet, clock=Clock.of_minutes(15))
    with pytest.raises(ValueError, match=f"^{told}1 h of a step"):
        replace(quarters, clock=Clock.of_minutes(60))

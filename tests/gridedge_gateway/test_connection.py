"""What a connection leaves devices: told, believed, and never for good by a meter that is wrong."""

from __future__ import annotations

import pytest

from benchmarks.gateway.readings import STEP, VALUES, midnight
from gridedge_gateway import Controller
from tests.gridedge_gateway.house import play, told, without
from tests.gridedge_gateway.test_sensors import DAY

EVENING = midnight(DAY) + 36 * STEP


@pytest.fixture
def bound(path):
    return Controller.load(path, 9.0)


def test_estimates_know_what_the_connection_has_left(bound):
    """A car whose charge nobody reads: it has got what it was told to draw, and no more."""
    car = next(d for d in bound.file.customer["devices"] if d["kind"] == "ev_charger")["parameters"]
    drawn, charges, answers = 0.0, [], []
    for step in range(24):
        # What all else draws differs from step to step, as it does in homes.
        meter = {"meter_power": 7.0 + 1e-3 * step + drawn}
        values = without("ev_charger.state_of_charge") | meter
        answers += play(bound, EVENING + step * STEP, 1, values, news=False)
        charges.append(bound.expected["reading.ev_charger.state_of_charge"].item())
        drawn = sum(answers[-1].power.values())
        assert drawn + 7.0 + 1e-3 * step <= 9.0 + 2e-3
    charged = [0.5 * answer.power["ev_charger"] for answer in answers[:-1]]
    stored = 100.0 * car["charge_efficiency"] * sum(charged) / car["capacity"]
    assert stored > 10.0
    # The action is found to 1/4096 of full power: 2.7 W, 24 times half an hour, of 65 kWh.
    assert charges[-1] - charges[0] == pytest.approx(stored, abs=0.05)
    less = [why for why in answers[-1].reasons if why.startswith("connection: got ")]
    assert "expected at most 9 kW; less for heat_pump, ev_charger" in less[0]


@pytest.mark.parametrize("charge", [5.0, 25.0])
def test_a_car_that_must_charge_gets_what_the_connection_leaves(path, charge):
    """Late for what it is to leave with, it would charge at full power under any action."""
    bound = Controller.load(path, 2.0)
    (device,) = (d for d in bound.file.customer["devices"] if d["kind"] == "ev_charger")
    values = VALUES | {"ev_charger.state_of_charge": charge, "ev_charger.plugged": 1.0}
    _, answer, after = play(bound, EVENING, 3, values, news=False, frozen=True)
    stored = 0.5 * device["parameters"]["charge_efficiency"] * answer.power["ev_charger"]
    expected = charge + 100.0 * stored / device["parameters"]["capacity"]
    assert 0.0 < answer.power["ev_charger"] < 2.0
    estimated = bound.expected["reading.ev_charger.state_of_charge"].item()
    assert estimated == pytest.approx(expected, rel=1e-9)
    assert not [why for why in after.reasons if why.startswith("ev_charger")]


@pytest.mark.parametrize("meter", [9.0, 9.5, 17.0])
def test_a_meter_that_stands_still_does_not_hold_devices_back_for_good(bound, meter):
    """They move no more, so that it has no need to; yet a home never draws the same for hours."""
    values = VALUES | {"meter_power": meter}
    answers = play(bound, EVENING, 12, values, news=False)
    held = ["connection" in told(answer) for answer in answers]
    assert held[:5] == [True] * 5
    assert not any(held[-3:])
    assert all("the same again and again" in " ".join(each.reasons) for each in answers[-3:])
    assert answers[-1].power["heat_pump"] > 1.0


@pytest.mark.parametrize("read", [{}, {"meter_power": 200.0}])
def test_a_meter_that_does_not_count_is_not_frozen(path, read):
    """The connection holds devices to the same power in all steps."""
    values = without("meter_power") | read
    answers = play(Controller.load(path, 1.0), EVENING, 12, values, news=False)
    held = ["connection" in told(answer) for answer in answers]
    assert held == [True] * 12
    assert not [why for each in answers for why in each.reasons if "again and again" in why]


def test_a_meter_far_beyond_the_connection_is_not_believed(bound):
    """Such as one that tells of 200 W as 200 kW."""
    for answer in play(bound, EVENING, 3, VALUES | {"meter_power": 200.0}, news=False):
        assert answer.reasons[0].startswith("meter_power: got 200, expected -18 to 18 kW")
        assert answer.power["heat_pump"] > 1.0


def test_a_car_whose_charger_was_off_is_charged_when_it_is_on_again(path):
    """Its sensor was right to stand still; believed to be full meanwhile, it is asked again."""
    controller = Controller.load(path)
    values = VALUES | {"ev_charger.state_of_charge": 25.0}
    answers = play(controller, EVENING, 24, values, news=False, frozen=True)
    powers = [answer.power["ev_charger"] for answer in answers]
    assert powers[:2] == [11.0] * 2
    longest = max(len(run) for run in "".join("x" if kw == 0.0 else " " for kw in powers).split())
    assert longest <= 3

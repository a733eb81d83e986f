"""What a house's gateway makes of its sensors, its meter and its devices, believed or not."""

from __future__ import annotations

import copy
from datetime import date, timedelta

import pytest

from benchmarks.gateway.readings import STEP, VALUES, midnight, published
from gridedge_gateway import Controller, Readings
from tests.gridedge_gateway.house import always, followed, play, told, without

DAY = date(2026, 1, 15)
NOON = midnight(DAY) + timedelta(hours=12)


@pytest.mark.parametrize("value", [float("nan"), -5.0, 140.0, float("inf")])
def test_a_sensor_that_makes_no_sense_is_made_up_for(controller, value):
    play(controller, NOON, 1)
    (answer,) = play(controller, NOON + STEP, 1, VALUES | {"battery.state_of_charge": value})
    assert told(answer) == ["battery.state_of_charge"]
    assert followed(answer) == "policy"
    (answer,) = play(controller, NOON + 2 * STEP, 1)
    assert answer.reasons == ()


def test_a_meter_that_tells_watts_is_found_out(controller):
    """400 W, told as 400 kW: more than this house can draw."""
    play(controller, NOON, 1)
    (answer,) = play(controller, NOON + STEP, 1, VALUES | {"meter_power": 400.0})
    (reason,) = answer.reasons
    assert reason.startswith("meter_power: got 400, expected -")


def test_a_device_that_is_not_read_for_a_day_rests_until_it_is(controller):
    play(controller, NOON, 1)
    answers = play(controller, NOON + STEP, 52, without("battery.state_of_charge"))
    lost = ["battery" in told(answer) for answer in answers]
    assert lost == [False] * 48 + [True] * 4
    assert [answer.fallbacks for answer in answers] == [()] * 48 + [("battery",)] * 4
    (back,) = play(controller, NOON + 53 * STEP, 1)
    assert "battery" not in told(back)
    assert followed(back) == "policy"


def test_a_frozen_sensor_is_found_out_when_the_device_moves(controller, monkeypatch):
    """A battery that charges by 5 % of its capacity and more, and still says 50 %."""
    monkeypatch.setattr(controller.file, "act", always(controller, battery=0.5))
    answers = play(controller, NOON, 4, frozen=True)
    assert ["battery.state_of_charge" in told(answer) for answer in answers] == [
        False, False, True, True
    ]  # fmt: skip
    (after,) = play(controller, NOON + 4 * STEP, 1, VALUES | {"battery.state_of_charge": 51.0})
    assert "battery.state_of_charge" not in told(after)


@pytest.mark.parametrize(
    ("action", "obeys", "connection", "expected"),
    [
        (-0.3, 1.0, None, 0),
        (-0.3, -1.0, None, 3),
        (-0.3, 2.5, None, 3),
        (-0.8, 1.0, None, 0),
        (-0.8, 0.4, None, 3),
        (-0.8, 0.01, None, 3),
        (-0.8, 1.0, 4.0, 0),
    ],
)
def test_a_battery_that_does_not_obey_is_told(
    path, monkeypatch, action, obeys, connection, expected
):
    """It discharges by some 7 or 20 % in half an hour; or charges, or by 11 % more or less.

    One that does what is left to it by the connection obeys.
    """
    controller = Controller.load(path, connection)
    (capacity,) = (
        each["parameters"]["capacity"]
        for each in controller.file.customer["devices"]
        if each["kind"] == "battery"
    )
    charge, answers = 75.0, []
    for step in range(4):
        monkeypatch.setattr(controller.file, "act", always(controller, battery=action))
        values = VALUES | {"battery.state_of_charge": charge}
        answers += play(controller, NOON + step * STEP, 1, values, frozen=True)
        charge += obeys * 100.0 * 0.5 * answers[-1].power["battery"] / capacity
    odd = [any("got a change by" in why for why in answer.reasons) for answer in answers]
    assert sum(odd) == expected, [answer.reasons for answer in answers]
    assert all(followed(answer) == "policy" for answer in answers)


@pytest.mark.parametrize("charge", [20.0, 80.0])
def test_a_battery_rests_by_its_fallback_wherever_it_stands(controller, charge):
    """Until midnight and beyond; all of a street would else go to half full at the same time."""
    values = VALUES | {"battery.state_of_charge": charge}
    answers = play(controller, midnight(DAY) + 36 * STEP, 14, values, news=False)
    assert {followed(answer) for answer in answers} == {"fallback"}
    assert {answer.power["battery"] for answer in answers} == {0.0}
    assert not [why for answer in answers for why in answer.reasons if why.startswith("battery")]
    play(controller, midnight(DAY) + 50 * STEP, 1, without("battery.state_of_charge"))
    stands = controller.expected["reading.battery.state_of_charge"].item()
    assert stands == pytest.approx(charge, abs=0.2)  # its sensor wavers by a tenth


def test_sensors_that_nobody_has_are_not_missed(controller):
    """A roof's power and a car's hours; of what it holds, and of meters, it is said."""
    (answer,) = play(controller, NOON, 1, {})
    assert told(answer) == [
        *("meter_power", "voltage", "outdoor_temperature", "battery.state_of_charge"),
        *("heat_pump.room_temperature", "ev_charger.state_of_charge", "pv_inverter.power"),
    ]
    assert followed(answer) == "policy"


@pytest.mark.parametrize("meter", [0.5, 6.0])
def test_a_frozen_meter_is_found_out_and_never_winds_up(path, monkeypatch, meter):
    """Its load is what it says less what was told, more in each step but for the connection."""
    bound = Controller.load(path, 4.0)
    begin, found = NOON, []
    for step in range(10):
        monkeypatch.setattr(bound.file, "act", always(bound, battery=0.9 - 1.8 * (step % 2)))
        found += play(bound, begin + step * STEP, 1, VALUES | {"meter_power": meter})
    assert all(abs(sum(answer.power.values())) <= 4.0 + 1e-9 for answer in found)
    frozen = [any("again and again" in reason for reason in answer.reasons) for answer in found]
    assert frozen == [False] * 5 + [True] * 5
    (after,) = play(bound, begin + 10 * STEP, 1, VALUES | {"meter_power": meter + 0.01})
    assert "meter_power" not in told(after)


@pytest.mark.parametrize("gap", [0, 6])
def test_the_connection_counts_what_the_meter_says_in_all_steps(path, gap):
    """At the first, at midnight, and after a gap in which devices did what they were told."""
    bound, rest, drawn = Controller.load(path, 9.0), 8.5, 0.0
    times = [midnight(DAY) + number * STEP for number in (-2, -1, *range(gap, gap + 2))]
    for time in times:
        (answer,) = play(bound, time, 1, VALUES | {"meter_power": rest + drawn})
        drawn = sum(answer.power.values())
        assert rest + drawn <= 9.0 + 1e-9
        blind = time == times[0] or (gap > 0 and time == times[2])
        assert ("meter_power" in told(answer)) == blind


@pytest.mark.parametrize("began_again", [True, False])
@pytest.mark.parametrize("before", [-8.0, 8.0])
def test_the_connection_carries_what_devices_may_have_done_meanwhile(
    path, monkeypatch, before, began_again
):
    """Nobody knows what they were told before a start; told 8 kW a day ago, they may rest."""
    drawn = before if began_again else 0.0
    for rest in (8.5, -8.5):
        bound = Controller.load(path, 9.0)
        if not began_again:
            at_full = dict.fromkeys(("battery", "ev_charger"), before / 8.0)
            monkeypatch.setattr(bound.file, "act", always(bound, **at_full))
            (told_before,) = play(bound, NOON - timedelta(days=1), 1, without("meter_power"))
            assert abs(sum(told_before.power.values())) > 4.0
        for action in (-1.0, 1.0):
            again = copy.deepcopy(bound)
            devices = {device.name: action for device in again.file.devices}
            monkeypatch.setattr(again.file, "act", always(again, **devices))
            (answer,) = play(again, NOON, 1, VALUES | {"meter_power": rest + drawn})
            assert abs(rest + sum(answer.power.values())) <= 9.0 + 1e-9, answer
            assert told(answer)[-1] in ("meter_power", "connection")


def test_a_charger_that_repeats_its_word_of_a_car_that_has_left_is_not_frozen(controller):
    """Nor as the car comes back with as much; by the estimate, it drives meanwhile."""
    away = VALUES | {"ev_charger.plugged": 0.0, "ev_charger.state_of_charge": 20.0}
    begin = midnight(DAY) + timedelta(hours=8)
    answers = play(controller, begin, 24, away, frozen=True)
    answers += play(controller, begin + 24 * STEP, 1, away | {"ev_charger.plugged": 1.0})
    said = [reason for answer in answers for reason in answer.reasons]
    assert not [reason for reason in said if reason.startswith("ev_charger.state")]


@pytest.mark.parametrize("says", [{}, {"ev_charger.state_of_charge": 80.0}])
def test_a_car_that_drives_is_no_device_that_does_not_obey(controller, says):
    """It may be away for days, say no more meanwhile, and come back with any charge."""
    there = VALUES | {"ev_charger.plugged": 1.0, "ev_charger.state_of_charge": 80.0}
    away = without("ev_charger.state_of_charge") | says | {"ev_charger.plugged": 0.0}
    begin = midnight(DAY) + timedelta(hours=8)
    answers = play(controller, begin, 2, there) + play(controller, begin + 2 * STEP, 60, away)
    answers += play(controller, begin + 62 * STEP, 1, there | {"ev_charger.state_of_charge": 15.0})
    assert not [why for answer in answers for why in answer.reasons if why.startswith("ev_charger")]
    assert {followed(answer) for answer in answers} == {"policy"}


def test_a_car_of_which_nobody_says_whether_it_is_there_may_have_driven(controller):
    """By the estimate it is there in the evening."""
    begin = midnight(DAY) + timedelta(hours=18)
    answers = [
        *play(controller, begin, 2, VALUES | {"ev_charger.state_of_charge": 80.0}),
        *play(controller, begin + 2 * STEP, 2, VALUES | {"ev_charger.state_of_charge": 15.0}),
    ]
    assert not [why for answer in answers for why in answer.reasons if "got a change" in why]


def test_an_estimate_is_shown_within_its_range(controller):
    """Of a car that has left with nothing, and of which nothing is read."""
    empty = VALUES | {"ev_charger.state_of_charge": 0.0, "ev_charger.plugged": 0.0}
    play(controller, midnight(DAY) + timedelta(hours=8), 2, empty)
    unread = without("ev_charger.state_of_charge")
    answers = play(controller, midnight(DAY) + timedelta(hours=9), 24, unread)
    said = [reason for answer in answers for reason in answer.reasons]
    assert any("ev_charger.state_of_charge: not read; the estimate of" in reason for reason in said)
    assert not any("estimate of -" in reason for reason in said)


def test_what_may_be_in_another_unit_counts_and_is_told(controller):
    """As of a recorded table: shares of 1 for %, currency/kWh for /MWh of all the day."""
    news, values = published(DAY), VALUES | {"battery.state_of_charge": 0.5}
    news["day_ahead_price"] = {
        time: price / 1000.0 for time, price in news["day_ahead_price"].items()
    }
    answer = controller.step(Readings(NOON, values, news))
    assert followed(answer) == "policy"
    for reason in (
        "day_ahead_price: got 0.3 at most, expected per MWh; is it per kWh?",
        "battery.state_of_charge: got 0.5 at most, expected %; is it a share of 1? Meanwhile the "
        "sensor counts",
    ):
        assert reason in answer.reasons
    answer = controller.step(Readings(NOON + STEP, VALUES, published(DAY)))
    assert not [reason for reason in answer.reasons if "is it" in reason]


@pytest.mark.parametrize(("said", "doubted"), [(8.0, False), (40.0, True)])
def test_a_battery_that_has_said_more_is_nearly_empty(controller, monkeypatch, said, doubted):
    """What falls by more than a battery does in a step may be read in another unit since."""
    monkeypatch.setattr(controller.file, "act", always(controller, battery=-0.1))
    play(controller, NOON, 1, VALUES | {"battery.state_of_charge": said})
    answers = play(controller, NOON + STEP, 3, VALUES | {"battery.state_of_charge": 0.5})
    doubts = ["a share of 1" in " ".join(answer.reasons) for answer in answers]
    assert doubts == [doubted] * 3


@pytest.mark.parametrize("value", [None, "high", 10**400, [1.0], 1j])
@pytest.mark.parametrize("name", ["meter_power", "battery.state_of_charge"])
def test_a_value_that_is_no_number_is_left_out(controller, name, value):
    play(controller, NOON, 1)
    answer = controller.step(Readings(NOON + STEP, VALUES | {name: value}))
    assert (followed(answer), told(answer)) == ("policy", [name, name])
    assert answer.reasons[0].endswith("expected a number; left out")

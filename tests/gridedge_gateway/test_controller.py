"""A house's gateway in good times and bad ones: what it does and says, and that it recovers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gateway.fuzz import fuzz
from benchmarks.gateway.readings import AMSTERDAM, STEP, VALUES, midnight, published
from gridedge_gateway import Controller, Readings
from gridedge_gateway.file import CustomerFile
from tests.gridedge_gateway.house import always, followed, play, told, without, write_house

DAY = date(2026, 1, 15)
NOON = midnight(DAY) + timedelta(hours=12)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_house(tmp_path_factory.mktemp("house"))


@pytest.fixture
def controller(path: Path) -> Controller:
    return Controller.load(path)


# --- Time ---------------------------------------------------------------------------------------


def test_a_first_start_at_noon_has_little_to_complain_of(controller):
    """What devices drew in the step that has ended is not known."""
    (set_point,) = play(controller, NOON, 1)
    assert (set_point.time, followed(set_point)) == (NOON, "policy")
    assert told(set_point) == ["meter_power"]
    assert set_point.power.keys() == {
        "battery", "heat_pump", "generator", "ev_charger", "pv_inverter"
    }  # fmt: skip
    assert set_point.reactive_power.keys() == {"battery", "generator", "pv_inverter"}


def test_a_step_asked_for_twice_has_one_answer(controller, path):
    (first,) = play(controller, NOON, 1)
    again = Readings(NOON + timedelta(minutes=29), {"battery.state_of_charge": 5.0})
    assert controller.step(again) is first
    assert play(controller, NOON + STEP, 1) == play(Controller.load(path), NOON, 2)[1:]


def test_what_comes_late_changes_nothing_but_what_is_published(controller):
    play(controller, NOON, 1, news=False)
    (stands,) = play(controller, NOON + STEP, 1, news=False)
    late = controller.step(Readings(NOON, {}, published(DAY)))
    assert late == replace(stands, reasons=late.reasons)
    assert told(late) == ["time"]
    (following,) = play(controller, NOON + 2 * STEP, 1, news=False)
    assert (followed(following), following.reasons) == ("policy", ())


def test_a_clock_that_was_ahead_is_believed_after_three_steps(controller):
    play(controller, NOON + timedelta(days=365), 1)
    answers = play(controller, NOON, 5, without("battery.state_of_charge"))
    assert [answer.time.year for answer in answers] == [2027, 2027, 2026, 2026, 2026]
    assert [told(answer) for answer in answers] == [
        ["time"],
        ["time"],
        ["time", "meter_power", "battery.state_of_charge"],
        *(2 * [["battery.state_of_charge"]]),
    ]
    assert followed(answers[-1]) == "policy"


def test_a_jump_is_said_and_estimates_go_on(controller):
    play(controller, NOON, 1)
    (after,) = play(controller, NOON + timedelta(hours=3), 1)
    assert (told(after), followed(after)) == (["time", "meter_power"], "policy")
    (then,) = play(
        controller, NOON + timedelta(hours=3, minutes=30), 1, without("battery.state_of_charge")
    )
    assert told(then) == ["battery.state_of_charge"]  # that is not read


@pytest.mark.parametrize(
    ("day", "steps"), [(date(2026, 3, 29), 46), (DAY, 48), (date(2026, 10, 25), 50)]
)
def test_a_car_has_what_it_needs_on_days_of_every_length(controller, day, steps):
    """To leave with 80 % at 7:30, wherever the clock has gone forward or back by then."""
    told = {"departure": 7.5, "arrival": 17.0, "target": 80.0}
    values = without("ev_charger.state_of_charge") | {"ev_charger.departure": 7.5}
    first = VALUES | {f"ev_charger.{name}": value for name, value in told.items()}
    begin, end = midnight(day), midnight(day + timedelta(days=1))
    answers = play(controller, begin, 1, first) + play(controller, begin + STEP, steps - 1, values)
    assert answers[-1].time + STEP == end
    leaves = datetime(day.year, day.month, day.day, 7, 30, tzinfo=AMSTERDAM)
    before = [answer for answer in answers if answer.time < leaves]
    assert {followed(answer) for answer in before} == {"policy"}
    until = [answer.power["ev_charger"] for answer in before]
    (car,) = (d for d in controller.file.customer["devices"] if d["kind"] == "ev_charger")
    wanted = 0.3 * car["parameters"]["capacity"] / car["parameters"]["charge_efficiency"]
    assert 0.5 * sum(until) >= wanted - 1e-6


def test_a_second_day_is_an_episode_of_its_own(controller):
    answers = play(controller, midnight(DAY) - 2 * STEP, 4)
    assert [told(answer) for answer in answers] == [["meter_power"], [], [], []]


# --- What is published --------------------------------------------------------------------------


def test_without_prices_all_that_is_safe_is_done_until_they_come(controller):
    (before,) = play(controller, NOON, 1, news=False)
    assert followed(before) == "fallback"
    assert told(before)[1:] == ["day_ahead_price", "temperature_forecast", "irradiance_forecast"]
    assert before.power["battery"] == before.power["generator"] == 0.0
    (after,) = play(controller, NOON + STEP, 1)
    assert (followed(after), after.reasons) == ("policy", ())


def test_prices_of_yesterday_are_stale_but_weather_is_about_the_same(controller):
    yesterday = published(DAY - timedelta(days=1))
    answer = controller.step(Readings(NOON, VALUES, yesterday))
    assert followed(answer) == "fallback"
    assert any("0 of the day's 48 steps" in reason for reason in answer.reasons)
    prices = {"day_ahead_price": published(DAY)["day_ahead_price"]}
    answer = controller.step(Readings(NOON + STEP, VALUES, prices))
    assert followed(answer) == "policy"
    assert told(answer) == ["temperature_forecast", "irradiance_forecast"]


def test_prices_that_cannot_be_are_left_out(controller):
    news = published(DAY)
    news["day_ahead_price"][NOON] = float("nan")
    news["day_ahead_price"][NOON + 2 * STEP] = 1e9
    answer = controller.step(Readings(NOON, VALUES, news))
    assert told(answer) == ["day_ahead_price", "meter_power"]
    assert answer.reasons[0].endswith("2 of 24 values left out")
    assert followed(answer) == "policy"  # what was said before holds


@pytest.mark.parametrize(
    "boot",
    [
        datetime(2001, 1, 1, tzinfo=AMSTERDAM),  # a clock never set
        NOON - timedelta(days=10),
        NOON + timedelta(days=10),
        NOON + timedelta(days=70 * 365),
    ],
)
def test_prices_told_once_count_when_the_clock_is_right(controller, boot):
    """They are, when a gateway boots, before its clock is set; an older day's may come late."""
    controller.step(Readings(boot, VALUES, published(DAY)))
    late = DAY - timedelta(days=9)
    controller.step(Readings(midnight(late), VALUES, published(late)))
    for time in (NOON, NOON + STEP, NOON + 2 * STEP):
        answer = controller.step(Readings(time, VALUES))
    assert (answer.time, followed(answer)) == (NOON + 2 * STEP, "policy")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gas_price", {NOON: 1.0}),
        ("day_ahead_price", None),
        ("day_ahead_price", {NOON: "dear"}),
        ("day_ahead_price", {NOON: None}),
        ("day_ahead_price", {NOON: 10**400}),
        ("day_ahead_price", {datetime.min: 1.0}),
        ("day_ahead_price", {datetime(2026, 1, 15, 12): 1.0}),
        ("day_ahead_price", {datetime.min.replace(tzinfo=timezone.utc): 1.0}),
        ("day_ahead_price", {"noon": 1.0}),
    ],
)
def test_a_series_that_is_none_is_left_out(controller, name, said):
    play(controller, NOON, 1)
    answer = controller.step(Readings(NOON + STEP, VALUES, {name: said}))
    assert (followed(answer), told(answer)) == ("policy", [name])
    assert "left out" in answer.reasons[0]


# --- Sensors ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("meter", [0.5, 12.0])
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


def test_a_charger_that_repeats_its_word_of_a_car_that_has_left_is_not_frozen(controller):
    """Nor as the car comes back with as much; by the estimate, it drives meanwhile."""
    away = VALUES | {"ev_charger.plugged": 0.0, "ev_charger.state_of_charge": 20.0}
    begin = midnight(DAY) + timedelta(hours=8)
    answers = play(controller, begin, 24, away, frozen=True)
    answers += play(controller, begin + 24 * STEP, 1, away | {"ev_charger.plugged": 1.0})
    said = [reason for answer in answers for reason in answer.reasons]
    assert not [reason for reason in said if reason.startswith("ev_charger.state")]


def test_an_estimate_is_shown_within_its_range(controller):
    """Of a car that has left with nothing, and is not read."""
    empty = VALUES | {"ev_charger.state_of_charge": 0.0, "ev_charger.plugged": 0.0}
    play(controller, midnight(DAY) + timedelta(hours=8), 2, empty)
    unread = {name: value for name, value in empty.items() if name != "ev_charger.state_of_charge"}
    answers = play(controller, midnight(DAY) + timedelta(hours=9), 24, unread)
    said = [reason for answer in answers for reason in answer.reasons]
    assert any("ev_charger.state_of_charge: not read; the estimate of" in reason for reason in said)
    assert not any("estimate of -" in reason for reason in said)


@pytest.mark.parametrize("value", [None, "high", 10**400, [1.0], 1j])
@pytest.mark.parametrize("name", ["meter_power", "battery.state_of_charge"])
def test_a_value_that_is_no_number_is_left_out(controller, name, value):
    play(controller, NOON, 1)
    answer = controller.step(Readings(NOON + STEP, VALUES | {name: value}))
    assert (followed(answer), told(answer)) == ("policy", [name, name])
    assert answer.reasons[0].endswith("expected a number; left out")


# --- Whatever else ------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [float("nan"), float("inf")])
def test_an_action_that_is_no_number_is_not_followed(controller, monkeypatch, action):
    with monkeypatch.context() as patch:
        patch.setattr(controller.file, "act", always(controller, battery=action))
        (answer,) = play(controller, NOON, 1)
        assert (followed(answer), told(answer)) == ("fallback", ["meter_power", "policy"])
    (answer,) = play(controller, NOON + STEP, 1)
    assert (followed(answer), answer.reasons) == ("policy", ())


def test_an_observation_that_is_no_number_is_not_acted_on(controller, monkeypatch):
    """Whatever an older file's policy makes of it."""
    run, size = controller.file.run, controller.file.observation_size

    def patched(graph, known):
        nothing = {"observation": np.full((1, size), np.nan, np.float32)}
        return nothing if graph == "observe" else run(graph, known)

    monkeypatch.setattr(controller.file, "run", patched)
    monkeypatch.setattr(controller.file, "act", lambda _: np.zeros((1, 10), np.float32))
    (answer,) = play(controller, NOON, 1)
    assert (followed(answer), told(answer)) == ("fallback", ["meter_power", "policy"])


@pytest.mark.parametrize(("flow", "kept"), [(1e9, 1.0), (-1e9, -1.0), (float("nan"), 0.0)])
def test_set_points_stay_within_ratings_whatever_is_worked_out(controller, monkeypatch, flow, kept):
    run = controller.file.run

    def patched(graph, known):
        found = run(graph, known)
        for name in ("power", "reactive_power"):
            found |= {name: np.full_like(found[name], flow)} if name in found else {}
        return found

    monkeypatch.setattr(controller.file, "run", patched)
    (answer,) = play(controller, NOON, 1)
    assert followed(answer) == ("policy" if kept else "fallback")
    for device in controller.file.devices:
        assert answer.power[device.name] == kept * device.full_power
        if device.inverter_rating:
            square = device.inverter_rating**2 - device.full_power**2
            most = square**0.5 if kept else device.inverter_rating
            expected = kept and np.sign(kept) * most
            assert answer.reactive_power[device.name] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("graph", "causes", "heats"),
    [("observe", ["meter_power", "policy"], True), ("operate", ["controller"], False)],
)
def test_an_error_is_told_and_the_next_step_goes_on(controller, monkeypatch, graph, causes, heats):
    """By the rule that keeps devices safe, or, if that is broken too, all rest."""
    run = controller.file.run

    def broken(name, known):
        if name == graph:
            raise MemoryError("no room")
        return run(name, known)

    with monkeypatch.context() as patch:
        patch.setattr(controller.file, "run", broken)
        (answer,) = play(controller, NOON, 1, VALUES | {"heat_pump.room_temperature": 18.0})
    assert (followed(answer), told(answer)) == ("fallback", causes)
    assert answer.reasons[-1].startswith(f"{causes[-1]}: got MemoryError: no room")
    assert (answer.power["heat_pump"] > 0.0) == heats
    play(controller, NOON + STEP, 1)
    (answer,) = play(controller, NOON + 2 * STEP, 1)
    assert (followed(answer), answer.reasons) == ("policy", ())


@pytest.mark.parametrize("odd", [None, {"time": NOON}, Readings(NOON + STEP, None, None)])
def test_what_are_no_readings_are_as_if_nothing_were_read(controller, odd):
    assert followed(controller.step(odd)) == "fallback"
    controller = Controller(controller.file)
    (stands,) = play(controller, NOON, 1)
    answer = controller.step(odd)
    assert answer is stands if not isinstance(odd, Readings) else answer.time == NOON + STEP
    assert followed(answer) == "policy"
    (after,) = play(controller, NOON + 2 * STEP, 1)
    assert followed(after) == "policy"


def test_whatever_comes_there_is_an_answer_within_ratings(path):
    found = fuzz([CustomerFile(path)], range(200))
    assert not found.faults, found.examples
    assert min(found.follows[of] for of in ("policy", "fallback")) > 100

"""A house's gateway in good times and bad ones: what it does and says, and that it recovers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest

from benchmarks.gateway.fuzz import fuzz
from benchmarks.gateway.readings import AMSTERDAM, STEP, VALUES, midnight, published
from gridedge_gateway import Controller, Readings
from gridedge_gateway.file import CustomerFile
from tests.gridedge_gateway.house import always, followed, play, told, without

DAY = date(2026, 1, 15)
NOON = midnight(DAY) + timedelta(hours=12)


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
    assert told(late) == [*told(stands), "time"]  # why it is the fallback, too
    (following,) = play(controller, NOON + 2 * STEP, 1, news=False)
    assert (followed(following), following.reasons) == ("policy", ())


def test_a_clock_that_was_ahead_is_believed_after_three_steps(controller):
    play(controller, NOON + timedelta(days=365), 1)
    answers = play(controller, NOON, 5, without("battery.state_of_charge"))
    assert [answer.time.year for answer in answers] == [2027, 2027, 2026, 2026, 2026]
    assert [told(answer) for answer in answers] == [
        ["meter_power", "time"],
        ["meter_power", "time"],
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

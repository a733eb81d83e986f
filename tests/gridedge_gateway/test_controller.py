"""A house's gateway in good times and bad ones: what it does, what it says, and that it recovers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import pytest

from gridedge_gateway import Controller, Readings, SetPoint
from gridedge_gateway.packing import SEAL, sealed
from tests.gridedge_gateway.fuzz import fuzz
from tests.gridedge_gateway.house import STEP, VALUES, midnight, play, published, write_house

DAY = date(2026, 1, 15)
NOON = midnight(DAY) + timedelta(hours=12)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_house(tmp_path_factory.mktemp("house"))


@pytest.fixture
def controller(path: Path) -> Controller:
    return Controller.load(path)


def told(set_point: SetPoint) -> list[str]:
    """What reasons are about."""
    return [reason.split(":")[0] for reason in set_point.reasons]


def without(*names: str) -> dict[str, float]:
    return {name: value for name, value in VALUES.items() if name not in names}


# --- Time ---------------------------------------------------------------------------------------


def test_a_first_start_at_noon_has_nothing_to_complain_of(controller):
    (set_point,) = play(controller, NOON, 1)
    assert (set_point.time, set_point.follows, set_point.reasons) == (NOON, "policy", ())
    assert set_point.power.keys() == {
        "battery", "heat_pump", "generator", "ev_charger", "pv_inverter"
    }  # fmt: skip
    assert set_point.reactive_power.keys() == {"battery", "generator", "pv_inverter"}


def test_a_step_asked_for_twice_has_one_answer(controller):
    (first,) = play(controller, NOON, 1)
    again = Readings(NOON + timedelta(minutes=29), {"battery.state_of_charge": 5.0})
    assert controller.step(again) is first
    (_, after) = play(controller, NOON, 2)
    (_, other) = play(Controller.load(controller_path(controller)), NOON, 2)
    assert after == other


def test_what_comes_late_changes_nothing_but_what_is_published(controller):
    play(controller, NOON, 1, news=False)
    (stands,) = play(controller, NOON + STEP, 1, news=False)
    late = controller.step(Readings(NOON, {}, published(DAY)))
    assert late == replace(stands, reasons=(*stands.reasons[:0], late.reasons[-1]))
    assert told(late) == ["time"]
    (following,) = play(controller, NOON + 2 * STEP, 1, news=False)
    assert (following.follows, following.reasons) == ("policy", ())


def test_a_clock_that_was_ahead_is_believed_after_three_steps(controller):
    play(controller, NOON + timedelta(days=365), 1)
    answers = play(controller, NOON, 5)
    assert [answer.time > NOON + STEP * 10 for answer in answers] == [True, True, False, False, False]
    assert [told(answer) for answer in answers[:2]] == [["time"], ["time"]]
    assert told(answers[2]) == ["time"]
    assert (answers[3].follows, answers[3].reasons) == ("policy", ())


def test_a_jump_is_said_and_estimates_go_on(controller):
    play(controller, NOON, 1)
    (after,) = play(controller, NOON + timedelta(hours=3), 1)
    assert (told(after), after.follows) == (["time"], "policy")
    (then,) = play(controller, NOON + timedelta(hours=3, minutes=30), 1)
    assert then.reasons == ()


@pytest.mark.parametrize(
    ("day", "steps"), [(date(2026, 3, 29), 46), (DAY, 48), (date(2026, 10, 25), 50)]
)
def test_a_car_has_what_it_needs_on_days_of_every_length(controller, day, steps):
    """By the rule that charges as late as it may, an hour less or more before 7:30."""
    car = {"departure": 7.5, "arrival": 17.0, "target": 80.0, "state_of_charge": 50.0}
    values = without("ev_charger.state_of_charge")
    begin = midnight(day)
    first = values | {f"ev_charger.{name}": value for name, value in car.items()}
    answers = play(controller, begin, 1, first)
    answers += play(controller, begin + STEP, steps - 1, values | {"ev_charger.departure": 7.5})
    assert {answer.follows for answer in answers} == {"policy"}
    assert answers[-1].time + STEP == midnight(day + timedelta(days=1))
    (device,) = (d for d in controller.file.devices if d.kind == "ev_charger")
    parameters = controller.file.customer["devices"][3]["parameters"]
    until = sum(a.power["ev_charger"] for a in answers if a.time < begin + timedelta(hours=6.5))
    assert device.name == "ev_charger"
    assert parameters["capacity"] * 0.3 < until


def test_a_second_day_is_an_episode_of_its_own(controller):
    answers = play(controller, midnight(DAY) - 2 * STEP, 4)
    assert [answer.reasons for answer in answers] == [()] * 4


# --- What is published --------------------------------------------------------------------------


def test_without_prices_all_that_is_safe_is_done_until_they_come(controller):
    (before,) = play(controller, NOON, 1, news=False)
    assert before.follows == "fallback"
    assert told(before) == ["day_ahead_price", "temperature_forecast", "irradiance_forecast"]
    assert before.power["battery"] == before.power["generator"] == 0.0
    (after,) = play(controller, NOON + STEP, 1)
    assert (after.follows, after.reasons) == ("policy", ())


def test_prices_of_yesterday_are_stale_but_weather_is_about_the_same(controller):
    yesterday = published(DAY - timedelta(days=1))
    answer = controller.step(Readings(NOON, VALUES, yesterday))
    assert answer.follows == "fallback"
    assert any("0 of the day's 48 steps" in reason for reason in answer.reasons)
    prices = {"day_ahead_price": published(DAY)["day_ahead_price"]}
    answer = controller.step(Readings(NOON + STEP, VALUES, prices))
    assert answer.follows == "policy"
    assert told(answer) == ["temperature_forecast", "irradiance_forecast"]


def test_prices_that_cannot_be_are_left_out(controller):
    news = published(DAY)
    news["day_ahead_price"][NOON] = float("nan")
    news["day_ahead_price"][NOON + 2 * STEP] = 1e9
    answer = controller.step(Readings(NOON, VALUES, news))
    assert told(answer) == ["day_ahead_price"]
    assert answer.reasons[0].endswith("2 of 24 values left out")
    assert answer.follows == "policy"  # what was said before holds


# --- Sensors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), -5.0, 140.0, float("inf")])
def test_a_sensor_that_makes_no_sense_is_made_up_for(controller, value):
    play(controller, NOON, 1)
    (answer,) = play(controller, NOON + STEP, 1, VALUES | {"battery.state_of_charge": value})
    assert told(answer) == ["battery.state_of_charge"]
    assert answer.follows == "policy"
    (answer,) = play(controller, NOON + 2 * STEP, 1)
    assert answer.reasons == ()


def test_a_device_that_is_not_read_for_a_day_rests_until_it_is(controller):
    play(controller, NOON, 1)
    answers = play(controller, NOON + STEP, 52, without("battery.state_of_charge"))
    lost = ["battery" in told(answer) for answer in answers]
    assert lost == [False] * 48 + [True] * 4
    assert all(answer.follows == "policy" for answer in answers)
    (back,) = play(controller, NOON + 53 * STEP, 1)
    assert "battery" not in told(back)

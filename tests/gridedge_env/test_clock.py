"""The clock of a day."""

from __future__ import annotations

import pytest

from gridedge_env import Clock


@pytest.mark.parametrize(("minutes", "steps"), [(15, 96), (30, 48), (60, 24)])
def test_steps_make_up_a_day(minutes: int, steps: int) -> None:
    clock = Clock.of_minutes(minutes)
    assert clock == Clock(steps, 24.0 / steps)
    assert (clock.minutes, clock.seconds) == (minutes, 60.0 * minutes)
    assert [clock.time(step) for step in (0, steps // 2 + 1, steps)] == [
        "00:00",
        {15: "12:15", 30: "12:30", 60: "13:00"}[minutes],
        "24:00",
    ]


def test_a_length_may_come_as_a_float() -> None:
    """As JSON has it from some programs; steps are counted all the same."""
    assert isinstance(Clock.of_minutes(30.0).steps, int)


def test_the_usual_day_has_48_half_hours() -> None:
    assert Clock() == Clock.of_minutes(30) == Clock(48, 0.5)


@pytest.mark.parametrize(("steps", "hours"), [(48, 0.25), (47, 0.5)])
def test_steps_that_make_no_day_are_refused(steps: int, hours: float) -> None:
    with pytest.raises(ValueError, match=f"clock: got {steps} steps of {hours} hours, expected st"):
        Clock(steps, hours)


@pytest.mark.parametrize(
    ("steps", "hours"), [(1, 24.0), (12, 2.0), (1440, 1 / 60), (72, 1 / 3), (48, 0.5 + 1e-12)]
)
def test_steps_that_no_folder_of_a_case_can_name_are_refused(steps: int, hours: float) -> None:
    with pytest.raises(ValueError, match=f"clock: got {steps} steps of .*of 15, 30, 60 minutes"):
        Clock(steps, hours)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("steps", steps) for steps in (24.5, 48.0, True, "48", None, 0, -48)),
        *(("hours", hours) for hours in ("0.5", True, None, 0.0, -0.5, float("nan"))),
    ],
)
def test_what_is_no_number_of_its_kind_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^clock\.{field}: got {value!r}, expected a"):
        Clock(**{field: value})


@pytest.mark.parametrize("minutes", [0, 20, 45, 30.5, "30", True, None])
def test_lengths_that_no_meter_knows_are_refused(minutes: object) -> None:
    with pytest.raises(ValueError, match=f"step_minutes: got {minutes!r}, expected one of 15, 30,"):
        Clock.of_minutes(minutes)


@pytest.mark.parametrize("days", range(1, 8))
def test_consecutive_days(days: int) -> None:
    clock = Clock.of_minutes(30, days)
    assert clock == Clock(48 * days, 0.5)
    assert (clock.days, clock.day) == (days, Clock())
    steps = [0, 48 * days - 47, 48 * days]
    assert [clock.time(step) for step in steps] == ["00:00", "00:30", "24:00"]
    assert clock.episodes(3) == ("3 days" if days == 1 else f"3 episodes of {days} days")


@pytest.mark.parametrize("days", [0, 8, 1.5, True, "2"])
def test_other_numbers_of_days_are_refused(days: object) -> None:
    with pytest.raises(ValueError, match=f"^days_per_episode: got {days!r}, expected a whole"):
        Clock.of_minutes(30, days)
    with pytest.raises(ValueError, match="^clock: got 384 steps of 0.5 hours, expected"):
        Clock(8 * 48, 0.5)

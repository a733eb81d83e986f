"""What counts of messages that come in any order, twice, late or from a clock that is wrong."""

from __future__ import annotations

import math
import pickle
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from gridedge_gateway.calendar import Calendar
from gridedge_gateway.inbox import MOST_TIMES, Inbox
from gridedge_gateway.readings import MOST_FAULTS, Quantity, Readings

NOON = datetime(2026, 1, 15, 12, tzinfo=timezone.utc)
CALENDAR = Calendar(ZoneInfo("Europe/Amsterdam"), 30, 1)
STEP = CALENDAR.length


def message(minutes: float, **values: float) -> Readings:
    return Readings(NOON + timedelta(minutes=minutes), values)


@pytest.fixture
def inbox() -> Inbox:
    quantities = (
        Quantity("meter_power", "kW", -1e4, 1e4),
        Quantity("voltage", "V", 115.0, 345.0),
        Quantity("charge", "%", 0.0, 100.0),
    )
    return Inbox(CALENDAR, {quantity.name: quantity for quantity in quantities})


def test_powers_are_means_and_all_else_is_the_last(inbox):
    """(1 + 2 + 6) / 3 = 3 kW; one that came again and one that says nothing count for nothing."""
    for minutes, power, charge in ((-20, 2.0, 40.0), (-25, 1.0, 30.0), (-5, 6.0, 50.0)):
        inbox.put(message(minutes, meter_power=power, charge=charge), NOON)
    inbox.put(message(-5, meter_power=6.0, charge=50.0), NOON)
    inbox.put(message(-1, meter_power=math.nan), NOON)
    taken = inbox.take(NOON)
    assert taken.time == NOON
    assert taken.values == {"meter_power": 3.0, "charge": 50.0}
    assert taken.faults == ()


def test_nothing_is_told_twice(inbox):
    inbox.put(message(-5, voltage=230.0), NOON)
    assert inbox.take(NOON).values == {"voltage": 230.0}
    assert inbox.take(NOON + STEP).values == {}


def test_what_is_no_number_takes_the_place_of_none(inbox):
    inbox.put(message(-5, charge=50.0), NOON)
    inbox.put(message(-4, charge=math.nan, meter_power=math.nan), NOON)
    assert inbox.take(NOON).values == {"charge": 50.0}


@pytest.mark.parametrize(("name", "bad"), [("meter_power", 99_999.0), ("voltage", 23_000.0)])
def test_what_cannot_be_enters_no_mean_and_no_last_value(inbox, name, bad):
    """A mean with 99,999 among 179 of 5 would be 560; and the step says what it left out."""
    for second in range(1, 181):
        value = bad if second in (90, 180) else 150.0
        inbox.put(message(second / 10.0 - 20.0, **{name: value}), NOON)
    taken = inbox.take(NOON)
    assert taken.values == {name: 150.0}
    (fault,) = taken.faults
    assert fault.startswith(f"{name}: got {bad:g}, expected ")
    assert fault.endswith("; left out (and 1 more)")


def test_a_price_that_cannot_be_takes_the_place_of_none(inbox):
    for minutes, price in ((-3, 50.0), (-2, 1e9)):
        told = NOON + timedelta(minutes=minutes)
        inbox.put(Readings(told, {}, {"day_ahead_price": {NOON: price}}), NOON)
    taken = inbox.take(NOON)
    assert taken.series == {"day_ahead_price": {NOON: 50.0}}
    assert [fault.partition(", expected")[0] for fault in taken.faults] == [
        "day_ahead_price: got 1e+09"
    ]


def test_many_faults_of_one_thing_hide_no_other(inbox):
    """Of a meter that sends nonsense, and of names that nobody reads."""
    for number in range(100):
        at = -25 + number / 10.0
        inbox.put(message(at, meter_power=1e5 + number), NOON)
        inbox.put(Readings(NOON, {}, {}, (f"strange_{number}: not a reading",)), NOON)
    inbox.put(message(-1, voltage=5000.0), NOON)
    faults = inbox.take(NOON).faults
    assert [fault.partition(":")[0] for fault in faults[:3]] == [
        *("meter_power", "voltage", "strange_0")
    ]
    assert faults[0].endswith("(and 99 more)")
    assert len(faults) == MOST_FAULTS + 1


def test_what_is_late_is_not_used_and_what_was_published_stays_true(inbox):
    prices = {NOON: 50.0}
    late = Readings(NOON - STEP, {"voltage": 230.0}, {"day_ahead_price": prices})
    assert inbox.put(late, NOON) == ()
    taken = inbox.take(NOON)
    assert taken.values == {}
    assert taken.series == {"day_ahead_price": prices}
    assert "2026-01-15T12:30:00+01:00 is late" in taken.faults[0]
    news = Readings(NOON - STEP, {}, {"day_ahead_price": prices})
    inbox.put(news, NOON)
    assert inbox.take(NOON).faults == ()  # it has no values to be late with


def test_what_is_surely_late_is_told_at_once(inbox):
    """Of before the step that was taken last, or, before there is one, two steps ago."""
    for minutes, begin in ((-60, None), (0, NOON)):
        if begin:
            inbox.take(begin)
        (fault,) = inbox.put(message(minutes, voltage=230.0), NOON + timedelta(minutes=5))
        assert fault.endswith("is late, not used")
        assert inbox.put(message(minutes + 1, voltage=230.0), NOON) == ()


def test_what_cannot_be_is_told_at_once(inbox):
    prices = {"day_ahead_price": {NOON: 1e9, NOON + STEP: -1e9}}
    faults = inbox.put(Readings(NOON, {"voltage": 5000.0, "charge": 140.0}, prices), NOON)
    assert [fault.partition(", expected")[0] for fault in faults] == [
        *("voltage: got 5000", "charge: got 140", "day_ahead_price: got 1e+09"),
    ]
    assert inbox.take(NOON).faults == faults  # and so does the step


def test_newer_prices_stand_for_older_ones(inbox):
    for minutes, price in ((-1, 60.0), (-2, 50.0)):
        own = {NOON: price, NOON + minutes * STEP: 1.0}
        inbox.put(Readings(NOON + timedelta(minutes=minutes), {}, {"day_ahead_price": own}), NOON)
    assert inbox.take(NOON).series["day_ahead_price"][NOON] == 60.0


def test_a_clock_that_is_wrong_is_told_at_once_and_with_the_step(inbox):
    faults = inbox.put(message(45, voltage=230.0), NOON)
    assert faults == (
        "time: got 2026-01-15T13:45:00+01:00, ahead of 2026-01-15T13:00:00+01:00, not used",
    )
    taken = inbox.take(NOON)
    assert taken.values == {}
    assert taken.faults == faults


def test_a_meter_that_sends_every_second_drowns_nothing(inbox):
    """The mean of 1 to 1,800 kW is 900.5; the price was sent once, before."""
    prices = {"day_ahead_price": {NOON: 50.0}}
    inbox.put(Readings(NOON - STEP + timedelta(seconds=1), {}, prices), NOON)
    for second in range(1, 1801):
        inbox.put(message(second / 60.0 - 30.0, meter_power=float(second)), NOON)
    taken = inbox.take(NOON)
    assert taken.values == {"meter_power": 900.5}
    assert (taken.series, taken.faults) == (prices, ())


def test_what_a_broker_sends_again_counts_once(inbox):
    for _ in range(2):
        for second in range(20):
            inbox.put(message(second / 60.0 - 5.0, meter_power=float(second)), NOON)
    inbox.put(message(-4, meter_power=200.0), NOON)
    assert inbox.take(NOON).values["meter_power"] == (190.0 + 200.0) / 21


@pytest.mark.parametrize("years", [0, 1])
def test_a_flood_takes_no_more_room(inbox, years):
    """Of messages of all times, of strange names, of faults, of series without end."""
    sizes = []
    for flood in range(3):
        for number in range(250):
            at = NOON - timedelta(minutes=7 * number, seconds=flood, days=365 * years)
            values = {"voltage": 115.0 + number % 200, f"strange_{flood}_{number}": 1.0}
            times = {at + later * STEP / 31: 1.0 for later in range(20)}
            series = {"day_ahead_price": times}
            inbox.put(Readings(at, values, series, (f"fault {flood} {number}",)), NOON)
        sizes.append(len(pickle.dumps(inbox)))
    assert max(sizes) < 2e5
    taken = inbox.take(NOON)
    assert MOST_TIMES / 2 <= len(taken.series["day_ahead_price"]) <= MOST_TIMES
    assert len(taken.faults) == MOST_FAULTS + 1
    assert taken.values == ({} if years else {"voltage": 115.0})


def test_a_flood_of_times_leaves_what_was_told_last(inbox):
    old = {NOON + number * STEP: 1.0 for number in range(2 * MOST_TIMES)}
    inbox.put(Readings(NOON - STEP / 2, {}, {"day_ahead_price": old}), NOON)
    inbox.put(Readings(NOON, {}, {"day_ahead_price": {NOON: 50.0}}), NOON)
    inbox.put(Readings(NOON - STEP / 3, {}, {"day_ahead_price": old}), NOON)
    price = inbox.take(NOON).series["day_ahead_price"]
    assert MOST_TIMES / 2 <= len(price) <= MOST_TIMES
    assert price[NOON] == 50.0

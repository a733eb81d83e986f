"""What messages say of a step. They come one by one, in any order, twice or late."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gridedge_gateway.calendar import Calendar
from gridedge_gateway.readings import SERIES, Quantity, Readings, the_first

MINUTE = timedelta(minutes=1)
# Of a reading its newest minutes are kept: nothing of two steps ago counts, and none is longer than
# an hour.
MOST_MINUTES = 180
# Of a series, where there are more times, half of them, that were told last; two days in
# quarter-hours are 192. Of faults the first.
MOST_TIMES, MOST_FAULTS_KEPT = 4000, 1000
# A broker sends again what it does not know to have come, some 20 messages at most.
MOST_AGAIN = 100


@dataclass
class Minute:
    """What a reading has been in one.

    Attributes:
        time: of the last one.
        last: it.
        total: sum of all.
        count: of them.
    """

    time: datetime
    last: float
    total: float = 0.0
    count: int = 0

    def hear(self, time: datetime, value: float) -> None:
        """One more; they come in any order."""
        if time >= self.time:
            self.time, self.last = time, value
        self.total, self.count = self.total + value, self.count + 1


class Inbox:
    """What has come since the last step, merged as it comes: however much, it takes no more room.

    Args:
        calendar: of the customer's case.
        readable: what can be read there, by name.

    Attributes:
        names: of all that a message may hold.
    """

    def __init__(self, calendar: Calendar, readable: Mapping[str, Quantity]) -> None:
        self._calendar, self._step = calendar, calendar.length
        self._quantities = {**readable, **SERIES}
        self.names = tuple(self._quantities)
        self._heard: dict[str, dict[datetime, Minute]] = defaultdict(dict)
        self._series: dict[str, dict[datetime, tuple[datetime, float]]] = defaultdict(dict)
        self._faults: dict[str, tuple[str, int]] = {}
        self._again: deque[int] = deque(maxlen=MOST_AGAIN)
        self._taken: datetime | None = None

    def put(self, message: Readings, now: datetime) -> tuple[str, ...]:
        """Keep what can be used of a message; what cannot, and why.

        One whose time is more than a step ahead comes from a clock that is wrong: of its values
        nothing is used, but what it publishes stays true.
        """
        faults, values, told = list(message.faults), message.values, message.time
        if told > now + self._step:
            got, at = self._calendar.words(told), self._calendar.words(now)
            faults.append(f"time: got {got}, ahead of {at}, not used")
            values, told = {}, now
        elif values and told <= min(now, self._taken or now - 2 * self._step):
            faults.append(self._late(told))
            values = {}
        values = self._plausible_values(values, faults)
        series = self._plausible_series(message.series, faults)
        self._note(faults)
        for name, published in series.items():
            self._learn(name, published, told)
        which = hash((told, *values.items()))
        if which not in self._again:
            self._again.append(which)
            for name, value in values.items():
                self._hear(name, value, told)
        return tuple(faults)

    def _plausible_values(self, values: Mapping[str, float], faults: list[str]) -> dict[str, float]:
        """Those of readings that can be; what cannot is added to the faults."""
        found = {}
        for name in self.names:
            value = values.get(name, math.nan)
            if fault := None if math.isnan(value) else self._quantities[name].fault(value):
                faults.append(f"{fault}; left out")
            elif not math.isnan(value):  # what could not be read has been told
                found[name] = value
        return found

    def _plausible_series(
        self, series: Mapping[str, Mapping[datetime, float]], faults: list[str]
    ) -> dict[str, dict[datetime, float]]:
        """Likewise."""
        found = {}
        for name in series.keys() & SERIES.keys():
            bad = {time: SERIES[name].fault(value) for time, value in series[name].items()}
            found[name] = {time: value for time, value in series[name].items() if not bad[time]}
            if first := next(filter(None, bad.values()), None):
                count = f"{len(bad) - len(found[name])} of {len(bad)} values"
                faults.append(f"{first}; {count} left out")
        return found

    def _note(self, faults: Iterable[str]) -> None:
        """For the next step: of what is wrong with one thing, the first, and how often more."""
        for fault in faults:
            about = fault.partition(":")[0]
            if about in self._faults or len(self._faults) < MOST_FAULTS_KEPT:
                first, count = self._faults.get(about, (fault, 0))
                self._faults[about] = first, count + 1

    def _learn(self, name: str, published: Mapping[datetime, float], told: datetime) -> None:
        """The values of a series that were told last."""
        known = self._series[name]
        for time, value in published.items():
            if time not in known or known[time][0] <= told:
                known[time] = told, value
        if len(known) > MOST_TIMES:
            for time in sorted(known, key=lambda time: known[time][0])[: -MOST_TIMES // 2]:
                del known[time]

    def _hear(self, name: str, value: float, time: datetime) -> None:
        """By the minute that ends then or after, so that each belongs to one step."""
        begun = time.replace(second=0, microsecond=0)
        minute, minutes = begun if begun == time else begun + MINUTE, self._heard[name]
        minutes.setdefault(minute, Minute(time, value)).hear(time, value)
        if len(minutes) > MOST_MINUTES:
            del minutes[min(minutes)]

    def take(self, begin: datetime) -> Readings:
        """What is known as a step begins; nothing of it is told again.

        Powers are means of what came, all else is the last that came. Values from before the step
        that has just ended are late: not used, with a reason.
        """
        values, first = dict[str, float](), begin - self._step
        for name, minutes in self._heard.items():
            late = [minute.time for ended, minute in minutes.items() if ended <= first]
            self._note(map(self._late, sorted(late)))
            counting = [minutes[ended] for ended in sorted(minutes) if ended > first]
            if counting:
                values[name] = _of_step(name, counting)
        series = {
            name: {time: value for time, (_, value) in known.items()}
            for name, known in self._series.items()
        }
        strange = self._faults.keys() - {"message", "time", *self.names}
        faults = [
            f"{fault} (and {count - 1} more)" if count > 1 else fault
            for about, (fault, count) in sorted(
                self._faults.items(), key=lambda told: told[0] in strange
            )
        ]
        self._taken = begin
        for kept in (self._heard, self._series, self._faults):
            kept.clear()
        return Readings(begin, values, series, the_first(faults))

    def _late(self, time: datetime) -> str:
        return f"time: a message of {self._calendar.words(time)} is late, not used"


def _of_step(name: str, minutes: Sequence[Minute]) -> float:
    """A reading of a step from its minutes, the latest last."""
    if not name.endswith("power"):
        return minutes[-1].last
    return sum(minute.total for minute in minutes) / sum(minute.count for minute in minutes)

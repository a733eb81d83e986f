"""What messages say of a step. They come one by one, in any order, twice or late."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from statistics import fmean

from gridedge_gateway.readings import SERIES, Quantity, Readings

# The last ones that count for a step: with one every two seconds there are 900 in half an hour.
MOST_MESSAGES = 1000


class Inbox:
    """Messages since the last step.

    Args:
        step: of the customer's clock.
        readable: what can be read there, by name.

    Attributes:
        names: of all that a message may hold.
    """

    def __init__(self, step: timedelta, readable: Mapping[str, Quantity]) -> None:
        self._step, self._quantities = step, {**readable, **SERIES}
        self.names = tuple(self._quantities)
        self._messages: deque[Readings] = deque(maxlen=MOST_MESSAGES)
        self._taken: datetime | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Readings, now: datetime) -> tuple[str, ...]:
        """Keep a message; what of it cannot be used, and why.

        One whose time is more than a step ahead comes from a clock that is wrong: of its values
        nothing is used, but what it publishes stays true.
        """
        faults = message.faults
        if message.time > now + self._step:
            ahead = f"time: got {message.time.isoformat()}, ahead of {now.isoformat()}, not used"
            faults += (ahead,)
            message = Readings(now, {}, message.series, faults)
        elif message.values and message.time <= min(now, self._taken or now - 2 * self._step):
            faults += (_late(message),)  # of the step, too, as it is taken
        self._messages.append(message)
        return (*faults, *self._implausible(message))

    def _implausible(self, message: Readings) -> Iterator[str]:
        """What the next step will not believe; of a series, its first such value."""
        said = {name: (value,) for name, value in message.values.items()}
        said |= {name: tuple(published.values()) for name, published in message.series.items()}
        for name, values in said.items():
            if quantity := self._quantities.get(name):
                known = (value for value in values if not math.isnan(value))
                yield from islice(filter(None, map(quantity.fault, known)), 1)

    def take(self, begin: datetime) -> Readings:
        """What is known as a step begins; nothing of it is told again.

        Powers are means of what came, all else is the last that came. Values from before the step
        that has just ended are late: not used, with a reason.
        """
        messages = sorted(self._messages, key=lambda message: message.time)
        self._messages.clear()
        self._taken = begin
        heard: dict[str, dict[datetime, float]] = defaultdict(dict)
        series: dict[str, dict[datetime, float]] = defaultdict(dict)
        faults: list[str] = []
        for message in messages:
            faults += message.faults
            for name, published in message.series.items():
                series[name] |= published
            if message.time > begin - self._step:
                for name, value in message.values.items():
                    heard[name][message.time] = value  # the same one twice is one
            elif message.values:
                faults.append(_late(message))
        values = {name: _of_step(name, known) for name, known in heard.items()}
        return Readings(begin, values, series, tuple(faults))


def _late(message: Readings) -> str:
    return f"time: a message of {message.time.isoformat()} is late, not used"


def _of_step(name: str, known: Mapping[datetime, float]) -> float:
    """A reading of a step from those in it, the latest last."""
    *_, last = known.values()
    if not name.endswith("power"):
        return last
    return fmean([value for value in known.values() if value == value] or [last])  # NaN is not

"""Clock time to UTC and back to local days.

Clock time without an offset says twice a year less than it should. Where clocks go back, an hour
is there twice: rows that stand in the order in which they were measured tell which is which, any
others are left out and their day with them. Where clocks go forward, an hour does not exist: rows
in it are left out, and their day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from gridedge_env.checks import shown
from gridedge_env.scenarios.series.faults import Findings
from gridedge_env.scenarios.series.stamps import DAY, EPOCH, Written


@dataclass(frozen=True, eq=False)
class Instants:
    """When the step of each row begins.

    Attributes:
        utc: (rows,) int64, seconds since 1970.
        good: (rows,) bool, whether that is known.
        dropped: local days of which clock time says too little, and why.
    """

    utc: np.ndarray
    good: np.ndarray
    dropped: dict[date, str]


def zone_of(time_zone: str) -> ZoneInfo:
    """The zone of a name.

    Raises:
        ValueError: no such zone.
    """
    try:
        return ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError, TypeError, AttributeError) as unknown:
        raise ValueError(f"time_zone: got {shown(time_zone)}, expected an IANA name") from unknown


def begin_of_steps(
    written: Written,
    zone: ZoneInfo,
    findings: Findings,
    at_end: bool = False,
    groups: np.ndarray | None = None,
    offset: int | None = None,
) -> Instants:
    """When the steps begin that timestamps mark.

    Args:
        written: the timestamps, in the order of the file.
        zone: of clock time without an offset.
        findings: takes notes of days that are dropped.
        at_end: whether timestamps are those of the end of a step.
        groups: (rows,) int64, the meter of each row where rows of several alternate.
        offset: seconds that clock time is ahead of UTC all year, instead of what the zone says.
    """
    if written.absolute or offset is not None:
        utc = written.clock - (written.offset if written.absolute else offset or 0)
        if at_end:
            utc = utc - usual_step(utc[written.good])
        return Instants(utc, written.good, {})
    found = _of_clock(written.clock, written.good, zone, groups, at_end)
    if at_end:
        step = usual_step(found.utc[found.good])
        found = Instants(found.utc - step, found.good, found.dropped)
        # Some write the end as the clock's time at the beginning plus the step.
        other = _of_clock(written.clock - step, written.good, zone, groups, at_end=False)
        if len(other.dropped) < len(found.dropped):
            found = other
    for day, why in sorted(found.dropped.items()):
        findings.note(f"{day} is left out: {why}.")
    return found


def usual_step(utc: np.ndarray) -> int:
    """The most frequent difference between neighbouring instants, in seconds; 0 for lack of any."""
    differences, counts = np.unique(np.diff(distinct(utc)), return_counts=True)
    return int(differences[counts.argmax()]) if len(counts) else 0


def distinct(numbers: np.ndarray) -> np.ndarray:
    """What occurs, in order: by sorting, many times faster than NumPy's tables of millions."""
    ordered = np.sort(numbers)
    return ordered[np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))]


def _of_clock(
    clock: np.ndarray, good: np.ndarray, zone: ZoneInfo, groups: np.ndarray | None, at_end: bool
) -> Instants:
    """Clock time to UTC; with `at_end`, the first moment that clocks skip is the last before."""
    times = distinct(clock)
    where = np.searchsorted(times, clock)
    before, after = (_offsets(times, zone, fold) for fold in (0, 1))
    skipped = before < after
    if at_end:
        skipped &= _offsets(times - 1, zone, 0) < _offsets(times - 1, zone, 1)
    second, unclear = _second_time_round(clock, (before > after)[where] & good, good, groups)
    utc = clock - np.where(second, after[where], before[where])
    skipped = skipped[where] & good
    dropped = {
        _day(seconds): "clocks skip an hour in it that the file has (if the file is in standard "
        "time all year, give its time zone as a fixed one, such as 'Etc/GMT-1')"
        for seconds in distinct(clock[skipped] // DAY * DAY)
    }
    dropped |= {
        _day(seconds): "clocks repeat an hour in it that the file does not have twice in order"
        for seconds in distinct(clock[unclear] // DAY * DAY)
    }
    return Instants(utc, good & ~skipped & ~unclear, dropped)


def _day(seconds: int) -> date:
    return date.fromordinal(int(seconds) // DAY + EPOCH)


def _offsets(times: np.ndarray, zone: ZoneInfo, fold: int) -> np.ndarray:
    """Seconds by which the clock is ahead of UTC at clock times, asked once a day if it can be.

    Clocks change within a day or at its ends: days that begin and end alike are alike throughout.
    """
    days = times // DAY
    starts, which = np.unique(days, return_inverse=True)
    at = np.array([_offset(day * DAY, zone, fold) for day in starts.tolist()], dtype=np.int64)
    around = np.array(
        [
            [_offset((day + shift) * DAY, zone, fold_there) for shift, fold_there in _AROUND]
            for day in starts.tolist()
        ],
        dtype=np.int64,
    ).reshape(-1, len(_AROUND))
    offsets = at[which]
    for number in np.flatnonzero((around != at[:, None]).any(axis=1)[which]):
        offsets[number] = _offset(int(times[number]), zone, fold)
    return offsets


_AROUND = ((0, 0), (0, 1), (1, 0), (1, 1))


def _offset(seconds: int, zone: ZoneInfo, fold: int) -> int:
    moment = datetime(1970, 1, 1, tzinfo=zone) + timedelta(seconds=seconds)
    offset = moment.replace(fold=fold).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _second_time_round(
    clock: np.ndarray, repeated: np.ndarray, good: np.ndarray, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of hours that clocks repeat are the second ones, and of which that is unclear.

    Within a day and a group, time as written goes back once, between rows of that hour: there
    clocks were set back.
    """
    second, unclear = np.zeros(len(clock), dtype=bool), np.zeros(len(clock), dtype=bool)
    if not repeated.any():
        return second, unclear
    group = np.zeros(len(clock), dtype=np.int64) if groups is None else groups
    days = clock // DAY
    rows = np.flatnonzero(good & np.isin(days, distinct(days[repeated])))
    if _newest_first(clock[good], group[good]):
        rows = rows[::-1]
    rows = rows[np.lexsort((days[rows], group[rows]))]
    ends = np.flatnonzero((np.diff(days[rows]) != 0) | (np.diff(group[rows]) != 0)) + 1
    for part in np.split(rows, ends):
        back = np.flatnonzero(np.diff(clock[part]) <= 0)
        if len(back) == 1 and repeated[part[back[0]]] and repeated[part[back[0] + 1]]:
            second[part[back[0] + 1 :]] = True
        else:
            unclear[part] = repeated[part]
    return second, unclear


def _newest_first(clock: np.ndarray, group: np.ndarray) -> bool:
    steps = np.diff(clock)[np.diff(group) == 0]
    return bool((steps < 0).sum() > (steps > 0).sum())


def local_days(
    begin: datetime, minutes: int, steps: int, time_zone: str
) -> tuple[tuple[date, ...], np.ndarray, tuple[date, ...]]:
    """Local days in a row of steps.

    Returns:
        The days that are there from midnight to midnight and 24 hours long, the number of the first
        step of each, and the days of another length that are there.

    Raises:
        ValueError: no such zone, or steps across its midnights.
    """
    zone = zone_of(time_zone)
    seconds = int(begin.timestamp())
    first = begin.astimezone(zone).date()
    last = (begin + timedelta(minutes=minutes * steps)).astimezone(zone).date()
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    midnights = [
        datetime.combine(day, time(), zone) for day in [*days, days[-1] + timedelta(days=1)]
    ]
    starts = np.array([int(midnight.timestamp()) for midnight in midnights])
    if ((starts - seconds) % (60 * minutes)).all():
        raise ValueError(
            f"time_zone: got {time_zone!r}, where days begin within the steps of {minutes} minutes "
            f"from {begin.isoformat()}; expected a zone in which they begin with a step"
        )
    there = (starts[:-1] >= seconds) & (starts[1:] <= seconds + 60 * minutes * steps)
    whole = np.diff(starts) == DAY
    numbers = (starts[:-1] - seconds) // (60 * minutes)
    kept = there & whole & ((starts[:-1] - seconds) % (60 * minutes) == 0)
    return (
        tuple(day for day, keep in zip(days, kept, strict=True) if keep),
        numbers[kept],
        tuple(day for day, odd in zip(days, there & ~whole, strict=True) if odd),
    )

"""Rows at any instants to regular steps: order, strays, duplicates, gaps, days."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone

import numpy as np

from gridedge_env.clock import STEP_MINUTES
from gridedge_env.record import Record
from gridedge_env.scenarios.series.faults import Findings
from gridedge_env.scenarios.series.local_time import (
    Instants,
    distinct,
    local_days,
    usual_step,
    zone_of,
)
from gridedge_env.scenarios.series.stamps import DAY

LONGEST_FILLED = 6
"""Hours: a straight line over more than that is no longer what was measured in between."""

FAR = 365 * DAY
"""Seconds between the steps of a file after which what lies beyond is a mistake if it is less than
a day's worth; a week is enough if it is not in the file's order either."""


@dataclass(frozen=True, eq=False)
class Series(Record):
    """Columns of values in regular steps.

    Attributes:
        begin: of the first step; UTC, aware.
        minutes: of a step: 15, 30 or 60.
        names: of the columns.
        values: (steps, columns) float64, means over the step; NaN where missing and not filled.
        notes: what was repaired, dropped or assumed, in sentences for a person.
    """

    begin: datetime
    minutes: int
    names: tuple[str, ...]
    values: np.ndarray
    notes: tuple[str, ...]

    def of(self, names: Sequence[str]) -> Series:
        """Some of the columns, in this order; steps and notes stay.

        Raises:
            ValueError: no such column.
        """
        for name in names:
            if name not in self.names:
                raise ValueError(f"names: got {name!r}, expected one of {', '.join(self.names)}")
        columns = [self.names.index(name) for name in names]
        return replace(self, names=tuple(names), values=self.values[:, columns])

    def __eq__(self, other: object) -> bool:
        """Whether all fields but the notes are equal, missing values among them."""
        if not isinstance(other, Series):
            return NotImplemented
        alike = np.array_equal(self.values, other.values, equal_nan=True)
        same = replace(other, values=self.values, notes=self.notes)
        return alike and Record.__eq__(self, same) is True


def by_local_day(series: Series, time_zone: str) -> tuple[tuple[date, ...], np.ndarray]:
    """The local days that are complete: 24 hours long, and no value of any column missing.

    `notes_of_days` says which are not, and why.

    Returns:
        Dates, in order, and (days, steps a day, columns) values.

    Raises:
        ValueError: no such zone, or one whose midnights lie within steps.
    """
    dates, values = _whole_days(series, time_zone)
    complete = ~np.isnan(values).any(axis=(1, 2))
    return tuple(day for day, keep in zip(dates, complete, strict=True) if keep), values[complete]


def notes_of_days(series: Series, time_zone: str) -> tuple[str, ...]:
    """The local days that `by_local_day` leaves out, in sentences for a person.

    Raises:
        ValueError: as `by_local_day`.
    """
    dates, values = _whole_days(series, time_zone)
    steps = len(series.values)
    odd = local_days(series.begin, series.minutes, steps, time_zone)[2]
    notes = []
    if odd:
        notes.append(f"Left out, as clocks change: {_listed(odd)}.")
    for number, name in enumerate(series.names):
        missing = np.isnan(values[:, :, number]).any(axis=1)
        if missing.any():
            days = [day for day, miss in zip(dates, missing, strict=True) if miss]
            notes.append(f"Left out, as {name!r} misses values: {_listed(days)}.")
    return tuple(notes)


def _listed(days: Collection[date]) -> str:
    shown = ", ".join(str(day) for day in list(days)[:3])
    return shown if len(days) <= 3 else f"{len(days)} days, the first {shown}"


def _whole_days(series: Series, time_zone: str) -> tuple[tuple[date, ...], np.ndarray]:
    dates, starts, _ = local_days(series.begin, series.minutes, len(series.values), time_zone)
    steps = starts[:, None] + np.arange(24 * 60 // series.minutes)
    return dates, series.values[steps]


@dataclass(frozen=True, eq=False)
class Rows:
    """What the rows of a table hold, a value for each of them or one for each of its columns.

    Attributes:
        instants: when.
        lines: (rows,) of the file.
        values: (rows, columns); one column in a long table.
        group: (rows,) int64, the meter of each row of a long table, else None.
        names: of the columns or meters.
        column: the name of the column of timestamps.
    """

    instants: Instants
    lines: np.ndarray
    values: np.ndarray
    group: np.ndarray | None
    names: tuple[str, ...]
    column: str

    def at(self, kept: np.ndarray) -> Rows:
        """Some of the rows, by their numbers or a mask."""
        if kept.dtype == bool and kept.all():
            return self
        instants = Instants(
            self.instants.utc[kept], self.instants.good[kept], self.instants.dropped
        )
        group = None if self.group is None else self.group[kept]
        return replace(
            self, instants=instants, lines=self.lines[kept], values=self.values[kept], group=group
        )


def on_grid(rows: Rows, findings: Findings, step: int | None = None) -> tuple[int, int, np.ndarray]:
    """Rows as regular steps.

    Args:
        rows: in the order of the file.
        findings: takes a fault for every row that has no place.
        step: seconds; None is the most frequent difference.

    Returns:
        Begin of the first step in seconds since 1970, seconds of a step, and (steps, names) values,
        NaN where there is none.

    Raises:
        Faults: no regular steps of 15, 30 or 60 minutes.
    """
    rows = rows.at(rows.instants.good)
    rows = rows.at(~_strays(rows, findings))
    utc = rows.instants.utc
    if len(utc) == 0 or utc.min() == utc.max():
        findings.stop("got fewer than two timestamps, expected steps of 15, 30 or 60 minutes")
    step = step or usual_step(utc)
    if step % 60 or step // 60 not in STEP_MINUTES:
        hint = "" if step % DAY else "; date and time of day must stand in one column"
        findings.stop(
            f"got steps of {timedelta(seconds=step)}, expected 15, 30 or 60 minutes{hint}",
            column=rows.column,
        )
    phases, counts = np.unique(utc % step, return_counts=True)
    phase = int(phases[counts.argmax()])
    if phase % 900:
        findings.stop(
            f"got most timestamps {phase // 60 % 15} minutes and {phase % 60} seconds after a "
            "quarter of an hour, expected full ones",
            column=rows.column,
        )
    off = np.flatnonzero(utc % step != phase)
    whats = [
        f"got {_shown(utc[row])}, expected steps of {step // 60} minutes as elsewhere"
        for row in off
    ]
    findings.cells(rows.lines[off].tolist(), rows.column, whats)
    rows = rows.at(utc % step == phase)
    begin, last = int(rows.instants.utc.min()), int(rows.instants.utc.max())
    steps = (last - begin) // step + 1
    there = len(distinct(rows.instants.utc))
    if steps > 4 * there + 4 * FAR // step:
        findings.stop(
            f"got {there} steps between {_shown(begin)} and {_shown(last)}, expected {steps}",
            column=rows.column,
        )
    return begin, step, _placed(rows, begin, step, steps, findings)


def _shown(utc: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=int(utc))
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _strays(rows: Rows, findings: Findings) -> np.ndarray:
    """Rows at instants that cannot be meant: a few, far from all others, or out of order."""
    utc = rows.instants.utc
    stray = np.zeros(len(utc), dtype=bool)
    times = distinct(utc)
    if len(times) < 3:
        return stray
    parts = np.split(times, np.flatnonzero(np.diff(times) > 7 * DAY) + 1)
    main = max(parts, key=len)
    for part in parts:
        if part is main or part[-1] - part[0] >= DAY or 10 * len(part) > len(main):
            continue
        here = (utc >= part[0]) & (utc <= part[-1])
        distance = max(main[0] - part[-1], part[0] - main[-1])
        if distance > FAR or _out_of_order(utc, here, rows.group):
            stray |= here
    at = np.flatnonzero(stray)
    near = f"expected one near the others ({_shown(main[0])} to {_shown(main[-1])})"
    whats = [f"got {_shown(utc[row])}, {near}" for row in at]
    findings.cells(rows.lines[at].tolist(), rows.column, whats)
    return stray


def _out_of_order(utc: np.ndarray, here: np.ndarray, group: np.ndarray | None) -> bool:
    """Whether the rows break the order of a file that is otherwise in order."""
    if group is not None:
        order = np.argsort(group, kind="stable")
        utc, here = utc[order], here[order]
    others = np.sign(np.diff(utc[~here]))
    ascending, descending = (others >= 0).mean(), (others <= 0).mean()
    if max(ascending, descending) < 0.99:
        return False
    sign = 1 if ascending >= descending else -1
    breaks = np.sign(np.diff(utc)) == -sign
    return bool(breaks.sum() > (others == -sign).sum())


def _placed(rows: Rows, begin: int, step: int, steps: int, findings: Findings) -> np.ndarray:
    """(steps, names) values; rows at one instant must agree."""
    place = (rows.instants.utc - begin) // step
    key = place if rows.group is None else place + rows.group * steps
    if (np.diff(key) <= 0).any():
        order = np.argsort(key, kind="stable")
        rows, key = rows.at(order), key[order]
        if rows.group is None and (np.diff(order) < 0).any():
            findings.note("rows are not in order of time; sorted.")
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    values = rows.values
    if len(starts) < len(key):
        low = np.fmin.reduceat(values, starts, axis=0)
        values = np.fmax.reduceat(values, starts, axis=0)
        _report_repeats(rows, starts, low < values, findings)
    if rows.group is None:
        grid = np.full((steps, len(rows.names)), np.nan)
        grid[key[starts]] = values
        return grid
    flat = np.full(len(rows.names) * steps, np.nan)
    flat[key[starts]] = values[:, 0]
    return np.ascontiguousarray(flat.reshape(len(rows.names), steps).T)


def _report_repeats(rows: Rows, starts: np.ndarray, differ: np.ndarray, findings: Findings) -> None:
    """Notes of rows that say the same twice, faults of those that say something else."""
    ends = np.append(starts[1:], len(rows.lines))
    for column in np.flatnonzero(differ.any(axis=0)):
        lines: dict[str, list[int]] = {}
        whats: dict[str, list[str]] = {}
        for place in np.flatnonzero(differ[:, column]):
            part = slice(starts[place], ends[place])
            values, numbers = rows.values[part, column], rows.lines[part]
            known = np.flatnonzero(~np.isnan(values))
            other = known[values[known] != values[known[0]]][0]
            name = rows.names[int(column) if rows.group is None else int(rows.group[part][0])]
            lines.setdefault(name, []).append(int(numbers[other]))
            whats.setdefault(name, []).append(
                f"got {values[other]:g} at {_shown(rows.instants.utc[part][0])}, expected "
                f"{values[known[0]]:g} as in row {numbers[known[0]]}"
            )
        for name, found in lines.items():
            findings.cells(found, name, whats[name])
    repeated = len(rows.lines) - len(starts) - int(differ.any(axis=1).sum())
    if repeated > 0:
        findings.note(f"{repeated} rows repeat another one of the same time; merged.")


def note_ends(
    grid: np.ndarray, begin: int, step: int, names: Sequence[str], findings: Findings
) -> None:
    """Say which columns begin later, or end earlier, than the others."""
    for number, name in enumerate(names):
        known = np.flatnonzero(~np.isnan(grid[:, number]))
        if len(known) and known[0] > 0:
            findings.note(f"{name!r} begins late, at {_shown(begin + known[0] * step)}.")
        if len(known) and known[-1] < len(grid) - 1:
            findings.note(f"{name!r} ends early, at {_shown(begin + (known[-1] + 1) * step)}.")


@dataclass(frozen=True)
class Gaps:
    """Which gaps of a column are interpolated.

    Attributes:
        share: at most, of the steps between the column's first and last value.
        hours: at most.
    """

    share: float
    hours: int = LONGEST_FILLED


def series_of(
    grid: np.ndarray,
    begin: int,
    step: int,
    names: Sequence[str],
    dropped: Collection[date],
    time_zone: str,
    gaps: Gaps,
    findings: Findings,
) -> Series:
    """The series: gaps filled, no values on days that are dropped; the end of the way.

    Raises:
        Faults: any were found.
    """
    findings.check()
    blank = np.zeros(len(grid), dtype=bool)
    zone = zone_of(time_zone)
    for day in dropped:
        bounds = [
            int(datetime.combine(each, time(), zone).timestamp())
            for each in (day, day + timedelta(days=1))
        ]
        low, high = (max(0, -((begin - bound) // step)) for bound in bounds)
        blank[low:high] = True
    _fill_gaps(grid, step, names, gaps, blank, findings)
    grid[blank] = np.nan
    start = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=begin)
    return Series(start, step // 60, tuple(names), grid, tuple(findings.notes))


def _fill_gaps(
    grid: np.ndarray,
    step: int,
    names: Sequence[str],
    gaps: Gaps,
    blank: np.ndarray,
    findings: Findings,
) -> None:
    """Interpolate short gaps of each column in place, and say what is missing.

    Gaps that begin in `blank` steps, which will be empty whatever they hold, are passed over.
    """
    for number, name in enumerate(names):
        column = grid[:, number]
        known = np.flatnonzero(~np.isnan(column))
        if len(known) == 0 or len(known) == len(column):
            continue
        first, last = int(known[0]), int(known[-1])
        most = min(int(gaps.share * (last - first + 1) + 1e-9), gaps.hours * 3600 // step)
        lengths = np.diff(known) - 1
        gap = (lengths > 0) & ~blank[known[:-1] + 1]
        short = gap & (lengths <= most)
        if short.any():
            inside = np.arange(first, last + 1)
            line = np.interp(inside, known, column[known])
            fill = np.repeat(short, lengths + 1)
            at = inside[:-1][fill]
            missing = at[np.isnan(column[at])]
            column[missing] = line[missing - first]
            findings.note(
                f"{name!r}: {len(missing)} missing values in {int(short.sum())} gaps interpolated."
            )
        long = lengths[gap & ~short]
        if len(long):
            findings.note(
                f"{name!r}: {int(long.sum())} values in {len(long)} gaps of up to "
                f"{long.max() * step / 3600:g} hours are missing; not interpolated, so these days "
                "are left out for everybody."
            )

"""Set-points for recorded readings: a table in, a table out."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

from gridedge_gateway.calendar import Calendar, Step
from gridedge_gateway.controller import Controller, SetPoint
from gridedge_gateway.mistakes import regular_file, writing
from gridedge_gateway.readings import A_TIME, SERIES, Readings
from gridedge_gateway.record import decided, reading_columns, set_point_columns

# What a row without a time would have: each must have its own.
NO_TIME = datetime(2000, 1, 1, tzinfo=timezone.utc)
# Share of a log's rows that may not be later than the one before.
MOST_BACK = 0.1


def replay(controller: Controller, recorded: Path, out: Path) -> list[tuple[Readings, SetPoint]]:
    """Take a step for each row of a table, as of `record`, and write it with what was to be done.

    Args:
        controller: of the customer, which has not stepped yet.
        recorded: CSV. What has no column was not read.
        out: CSV, replaced.

    Returns:
        The steps.

    Raises:
        ValueError: as of `recorded_readings`.
    """
    columns = [*reading_columns(controller.file), *set_point_columns(controller.file)]
    rows = recorded_readings(controller, recorded)
    steps = []
    with writing(out), out.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        table.writeheader()
        for row, readings in rows:
            set_point = controller.step(readings)
            table.writerow({**row, **decided(set_point)})
            steps.append((readings, set_point))
    return steps


def doubts(controller: Controller, steps: Iterable[tuple[Readings, SetPoint]]) -> Iterator[str]:
    """What never counted of what was read, and why; what may be in another unit.

    Args:
        controller: that took the steps.
        steps: as of `replay`.
    """
    said: dict[str, list[float]] = defaultdict(list)
    first: dict[str, str] = {}
    for readings, set_point in steps:
        for name, value in readings.values.items():
            said[name].append(value)
        for name, values in readings.series.items():
            said[name] += values.values()
        for reason in set_point.reasons:
            name, _, why = reason.partition(": ")
            if why.startswith("got "):
                first.setdefault(name, why)
    for name, quantity in {**controller.readable, **SERIES}.items():
        good = [x for x in said[name] if not math.isnan(x) and not quantity.fault(x)]
        if not good and name in first:
            yield f"{name} never counted: {first[name]}"
        elif doubt := quantity.doubt(good):
            yield doubt


def recorded_readings(
    controller: Controller, recorded: Path
) -> list[tuple[dict[str, str], Readings]]:
    """The rows of steps in a table, as of `record`, and what a controller is to be told with each.

    Of a series, values until the end of a day's episode are known with the day's first row. A row
    within a step may have values of series, and nothing else: no step is taken for it.

    Raises:
        ValueError: no table, none with a row of a step or with a column of times, a column that
            nothing reads or that is there twice, a row with more cells than columns or without a
            time, a row within a step that has more than series, rows that are not in order of time.
    """
    file = controller.file
    readable, written = reading_columns(file), set_point_columns(file)
    rows = _rows(recorded, readable, written)
    read = [_readings(row, readable, number, recorded) for number, row in enumerate(rows, start=2)]
    _check_order(read, rows, recorded)
    published = _published(read)
    today: date | None = None
    told = []
    for number, (row, readings) in enumerate(zip(rows, read, strict=True), start=2):
        step = controller.calendar.step(readings.time)
        if readings.time != step.time:
            _check_within(row, number, recorded, controller.calendar.minutes)
            continue
        news = {}
        if step.begin.date() != today:
            news, today = _news(published, controller.calendar, step), step.begin.date()
        told.append((row, replace(readings, series=news)))
    if not told:
        raise ValueError(f"{recorded}: got no row of a step, expected one for each")
    return told


def _rows(path: Path, readable: Collection[str], written: Collection[str]) -> list[dict[str, str]]:
    """Of a table, which may have the set-points of an earlier replay, or of a log."""
    try:
        with regular_file(path).open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            columns, rows = table.fieldnames or [], list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: got no table ({error}), expected CSV in UTF-8") from error
    strange = [column for column in columns if column not in {*readable, *written}]
    if strange:
        expected = ", ".join(readable)
        raise ValueError(f"{path}: got column {strange[0]!r}, expected some of {expected}")
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise ValueError(f"{path}: got column {twice[0]!r} {len(twice)} times, expected it once")
    if "time" not in columns:
        got = "no column 'time'" if columns else "nothing"
        raise ValueError(f"{path}: got {got}, expected a table with the time of each row")
    for number, row in enumerate(rows, start=2):
        if None in row:  # where the table's reader puts what has no column
            cells = len(columns) + len(row[None])
            raise ValueError(f"{path}, row {number}: got {cells} cells, expected {len(columns)}")
    return [{name: row[name] or "" for name in columns} for row in rows]


def _readings(row: dict[str, str], readable: Collection[str], number: int, path: Path) -> Readings:
    read = {name: text for name, text in row.items() if name in readable and text}
    readings = Readings.of(read, NO_TIME)
    if readings.time == NO_TIME:
        got = f"got {row['time']!r}, expected {A_TIME}"
        raise ValueError(f"{path}, row {number}, column 'time': {got}")
    return readings


def _check_order(read: Sequence[Readings], rows: Sequence[dict[str, str]], path: Path) -> None:
    """Rows are in order of time, each later; of a log most are.

    A gateway that began again within a step logs that twice, and where its clock was put back, some
    rows are earlier.
    """
    pairs = enumerate(pairwise(readings.time for readings in read), start=1)
    back = [row for row, (before, time) in pairs if time <= before]
    is_log = bool(rows) and "reasons" in rows[0]
    if len(back) > (max(MOST_BACK * len(read), 1) if is_log else 0):
        before, time = (rows[row]["time"] for row in (back[0] - 1, back[0]))
        got, expected = f"got {time!r} after {before!r}", "rows in order of time, each time once"
        raise ValueError(f"{path}, row {back[0] + 2}, column 'time': {got}, expected {expected}")


def _check_within(row: dict[str, str], number: int, path: Path, minutes: int) -> None:
    read = [name for name, text in row.items() if text and name not in {"time", *SERIES}]
    if read:
        expected = f"the begin of a step of {minutes} minutes for a reading of {read[0]}"
        raise ValueError(
            f"{path}, row {number}, column 'time': got {row['time']!r}, expected {expected}"
        )


def _published(read: list[Readings]) -> dict[str, dict[datetime, float]]:
    """All values of the series."""
    found: dict[str, dict[datetime, float]] = defaultdict(dict)
    for readings in read:
        for name, values in readings.series.items():
            found[name] |= values
    return found


def _news(
    published: dict[str, dict[datetime, float]], calendar: Calendar, step: Step
) -> dict[str, dict[datetime, float]]:
    """What is known of the rest of an episode as a day of it begins."""
    days = step.begin.date(), step.episode + timedelta(days=calendar.days)
    return {
        name: {
            time: value
            for time, value in values.items()
            if days[0] <= time.astimezone(calendar.zone).date() < days[1]
        }
        for name, values in published.items()
    }

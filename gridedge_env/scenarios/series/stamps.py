"""Timestamps as people and meters write them: which column holds them, and what they say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from gridedge_env.clock import FIRST_YEAR, LAST_YEAR
from gridedge_env.scenarios.series.faults import Findings
from gridedge_env.scenarios.series.reading import Table

DAY = 86_400
EPOCH = date(1970, 1, 1).toordinal()
MOST_OFFSET = 15 * 3600

_EXPECTED = "got {}, expected an ISO 8601 timestamp such as 2024-01-31T13:45+01:00"

_FORM = re.compile(
    r"""(?:(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})
         | (?P<one>\d{1,2})(?P<mark>[-/.])(?P<two>\d{1,2})(?P=mark)(?P<last>\d{4}))
        (?: (?:\s*T\s*|\s+) (?P<hour>\d{1,2}):(?P<minute>\d{2})(?: :(?P<second>\d{2})(?:[.,]0+)? )?
          \s* (?P<offset> Z | UTC | GMT | [+-]\d{2}(?: :?\d{2})? )? (?:\[[\w/+-]+\])? )?
        (?: \s+-\s+ .+ )?""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_NAMES = re.compile(
    r"(utc_|local_)?(timestamps?|time|date_?time|date|datum|tijd|tijdstip|zeit|zeitstempel|mtu|period"
    r"|begin|start|from|valid_time|index|interval_start|read_?time)"
    r"(_(utc|gmt|local|cet|cest|begin|start|end|stamp|time))*"
)
_UTC = re.compile(r"(^|[^a-z])(utc|gmt)([^a-z]|$)")


@dataclass(frozen=True, eq=False)
class Written:
    """Timestamps as they are written.

    Attributes:
        clock: (rows,) int64, date and time as written, in seconds since 1970 began there.
        offset: (rows,) int64, seconds by which that is ahead of UTC; 0 where nothing says.
        absolute: whether offsets are written, or the column's name or type says UTC.
        good: (rows,) bool, whether the cell is a timestamp like the others.
    """

    clock: np.ndarray
    offset: np.ndarray
    absolute: bool
    good: np.ndarray


def find_stamps(table: Table, findings: Findings) -> tuple[int, tuple[int, ...]]:
    """The column of timestamps, and all columns that hold some.

    Timestamps with an offset or in UTC are preferred, then those named like timestamps.

    Raises:
        Faults: there is none.
    """
    import pyarrow as pa

    ranks = {}
    for number, (name, column) in enumerate(zip(table.names, table.columns, strict=True)):
        plain = _plain_name(name)
        named, rank = bool(_NAMES.fullmatch(plain)), -1
        if pa.types.is_timestamp(column.type):
            rank = 4 + 2 * (column.type.tz is not None)
        elif pa.types.is_string(column.type):
            samples = [cell.strip() for cell in column[:20].to_pylist() if cell and cell.strip()]
            forms = [form for form in map(_FORM.fullmatch, samples) if form]
            if forms:
                rank = 2 + 2 * bool(forms[0]["offset"] or _UTC.search(plain.replace("_", " ")))
            elif named:
                rank = 0
        if rank >= 0:
            ranks[number] = rank + named
    if not ranks:
        listed = ", ".join(map(repr, table.names[:8]))
        findings.stop(f"got no column of timestamps among {listed}, expected one", 1)
    best = max(ranks, key=lambda number: (ranks[number], -number))
    if _FORM.fullmatch(table.names[best]):
        findings.fault("got data, expected the names of columns", 1, table.names[best])
    others = tuple(number for number in ranks if number != best and ranks[number] >= 2)
    for number in others:
        findings.note(
            f"column {table.names[number]!r} holds times as well; {table.names[best]!r} is used."
        )
    return best, (best, *others)


def _plain_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def read_stamps(table: Table, column: int, findings: Findings) -> Written:
    """The timestamps of a column; a fault for each that is none."""
    import pyarrow as pa

    cells, name = table.columns[column], table.names[column]
    utc_by_name = bool(_UTC.search(_plain_name(name).replace("_", " ")))
    if pa.types.is_timestamp(cells.type):
        written = _of_instants(cells, table, name, findings)
    else:
        written = _of_text(cells, table, name, findings)
    outside = written.good & ~_of_a_plausible_year(written.clock)
    if outside.any():
        at = np.flatnonzero(outside)
        days = [date.fromordinal(int(written.clock[row] // DAY) + EPOCH) for row in at]
        expected = f"expected a year from {FIRST_YEAR} to {LAST_YEAR}"
        whats = [f"got {str(day)!r}, {expected}" for day in days]
        findings.cells(table.rows[at].tolist(), name, whats)
    if utc_by_name and not written.absolute:
        findings.note(f"column {name!r} says that its times are UTC.")
    return Written(
        clock=np.where(outside, 0, written.clock),
        offset=written.offset,
        absolute=written.absolute or utc_by_name,
        good=written.good & ~outside,
    )


def _of_a_plausible_year(clock: np.ndarray) -> np.ndarray:
    first, end = (date(year, 1, 1).toordinal() - EPOCH for year in (FIRST_YEAR, LAST_YEAR + 1))
    return (clock >= first * DAY) & (clock < end * DAY)


def _of_instants(cells: Any, table: Table, name: str, findings: Findings) -> Written:
    """Timestamps of a Parquet file; its time zone only says how to show them."""
    import pyarrow as pa

    whole = cells.cast(pa.timestamp("s", cells.type.tz), safe=False).cast(pa.int64())
    good = ~whole.is_null().to_numpy(zero_copy_only=False)
    clock = whole.fill_null(0).to_numpy()
    lowest, highest = -(EPOCH - 1) * DAY, (date.max.toordinal() - EPOCH) * DAY
    clock = np.clip(clock, lowest, highest)
    empty = np.flatnonzero(~good)
    findings.cells(table.rows[empty].tolist(), name, [_EXPECTED.format("''")] * len(empty))
    return Written(clock, np.zeros_like(clock), cells.type.tz is not None, good)


def _of_text(cells: Any, table: Table, name: str, findings: Findings) -> Written:
    """Every text that occurs is read once."""
    import pyarrow as pa

    if not pa.types.is_string(cells.type):
        cells = pa.array([None if cell is None else str(cell) for cell in cells.to_pylist()])
        cells = cells.cast(pa.string())
    encoded = cells.fill_null("").dictionary_encode()
    texts = [text.strip() for text in encoded.dictionary.to_pylist()]
    forms = [_FORM.fullmatch(text) for text in texts]
    month_first = _month_comes_first(forms, findings)
    read = [None if form is None else _seconds(form, month_first) for form in forms]
    where = encoded.indices.to_numpy()
    good = np.array([each is not None for each in read], dtype=bool)[where]
    clock = np.array([each[0] if each else 0 for each in read], dtype=np.int64)[where]
    has_offset = np.array([each is not None and each[1] is not None for each in read], dtype=bool)[
        where
    ]
    offset = np.array([each[1] or 0 if each else 0 for each in read], dtype=np.int64)[where]

    bad = np.flatnonzero(~good)
    whats = [_EXPECTED.format(repr(texts[where[row]])) for row in bad]
    findings.cells(table.rows[bad].tolist(), name, whats)
    absolute = bool(has_offset[good].mean() >= 0.5) if good.any() else False
    odd = np.flatnonzero(good & (has_offset != absolute))
    expected = "expected an offset from UTC" if absolute else "expected no offset from UTC"
    whats = [f"got {texts[where[row]]!r}, {expected} as in most rows" for row in odd]
    findings.cells(table.rows[odd].tolist(), name, whats)
    return Written(clock, offset, absolute, good & (has_offset == absolute))


def _month_comes_first(forms: Sequence[re.Match[str] | None], findings: Findings) -> bool | None:
    """Whether 1/2/2024 is the second of January; None if no date tells."""
    short = [form for form in forms if form and form["last"] and form["mark"] != "."]
    if not short:
        return None
    day_first = sum(int(form["one"]) > 12 for form in short)
    month_first = sum(int(form["two"]) > 12 for form in short)
    if day_first == month_first:
        return None
    order = "month/day" if month_first > day_first else "day/month"
    findings.note(f"dates such as {short[0].group()!r} are read as {order}/year.")
    return month_first > day_first


def _seconds(form: re.Match[str], month_first: bool | None) -> tuple[int, int | None] | None:
    """Date and time since 1970, and the offset from UTC if there is one; None if there is none."""
    if form["year"]:
        year, month, day = form["year"], form["month"], form["day"]
    elif form["mark"] != "." and month_first is None:
        return None
    else:
        year, day, month = form["last"], form["one"], form["two"]
        if form["mark"] != "." and month_first:
            day, month = month, day
    hour, minute, second = (int(form[part] or 0) for part in ("hour", "minute", "second"))
    if minute > 59 or second > 59 or 60 * (60 * hour + minute) + second > DAY:
        return None
    try:
        days = date(int(year), int(month), int(day)).toordinal() - EPOCH
    except ValueError:
        return None
    offset = _offset(form["offset"])
    if offset is not None and abs(offset) > MOST_OFFSET:
        return None
    return days * DAY + 60 * (60 * hour + minute) + second, offset


def _offset(text: str | None) -> int | None:
    """Seconds of "Z", "+02", "+0200" or "-05:30"."""
    if text is None or text[0] not in "+-":
        return None if text is None else 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    seconds = 3600 * int(digits[:2]) + 60 * int(digits[2:])
    return -seconds if text[0] == "-" else seconds

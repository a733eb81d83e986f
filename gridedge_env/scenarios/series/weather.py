"""Weather: plain columns, CSV files of Open-Meteo, and EPW, the files of EnergyPlus."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from gridedge_env.checks import check_whole_number
from gridedge_env.clock import FIRST_YEAR, LAST_YEAR
from gridedge_env.scenarios.series.faults import Findings
from gridedge_env.scenarios.series.local_time import begin_of_steps, zone_of
from gridedge_env.scenarios.series.meters import is_at_end
from gridedge_env.scenarios.series.numbers import read_numbers
from gridedge_env.scenarios.series.reading import (
    Table,
    cells_of,
    read_content,
    table_of_parquet,
    table_of_text,
    text_of,
)
from gridedge_env.scenarios.series.stamps import (
    DAY,
    EPOCH,
    MOST_OFFSET,
    Written,
    find_stamps,
    read_stamps,
)
from gridedge_env.scenarios.series.steps import Gaps, Rows, Series, on_grid, series_of

NAMES = {
    "temperature": (
        *("temperature", "outdoor_temperature", "temperature_2m", "air_temperature"),
        *("ambient_temperature", "dry_bulb_temperature", "dry_bulb", "drybulb", "temp_air"),
        *("temperature_c", "outdoor_temperature_c", "temp_c", "temp", "t2m"),
    ),
    "irradiance": (
        *("irradiance", "ghi", "shortwave_radiation", "global_horizontal_irradiance"),
        *("global_horizontal_radiation", "global_irradiance", "global_radiation"),
        *("solar_irradiance", "solar_radiation", "radiation", "irradiance_w_m2", "ghi_w_m2"),
    ),
}
"""Columns by meaning, without their unit, the first that is there being taken."""

UNITS = {
    "temperature": ("°c", "c", "degc", "deg_c", "celsius", "degrees_celsius"),
    "irradiance": ("w/m²", "w/m2", "w/m^2", "w_m2", "wm-2", "w m-2", "wh/m²", "wh/m2"),
}
"""What may stand in brackets after a name; Wh/m² of an hour are W/m²."""

RANGES = {"temperature": (-90.0, 60.0, "°C"), "irradiance": (-20.0, 1800.0, "W/m²")}
"""The coldest and hottest air measured on Earth are −89.2 °C and 56.7 °C (World Meteorological
Organization). Edges of clouds lift the sun's 1,361 W/m² above the air to at most 1,800 below;
sensors show a few W/m² below zero at night, which are read as zero."""

MISSING = (-999.0, -9999.0)
MISSING_IRRADIANCE = 9999.0
MISSING_DRY_BULB = 99.9
"""The codes of EPW (EnergyPlus, Auxiliary Programs, "EnergyPlus Weather File Data Dictionary")."""

EPW_HEADER = 8
EPW_COLUMN = "hour"
EPW_COLUMNS = 35
"""At most; some leave out the last ones."""

LARGEST_GAP = 3
"""Hours of a gap that is interpolated."""


@dataclass(frozen=True, eq=False)
class Observations:
    """What a file of weather holds, whatever its form.

    Attributes:
        written: when.
        column: the name of the column of timestamps.
        names: of the series' columns.
        table: their cells.
        offset: seconds ahead of UTC of times without an offset; None is the zone's.
        at_end: whether timestamps are at the end of a step.
        later: names of columns whose values are of the step before.
    """

    written: Written
    column: str
    names: tuple[str, ...]
    table: Table
    offset: int | None
    at_end: bool
    later: tuple[str, ...] = ()


def read_weather(
    path: str | Path,
    time_zone: str = "Europe/Amsterdam",
    *,
    stamps: str = "begin",
    year: int | None = None,
) -> Series:
    """Read outdoor temperature and global irradiance on the horizontal.

    - Plain columns, named by meaning: temperature (°C), irradiance (W/m², also ghi and alike), and
      the same with "forecast" in their names.
    - Open-Meteo: times are at the fixed offset that its first lines say. Radiation there is the
      mean of the hour that ends at the timestamp, and is read as such; temperature is that of the
      moment, and stands for the step that begins.
    - EPW: hours end at their number, in standard time all year.

    Gaps of up to 3 hours are interpolated.

    Args:
        path: a CSV file, also compressed by gzip, an EPW file or a Parquet file.
        time_zone: IANA name, of timestamps without an offset in plain files.
        stamps: whether timestamps of plain files are at the "begin" or the "end" of a step.
        year: the calendar year that an EPW file is to stand for; None is its own or, where its
            months are of several, the most frequent.

    Returns:
        °C and W/m²; names "temperature", "irradiance" and, if they are there,
        "temperature_forecast", "irradiance_forecast".

    Raises:
        FileNotFoundError: no such file.
        Faults: anything in the file is wrong; all of it is listed.
        ValueError: a wrong argument.
    """
    zone, at_end = zone_of(time_zone), is_at_end(stamps)
    if year is not None:
        check_whole_number(year, FIRST_YEAR, "year", LAST_YEAR)
    findings = Findings(str(path))
    content = read_content(path, findings)
    if content.startswith(b"PAR1"):
        read = _plain(table_of_parquet(content, findings), at_end, findings)
    else:
        text = text_of(content, findings)
        if text.startswith("LOCATION,"):
            read = _epw(text, year, findings)
        elif re.match(r"\W*latitude\W+longitude\W", text):
            read = _open_meteo(text, findings)
        else:
            read = _plain(table_of_text(text, findings), at_end, findings)

    if year is not None and read.column != EPW_COLUMN:
        findings.fault(
            f"got the year {year} for a file with years of its own, expected an EPW file"
        )
    values = read_numbers(read.table, findings, "a number", MISSING)
    _check_values(values, read, findings)
    instants = begin_of_steps(read.written, zone, findings, read.at_end, None, read.offset)
    rows = Rows(instants, read.table.rows, values, None, read.table.names, read.column)
    begin, step, grid = on_grid(rows, findings)
    if read.later:
        grid = _one_step_earlier(grid, [name in read.later for name in read.names])
        begin -= step
    for number, name in enumerate(read.names):
        if np.isnan(grid[:, number]).all():
            findings.fault(f"got no {name} in any row, expected some", column=rows.names[number])
    gaps = Gaps(share=1.0, hours=LARGEST_GAP)
    return series_of(grid, begin, step, read.names, instants.dropped, time_zone, gaps, findings)


def _one_step_earlier(grid: np.ndarray, shifted: Sequence[bool]) -> np.ndarray:
    """The grid with a step before its first, and some columns' values one step earlier."""
    longer = np.full((len(grid) + 1, grid.shape[1]), np.nan)
    for number, shift in enumerate(shifted):
        longer[0 if shift else 1 :, number][: len(grid)] = grid[:, number]
    return longer


def _plain(
    table: Table, at_end: bool, findings: Findings, offset: int | None = None
) -> Observations:
    at, times = find_stamps(table, findings)
    written = read_stamps(table, at, findings)
    others = [number for number in range(len(table.names)) if number not in times]
    names, columns = [], []
    for ending in ("", "_forecast"):
        for meaning in NAMES:
            found = _column(table, others, meaning, bool(ending))
            if found is None and not ending:
                listed = ", ".join(repr(table.names[number]) for number in others)
                findings.fault(f"got the columns {listed}, expected one named {meaning!r}", 1)
            elif found is not None:
                _check_unit(table.names[found], meaning, findings)
                names.append(meaning + ending)
                columns.append(found)
    left = [table.names[number] for number in others if number not in columns]
    if left:
        findings.note(f"left out: column {', '.join(map(repr, left))}.")
    if not columns:
        findings.check()
    return Observations(written, table.names[at], tuple(names), table.of(columns), offset, at_end)


def _bare(name: str) -> str:
    """A name in lower case, without the unit in brackets or that it is a forecast."""
    bare = re.sub(r"[(\[].*", "", name.lower()).replace("forecast", "")
    return re.sub(r"[^a-z0-9]+", "_", bare).strip("_")


def _column(table: Table, others: Sequence[int], meaning: str, forecast: bool) -> int | None:
    bare = {
        _bare(table.names[number]): number
        for number in reversed(others)
        if ("forecast" in table.names[number].lower()) == forecast
    }
    return next((bare[name] for name in NAMES[meaning] if name in bare), None)


def _check_unit(name: str, meaning: str, findings: Findings) -> None:
    said = re.search(r"[(\[](.+)[)\]]", name)
    if said and said[1].strip().lower() not in UNITS[meaning]:
        unit = RANGES[meaning][2]
        findings.fault(f"got a name that says {said[1]!r}, expected {unit}", 1, name)


def _check_values(values: np.ndarray, read: Observations, findings: Findings) -> None:
    """Missing values by their codes, and values that no weather has; in place."""
    for number, name in enumerate(read.names):
        meaning, column = name.removesuffix("_forecast"), values[:, number]
        if meaning == "irradiance":
            column[column == MISSING_IRRADIANCE] = np.nan
        low, high, unit = RANGES[meaning]
        bad = np.flatnonzero((column < low) | (column > high))
        whats = [
            f"got {column[row]:g}, expected {name} from {low:g} to {high:g} {unit}" for row in bad
        ]
        findings.cells(read.table.rows[bad].tolist(), read.table.names[number], whats)
        column[bad] = np.nan
        below = column < 0.0
        if meaning == "irradiance" and below.any():
            column[below] = 0.0
            findings.note(f"{int(below.sum())} values of {name} just below zero are read as zero.")


def _open_meteo(text: str, findings: Findings) -> Observations:
    """Two lines of metadata, an empty one, and a table."""
    top = text.split("\n", 12)[:12]
    says = dict(
        zip(cells_of(top[0], ","), cells_of(top[1], ",") if len(top) > 1 else (), strict=False)
    )
    try:
        offset = int(says.get("utc_offset_seconds", ""))
    except ValueError:
        offset = MOST_OFFSET + 1
    if abs(offset) > MOST_OFFSET:
        got = says.get("utc_offset_seconds")
        findings.stop(f"got {got!r}, expected seconds from UTC", 2, "utc_offset_seconds")
    header = next((n for n, line in enumerate(top) if re.match(r'"?time"?[,;\t]', line)), None)
    if header is None:
        findings.stop("got no line that begins with 'time', expected one below the metadata", 4)
    read = _plain(table_of_text(text, findings, header), False, findings, offset)
    zone = says.get("timezone", "")
    findings.note(
        f"is Open-Meteo's: times are {offset / 3600:+g} h from UTC all year (it says {zone}); "
        "radiation is that of the step that ends at a time, temperature that of the moment."
    )
    later = tuple(name for name in read.names if name.startswith("irradiance"))
    return Observations(read.written, read.column, read.names, read.table, offset, False, later)


def _epw(text: str, year: int | None, findings: Findings) -> Observations:
    """Eight lines of header, then hours: year, month, day, hour 1 to 24, minute, flags, values."""
    lines = text.split("\n", EPW_HEADER + 1)
    if len(lines) <= EPW_HEADER:
        findings.stop(f"got {len(lines)} lines, expected {EPW_HEADER} of header and hours below")
    location = cells_of(lines[0], ",")
    try:
        offset = float(location[8])
    except (IndexError, ValueError):
        offset = np.nan
    if not abs(offset) * 3600 <= MOST_OFFSET:
        got = location[8] if len(location) > 8 else ""
        findings.stop(f"got {got!r}, expected hours from UTC", 1, "LOCATION, ninth cell")
    width = min(max(len(cells_of(lines[EPW_HEADER], ",")), 14), EPW_COLUMNS)
    names = ["year", "month", "day", "hour", "minute", *(f"field {n}" for n in range(6, width + 1))]
    names[6], names[13] = "dry bulb temperature", "global horizontal radiation"
    table = table_of_text(text, findings, EPW_HEADER, names)
    named = {name: number for number, name in enumerate(table.names)}
    parts = read_numbers(table.of([named[n] for n in names[:4]]), findings, "a whole number")
    values = table.of([named[names[6]], named[names[13]]])
    return Observations(
        written=_epw_hours(parts, table, year, findings),
        column=EPW_COLUMN,
        names=("temperature", "irradiance"),
        table=_without_epw_codes(values),
        offset=round(offset * 3600),
        at_end=True,
    )


def _without_epw_codes(table: Table) -> Table:
    """EPW's 99.9 is no temperature."""
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = table.columns[0]
    none = pc.match_substring_regex(cells, rf"^\s*{re.escape(str(MISSING_DRY_BULB))}0*\s*$")
    return Table(
        table.names,
        (pc.if_else(none, pa.scalar("", pa.string()), cells), *table.columns[1:]),
        table.rows,
    )


def _epw_hours(parts: np.ndarray, table: Table, year: int | None, findings: Findings) -> Written:
    """The ends of hours, in standard time; months of several years are put into one."""
    whole = np.isfinite(parts).all(axis=1) & (parts == np.round(parts)).all(axis=1)
    known = parts[whole, 0].astype(np.int64)
    years, counts = np.unique(known, return_counts=True)
    if len(years) == 0:
        findings.stop("got no hour with a year, month, day and number, expected some")
    chosen = int(years[counts.argmax()]) if year is None else year
    if len(years) > 1 and year is None:
        findings.note(f"has months of {len(years)} years; they stand for {chosen}.")
    elif year is not None:
        findings.note(f"stands for {chosen}.")
    clock = np.zeros(len(parts), dtype=np.int64)
    good = whole.copy()
    for row, (_, month, day, hour) in enumerate(np.where(whole[:, None], parts, 0).tolist()):
        try:
            days = date(chosen, int(month), int(day)).toordinal() - EPOCH
            good[row] = whole[row] and 1 <= hour <= 24 and FIRST_YEAR <= chosen <= LAST_YEAR
        except (ValueError, OverflowError):
            days, good[row] = 0, False
        clock[row] = days * DAY + (int(hour) * 3600 if good[row] else 0)
    bad = np.flatnonzero(whole & ~good)
    whats = [
        "got {:g}-{:g}-{:g} hour {:g}, expected a day of {} and an hour from 1 to 24".format(
            *parts[row], chosen
        )
        for row in bad
    ]
    findings.cells(table.rows[bad].tolist(), EPW_COLUMN, whats)
    return Written(clock, np.zeros_like(clock), False, good)

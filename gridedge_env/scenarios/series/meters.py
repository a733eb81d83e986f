"""Metered power of homes and other loads, as their meters' files come."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gridedge_env.checks import check_choice, check_share, shown
from gridedge_env.scenarios.metered import PLAUSIBLE_MEAN
from gridedge_env.scenarios.series.faults import Findings
from gridedge_env.scenarios.series.local_time import begin_of_steps, usual_step, zone_of
from gridedge_env.scenarios.series.numbers import read_numbers
from gridedge_env.scenarios.series.reading import Table, read_table
from gridedge_env.scenarios.series.stamps import DAY, find_stamps, read_stamps
from gridedge_env.scenarios.series.steps import (
    Gaps,
    Rows,
    Series,
    note_ends,
    on_grid,
    series_of,
)

UNITS = {"kW": (1.0, False), "W": (1e-3, False), "kWh": (1.0, True), "Wh": (1e-3, True)}
"""What a unit is in kW or kWh, and whether it is energy of a step."""

STAMPS = ("begin", "end")

METER_COLUMNS = ("meter", "home", "meter_id", "home_id", "household", "customer", "id")
VALUE_COLUMNS = ("power", "value", "load", "demand", "energy", "consumption", *UNITS)
"""Columns of a long table, whatever their case."""

IMPOSSIBLE = 1000.0
"""kW: more than any low-voltage customer draws; the largest fuses are near 630 A, 435 kVA."""

REGISTER_DAYS = 7
"""Values that only rise for so long are a register's: no customer's power does."""

SPIKE = 100.0
SPIKE_RATIO = 50.0
SPIKE_QUANTILE = 0.999
"""A value is a spike beyond 100 kW and 50 times the meter's own 99.9 % quantile: a home's largest
quarter of an hour in a year is a few times its 99.9 %, a register that overflows thousands."""


def read_meters(
    path: str | Path,
    unit: str = "kW",
    time_zone: str = "Europe/Amsterdam",
    largest_gap_share: float = 0.01,
    *,
    stamps: str = "begin",
    leave_out: Collection[str] = (),
) -> Series:
    """Read the power of meters.

    Wide: a column of timestamps and one for each meter. Long: a column of timestamps, one named
    meter or home and one named power, value, energy or alike. Columns and rows in any order.

    Values may be negative, where PV sits behind the meter. Gaps inside a meter's record are
    interpolated up to `largest_gap_share` of it, and up to 6 hours; longer ones, and what lies
    before a meter begins or after it ends, stay NaN. A value is implausible beyond 1,000 kW, or
    beyond 100 kW and 50 times the meter's own 99.9 % quantile.

    Args:
        path: a CSV file, also compressed by gzip, or a Parquet file.
        unit: "kW" or "W", the mean of a step; "kWh" or "Wh", the energy of a step.
        time_zone: IANA name, of timestamps without an offset.
        largest_gap_share: of the meter's own steps.
        stamps: whether timestamps are at the "begin" or the "end" of a step.
        leave_out: meters not to read.

    Returns:
        kW; names as the user wrote them, in the order of the file.

    Raises:
        FileNotFoundError: no such file.
        Faults: anything in the file is wrong; all of it is listed.
        ValueError: a wrong argument.
    """
    check_choice(unit, "unit", UNITS)
    if isinstance(leave_out, str) or not isinstance(leave_out, Collection):
        raise ValueError(f"leave_out: got {shown(leave_out)}, expected a list of meters")
    zone, at_end = zone_of(time_zone), is_at_end(stamps)
    check_share(largest_gap_share, "largest_gap_share")
    findings = Findings(str(path))
    table = read_table(path, findings)
    at, times = find_stamps(table, findings)
    written = read_stamps(table, at, findings)
    named = _long_columns(table, times)
    expected = f"{'an energy' if UNITS[unit][1] else 'a power'} in {unit}"
    _check_unit_of_names(table, named, unit, findings)
    if named:
        group, names = _meters_of(table, named[0], findings)
        known = names
        values = read_numbers(table.of([named[1]]), findings, expected)
    else:
        meters = [number for number in range(len(table.names)) if number not in times]
        known = tuple(table.names[number] for number in meters)
        meters = [number for number in meters if table.names[number] not in leave_out]
        group, names = None, tuple(table.names[number] for number in meters)
        values = read_numbers(table.of(meters), findings, expected)
    for name in leave_out:
        if name not in known:
            raise ValueError(f"leave_out: got {name!r}, expected a meter of {path}")
        findings.note(f"{name!r} is left out, as asked.")
    if not any(name not in leave_out for name in names):
        findings.stop("got no column of a meter, expected at least one", 1)

    good = written.good if group is None else written.good & (group >= 0)
    instants = begin_of_steps(replace(written, good=good), zone, findings, at_end, group)
    rows = Rows(instants, table.rows, values, group, names, table.names[at])
    if group is not None:
        rows, names = _without(rows, leave_out)
    begin, step, grid = on_grid(rows, findings)
    factor, energy = UNITS[unit]
    grid *= factor * (3600 / step if energy else 1.0)
    if group is not None:
        _check_steps(rows, step, findings)
    _check_values(rows, grid, begin, step, unit, findings)
    note_ends(grid, begin, step, names, findings)
    gaps = Gaps(largest_gap_share)
    return series_of(grid, begin, step, names, instants.dropped, time_zone, gaps, findings)


def is_at_end(stamps: str) -> bool:
    """Whether timestamps are those of the end of a step.

    Raises:
        ValueError: neither "begin" nor "end".
    """
    if not isinstance(stamps, str) or stamps not in STAMPS:
        raise ValueError(f"stamps: got {shown(stamps)}, expected 'begin' or 'end'")
    return stamps == "end"


def _long_columns(table: Table, times: Sequence[int]) -> tuple[int, int] | None:
    """The columns of a long table that name the meter and hold the value; None if it is wide."""
    others = [number for number in range(len(table.names)) if number not in times]
    lower = {table.names[number].lower(): number for number in others}
    meter = [lower[name] for name in METER_COLUMNS if name in lower]
    value = [lower[name.lower()] for name in VALUE_COLUMNS if name.lower() in lower]
    return (meter[0], value[0]) if meter and value else None


def _check_unit_of_names(
    table: Table, named: tuple[int, int] | None, unit: str, findings: Findings
) -> None:
    """Columns that name a unit in brackets, or are named by one in a long table, name the unit."""
    for number, name in enumerate(table.names):
        form = (
            r"^(k?wh?)$|_(k?wh?)$" if named and number == named[1] else r"[(\[]\s*(k?wh?)\s*[)\]]"
        )
        said = re.search(form, name, re.IGNORECASE)
        if said and said[said.lastindex or 0].lower() != unit.lower():
            what = (
                f"got a name that says {said[said.lastindex or 0]}, expected the unit given, {unit}"
            )
            findings.fault(what, 1, name)


def _meters_of(table: Table, column: int, findings: Findings) -> tuple[np.ndarray, tuple[str, ...]]:
    """The meter of each row of a long table, -1 if it has none, and the meters' names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = table.columns[column]
    if not pa.types.is_string(cells.type):
        cells = pa.array([None if cell is None else str(cell) for cell in cells.to_pylist()])
    encoded = pc.utf8_trim_whitespace(cells.cast(pa.string()).fill_null("")).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    group = encoded.indices.to_numpy().astype(np.int64)
    if "" in names:
        nameless = names.index("")
        at = np.flatnonzero(group == nameless)
        what = "got no meter, expected its name"
        findings.cells(table.rows[at].tolist(), table.names[column], [what] * len(at))
        group = np.where(group == nameless, -1, group - (group > nameless))
        names.remove("")
    return group, tuple(names)


def _without(rows: Rows, leave_out: Collection[str]) -> tuple[Rows, tuple[str, ...]]:
    """The rows of the meters that are not left out."""
    kept = [number for number, name in enumerate(rows.names) if name not in leave_out]
    place = np.full(len(rows.names) + 1, -1)
    place[kept] = np.arange(len(kept))
    assert rows.group is not None
    group = place[rows.group]
    names = tuple(rows.names[number] for number in kept)
    return replace(rows, group=group, names=names).at(group >= 0), names


def _check_steps(rows: Rows, step: int, findings: Findings) -> None:
    """Meters of a long table measure in equal steps."""
    assert rows.group is not None
    order = np.argsort(rows.group, kind="stable")
    order = order[rows.instants.good[order]]
    ends = np.flatnonzero(np.diff(rows.group[order])) + 1
    for part in np.split(order, ends):
        own = usual_step(rows.instants.utc[part])
        if own and own != step:
            name = rows.names[int(rows.group[part[0]])]
            findings.fault(
                f"got steps of {own / 60:g} minutes, expected {step // 60} as most others have",
                column=name,
            )


def _check_values(
    rows: Rows, grid: np.ndarray, begin: int, step: int, unit: str, findings: Findings
) -> None:
    """Meters that never measure, or count, a unit that cannot be, spikes."""
    size = np.abs(grid)
    largest = np.fmax.reduce(size, axis=0, initial=0.0)
    faulty = {fault.column for fault in findings.faults}
    for number in np.flatnonzero(largest == 0.0):
        if rows.names[number] in faulty:
            continue
        silent = np.isnan(grid[:, number]).all()
        got = "no value in any row" if silent else "0 in every row"
        findings.fault(f"got {got}, expected a meter that measures", column=rows.names[number])
    if not largest.any():
        return
    for column, name in enumerate(rows.names):
        known = grid[~np.isnan(grid[:, column]), column]
        if (
            step * len(known) >= REGISTER_DAYS * DAY
            and known[-1] > known[0]
            and (np.diff(known) >= 0.0).all()
        ):
            what = f"got readings that only rise, expected the {unit} of every step"
            findings.fault(what, column=name)
    count = len(size) - np.isnan(size).sum(axis=0)
    mean = np.nansum(size, axis=0) / np.maximum(count, 1)
    for number in np.flatnonzero(largest > SPIKE):
        mean[number] = np.nanmedian(size[:, number])
    middle = float(np.median(mean[largest > 0.0]))
    low, high = PLAUSIBLE_MEAN
    if middle > high or 0.0 < middle < low:
        findings.fault(
            f"got a mean of {middle:.4g} kW for half of the meters from values in {unit}, expected "
            f"{low} to {high} kW; is the unit another one?"
        )
        return
    for number in np.flatnonzero(largest > SPIKE):
        column = size[:, number]
        usual = np.quantile(column[~np.isnan(column)], SPIKE_QUANTILE, method="lower")
        limit = min(IMPOSSIBLE, max(SPIKE, SPIKE_RATIO * float(usual)))
        spikes = np.flatnonzero(column > limit)
        place = (rows.instants.utc - begin) // step
        mine = rows.instants.good if rows.group is None else rows.group == number
        at = np.flatnonzero(mine & np.isin(place, spikes))
        at = at[(rows.instants.utc[at] - begin) % step == 0]
        whats = [
            f"got {grid[place[row], number]:g} kW, expected less than {limit:.4g} kW" for row in at
        ]
        findings.cells(rows.lines[at].tolist(), rows.names[number], whats)

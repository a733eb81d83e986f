"""Day-ahead prices, by the hour or the quarter of an hour."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from gridedge_env.checks import check_choice, check_positive
from gridedge_env.scenarios.series.faults import Findings
from gridedge_env.scenarios.series.local_time import Instants, begin_of_steps, zone_of
from gridedge_env.scenarios.series.meters import is_at_end
from gridedge_env.scenarios.series.numbers import read_numbers
from gridedge_env.scenarios.series.reading import Table, read_table
from gridedge_env.scenarios.series.stamps import find_stamps, read_stamps
from gridedge_env.scenarios.series.steps import Gaps, Rows, Series, on_grid, series_of

UNITS = {"currency/MWh": 1e-3, "currency/kWh": 1.0, "ct/kWh": 1e-2}
"""What a unit is in currency per kWh."""

LEAST = 5e-4
"""Currency per kWh: a smaller mean magnitude is that of a wrong unit."""

# Hundredths of currencies.
_CENT = "ct|cts|cents?|c|p|pence|rp|rappen|öre|øre|ore|gr"
_UNIT_OF_NAME = (
    ("currency/MWh", re.compile(r"mwh")),
    ("ct/kWh", re.compile(rf"(\b|_)({_CENT})\W*(/|per|_)?\W*kwh")),
    ("currency/kWh", re.compile(r"kwh")),
)


def read_prices(
    path: str | Path,
    unit: str = "currency/MWh",
    time_zone: str = "Europe/Amsterdam",
    *,
    stamps: str = "begin",
    largest_mean: float = 5.0,
) -> Series:
    """Read prices, in hours, half-hours or quarters, or hours that become quarters at some time.

    The column is named price or alike ("price_eur_mwh", "Day-ahead Price [EUR/MWh]"), or is the one
    with numbers. One named forecast is read, too. Missing prices are not interpolated.

    Args:
        path: a CSV file, also compressed by gzip, or a Parquet file.
        unit: "currency/MWh", "currency/kWh" or "ct/kWh"; a column that names another is a fault.
        time_zone: IANA name, of timestamps without an offset.
        stamps: whether timestamps are at the "begin" or the "end" of a step.
        largest_mean: currency per kWh; a larger mean betrays a wrong unit. For currencies of small
            worth, give more.

    Returns:
        Currency per kWh; names ("price",) or ("price", "forecast").

    Raises:
        FileNotFoundError: no such file.
        Faults: anything in the file is wrong; all of it is listed.
        ValueError: a wrong argument.
    """
    check_choice(unit, "unit", UNITS)
    zone, at_end = zone_of(time_zone), is_at_end(stamps)
    check_positive(largest_mean, "largest_mean")
    findings = Findings(str(path))
    table = read_table(path, findings)
    at, times = find_stamps(table, findings)
    written = read_stamps(table, at, findings)
    columns = _columns(table, times, findings)
    names = ("price", "forecast")[: len(columns)]
    for number in columns:
        _check_unit(table.names[number], unit, findings)
    values = read_numbers(table.of(columns), findings, f"a price in {unit}") * UNITS[unit]
    instants = begin_of_steps(written, zone, findings, at_end)
    rows = Rows(
        instants,
        table.rows,
        values,
        None,
        tuple(table.names[number] for number in columns),
        table.names[at],
    )
    step = _step(instants)
    begin, step, grid = on_grid(rows, findings, step)
    _hold_hours(grid, step, findings)
    for price, column in zip(grid.T, columns, strict=True):
        _check_magnitude(price, unit, largest_mean, table.names[column], findings)
    gaps = Gaps(share=0.0)
    return series_of(grid, begin, step, names, instants.dropped, time_zone, gaps, findings)


def _columns(table: Table, times: tuple[int, ...], findings: Findings) -> list[int]:
    """The column of the price and, if there is one, that of its forecast."""
    others = [number for number in range(len(table.names)) if number not in times]
    forecasts = [number for number in others if "forecast" in table.names[number].lower()]
    others = [number for number in others if number not in forecasts]
    for pattern in (r"price", r"day.?ahead", r"price|prijs|preis|prix|precio|tariff|spot"):
        test = re.fullmatch if pattern == "price" else re.search
        found = [n for n in others if test(pattern, table.names[n].lower())]
        if found:
            break
    else:
        found = [number for number in others if _is_numeric(table.columns[number])]
        if len(found) == 1:
            findings.note(f"column {table.names[found[0]]!r} is taken for the price.")
    if len(found) != 1:
        listed = ", ".join(repr(table.names[number]) for number in found or others)
        got = f"the columns {listed}" if found or others else "no column but timestamps"
        findings.stop(f"got {got}, expected one named 'price'", 1)
    left = [table.names[n] for n in others if n not in found] + [
        table.names[n] for n in forecasts[1:]
    ]
    if left:
        findings.note(f"left out: column {', '.join(map(repr, left))}.")
    return found + forecasts[:1]


def _is_numeric(column: object) -> bool:
    """Whether most cells that hold anything are numbers."""
    table = Table(("",), (column,), np.arange(len(column)))  # type: ignore[arg-type]
    values = read_numbers(table, Findings(""), "")
    return bool((~np.isnan(values)).mean() > 0.5)


def _check_unit(name: str, unit: str, findings: Findings) -> None:
    said = next((known for known, form in _UNIT_OF_NAME if form.search(name.lower())), unit)
    if said != unit:
        findings.fault(f"got a name that says {said}, expected the unit given, {unit}", 1, name)


def _step(instants: Instants) -> int | None:
    """The shorter of two steps where a market changed from one to the other."""
    steps, counts = np.unique(np.diff(np.unique(instants.utc[instants.good])), return_counts=True)
    often = steps[(counts >= 24) & np.isin(steps, (900, 1800, 3600))]
    return int(often.min()) if len(often) else None


def _hold_hours(grid: np.ndarray, step: int, findings: Findings) -> None:
    """Hold the price of longer steps over shorter ones, where it stands in regular longer steps."""
    known = np.flatnonzero(~np.isnan(grid[:, 0]))
    lengths = np.diff(known)
    held = 0
    for longer in (1800, 3600):
        count = longer // step
        if count < 2 or len(lengths) == 0:
            continue
        like = lengths == count
        beside = np.zeros_like(like)
        beside[1:] |= like[:-1]
        beside[:-1] |= like[1:]
        first = known[:-1][like & beside]
        if like[-1:].all() and known[-1] + count == len(grid):
            first = np.append(first, known[-1])
        for part in range(1, count):
            grid[first + part] = grid[first]
        held += len(first)
    if held:
        findings.note(f"{held} prices of longer steps are held over steps of {step // 60} minutes.")


def _check_magnitude(
    price: np.ndarray, unit: str, largest: float, name: str, findings: Findings
) -> None:
    if np.isnan(price).all():
        findings.fault("got no price in any row, expected prices", column=name)
        return
    mean = float(np.nanmean(np.abs(price)))
    raw = mean / UNITS[unit]
    fitting = [other for other, factor in UNITS.items() if LEAST <= raw * factor <= largest]
    likely = f"; is the unit {' or '.join(fitting)}?" if fitting else ""
    if mean > largest:
        findings.fault(
            f"got a mean of {mean:.4g} per kWh, expected at most {largest:g}{likely}", column=name
        )
    elif 0.0 < mean < LEAST:
        findings.fault(
            f"got a mean of {mean:.4g} per kWh, expected at least {LEAST:g}{likely}", column=name
        )

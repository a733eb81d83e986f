"""Profiles of loads: by what multiple of its nominal power a load draws, step by step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gridedge_env.scenarios.series.faults import Findings
from gridedge_env.scenarios.series.local_time import begin_of_steps, zone_of
from gridedge_env.scenarios.series.numbers import read_numbers
from gridedge_env.scenarios.series.reading import read_table
from gridedge_env.scenarios.series.stamps import find_stamps, read_stamps
from gridedge_env.scenarios.series.steps import Gaps, Rows, Series, note_ends, on_grid, series_of

LARGEST = 10.0
"""Multiple of nominal power: beyond, values are percentages or kW."""


def read_profiles(path: str | Path, time_zone: str = "Europe/Amsterdam") -> Series:
    """Read profiles: a column of timestamps, at the begin of steps, and one for each profile.

    Gaps of up to 1 % and 6 hours are interpolated.

    Args:
        path: a CSV file, also compressed by gzip, or a Parquet file.
        time_zone: IANA name, of timestamps without an offset.

    Returns:
        Multiples of nominal power; names as the user wrote them, in the order of the file.

    Raises:
        FileNotFoundError: no such file.
        Faults: anything in the file is wrong; all of it is listed.
    """
    findings = Findings(str(path))
    table = read_table(path, findings)
    at, times = find_stamps(table, findings)
    written = read_stamps(table, at, findings)
    columns = [number for number in range(len(table.names)) if number not in times]
    if not columns:
        findings.stop("got no column of a profile, expected at least one", 1)
    names = tuple(table.names[number] for number in columns)
    values = read_numbers(table.of(columns), findings, "a multiple of nominal power")
    for column, name in enumerate(names):
        odd = np.flatnonzero(np.abs(values[:, column]) > LARGEST)
        what = f"expected at most {LARGEST:g} times nominal power"
        whats = [f"got {value:g}, {what}" for value in values[odd, column]]
        findings.cells(table.rows[odd].tolist(), name, whats)
    instants = begin_of_steps(written, zone_of(time_zone), findings)
    rows = Rows(instants, table.rows, values, None, names, table.names[at])
    begin, step, grid = on_grid(rows, findings)
    note_ends(grid, begin, step, names, findings)
    gaps = Gaps(share=0.01)
    return series_of(grid, begin, step, names, instants.dropped, time_zone, gaps, findings)

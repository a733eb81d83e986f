"""A step as a row of a table: what was read, and what was to be done. Logs and replays are such.

Columns of readings have their names in messages, those of series the value that holds as the step
begins. After them stand `<device>.set_point`, kW drawn, `<device>.reactive_set_point`, kvar,
`<device>.follows`, and `reasons`, with "; " between them.
"""

from __future__ import annotations

import csv
import logging
import math
import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from gridedge_gateway.controller import SetPoint
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.mistakes import in_words, writing
from gridedge_gateway.readings import SERIES, Readings

log = logging.getLogger("gridedge-gateway")

# Of what is written.
DECIMALS = 6


def reading_columns(file: CustomerFile) -> list[str]:
    """Of a customer; "time" first."""
    return ["time", *file.readable, *SERIES]


def set_point_columns(file: CustomerFile) -> list[str]:
    """Likewise, of what is to be done."""
    told = ("set_point", "reactive_set_point", "follows")
    return [*(f"{device.name}.{what}" for what in told for device in file.devices), "reasons"]


def decided(set_point: SetPoint) -> dict[str, Any]:
    """What is to be done, by column."""
    kw, kvar = set_point.power, set_point.reactive_power
    return {
        **{f"{name}.set_point": round(value, DECIMALS) for name, value in kw.items()},
        **{f"{name}.reactive_set_point": round(value, DECIMALS) for name, value in kvar.items()},
        **{f"{name}.follows": what for name, what in set_point.follows.items()},
        "reasons": "; ".join(set_point.reasons),
    }


class Log:
    """The table of a customer, to which each step adds a row.

    A disk that is full is told, and stops nothing. Where a table has other columns, as of devices
    that were there before, it is kept as `<table>.csv.1`, `.2`, ..., and a new one begun.

    Args:
        path: of a CSV; made, with its folder, if there is none.
        file: of the customer.
    """

    def __init__(self, path: Path, file: CustomerFile) -> None:
        self._path = path
        self._columns = [*reading_columns(file), *set_point_columns(file)]

    def add(self, readings: Readings, holds: Mapping[str, float], set_point: SetPoint) -> None:
        """A step, as which begins a value of each series holds."""
        known = {name: read for name, read in readings.values.items() if not math.isnan(read)}
        row = {"time": readings.time.isoformat(), **known, **holds, **decided(set_point)}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._end_with_a_row()
            self._keep_other()
            with (
                writing(self._path),
                self._path.open(
                    "a", encoding="utf-8", errors="backslashreplace", newline=""
                ) as file,
            ):
                table = csv.DictWriter(file, self._columns, restval="", extrasaction="ignore")
                if file.tell() == 0:
                    table.writeheader()
                table.writerow(row)
        except (OSError, csv.Error) as error:
            log.error("%s", in_words(error))

    def _end_with_a_row(self) -> None:
        """Take away the part of one that a full disk or a power cut has left."""
        if not self._path.is_file():
            return
        with self._path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            if file.read(1) in (b"", b"\n"):
                return
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)

    def _keep_other(self) -> None:
        """Keep a table of other columns, as of devices before, under a name that is no table's."""
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8", errors="replace", newline="") as file:
            header = next(csv.reader(file), self._columns)
        if header == self._columns:
            return
        names = (self._path.with_name(f"{self._path.name}.{number}") for number in count(1))
        kept = next(name for name in names if not name.exists())
        self._path.rename(kept)
        log.warning("%s: got other columns than it has now; kept as %s", self._path, kept)

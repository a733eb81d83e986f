"""A damaged file is read or ends in `Faults`, never in another exception or a warning."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gridedge_env.scenarios.series import (
    Faults,
    Series,
    by_local_day,
    notes_of_days,
    read_meters,
    read_prices,
    read_weather,
)

CLOCK = [datetime(2024, 10, 26, 20) + timedelta(minutes=30 * n) for n in range(24)]
LINES = {
    "wide": ["timestamp,a,b"] + [f"{at:%Y-%m-%d %H:%M},0.{n}5,{n}" for n, at in enumerate(CLOCK)],
    "comma": ["Zeit;a;b"] + [f"{at:%d.%m.%Y %H:%M};0,{n}5;{n}" for n, at in enumerate(CLOCK)],
    "long": ["time,home,power"]
    + [f"{at:%Y-%m-%dT%H:%MZ},{home},0.{n}5" for n, at in enumerate(CLOCK) for home in "ab"],
    "prices": ["MTU (UTC),Day-ahead Price [EUR/MWh],price_forecast"]
    + [f'"{at:%d/%m/%Y %H:%M} - x",{80 - 10 * n}.25,{n}' for n, at in enumerate(CLOCK)],
    "open_meteo": [
        "latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation",
        "52.09,5.12,4.0,7200,Europe/Amsterdam,GMT+2",
        "",
        "time,temperature_2m (°C),shortwave_radiation (W/m²)",
        *(f"{at:%Y-%m-%dT%H:%M},{n}.5,{10 * n}" for n, at in enumerate(CLOCK)),
    ],
    "epw": ["LOCATION,Albany,NY,USA,TMY3,725180,42.75,-73.80,-5.0,89.0", *("X,0" for _ in range(7))]
    + [f"1999,7,1,{n},0,?9?9,{n}.5,1.0,50,99000,0,0,300,{n},5,6" for n in range(1, 25)],
}
READERS: dict[str, Callable[[Path], Series]] = {
    "wide": read_meters,
    "comma": lambda path: read_meters(path, stamps="end", unit="kWh"),
    "long": read_meters,
    "prices": read_prices,
    "open_meteo": read_weather,
    "epw": lambda path: read_weather(path, year=2024),
}
CELLS = st.sampled_from(
    ["", "True", "-", "NaN", "inf", "1e999", "1,5", "1.234,5", '"', '""', "99999", "-999", "9999",
     "2024-10-27 02:30", "9999-12-31", "1899-12-30", "0000-00-00", "2024-10-27T02:00+02", "+02:00",
     "31/12/2024 24:00", ";", ",,,", "\t", "\0", "é", "\ud83d", "\u2028", "1" * 400, "٣", "  "]
) | st.text(max_size=6)  # fmt: skip


@st.composite
def damage(draw: st.DrawFn, lines: list[str]) -> bytes:
    """The file with a few cells, lines and bytes changed, in some encoding."""
    lines = list(lines)
    for _ in range(draw(st.integers(1, 4))):
        if not lines:
            break
        row = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["cell", "cell", "drop", "repeat", "move", "column", "line"]))
        if kind == "cell":
            separator = ";" if ";" in lines[row] else ","
            cells = lines[row].split(separator)
            cells[draw(st.integers(0, len(cells) - 1))] = draw(CELLS)
            lines[row] = separator.join(cells)
        elif kind == "drop":
            del lines[row : row + draw(st.sampled_from([1, 3, 30]))]
        elif kind == "repeat":
            lines.insert(row, lines[row])
        elif kind == "move":
            lines.append(lines.pop(row))
        elif kind == "column":
            value = draw(CELLS)
            lines = [f"{line.rpartition(',')[0]},{value}" for line in lines]
        else:
            lines[row] = draw(CELLS)
    encoding = draw(st.sampled_from(["utf-8", "utf-16", "latin-1"]))
    content = bytearray("\n".join(lines).encode(encoding, "replace"))
    for _ in range(draw(st.integers(0, 2))):
        if content:
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.sampled_from([len(content)] * 4 + [len(content) // 2]))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mutations")


def check(path: Path, reader: Callable[[Path], Series]) -> None:
    try:
        series = reader(path)
    except Faults as faults:
        if not all(fault.file == str(path) and fault.what for fault in faults.faults):
            raise AssertionError(faults.faults) from faults
        return
    assert series.minutes in (15, 30, 60)
    assert series.values.shape[1] == len(series.names)
    assert not np.isinf(series.values).any()
    days, values = by_local_day(series, "Europe/Amsterdam")
    assert values.shape == (len(days), 24 * 60 // series.minutes, len(series.names))
    assert not np.isnan(values).any()
    notes_of_days(series, "Europe/Amsterdam")


@pytest.mark.parametrize("form", READERS)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_damaged_text(form, folder, data):
    path = folder / "series.csv"
    path.write_bytes(data.draw(damage(LINES[form])))
    check(path, READERS[form])


def test_undamaged_text_is_read(folder):
    path = folder / "series.csv"
    for form, lines in LINES.items():
        path.write_text("\n".join(lines), encoding="utf-8")
        assert len(READERS[form](path).values) >= 24


PARQUET_COLUMNS = {
    "numbers": [1.0, -2.0, 3.0, 4.0],
    "missing": [1.0, None, 3.0, 4.0],
    "whole": [1, 2, 3, 2**60],
    "boolean": [True, False, True, False],
    "text": ["1", "2,5", "True", ""],
    "objects": [b"1", b"\xff", b"", b"2"],
    "lists": [[1], [], [2], [3]],
    "times": pd.date_range("2024-01-01", periods=4, freq="h"),
    "instants": pd.date_range("2024-01-01", periods=4, freq="15min", tz="Asia/Tokyo"),
    "far": pd.to_datetime(["1677-10-01", "2262-01-01", None, "2024-01-01"]),
    "dates": [datetime(2024, 1, 1).date()] * 4,
    "nothing": [None] * 4,
    "infinite": [1.0, float("inf"), 2.0, 3.0],
}


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_damaged_parquet(folder, data):
    """Any columns under any names, and bytes of the file changed."""
    kinds = data.draw(st.lists(st.sampled_from(sorted(PARQUET_COLUMNS)), min_size=1, max_size=4))
    names = data.draw(
        st.lists(
            st.sampled_from(["timestamp", "time", "meter", "power", "price", "temp", "ghi", " "]),
            min_size=len(kinds),
            max_size=len(kinds),
            unique=True,
        )
    )
    columns = {name: PARQUET_COLUMNS[kind] for name, kind in zip(names, kinds, strict=True)}
    packed = io.BytesIO()
    pd.DataFrame(columns).to_parquet(packed)
    content = bytearray(packed.getvalue())
    for _ in range(data.draw(st.sampled_from([0, 0, 0, 1, 3]))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "series.parquet"
    path.write_bytes(content)
    for reader in (read_meters, read_prices, read_weather):
        check(path, reader)

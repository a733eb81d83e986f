"""Each mistake in a file of meters by its message, and all of a file at once."""

from __future__ import annotations

import gzip
import pickle
from datetime import datetime, timedelta

import pandas as pd
import pytest

from gridedge_env.scenarios.series import Fault, Faults, read_meters

GOOD = ["timestamp,kitchen,barn"] + [
    f"{datetime(2024, 5, 1) + timedelta(minutes=15 * n):%Y-%m-%d %H:%M},0.5,{n}.25"
    for n in range(20)
]


def faults_of(tmp_path, content, name="meters.csv", **options) -> list[str]:
    """What is found, the path of the file taken off."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Faults) as caught:
        read_meters(path, **options)
    assert all(fault.file == str(path) for fault in caught.value.faults)
    return [str(fault).removeprefix(str(path)) for fault in caught.value.faults]


def with_line(row: int, line: str) -> str:
    """The good file with another line at a row, as a spreadsheet counts."""
    return "\n".join([*GOOD[: row - 1], line, *GOOD[row:]])


@pytest.mark.parametrize("cell", ["True", "False", "hello", "1.2.3", "inf", "1e999", "5 kW"])
def test_what_is_no_power(cell, tmp_path):
    """Line 5 is the fourth quarter of an hour."""
    text = with_line(5, f"2024-05-01 00:45,{cell},3.25")
    assert faults_of(tmp_path, text) == [
        f", row 5, column 'kitchen': got {cell!r}, expected a power in kW"
    ]


@pytest.mark.parametrize(
    ("row", "line", "fault"),
    [
        (5, "2024-05-01 00:45,0.5", ", row 5: got 2 cells, expected 3 as in the header"),
        (5, "2024-05-01 00:45,0.5,1,1", ", row 5: got 4 cells, expected 3 as in the header"),
        (5, '2024-05-01 00:45,"0.5,1', ", row 5: got a quotation mark that is not closed"),
        (5, "yesterday,0.5,1", ", row 5, column 'timestamp': got 'yesterday', expected an ISO"),
        (5, ",0.5,1", ", row 5, column 'timestamp': got '', expected an ISO 8601"),
        (5, "2024-02-30 00:45,0.5,1", ", row 5, column 'timestamp': got '2024-02-30 00:45', exp"),
        (5, "2024-05-01 24:15,0.5,1", ", row 5, column 'timestamp': got '2024-05-01 24:15', exp"),
        (5, "1/13/2024 00:45,0.5,1x", ", row 5, column 'barn': got '1x', expected a power in kW"),
        (5, "9999-05-01 00:45,0.5,1", ", row 5, column 'timestamp': got '9999-05-01', expected a "
         "year from 1940 to 2100"),
        (5, "1899-12-30 00:45,0.5,1", ", row 5, column 'timestamp': got '1899-12-30', expected a"),
        (5, "2024-05-01 00:45+02:00,0.5,1", ", row 5, column 'timestamp': got '2024-05-01 00:45+02"
         ":00', expected no offset from UTC as in most rows"),
        (5, "2024-05-01 00:40,0.5,1", ", row 5, column 'timestamp': got 2024-05-01 00:40 UTC, "
         "expected steps of 15 minutes as elsewhere"),
        (5, "2024-09-01 00:45,0.5,1", ", row 5, column 'timestamp': got 2024-09-01 00:45 UTC, "
         "expected one near the others (2024-05-01 00:00 UTC to 2024-05-01 04:45 UTC)"),
        (21, "2042-05-01 00:45,0.5,1", ", row 21, column 'timestamp': got 2042-05-01 00:45 UTC"),
        (5, "2024-05-01 00:30,0.5,7", ", row 5, column 'barn': got 7 at 2024-05-01 00:30 UTC, "
         "expected 2.25 as in row 4"),
        (5, "2024-05-01 00:45,99999,1", ", row 5, column 'kitchen': got 99999 kW, expected less"),
        (5, "2024-05-01 00:45,-150,1", ", row 5, column 'kitchen': got -150 kW, expected less "
         "than 100 kW"),
        (1, "timestamp,kitchen [kWh],barn", ", row 1, column 'kitchen [kWh]': got a name that says "
         "kWh, expected the unit given, kW"),
        (1, "timestamp,kitchen,kitchen", ", row 1, column 'kitchen': got this name twice"),
        (1, "timestamp,kitchen,", ", row 1, column 'number 3': got no name, expected one"),
        (1, "2024-05-01 00:00,1,2", ", row 1, column '2024-05-01 00:00': got data, expected the"),
    ],
)  # fmt: skip
def test_mistakes_by_their_place(row, line, fault, tmp_path):
    assert faults_of(tmp_path, with_line(row, line), time_zone="UTC")[0].startswith(fault)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", ": got an empty file, expected a header and rows"),
        (" \n\n", ": got an empty file, expected a header and rows"),
        (GOOD[0] + "\n\n", ": got a header alone, expected rows below it"),
        ("kitchen\n1\n2\n", ", row 1: got the one column 'kitchen', expected timestamps and more"),
        ("a,b\n1,2\n2,3\n", ", row 1: got no column of timestamps among 'a', 'b', expected one"),
        ("time,time_end\n2024-01-01,2024-01-02\n", ", row 1: got no column of a meter"),
        (GOOD[0] + "\n" + GOOD[1], ": got fewer than two timestamps, expected steps of 15"),
        ("\n".join(GOOD[:1] + GOOD[1::8]), ", column 'timestamp': got steps of 2:00:00, expected"),
        ("\n".join(GOOD).replace(":00,", ":05,").replace(":15,", ":20,").replace(":30,", ":35,")
         .replace(":45,", ":50,"), ", column 'timestamp': got most timestamps 5 minutes and 0 sec"),
        (b"PK\x03\x04 and so on", ": got a spreadsheet or a zip archive, expected CSV or Parquet"),
        (b"PAR1 and no more", ": got a damaged Parquet file"),
        (gzip.compress("\n".join(GOOD).encode(), mtime=0)[:-20], ": got a damaged gzip file"),
        ("\n".join(GOOD).encode() + b"\0" * 9, ", row 21: got a zero byte, expected text"),
        ("\n".join(GOOD).encode("utf-16")[:-1], ": got damaged text (truncated data), expected"),
        ("\n".join(GOOD).replace("0.5", "0"), ", column 'kitchen': got 0 in every row, expected a"),
        ("\n".join(GOOD).replace("0.5", ""), ", column 'kitchen': got no value in any row, exp"),
        ("\n".join(GOOD).replace("0.5", "500").replace(".25", "99"), ": got a mean of"),
    ],
)  # fmt: skip
def test_files_that_hold_no_series(content, fault, tmp_path):
    assert faults_of(tmp_path, content)[0].startswith(fault)


def test_a_column_of_text_is_one_fault(tmp_path):
    lines = GOOD + [f"2024-05-01 {5 + n // 4:02d}:{n % 4 * 15:02d},kWh,1" for n in range(8)]
    text = "\n".join(lines).replace(",0.5,", ",kWh,")
    expected = ", column 'kitchen': got 'kWh' and no number in any row, expected a power in kW"
    assert expected in faults_of(tmp_path, text)


def test_thousands_or_decimals(tmp_path):
    text = "\n".join(GOOD).replace(",", ";").replace("0.5", "1,234")
    first, *_ = faults_of(tmp_path, text)
    assert first == (
        ", row 2, column 'kitchen': got '1,234', expected a power in kW with a decimal point; a "
        "comma here may be decimal or separate thousands"
    )
    text = "\n".join(GOOD).replace(",", ";").replace("0.5", "1.234").replace(".25", ",25")
    first, *_ = faults_of(tmp_path, text)
    assert first == (
        ", row 2, column 'kitchen': got '1.234', expected a power in kW with a decimal comma as "
        "elsewhere in the file, and without thousands separators"
    )


def test_all_faults_come_at_once_in_the_order_of_rows(tmp_path):
    lines = GOOD.copy()
    lines[17], lines[3] = "2024-05-01 04:00,True,x", "2024-05-01 00:30,0.5"
    lines[9] = "2024-99-01 02:00,0.5,1"
    assert [fault[:9] for fault in faults_of(tmp_path, "\n".join(lines))] == [
        ", row 4: ", ", row 10,", ", row 18,", ", row 18,"
    ]  # fmt: skip


def test_many_faults_are_counted(tmp_path):
    lines = GOOD[:1] + [
        f"2024-05-{1 + n // 96:02d} {n // 4 % 24:02d}:{n % 4 * 15:02d},{n % 2 or 'True'},x{n}"
        for n in range(100)
    ]
    path = tmp_path / "meters.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(Faults) as caught:
        read_meters(path)
    message = str(caught.value).splitlines()
    assert len(message) == 22
    assert message[0] == f"{len(caught.value.faults)} faults:"
    assert message[-1] == f"  ... and {len(caught.value.faults) - 20} more"
    assert any("30 more rows with a fault like these" in str(f) for f in caught.value.faults)


def test_long_tables_name_the_meter(tmp_path):
    rows = [
        f"2024-05-01 0{hour}:{minute:02d},{name},1"
        for name, minutes in (("a", (0, 15, 30, 45)), ("b", (0,)), ("", (0,)))
        for hour in range(9)
        for minute in minutes
    ]
    text = "\n".join(["timestamp,meter,power", *rows, "2024-05-01 00:00,a,3"])
    found = faults_of(tmp_path, text, time_zone="UTC")
    assert ", column 'b': got steps of 60 minutes, expected 15 as most others have" in found
    assert ", row 47, column 'meter': got no meter, expected its name" in found
    assert ", row 56, column 'a': got 3 at 2024-05-01 00:00 UTC, expected 1 as in row 2" in found


def test_booleans_of_parquet_are_no_powers(tmp_path):
    index = pd.date_range("2024-05-01", periods=3, freq="h", name="timestamp")
    pd.DataFrame({"a": [True, False, True], "b": 1.0}, index).to_parquet(tmp_path / "m.parquet")
    with pytest.raises(
        Faults, match=r"m\.parquet, row 2, column 'a': got 'True', expected a power"
    ):
        read_meters(tmp_path / "m.parquet")


def test_faults_travel_between_processes():
    faults = Faults([Fault("meters.csv", 17, "kitchen", "got 'True', expected a power in kW")])
    again = pickle.loads(pickle.dumps(faults))
    assert again.faults == faults.faults
    assert str(again) == "meters.csv, row 17, column 'kitchen': got 'True', expected a power in kW"

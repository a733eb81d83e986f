"""A feeder as a folder of readable tables: one CSV file per kind of record and a `feeder.json`.

The columns of a table are the fields of its record in `gridedge_env.feeder.records`. In a cell,
several numbers are separated by spaces (`1 2 3`), a symmetric matrix is its lower triangle with
rows separated by bars (`0.09 | 0.03 0.09`), an empty cell means "none", and numbers are written so
that they read back exactly. The windings of transformers have a table of their own.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from gridedge_env.feeder.records import (
    Admittance,
    Bus,
    Capacitor,
    FeederRecords,
    Line,
    LineCode,
    Load,
    Matrix,
    Regulator,
    Source,
    Switch,
    Transformer,
    Winding,
)
from gridedge_gateway.mistakes import regular_file

TABLES: dict[str, type] = {
    "buses": Bus,
    "line_codes": LineCode,
    "lines": Line,
    "switches": Switch,
    "transformers": Transformer,
    "windings": Winding,
    "regulators": Regulator,
    "capacitors": Capacitor,
    "loads": Load,
    "admittances": Admittance,
}


@dataclass(frozen=True)
class Column:
    """A column: how its cells are read and written, and what they should hold."""

    name: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]
    expected: str


def read_tables(folder: Path) -> dict[str, Any]:
    """The fields of a feeder, from a folder of tables; whether they fit together is not looked at.

    Row numbers in errors are those of the file: the header is row 1.

    Raises:
        FileNotFoundError: when a file is missing.
        ValueError: names file, row and column, what came and what was expected.
    """
    header = _read_header(folder / "feeder.json")
    rows = {table: _read_table(folder / f"{table}.csv", table) for table in TABLES}
    windings = _windings_by_transformer(rows)
    for row in rows["transformers"]:
        row["windings"] = windings[row["name"]]
    records = {
        table: tuple(TABLES[table](**row) for row in rows[table])
        for table in TABLES
        if table != "windings"
    }
    return {**header, **records}


def to_texts(feeder: FeederRecords) -> dict[str, str]:
    """The text of each file, by file name."""
    header = {
        "name": feeder.name,
        "frequency": float(feeder.frequency),
        "source": {
            name: float(value) if isinstance(value, int) else value
            for name, value in asdict(feeder.source).items()
        },
        "provenance": feeder.provenance,
    }
    texts = {"feeder.json": json.dumps(header, indent=2, ensure_ascii=False) + "\n"}
    for table in TABLES:
        texts[f"{table}.csv"] = _table_text(feeder, table)
    return texts


def _columns(table: str) -> list[Column]:
    record_type = TABLES[table]
    hints = get_type_hints(record_type)
    names = [field.name for field in fields(record_type) if field.name != "windings"]
    columns = [Column(name, *_codec(hints[name])) for name in names]
    # A winding does not know its transformer: its table does.
    return [Column("transformer", *_codec(str)), *columns] if table == "windings" else columns


def _codec(kind: Any) -> tuple[Callable[[str], Any], Callable[[Any], str], str]:
    """How a cell of a type is read and written, and what it should hold."""
    if get_origin(kind) is Literal:
        return _choice_reader(get_args(kind)), str, f"one of {', '.join(get_args(kind))}"
    codecs: dict[Any, tuple[Callable[[str], Any], Callable[[Any], str], str]] = {
        str: (str, str, "text"),
        int: (_read_integer, str, "a whole number"),
        float: (_read_float, _write_float, "a finite number"),
        float | None: (_read_optional_float, _write_optional_float, "a finite number or nothing"),
        bool: (_choice_reader({"yes": True, "no": False}), _write_bool, "yes or no"),
        tuple[int, ...]: (_read_integers, _write_integers, "whole numbers separated by spaces"),
        tuple[str, ...]: (_read_words, _write_words, "names separated by spaces"),
        tuple[float, ...]: (_read_floats, _write_floats, "finite numbers separated by spaces"),
        Matrix: (_read_matrix, _write_matrix, "a lower triangle, rows separated by bars"),
    }
    return codecs[kind]


def _read_header(path: Path) -> dict[str, Any]:
    """The fields of a feeder that stand in feeder.json."""
    try:
        values = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"feeder.json, row {error.lineno}: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # too deep, or a number too long
        raise ValueError(f"feeder.json: {error}") from error
    expected = {"name": str, "frequency": float, "source": dict, "provenance": str}
    header = _typed_fields(values, expected, "feeder")
    source = _typed_fields(header["source"], get_type_hints(Source), "source")
    return {**header, "source": Source(**source)}


def _typed_fields(values: Any, expected: dict[str, type], place: str) -> dict[str, Any]:
    if not isinstance(values, dict) or set(values) != set(expected):
        raise ValueError(f"feeder.json, {place}: {values!r}, expected fields {list(expected)}")
    return {
        name: _typed(values[name], kind, f"feeder.json, {place}.{name}")
        for name, kind in expected.items()
    }


def _typed(value: Any, kind: Any, place: str) -> Any:
    """A value of feeder.json as what it should be."""
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and abs(value) <= sys.float_info.max:
            return float(value)
        raise ValueError(f"{place}: {value!r}, expected a finite number")
    if kind == tuple[int, ...]:
        if isinstance(value, list) and all(type(entry) is int for entry in value):
            return tuple(value)
        raise ValueError(f"{place}: {value!r}, expected a list of whole numbers")
    if not isinstance(value, kind):
        raise ValueError(f"{place}: {value!r}, expected a {kind.__name__}")
    return value


def _read_table(path: Path, table: str) -> list[dict[str, Any]]:
    columns = _columns(table)
    expected = [column.name for column in columns]
    try:
        header, *body = list(csv.reader(io.StringIO(_read_text(path), newline=""))) or [[]]
    except csv.Error as error:
        raise ValueError(f"{path.name}: {error}") from error
    if header != expected:
        raise ValueError(f"{path.name}, row 1: columns {header}, expected {expected}")
    rows = []
    for number, cells in enumerate(body, start=2):
        if len(cells) != len(columns):
            raise ValueError(
                f"{path.name}, row {number}: {len(cells)} cells, expected {len(columns)}"
            )
        rows.append(
            {
                column.name: _read_cell(column, cell, f"{path.name}, row {number}")
                for column, cell in zip(columns, cells, strict=True)
            }
        )
    return rows


def _read_text(path: Path) -> str:
    data = regular_file(path).read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path.name}, row {row}: byte {data[error.start]:#04x}, expected UTF-8 text"
        ) from error


def _read_cell(column: Column, cell: str, place: str) -> Any:
    try:
        return column.read(cell)
    except (ValueError, KeyError):
        raise ValueError(
            f"{place}, column {column.name}: {cell!r}, expected {column.expected}"
        ) from None


def _windings_by_transformer(
    rows: dict[str, list[dict[str, Any]]],
) -> dict[str, tuple[Winding, ...]]:
    """Take the windings' rows apart; they must come in the order of the transformers."""
    order = [row["name"] for row in rows["transformers"]]
    windings: dict[str, list[Winding]] = {name: [] for name in order}
    last = 0
    for number, row in enumerate(rows["windings"], start=2):
        name = row.pop("transformer")
        if name not in windings or order.index(name) < last:
            raise ValueError(
                f"windings.csv, row {number}, column transformer: {name!r}, expected the "
                "transformers in the order of transformers.csv"
            )
        last = order.index(name)
        windings[name].append(Winding(**row))
    return {name: tuple(group) for name, group in windings.items()}


def _table_text(feeder: FeederRecords, table: str) -> str:
    columns = _columns(table)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    if table == "windings":
        records = [
            {"transformer": transformer.name, **vars(winding)}
            for transformer in feeder.transformers
            for winding in transformer.windings
        ]
    else:
        records = [vars(record) for record in getattr(feeder, table)]
    for record in records:
        writer.writerow([column.write(record[column.name]) for column in columns])
    return buffer.getvalue()


def _choice_reader(choices: Any) -> Callable[[str], Any]:
    values = choices if isinstance(choices, dict) else {choice: choice for choice in choices}
    return values.__getitem__


def _read_float(cell: str) -> float:
    value = float(_plain(cell))
    if not math.isfinite(value):
        raise ValueError
    return value


def _read_integer(cell: str) -> int:
    return int(_plain(cell))


def _plain(cell: str) -> str:
    """Refuse numbers that Python reads but a reader of tables would not: 1_0, other digits."""
    if "_" in cell or not cell.isascii():
        raise ValueError
    return cell


def _write_float(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _read_optional_float(cell: str) -> float | None:
    return _read_float(cell) if cell else None


def _write_optional_float(value: float | None) -> str:
    return "" if value is None else _write_float(value)


def _write_bool(value: bool) -> str:
    return "yes" if value else "no"


def _read_integers(cell: str) -> tuple[int, ...]:
    return tuple(_read_integer(word) for word in cell.split())


def _write_integers(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values))


def _read_floats(cell: str) -> tuple[float, ...]:
    return tuple(_read_float(word) for word in cell.split())


def _write_floats(values: tuple[float, ...]) -> str:
    return " ".join(map(_write_float, values))


def _read_words(cell: str) -> tuple[str, ...]:
    return tuple(cell.split())


def _write_words(values: tuple[str, ...]) -> str:
    return " ".join(values)


def _read_matrix(cell: str) -> Matrix:
    triangle = [_read_floats(row) for row in cell.split("|")]
    if [len(row) for row in triangle] != list(range(1, len(triangle) + 1)):
        raise ValueError
    size = len(triangle)
    return tuple(tuple(triangle[max(i, j)][min(i, j)] for j in range(size)) for i in range(size))


def _write_matrix(matrix: Matrix) -> str:
    return " | ".join(_write_floats(row[: i + 1]) for i, row in enumerate(matrix))

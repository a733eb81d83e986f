"""What can happen to a folder of tables: each kind of damage, and how likely it is."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from gridedge_env.feeder.records import Matrix, Source
from gridedge_env.feeder.tables import TABLES

HEADER = "feeder.json"


# A folder of tables in memory, and what can happen to it ---


@dataclass
class Folder:
    """The files of a feeder, as cells and as JSON until `render`, then as text."""

    tables: dict[str, list[list[str]]]
    header: dict[str, Any]
    texts: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> Folder:
        return Folder(
            {
                file.name: list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"))))
                for file in sorted(path.glob("*.csv"))
            },
            json.loads((path / HEADER).read_text(encoding="utf-8")),
        )

    def render(self) -> None:
        for name, rows in self.tables.items():
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerows(rows)
            self.texts[name] = buffer.getvalue()
        self.texts[HEADER] = json.dumps(self.header, indent=2)

    def write(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        for old in path.iterdir():
            old.unlink()
        for name, text in self.texts.items():
            # Surrogates stand for bytes that are not UTF-8.
            (path / name).write_bytes(text.encode("utf-8", "surrogateescape"))


def put(value: str, table: str, row: int, column: int, folder: Folder) -> None:
    cells = _row(folder, table, row)
    if cells:
        cells[column % len(cells)] = value


def scale(factor: float, table: str, row: int, column: int, folder: Folder) -> None:
    """Every number of a cell times a factor, so that lists and matrices keep their form."""
    cells = _row(folder, table, row)
    if cells:
        column %= len(cells)
        words = cells[column].split(" ")
        cells[column] = " ".join(_scaled(word, factor) for word in words)


def _scaled(word: str, factor: float) -> str:
    try:
        return repr(float(word) * factor)
    except ValueError:
        return word


def copy_cell(
    table: str, row: int, column: int, other_row: int, other_column: int, folder: Folder
) -> None:
    cells, others = _row(folder, table, row), _row(folder, table, other_row)
    if cells and others:
        cells[column % len(cells)] = others[other_column % len(others)]


def drop_cell(table: str, row: int, column: int, folder: Folder) -> None:
    cells = _row(folder, table, row)
    if cells:
        del cells[column % len(cells)]


def drop_row(table: str, row: int, folder: Folder) -> None:
    rows = folder.tables[table]
    if rows:
        del rows[row % len(rows)]


def repeat_row(name: str | None, table: str, row: int, folder: Folder) -> None:
    """A second element like the first, under its own name or another."""
    cells = _row(folder, table, row)
    if cells:
        folder.tables[table].append([cells[0] if name is None else name, *cells[1:]])


def swap_rows(table: str, row: int, other: int, folder: Folder) -> None:
    rows = folder.tables[table]
    if rows:
        row, other = row % len(rows), other % len(rows)
        rows[row], rows[other] = rows[other], rows[row]


def drop_column(table: str, column: int, folder: Folder) -> None:
    for cells in folder.tables[table]:
        if cells:
            del cells[column % len(cells)]


def repeat_column(table: str, column: int, folder: Folder) -> None:
    for cells in folder.tables[table]:
        if cells:
            cells.append(cells[column % len(cells)])


def swap_columns(table: str, column: int, other: int, folder: Folder) -> None:
    for cells in folder.tables[table]:
        if cells:
            i, j = column % len(cells), other % len(cells)
            cells[i], cells[j] = cells[j], cells[i]


def _row(folder: Folder, table: str, row: int) -> list[str]:
    """Cells of a row; 0 is the header, and rows are counted round and round from 1."""
    header, *body = folder.tables[table] or [[]]
    return body[(row - 1) % len(body)] if row and body else header


def put_in_header(key: str, value: Any, folder: Folder) -> None:
    _part_of_header(folder, key)[key.rpartition(".")[2]] = value


def drop_from_header(key: str, folder: Folder) -> None:
    _part_of_header(folder, key).pop(key.rpartition(".")[2], None)


def _part_of_header(folder: Folder, key: str) -> dict[str, Any]:
    part = folder.header.get("source") if "." in key else folder.header
    return part if isinstance(part, dict) else {}


def truncate(file: str, share: float, folder: Folder) -> None:
    text = folder.texts.get(file, "")
    folder.texts[file] = text[: int(share * len(text))]


def cut(file: str, share: float, length: int, folder: Folder) -> None:
    text = folder.texts.get(file, "")
    at = int(share * len(text))
    folder.texts[file] = text[:at] + text[at + length :]


def insert(file: str, share: float, what: str, folder: Folder) -> None:
    text = folder.texts.get(file, "")
    at = int(share * len(text))
    folder.texts[file] = text[:at] + what + text[at:]


def drop_file(file: str, folder: Folder) -> None:
    folder.texts.pop(file, None)


def copy_file(file: str, other: str, folder: Folder) -> None:
    folder.texts[file] = folder.texts.get(other, "")


def replace_file(file: str, text: str, folder: Folder) -> None:
    folder.texts[file] = text


# How likely each of it is ---


def columns_of(table: str) -> dict[str, Any]:
    """Type by column, in the order of the columns."""
    hints = get_type_hints(TABLES[table])
    hints.pop("windings", None)
    return {"transformer": str, **hints} if table == "windings" else hints


COLUMNS = {f"{table}.csv": columns_of(table) for table in TABLES}
FILES = [HEADER, *COLUMNS]
MOST_ROWS = 9

NUMBERS = [
    "0", "1", "-1", "2", "0.5", "-0.5", "3", "0.95", "1.05", "4.16", "0.24", "33", "-0", "100",
    "1e-3", "-0.001", "1e3", "1e-6", "1e6", "1e-9", "1e9", "1e-12", "1e12", "1e-30", "1e30",
    "-1e30", "1e-160", "1e160", "5e-324", "1.7976931348623157e308", "1e400", "nan", "inf", "-inf",
]  # fmt: skip
WORDS = [
    "", " ", "x", "none", "0x10", "1_0", "1,5", "1;5", "1e", "--1", "True", "null", "{}", "a.1",
    "|", "||", "1 | 2 3 | 4 5 6", ",", '"', "'", '""', "\n", "a\nb", "a\rb", "\x00", "\ufeff", "é",
    "\u0661", "½", "\U0001f50c", "\u0130", "\udcff", "9" * 30, "9" * 5000, "x" * 200_000, "A",
]  # fmt: skip
PHASES = [
    "1", "2", "3", "4", "0", "1 2", "2 1", "2 3", "3 1", "0 2", "2 0", "1 4", "1 1", "0 0", "1 2 3",
    "3 2 1", "2 3 1", "1 2 4", "1 2 3 4", "-1", "5",
]  # fmt: skip
NODES = ["a.1", "b.1", "b.2", "c.3", "d.2", "low.4", "home.1", "b.0", "b.4", "b.1 c.1", "b.2 b.2"]
BUSES = ["a", "b", "c", "d", "e", "low", "home", "mill", "nowhere"]
NAMES = {
    "line_code": ["overhead", "cable", "ab", ""],
    "transformer": ["substation", "regulator", "centre_tap", "open", "ab"],
}


def matrices(size: int) -> st.SearchStrategy[str]:
    """Lower triangles: mostly neither positive definite nor regular."""
    entry = st.sampled_from(["0.3", "0.1", "0", "1", "-1", "-0.3", "10", "1e-9", "1e9", "-1e-3"])
    rows = [st.lists(entry, min_size=k, max_size=k).map(" ".join) for k in range(1, size + 1)]
    return st.tuples(*rows).map(" | ".join)


def plausible(column: str, kind: Any) -> st.SearchStrategy[str]:
    """Values of the kind that a column holds, so that the record may well be accepted."""
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if kind is bool:
        return st.sampled_from(["yes", "no"])
    if kind is int:
        return st.integers(-17, 17).map(str)
    if kind == Matrix:
        return st.sampled_from([1, 3, 2]).flatmap(matrices)
    if kind == tuple[int, ...]:
        return st.sampled_from(PHASES)
    if kind == tuple[str, ...]:
        return st.sampled_from(NODES)
    if kind is str:
        return st.sampled_from(NAMES.get(column, BUSES))
    if kind == tuple[float, ...]:
        return st.lists(st.sampled_from(NUMBERS[:15]), min_size=1, max_size=3).map(" ".join)
    return st.sampled_from(NUMBERS)


def one_of_them(choices: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(list(choices))


def damage(what: Callable[..., None], *arguments: st.SearchStrategy[Any]) -> Any:
    return st.builds(partial, st.just(what), *arguments)


TABLE = one_of_them(COLUMNS)
FILE = one_of_them(FILES)
ROW = st.integers(0, MOST_ROWS)
BODY_ROW = st.integers(1, MOST_ROWS)
COLUMN = st.integers(0, 13)
SHARE = st.floats(0.0, 1.0)
FACTOR = st.one_of(
    one_of_them([0.0, -1.0, 2.0, 0.5, 10.0, 0.1]), st.integers(-12, 12).map(lambda n: 10.0**n)
)


PLACES = [
    (table, position, column, kind)
    for table, columns in COLUMNS.items()
    for position, (column, kind) in enumerate(columns.items())
]
MEASURED = [place for place in PLACES if place[3] in (float, float | None, Matrix)]
ALIKE = [
    (one[0], one[1], other[1])
    for one in PLACES
    for other in PLACES
    if (one[0], one[3]) == (other[0], other[3])
]


def cell_of_its_kind(place: tuple[str, int, str, Any]) -> Any:
    table, position, column, kind = place
    return damage(put, plausible(column, kind), st.just(table), BODY_ROW, st.just(position))


def scaled_cell(place: tuple[str, int, str, Any]) -> Any:
    return damage(scale, FACTOR, st.just(place[0]), BODY_ROW, st.just(place[1]))


def cell_from_elsewhere(alike: tuple[str, int, int]) -> Any:
    table, position, other = alike
    places = (st.just(table), BODY_ROW, st.just(position), BODY_ROW, st.just(other))
    return damage(copy_cell, *places)


VALUES = st.one_of(
    one_of_them(PLACES).flatmap(cell_of_its_kind),
    one_of_them(MEASURED).flatmap(scaled_cell),
    one_of_them(ALIKE).flatmap(cell_from_elsewhere),
    damage(repeat_row, st.just("another"), TABLE, BODY_ROW),
    damage(drop_row, TABLE, BODY_ROW),
    damage(swap_rows, TABLE, BODY_ROW, BODY_ROW),
)
FORM = st.one_of(
    damage(put, one_of_them(NUMBERS + PHASES), TABLE, BODY_ROW, COLUMN),
    damage(put, one_of_them(WORDS), TABLE, ROW, COLUMN),
    damage(repeat_row, st.none(), TABLE, ROW),
    damage(drop_row, TABLE, ROW),
    damage(drop_cell, TABLE, ROW, COLUMN),
    damage(drop_column, TABLE, COLUMN),
    damage(repeat_column, TABLE, COLUMN),
    damage(swap_columns, TABLE, COLUMN, COLUMN),
)
KEYS = ["name", "frequency", "source", "provenance", "other"] + [
    f"source.{name}" for name in (*get_type_hints(Source), "other")
]
ENTRIES = st.one_of(
    one_of_them([0, 1, -1, 50, 60.0, 0.5, 1e-12, 1e12, 1e-300, 1e300, 10**400, 2**1100]),
    one_of_them([None, True, "", "b", "d", "nowhere", "4.16", "é", "\ud800", math.nan, math.inf]),
    one_of_them([[], {}, [1], [3, 2, 1], [1, 2], [1, 1, 1], [0], [4, 1, 2], ["1"], [True], [1.0]]),
)
IN_HEADER = st.one_of(
    damage(put_in_header, one_of_them(KEYS), ENTRIES), damage(drop_from_header, one_of_them(KEYS))
)
IN_TEXT = st.one_of(
    damage(truncate, FILE, SHARE),
    damage(cut, FILE, SHARE, st.integers(1, 40)),
    damage(insert, FILE, SHARE, one_of_them([*WORDS, "[" * 100_000, "\n\n", "1", "-", " "])),
    damage(drop_file, FILE),
    damage(copy_file, FILE, FILE),
    damage(
        replace_file, FILE, one_of_them(["", "\n", "[]", "null", "[" * 100_000, "\x00", "\udcff"])
    ),
)
Damages = tuple[list[Any], list[Any], list[Any]]  # of cells, of feeder.json, of texts
NOTHING: Any = st.just([])
IN_VALUES = st.tuples(st.lists(VALUES, min_size=1, max_size=3), NOTHING, NOTHING)
ELSEWHERE = [
    st.tuples(st.lists(FORM | VALUES, min_size=1, max_size=2), NOTHING, NOTHING),
    st.tuples(NOTHING, st.lists(IN_HEADER, min_size=1, max_size=2), NOTHING),
    st.tuples(NOTHING, NOTHING, st.lists(IN_TEXT, min_size=1, max_size=2)),
]
# Two in three in the values: the others are nearly always refused.
DAMAGES = one_of_them([IN_VALUES] * 6 + ELSEWHERE).flatmap(lambda strategy: strategy)

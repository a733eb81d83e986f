"""A file as it comes, to a table of text or numbers: compression, encoding, separators, rows."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gridedge_env.scenarios.series.faults import Findings
from gridedge_env.scenarios.unpacking import check_parquet, unpacked
from gridedge_gateway.mistakes import one_line, regular_file

SEPARATORS = ";\t,"
SAMPLE = 20
"""Lines after the header that tell which separator it is."""

BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of a file.

    Attributes:
        names: of the columns, trimmed.
        columns: a pyarrow array each, of text where the file is text.
        rows: (rows,) int64, line of the file of every row.
    """

    names: tuple[str, ...]
    columns: tuple[Any, ...]
    rows: np.ndarray

    def of(self, columns: Sequence[int]) -> Table:
        """Some of the columns."""
        return Table(
            tuple(self.names[each] for each in columns),
            tuple(self.columns[each] for each in columns),
            self.rows,
        )


def read_content(path: str | Path, findings: Findings) -> bytes:
    """The bytes of a file, unpacked where they are gzip's.

    Raises:
        FileNotFoundError: no such file.
        Faults: an empty or damaged file, or a spreadsheet.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"path: no file at {one_line(source)}")
    try:
        content = unpacked(regular_file(source).read_bytes())
    except ValueError as damage:
        findings.stop(str(damage))
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        findings.stop("got a spreadsheet or a zip archive, expected CSV or Parquet")
    if not content.strip(b"\r\n\t ;,\0"):
        findings.stop("got an empty file, expected a header and rows")
    return content


def read_table(path: str | Path, findings: Findings) -> Table:
    """A CSV (also compressed) or Parquet file, told apart by what is in it.

    Raises:
        FileNotFoundError: no such file.
        Faults: it holds no table.
    """
    content = read_content(path, findings)
    if content.startswith(b"PAR1"):
        return table_of_parquet(content, findings)
    return table_of_text(text_of(content, findings), findings)


def text_of(content: bytes, findings: Findings) -> str:
    """Text in UTF-8, UTF-16 or, noted, Latin-1; lines end in a line feed, the last one in none."""
    mark = next((each for each in BYTE_ORDER_MARKS if content.startswith(each)), b"")
    encoding = BYTE_ORDER_MARKS.get(mark, "utf-8")
    if not mark and b"\0" in content[:200]:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as unreadable:
        if encoding != "utf-8":
            findings.stop(f"got damaged text ({unreadable.reason}), expected {encoding.upper()}")
        text = content.decode("latin-1")
        findings.note("is not UTF-8; read as Latin-1.")
    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        findings.stop("got a zero byte, expected text", row)
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip()
    if not text:
        findings.stop("got an empty file, expected a header and rows")
    return text


def cells_of(line: str, separator: str) -> list[str]:
    """The cells of one line, trimmed."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return [line]


def table_of_text(
    text: str, findings: Findings, header: int = 0, names: Sequence[str] | None = None
) -> Table:
    """The table whose header is at a line, counted from 0, or, if it has these names, none.

    Rows with another number of cells are faults, empty ones are left out.

    Raises:
        Faults: no rows, no columns, or no header.
    """
    body = text.split("\n", header)[-1] if header else text
    separator = ","
    if names is None:
        while _says_nothing(body.partition("\n")[0]) and body:
            body = body.partition("\n")[2]
            header += 1
        separator = _separator(body.split("\n", SAMPLE + 1)[: SAMPLE + 1])
        first, _, body = body.partition("\n")
        names = cells_of(first, separator)
        header += 1
    if len(names) < 2:
        findings.stop(
            f"got the one column {names[0] if names else ''!r}, expected timestamps and more, "
            "separated by comma, semicolon or tab",
            header,
        )
    if not body.strip():
        findings.stop("got a header alone, expected rows below it")
    body = _without_open_quotes(body, header + 1, findings)
    rows, columns = _split(body, separator, len(names), header + 1, findings)
    table = _without_empty_rows(Table(tuple(names), columns, rows))
    if not len(table.rows):
        findings.stop("got no row like the header, expected some")
    return _named(table, findings)


def _says_nothing(line: str) -> bool:
    """An empty line, or the one that tells a spreadsheet the separator."""
    return re.fullmatch(r"\s*(sep=.)?\s*", line, re.IGNORECASE) is not None


def _separator(lines: Sequence[str]) -> str:
    """The one that splits most of the first lines into as many cells as the header, and most."""
    sample = [line for line in lines[1 : SAMPLE + 1] if line.strip()]

    def fits(separator: str) -> tuple[bool, int, int]:
        width = len(cells_of(lines[0], separator))
        alike = sum(len(cells_of(line, separator)) == width for line in sample)
        return width > 1, alike, width

    return max(SEPARATORS, key=fits)


def _without_open_quotes(body: str, first_row: int, findings: Findings) -> str:
    """Lines with an odd number of quotation marks are faults, and emptied."""
    if '"' not in body:
        return body
    lines = body.split("\n")
    opened = [number for number, line in enumerate(lines) if line.count('"') % 2]
    if not opened:
        return body
    for number in opened:
        findings.fault(
            "got a quotation mark that is not closed, expected pairs", first_row + number
        )
        lines[number] = ""
    return "\n".join(lines)


def _split(
    body: str, separator: str, width: int, first_row: int, findings: Findings
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Line numbers and columns of the lines that have as many cells as there are columns."""
    import pyarrow as pa
    import pyarrow.csv

    ragged: list[int] = []
    faulty: list[int] = []
    whats: list[str] = []

    def skip(row: Any) -> str:
        ragged.append(row.number - 1)
        if row.text.strip():
            faulty.append(first_row + row.number - 1)
            whats.append(f"got {row.actual_columns} cells, expected {width} as in the header")
        return "skip"

    content = body.encode("utf-8", "replace") + b"\n"
    names = [str(number) for number in range(width)]
    try:
        table = pyarrow.csv.read_csv(
            pa.py_buffer(content),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, column_names=names, block_size=min(len(content) + 1, 2**31 - 1)
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=separator, ignore_empty_lines=False, invalid_row_handler=skip
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as unreadable:
        findings.stop(f"got text that is no table ({unreadable}), expected CSV")
    findings.cells(faulty, None, whats)
    rows = np.delete(np.arange(content.count(b"\n")), ragged)
    if table.num_rows != len(rows):
        findings.stop("got quotation marks across lines, expected a row on each line")
    columns = tuple(column.combine_chunks() for column in table.columns)
    return rows + first_row, columns


def _without_empty_rows(table: Table) -> Table:
    """The rows in which any cell holds something."""
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = np.ones(len(table.rows), dtype=bool)
    for column in table.columns:
        if not empty.any():
            return table
        at = np.flatnonzero(empty)
        cells = pc.utf8_trim_whitespace(column.take(pa.array(at)))
        empty[at] = pc.equal(cells, "").to_numpy(zero_copy_only=False)
    kept = pa.array(np.flatnonzero(~empty))
    columns = tuple(column.take(kept) for column in table.columns)
    return replace(table, columns=columns, rows=table.rows[~empty])


def table_of_parquet(content: bytes, findings: Findings) -> Table:
    """The columns of a Parquet file; categories become their values.

    Raises:
        Faults: it cannot be read, or holds no table.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        check_parquet(content)
        read = pyarrow.parquet.read_table(pa.BufferReader(content), use_threads=False)
        columns = [column.combine_chunks() for column in read.columns]
        for column in columns:
            column.validate(full=True)
        names = [name.strip() for name in read.column_names]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as damage:
        findings.stop(f"got a damaged Parquet file ({damage}), expected a whole one")
    except ValueError as too_large:
        findings.stop(str(too_large))
    if read.num_rows == 0 or len(columns) < 2:
        findings.stop(
            f"got {read.num_rows} rows and {len(columns)} columns, expected timestamps and more"
        )
    plain = []
    for column in columns:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        is_text = pa.types.is_large_string(column.type) or pa.types.is_null(column.type)
        plain.append(column.cast(pa.string()) if is_text else column)
    names = ["" if name.startswith("__index_level_") else name for name in names]
    return _named(Table(tuple(names), tuple(plain), np.arange(2, read.num_rows + 2)), findings)


def _named(table: Table, findings: Findings) -> Table:
    """The table without nameless columns that hold nothing; others without a name are faults.

    The first column may lack a name: it may hold the timestamps, or count the rows.
    """
    kept = []
    count = Counter(table.names)
    for number, (name, column) in enumerate(zip(table.names, table.columns, strict=True)):
        if not name and _counts(column):
            findings.note(f"column {number + 1} has no name and counts the rows; left out.")
            continue
        if not name and number and _holds_nothing(column):
            continue
        if not name and number and not _holds_times(column):
            findings.fault("got no name, expected one", 1, f"number {number + 1}")
            continue
        if name and count[name] > 1 and name in table.names[:number]:
            findings.fault("got this name twice, expected it once", 1, name)
            continue
        kept.append(number)
    if len(kept) < 2:
        findings.stop("got fewer than two columns with a name, expected timestamps and more")
    return table.of(kept)


def _holds_times(column: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_timestamp(column.type)


def _holds_nothing(column: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return column.null_count == len(column)
    return bool(pc.all(pc.equal(pc.utf8_trim_whitespace(column.fill_null("")), "")).as_py())


def _counts(column: Any) -> bool:
    """Whether the numbers are 0, 1, 2, …: the index that a table library writes unasked."""
    import pyarrow as pa

    numbers = pa.array(range(len(column)))
    if pa.types.is_string(column.type):
        return column.equals(numbers.cast(pa.string()))
    return pa.types.is_integer(column.type) and column.cast(pa.int64(), safe=False).equals(numbers)

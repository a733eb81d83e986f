"""Cells to numbers: missing values, decimal commas, thousands, and what is no number at all.

Which sign is the decimal one is a matter of the whole file: a cell with a comma is a number where
some cell of the file shows that commas are decimal, as "0,5" and "1.234,5" do and "1,234" does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gridedge_env.scenarios.series.faults import LISTED, Findings
from gridedge_env.scenarios.series.reading import Table

MISSING = ("", "-", "--", ".", "na", "n/a", "#n/a", "nan", "nil", "none", "null")
"""What stands for a missing value, in lower case."""

_SIGN, _POWER = "[+-]?", r"([eE][+-]?\d{1,3})?"
_PLAIN = rf"^{_SIGN}(\d+\.?\d*|\.\d+){_POWER}$"
_COMMA = rf"^{_SIGN}(\d+,\d*|,\d+){_POWER}$"
_THOUSANDS_POINT = rf"^{_SIGN}[1-9]\d{{0,2}}(\.\d{{3}})+$"
_THOUSANDS_COMMA = rf"^{_SIGN}[1-9]\d{{0,2}}(,\d{{3}})+$"
_BOTH_COMMA = rf"^{_SIGN}[1-9]\d{{0,2}}(\.\d{{3}})+,\d+$"
_BOTH_POINT = rf"^{_SIGN}[1-9]\d{{0,2}}(,\d{{3}})+\.\d+$"


def read_numbers(
    table: Table, findings: Findings, expected: str, missing: Sequence[float] = ()
) -> np.ndarray:
    """The columns as numbers.

    Args:
        table: its columns alone.
        findings: takes a fault for every cell that is neither a number nor missing.
        expected: what should be there, "a power in kW".
        missing: numbers that stand for missing values.

    Returns:
        (rows, columns) float64, NaN where missing or faulty.
    """
    values = np.empty((len(table.rows), len(table.names)), order="F")
    hard: dict[int, Any] = {}
    for number, column in enumerate(table.columns):
        read = _read_quickly(column)
        if read is None:
            hard[number] = _text_of(column)
        else:
            values[:, number] = read
    if hard:
        commas = _commas_are_decimal(hard.values())
        for number in range(len(table.names)):
            text = hard.get(number)
            if text is None and commas and _is_text(table.columns[number]):
                text = _text_of(table.columns[number])
            if text is not None:
                name = table.names[number]
                values[:, number] = _read_slowly(text, commas, table, name, findings, expected)
    for code in missing:
        values[values == code] = np.nan
    return values


def _is_text(column: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(column.type)


def _read_quickly(column: Any) -> np.ndarray | None:
    """A column of nothing but finite numbers or, where its type says so, missing ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    text, number = _is_text(column), pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not (text or number or pa.types.is_decimal(kind)):
        return None
    # Arrow makes an error of each cell that it cannot read: a whole column of them takes long.
    if text and pc.any(pc.match_substring(column, ",")).as_py():
        return None
    try:
        numbers = column.cast(pa.float64(), safe=False)
    except pa.ArrowException:
        return None
    values = numbers.to_numpy(zero_copy_only=False)
    odd = len(values) - np.count_nonzero(np.isfinite(values))
    return None if np.isinf(values).any() or (text and odd > column.null_count) else values


def _text_of(column: Any) -> Any:
    """Trimmed text of a column, of whatever type it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not _is_text(column):
        cells = ["" if cell is None else str(cell) for cell in column.to_pylist()]
        column = pa.array([cell.encode("utf-8", "replace").decode() for cell in cells], pa.string())
    return pc.utf8_trim_whitespace(column.fill_null(""))


def _matches(text: Any, pattern: str) -> np.ndarray:
    import pyarrow.compute as pc

    return pc.match_substring_regex(text, pattern).to_numpy(zero_copy_only=False)


def _commas_are_decimal(columns: Iterable[Any]) -> bool:
    """Whether more cells show decimal commas than decimal points, in the first that show any."""
    for text in columns:
        comma = _matches(text, _COMMA) & ~_matches(text, _THOUSANDS_COMMA)
        comma |= _matches(text, _BOTH_COMMA)
        point = _matches(text, r"\.") & _matches(text, _PLAIN) & ~_matches(text, _THOUSANDS_POINT)
        point |= _matches(text, _BOTH_POINT)
        if comma.any() or point.any():
            return bool(comma.sum() > point.sum())
    return False


def _read_slowly(
    text: Any, commas: bool, table: Table, name: str, findings: Findings, expected: str
) -> np.ndarray:
    """A column cell by cell, as far as need be."""
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = pc.is_in(pc.utf8_lower(text), pa.array(MISSING))
    none = pa.scalar(None, pa.string())
    present = pc.if_else(missing, none, text)
    points = commas and bool(pc.any(pc.match_substring(present, ".")).as_py())
    if not points:
        signs = pc.replace_substring(present, ",", ".") if commas else present
        read = _read_quickly(signs)
        if read is not None:
            return read
    if commas:
        whole = _matches(text, _PLAIN) & ~_matches(text, r"\.")
        good = _matches(text, _BOTH_COMMA) | _matches(text, _COMMA) | whole
        plain = pc.replace_substring(pc.replace_substring(text, ".", ""), ",", ".")
    else:
        good = _matches(text, _BOTH_POINT) | _matches(text, _PLAIN)
        plain = pc.replace_substring(text, ",", "")
    values = pc.if_else(pa.array(good), plain, none).cast(pa.float64())
    values = values.to_numpy(zero_copy_only=False).copy()
    some = ~missing.to_numpy(zero_copy_only=False)
    bad = (some & ~good) | np.isinf(values)
    values[bad] = np.nan
    at = np.flatnonzero(bad)
    cells = text.take(pa.array(at[: LISTED + 1])).to_pylist()
    if len(at) > LISTED and (bad == some).all():
        findings.fault(
            f"got {cells[0]!r} and no number in any row, expected {expected}", None, name
        )
    elif len(at):
        whats = [f"got {cell!r}, expected {expected}{_hint(cell, commas)}" for cell in cells]
        findings.cells(table.rows[at].tolist(), name, whats)
    return values


def _hint(cell: str, commas: bool) -> str:
    """What may be meant by a cell that is refused for its sign."""
    signs = set(cell) - set("+-0123456789")
    if commas and signs and signs <= set(".,"):
        return " with a decimal comma as elsewhere in the file, and without thousands separators"
    if signs and signs <= set(".,' \u00a0\u202f") and signs != {"."}:
        return " with a decimal point; a comma here may be decimal or separate thousands"
    return ""

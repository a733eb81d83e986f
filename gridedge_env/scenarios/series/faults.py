"""What is wrong in a user's file, all of it, each fault with its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from gridedge_gateway.mistakes import in_words, one_line

LISTED = 20
"""Faults that a message lists, and faulty cells of one column that are reported one by one."""


@dataclass(frozen=True)
class Fault:
    """One mistake in a user's file.

    Attributes:
        file: its name as given.
        row: line of the file, the header being line 1, as a spreadsheet shows it; None is the
            whole file or column. In a Parquet file the first row of data is row 2.
        column: its name, or None.
        what: what came and what was expected.
    """

    file: str
    row: int | None
    column: str | None
    what: str

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row}"
        column = "" if self.column is None else f", column {self.column!r}"
        return one_line(f"{self.file}{row}{column}: {self.what}")


class Faults(ValueError):
    """All faults of a file, or of several.

    Attributes:
        faults: in the order of the files and their rows; the message lists the first 20.
    """

    def __init__(self, faults: Iterable[Fault]):
        self.faults = tuple(faults)
        lines = [str(fault) for fault in self.faults[:LISTED]]
        if len(self.faults) > 1:
            lines = [f"{len(self.faults)} faults:", *lines]
        if len(self.faults) > LISTED:
            lines.append(f"... and {len(self.faults) - LISTED} more")
        super().__init__("\n  ".join(lines))

    def __reduce__(self) -> tuple[type[Faults], tuple[tuple[Fault, ...]]]:
        return Faults, (self.faults,)


def in_lines(error: Exception) -> str:
    """What a command says of an error: one line; of faults, one each."""
    return str(error) if isinstance(error, Faults) else in_words(error)


class Findings:
    """What is found on the way through one file: faults, and notes of what was repaired.

    Attributes:
        file: its name as given.
        faults: so far.
        notes: sentences for a person.
    """

    def __init__(self, file: str):
        self.file = file
        self.faults: list[Fault] = []
        self.notes: list[str] = []

    def fault(self, what: str, row: int | None = None, column: str | None = None) -> None:
        """Add a fault."""
        self.faults.append(Fault(self.file, row, column, what))

    def cells(self, rows: Sequence[int], column: str | None, whats: Sequence[str]) -> None:
        """Add faulty cells of a column, or rows: the first ones each, the others as a count."""
        for row, what in zip(rows[:LISTED], whats, strict=False):
            self.fault(what, int(row), column)
        if len(rows) > LISTED:
            self.fault(f"{len(rows) - LISTED} more rows with a fault like these", None, column)

    def note(self, sentence: str) -> None:
        """Add a note."""
        self.notes.append(f"{self.file}: {sentence}")

    def stop(self, what: str, row: int | None = None, column: str | None = None) -> NoReturn:
        """Add a fault that leaves nothing more to read.

        Raises:
            Faults: this one and all that were found before.
        """
        self.fault(what, row, column)
        raise self._all()

    def check(self) -> None:
        """End here if there is any fault.

        Raises:
            Faults: there is.
        """
        if self.faults:
            raise self._all()

    def _all(self) -> Faults:
        return Faults(sorted(self.faults, key=lambda fault: fault.row or 0))


class collected:
    """A context in which a `ValueError` becomes a fault of the file, or of a row of it."""

    def __init__(self, findings: Findings, row: int | None = None) -> None:
        self._findings = findings
        self._row = row

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, ValueError):
            return False
        field, colon, what = str(error).partition(": ")
        self._findings.fault(what if colon else str(error), self._row, field if colon else None)
        return True

"""Tables of customers: those furthest off, what is not known in words, all else in a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from gradmap_trainer.monitor.findings import Findings
from gradmap_trainer.report import page
from gradmap_trainer.report.words import money, percent

FINDINGS_FILE = "monitor.csv"
# Rows of a table on the page, and names in a sentence. All are in the file.
MOST_ROWS, MOST_NAMED = 30, 5
UNKNOWN = "not known"


def together(found: Iterable[Findings]) -> tuple[float, float, int]:
    """Cost a day of all who are billed, before and after, and how many that are."""
    billed = [one for one in found if one.billed_days]
    return sum(one.before for one in billed), sum(one.after for one in billed), len(billed)


def mean(values: Iterable[float]) -> float:
    """Of those that are known."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def share_or_unknown(share: float) -> str:
    """In percent."""
    return percent(share) if math.isfinite(share) else UNKNOWN


def or_zero(value: float) -> float:
    """To sort by: what is not known is not off."""
    return value if math.isfinite(value) else 0.0


def counted(names: Sequence[str]) -> str:
    """How many there are, and the first of them."""
    more = ", ..." if len(names) > MOST_NAMED else ""
    return f"{len(names):,} ({', '.join(names[:MOST_NAMED])}{more})"


def number(value: float, words: Callable[[float], str], bad: bool = False) -> str:
    """A cell."""
    known = math.isfinite(value)
    return page.number(value, words(value), bad) if known else page.cell(UNKNOWN)


def amounts(values: Iterable[float], currency: str) -> list[str]:
    """Cells of money."""
    return [page.number(value, money(value, currency)) for value in values]


def customers_table(
    header: Iterable[str], found: list[Findings], cells: Callable[[Findings], list[str]]
) -> str:
    """A row for each customer, those furthest off first."""
    rows = [page.row(one.customer, cells(one)) for one in found[:MOST_ROWS]]
    return "\n".join([page.table(header, rows), *more(len(found))])


def more(count: int) -> list[str]:
    """Where the others are, if a table has not all."""
    if count <= MOST_ROWS:
        return []
    words = f"The {MOST_ROWS} furthest off of {count:,}; all are in {FINDINGS_FILE}"
    return [page.link(FINDINGS_FILE, words)]

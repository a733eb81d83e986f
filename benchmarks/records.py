"""What a run of the suite found: plain records, to JSON and back."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Repeats of one measurement: their median and quartiles."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float], scale: float = 1.0) -> Spread:
        """Of repeats, each times `scale`.

        Raises:
            ValueError: there are none.
        """
        if not values:
            raise ValueError("values: got none, expected one or more repeats")
        scaled = [scale * value for value in values]
        if len(scaled) == 1:
            return cls(scaled[0], scaled[0], scaled[0], 1)
        low, median, high = statistics.quantiles(scaled, n=4, method="inclusive")
        return cls(median, low, high, len(scaled))

    @classmethod
    def of_rates(cls, seconds: Sequence[float], amount: float = 1.0) -> Spread:
        """Of `amount` a second, from the seconds that it took."""
        return cls.of([amount / value for value in seconds])

    @classmethod
    def of_ratios(cls, above: Sequence[float], below: Sequence[float]) -> Spread:
        """Of the ratios of repeats that alternated: each round has its own."""
        return cls.of([a / b for a, b in zip(above, below, strict=True)])


Cell = int | str | Spread


@dataclass(frozen=True)
class Table:
    """A table of the page; units are in the header."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Target:
    """A figure that was promised beside the one that was measured.

    Attributes:
        what: in a few words.
        measured: the median.
        bound: what was promised.
        at_least: whether more is better.
        unit: of both.
    """

    what: str
    measured: float
    bound: float
    at_least: bool
    unit: str

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


@dataclass(frozen=True)
class Measurement:
    """What one benchmark found.

    Attributes:
        name: of the benchmark.
        timed: what was timed and how, in sentences.
        tables: the figures.
        targets: those of them that were promised.
        notes: what could not be measured, and why; what else is to be known.
        failed: whether it ended with an error, told in the notes.
        seconds: that it took.
    """

    name: str
    timed: str
    tables: tuple[Table, ...] = ()
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()
    failed: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class BenchmarkRun:
    """One run of the suite.

    Attributes:
        machine: processor, cores, memory, operating system, accelerator.
        versions: of Python and packages; "not installed" where one is not there.
        command: that was given.
        date: of its beginning, ISO.
        commit: of the source, "" if not known.
        quick: whether it was a seconds-long pass, whose figures are rough.
        load: average number of busy processes of the machine in the minute before it began.
        seconds: that it took.
        results: of each benchmark.
    """

    machine: str
    versions: dict[str, str]
    command: str
    date: str
    commit: str
    quick: bool
    load: float
    seconds: float
    results: tuple[Measurement, ...]


def to_json(run: BenchmarkRun) -> str:
    """The run as JSON text."""
    return json.dumps(asdict(run), indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> BenchmarkRun:
    """The run that `to_json` wrote.

    Raises:
        ValueError: the text is something else.
    """
    try:
        record = json.loads(text)
        results = tuple(_result(found) for found in record.pop("results"))
        return BenchmarkRun(**record, results=results)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"results: not the JSON of a benchmark run ({error!r}), expected what --json writes"
        ) from error


def _result(record: dict[str, Any]) -> Measurement:
    tables = tuple(_table(**table) for table in record.pop("tables"))
    targets = tuple(Target(**target) for target in record.pop("targets"))
    notes = tuple(record.pop("notes"))
    return Measurement(**record, tables=tables, targets=targets, notes=notes)


def _table(caption: str, header: list[str], rows: list[list[Any]]) -> Table:
    def cell(value: Any) -> Cell:
        return Spread(**value) if isinstance(value, dict) else value

    return Table(caption, tuple(header), tuple(tuple(cell(x) for x in row) for row in rows))

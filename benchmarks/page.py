"""The page of a run, in Markdown: every figure on it stands in the run's record."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from benchmarks import suite
from benchmarks.machine import NOT_INSTALLED
from benchmarks.records import BenchmarkRun, Cell, Measurement, Spread, Table, Target

PICTURE = Path("images") / "benchmarks" / "growth.png"


def draw_and_write(run: BenchmarkRun, path: Path) -> None:
    """Write the page, with its picture beside it if there is something to draw it with."""
    from benchmarks.figures import draw

    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = draw(run, path.parent / PICTURE)
    path.write_text(text(run, PICTURE if drawn else None), encoding="utf-8")


def text(run: BenchmarkRun, picture: Path | None = None) -> str:
    """The page.

    Args:
        run: what was found.
        picture: of growth, relative to the page.
    """
    parts = ["# Benchmarks", *_introduction(run), *_targets(run)]
    for result in run.results:
        parts += _section(result)
        if result.name == "growth" and picture is not None:
            parts.append(f"![Time over size, both axes logarithmic]({picture.as_posix()})")
    return "\n\n".join(parts) + "\n"


def number(value: float) -> str:
    """Three digits, thousands separated."""
    if not math.isfinite(value):
        return "–"
    if value == 0.0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    if digits <= 0:
        return f"{round(value, digits):,.0f}"
    return f"{value:.{digits}f}" if digits <= 6 else f"{value:.1e}"


def cell(value: Cell) -> str:
    """A cell of a table: the median, and the quartiles behind it."""
    if isinstance(value, Spread):
        if value.count == 1:
            return number(value.median)
        return f"{number(value.median)} ({number(value.low)}–{number(value.high)})"
    return f"{value:,}" if isinstance(value, int) else value


def table(rows: Table) -> str:
    """A table, its caption above."""
    lines = [rows.header, ("---",) * len(rows.header)]
    lines += [tuple(cell(value) for value in row) for row in rows.rows]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{rows.caption}\n\n{body}" if rows.caption else body


def _introduction(run: BenchmarkRun) -> Iterator[str]:
    yield (
        "This page is written by the command below; every figure on it was measured in that run. "
        "Cells are medians of repeats that took turns with whatever they are compared with, and "
        "in brackets the quartiles; a single number was measured once. Ratios are those of "
        "neighbouring repeats."
    )
    yield f"```bash\n{run.command}\n```"
    yield (
        "Everything that it is compared with comes with "
        "`pip install -c benchmarks/constraints.txt -e '.[benchmarks]'`, best in an environment "
        "of its own: some of it needs pandas below 3."
    )
    if run.quick:
        yield "**A quick pass: the figures are rough.**"
    packages = ", ".join(
        f"{name} {version}" for name, version in run.versions.items() if version != NOT_INSTALLED
    )
    lines = [
        f"Machine: {run.machine}.",
        f"Load average in the minute before: {number(run.load)}.",
        f"{packages}.",
        f"{run.date.replace('T', ' ')}"
        + (f", commit {run.commit}" if run.commit else "")
        + f"; the run took {number(run.seconds / 60)} minutes.",
    ]
    missing = [name for name, version in run.versions.items() if version == NOT_INSTALLED]
    for name in missing:
        extra = suite.PEERS.get(name)
        brought = f': `pip install "gridedge[{extra}]"`' if extra else ""
        lines.append(f"{name}: {NOT_INSTALLED}{brought}.")
    yield "\n".join(f"- {line}" for line in lines)


def _targets(run: BenchmarkRun) -> Iterator[str]:
    targets = [target for result in run.results for target in result.targets]
    if not targets:
        return
    yield "## Targets"
    rows = tuple(_target_row(target) for target in targets)
    yield table(Table("", ("what", "target", "measured", ""), rows))


def _target_row(target: Target) -> tuple[str, ...]:
    sign = "≥" if target.at_least else "≤"
    return (
        target.what,
        f"{sign} {number(target.bound)} {target.unit}".rstrip(),
        f"{number(target.measured)} {target.unit}".rstrip(),
        "met" if target.met else "**missed**",
    )


def _section(result: Measurement) -> Iterator[str]:
    yield f"## {result.name.replace('_', ' ').capitalize()}"
    yield result.timed
    yield f"```bash\npython -m benchmarks run {result.name}\n```"
    yield from (table(found) for found in result.tables)
    if result.notes:
        yield "\n".join(f"- {note}" for note in result.notes)

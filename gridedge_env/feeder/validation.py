"""Whether the records of a feeder fit together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridedge_env.feeder.model import Feeder, LineCode, Transformer, Winding

MAXIMUM_TAP_POSITION = 16


class InvalidFeeder(ValueError):
    """A record that cannot be right.

    Attributes:
        table: name of the table: a field of `Feeder`, "windings", or "feeder" itself.
        index: position of the record in it, from 0.
        field: the record's field.
        problem: what came and what was expected.
    """

    def __init__(self, table: str, index: int, field: str, problem: str) -> None:
        self.table, self.index, self.field, self.problem = table, index, field, problem
        super().__init__(f"{table}[{index}].{field}: {problem}")


def validate(feeder: Feeder) -> None:
    """Raise `InvalidFeeder` at the first record that cannot be right."""
    for check in (
        _check_names,
        _check_signs,
        _check_buses,
        _check_source,
        _check_line_codes,
        _check_lines,
        _check_terminals,
        _check_transformers,
        _check_regulators,
        _check_loads,
    ):
        for problem in check(feeder):
            raise problem


@dataclass(frozen=True)
class _Row:
    """A record and where it stands."""

    table: str
    index: int
    record: Any

    def error(self, field: str, problem: str) -> InvalidFeeder:
        return InvalidFeeder(self.table, self.index, field, problem)


def _rows(feeder: Feeder, table: str) -> Iterator[_Row]:
    if table == "feeder":
        records: Iterable[Any] = (feeder,)
    elif table == "source":
        records = (feeder.source,)
    elif table == "windings":
        records = (winding for t in feeder.transformers for winding in t.windings)
    else:
        records = getattr(feeder, table)
    for index, record in enumerate(records):
        yield _Row(table, index, record)


NAMED = ("buses", "line_codes", "lines", "switches", "transformers", "capacitors", "loads")

POSITIVE = {
    "feeder": ("frequency",),
    "source": ("base_kv", "per_unit"),
    "buses": ("base_kv",),
    "line_codes": ("ampacity",),
    "lines": ("length",),
    "switches": ("resistance_ohm",),
    "windings": ("kv", "kva", "tap"),
    "capacitors": ("kvar", "kv"),
    "loads": ("kv",),
}


def _check_names(feeder: Feeder) -> Iterator[InvalidFeeder]:
    for table in NAMED:
        seen: set[str] = set()
        for row in _rows(feeder, table):
            name = row.record.name
            forbidden = " ." if table == "buses" else " "
            if not name or name != name.lower() or any(c in forbidden for c in name):
                yield row.error(
                    "name",
                    f"{name!r}, expected lower case without spaces"
                    + (" or dots" if table == "buses" else ""),
                )
            if name in seen:
                yield row.error("name", f"{name!r} occurs twice, expected unique names")
            seen.add(name)


def _check_signs(feeder: Feeder) -> Iterator[InvalidFeeder]:
    for table, fields in POSITIVE.items():
        for row in _rows(feeder, table):
            for field in fields:
                value = getattr(row.record, field)
                if value is not None and not value > 0:
                    yield row.error(field, f"{value!r}, expected a number above 0")


def _check_buses(feeder: Feeder) -> Iterator[InvalidFeeder]:
    for row in _rows(feeder, "buses"):
        phases = row.record.phases
        if not phases or len(set(phases)) != len(phases) or min(phases) < 1:
            yield row.error("phases", f"{phases}, expected different phase numbers from 1")


def _check_source(feeder: Feeder) -> Iterator[InvalidFeeder]:
    (row,) = _rows(feeder, "source")
    yield from _check_terminal(_phases_of_buses(feeder), row, "bus", "bus", (1, 2, 3))
    for resistance, reactance in (("r1", "x1"), ("r0", "x0")):
        if getattr(row.record, resistance) == getattr(row.record, reactance) == 0:
            yield row.error(reactance, f"0 as {resistance} is, expected an impedance above 0")


def _check_line_codes(feeder: Feeder) -> Iterator[InvalidFeeder]:
    for row in _rows(feeder, "line_codes"):
        code: LineCode = row.record
        for field in ("resistance", "reactance", "capacitance"):
            matrix = getattr(code, field)
            if len(matrix) != code.phases or any(len(line) != code.phases for line in matrix):
                yield row.error(field, f"{matrix}, expected a matrix of phases = {code.phases}")
            elif matrix != tuple(zip(*matrix, strict=True)):
                yield row.error(field, f"{matrix}, expected a symmetric matrix")


def _check_lines(feeder: Feeder) -> Iterator[InvalidFeeder]:
    codes = {code.name: code for code in feeder.line_codes}
    for row in _rows(feeder, "lines"):
        name = row.record.line_code
        if name not in codes:
            known = ", ".join(codes)
            yield row.error("line_code", f"unknown line code {name!r}, expected one of {known}")
            continue
        for field in ("from_phases", "to_phases"):
            phases = getattr(row.record, field)
            if len(phases) != codes[name].phases:
                yield row.error(
                    field,
                    f"{phases}, expected {codes[name].phases} phases as in line code {name!r}",
                )


def _check_terminals(feeder: Feeder) -> Iterator[InvalidFeeder]:
    terminals = {
        "lines": (("from_bus", "from_phases"), ("to_bus", "to_phases")),
        "switches": (("from_bus", "phases"), ("to_bus", "phases")),
        "windings": (("bus", "phases"),),
        "capacitors": (("bus", "phases"),),
        "loads": (("bus", "phases"),),
    }
    known = _phases_of_buses(feeder)
    for table, pairs in terminals.items():
        for row in _rows(feeder, table):
            for bus_field, phases_field in pairs:
                phases = getattr(row.record, phases_field)
                yield from _check_terminal(known, row, bus_field, phases_field, phases)
    for table in ("capacitors", "loads"):
        for row in _rows(feeder, table):
            if row.record.connection == "delta" and len(row.record.phases) not in (2, 3):
                yield row.error("phases", f"{row.record.phases}, expected two or three for delta")


def _phases_of_buses(feeder: Feeder) -> dict[str, tuple[int, ...]]:
    return {bus.name: bus.phases for bus in feeder.buses}


def _check_terminal(
    known: dict[str, tuple[int, ...]],
    row: _Row,
    bus_field: str,
    phases_field: str,
    phases: tuple[int, ...],
) -> Iterator[InvalidFeeder]:
    bus = getattr(row.record, bus_field)
    if bus not in known:
        yield row.error(bus_field, f"unknown bus {bus!r}, expected a name in buses")
    elif not phases or len(set(phases)) != len(phases) or not set(phases) <= set(known[bus]):
        yield row.error(
            phases_field, f"{phases}, expected different phases among {known[bus]} of bus {bus!r}"
        )


def _check_transformers(feeder: Feeder) -> Iterator[InvalidFeeder]:
    windings = _rows(feeder, "windings")
    for row in _rows(feeder, "transformers"):
        transformer: Transformer = row.record
        count = len(transformer.windings)
        if transformer.phases not in (1, 3):
            yield row.error("phases", f"{transformer.phases}, expected 1 or 3")
        if count < 2:
            yield row.error("windings", f"{count} windings, expected two or more")
        pairs = count * (count - 1) // 2
        reactance = transformer.reactance_percent
        if len(reactance) != pairs or not all(x > 0 for x in reactance):
            yield row.error("reactance_percent", f"{reactance}, expected {pairs} numbers above 0")
        for _ in transformer.windings:
            yield from _check_winding(next(windings), transformer)


def _check_winding(row: _Row, transformer: Transformer) -> Iterator[InvalidFeeder]:
    winding: Winding = row.record
    expected: tuple[int, ...] = (3,)
    if transformer.phases == 1:
        expected = (2,) if winding.connection == "delta" else (1, 2)
    if len(winding.phases) not in expected:
        yield row.error(
            "phases",
            f"{winding.phases}, expected {' or '.join(map(str, expected))} of them in a "
            f"{winding.connection} winding of {transformer.name!r}, a {transformer.phases}-phase "
            "transformer",
        )
    if winding.resistance_percent < 0:
        yield row.error("resistance_percent", f"{winding.resistance_percent}, expected 0 or more")


def _check_regulators(feeder: Feeder) -> Iterator[InvalidFeeder]:
    transformers = {transformer.name: transformer for transformer in feeder.transformers}
    seen: set[tuple[str, int]] = set()
    for row in _rows(feeder, "regulators"):
        name, number = row.record.transformer, row.record.winding
        if name not in transformers:
            known = ", ".join(transformers)
            yield row.error("transformer", f"unknown transformer {name!r}, expected one of {known}")
            continue
        windings = transformers[name].windings
        if not 1 <= number <= len(windings):
            yield row.error("winding", f"{number}, expected 1 to {len(windings)}")
            continue
        if (name, number) in seen:
            yield row.error("winding", f"{number} of {name!r} has two regulators, expected one")
        seen.add((name, number))
        if windings[number - 1].tap != 1.0:
            yield row.error(
                "winding", f"{number} of {name!r} has a tap of its own, expected 1 in windings"
            )
        if abs(row.record.tap_position) > MAXIMUM_TAP_POSITION:
            yield row.error(
                "tap_position",
                f"{row.record.tap_position}, expected -{MAXIMUM_TAP_POSITION} to "
                f"{MAXIMUM_TAP_POSITION}",
            )


def _check_loads(feeder: Feeder) -> Iterator[InvalidFeeder]:
    for row in _rows(feeder, "loads"):
        load = row.record
        if not 0 <= load.vlow_pu < load.vmin_pu < load.vmax_pu:
            yield row.error(
                "vmin_pu", f"{load.vmin_pu!r}, expected 0 <= vlow_pu < vmin_pu < vmax_pu"
            )

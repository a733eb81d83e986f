"""Whether the records of a feeder fit together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridedge_env.feeder.primitive import ComplexArray, leakage_impedance
from gridedge_env.feeder.ranges import LARGEST_ENTRY, RANGES, SMALLEST_IMPEDANCE
from gridedge_env.feeder.records import FeederRecords, LineCode, Transformer, Winding
from gridedge_gateway.names import UNPRINTED


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


def validate(feeder: FeederRecords) -> None:
    """Raise `InvalidFeeder` at the first record that cannot be right."""
    for check in (
        _check_names,
        _check_texts,
        _check_ranges,
        _check_buses,
        _check_source,
        _check_line_codes,
        _check_lines,
        _check_terminals,
        _check_transformers,
        _check_regulators,
        _check_loads,
        _check_admittances,
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


def _rows(feeder: FeederRecords, table: str) -> Iterator[_Row]:
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


NAMED = (
    "buses",
    "line_codes",
    "lines",
    "switches",
    "transformers",
    "capacitors",
    "loads",
    "admittances",
)


def _check_names(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
    for table in NAMED:
        seen: set[str] = set()
        for row in _rows(feeder, table):
            name = row.record.name
            dotted = table == "buses" and "." in name
            if not name or name != name.lower() or name.split() != [name] or dotted:
                yield row.error(
                    "name",
                    f"{name!r}, expected lower case without spaces"
                    + (" or dots" if table == "buses" else ""),
                )
            if UNPRINTED.search(name):
                yield row.error("name", f"{name!r}, expected text without control characters")
            if name in seen:
                yield row.error("name", f"{name!r} occurs twice, expected unique names")
            seen.add(name)


def _check_texts(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
    (row,) = _rows(feeder, "feeder")
    if UNPRINTED.search(feeder.name):
        yield row.error("name", f"{feeder.name!r}, expected text without control characters")
    if not _is_text(feeder.provenance):
        yield row.error("provenance", f"{feeder.provenance!r}, expected text without surrogates")


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_ranges(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
    for table, ranges in RANGES.items():
        for row in _rows(feeder, table):
            for field, (low, high) in ranges.items():
                value = getattr(row.record, field)
                if value is not None and not low <= value <= high:
                    yield row.error(field, f"{value!r}, expected a number from {low:g} to {high:g}")


def _check_buses(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
    for row in _rows(feeder, "buses"):
        phases = row.record.phases
        if not phases or len(set(phases)) != len(phases) or min(phases) < 1:
            yield row.error("phases", f"{phases}, expected different phase numbers from 1")


def _check_source(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
    (row,) = _rows(feeder, "source")
    phases = row.record.phases
    if len(phases) not in (1, 3):
        yield row.error("phases", f"{phases}, expected one phase or three")
    yield from _check_terminal(_phases_of_buses(feeder), row, "bus", "phases", phases)
    for resistance, reactance in (("r1", "x1"), ("r0", "x0"))[: 2 if len(phases) == 3 else 1]:
        if getattr(row.record, resistance) == getattr(row.record, reactance) == 0:
            yield row.error(reactance, f"0 as {resistance} is, expected an impedance above 0")


def _check_line_codes(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
    for row in _rows(feeder, "line_codes"):
        code: LineCode = row.record
        for field in ("resistance", "reactance", "capacitance"):
            yield from _check_matrix(row, field, code.phases, "phases")
        if _is_singular(np.array(code.resistance) + 1j * np.array(code.reactance)):
            yield row.error("reactance", "singular with the resistance, expected an impedance")


def _is_singular(impedance: ComplexArray) -> bool:
    size = np.linalg.svd(impedance, compute_uv=False)
    return bool(size[-1] <= SMALLEST_IMPEDANCE * size[0])


def _check_matrix(row: _Row, field: str, size: int, of: str) -> Iterator[InvalidFeeder]:
    matrix = getattr(row.record, field)
    if len(matrix) != size or any(len(line) != size for line in matrix):
        yield row.error(field, f"{matrix}, expected a matrix of {of} = {size}")
    elif matrix != tuple(zip(*matrix, strict=True)):
        yield row.error(field, f"{matrix}, expected a symmetric matrix")
    elif not all(abs(entry) <= LARGEST_ENTRY for line in matrix for entry in line):
        yield row.error(field, f"{matrix}, expected numbers up to {LARGEST_ENTRY:g}")


def _check_lines(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
    codes = {code.name: code for code in feeder.line_codes}
    for row in _rows(feeder, "lines"):
        if not any((*row.record.from_phases, *row.record.to_phases)):
            yield row.error("from_phases", "ground at both ends, expected a phase at one of them")
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
        units = row.record.length_unit, codes[name].length_unit
        if (units[0] == "none") != (units[1] == "none"):
            yield row.error(
                "length_unit",
                f"{units[0]!r} with {units[1]!r} of line code {name!r}, expected both or neither "
                "to be 'none'",
            )


def _check_terminals(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
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
                if table in ("lines", "windings"):
                    phases = tuple(phase for phase in phases if phase)  # 0 is the ground
                yield from _check_terminal(known, row, bus_field, phases_field, phases)
    for row in _rows(feeder, "switches"):
        if not row.record.phases:
            yield row.error("phases", "none, expected one or more")
    for table in ("windings", "capacitors", "loads"):
        for row in _rows(feeder, table):
            yield from _check_connection(known, row)


def _check_connection(known: dict[str, tuple[int, ...]], row: _Row) -> Iterator[InvalidFeeder]:
    record = row.record
    count = {"wye": (1, 2, 3), "delta": (2, 3), "open_delta": (3,)}[record.connection]
    if len(record.phases) not in count:
        wanted = " or ".join(map(str, count))
        yield row.error("phases", f"{record.phases}, expected {wanted} for {record.connection}")
    if record.neutral and record.connection != "wye":
        yield row.error("neutral", f"{record.neutral} of a {record.connection}, expected 0")
    elif record.neutral and (
        record.neutral in record.phases or record.neutral not in known[record.bus]
    ):
        others = tuple(phase for phase in known[record.bus] if phase not in record.phases)
        yield row.error("neutral", f"{record.neutral}, expected 0 or one of {others}")


def _phases_of_buses(feeder: FeederRecords) -> dict[str, tuple[int, ...]]:
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
    elif len(set(phases)) != len(phases) or not set(phases) <= set(known[bus]):
        yield row.error(
            phases_field, f"{phases}, expected different phases among {known[bus]} of bus {bus!r}"
        )


def _check_transformers(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
    windings = _rows(feeder, "windings")
    for row in _rows(feeder, "transformers"):
        transformer: Transformer = row.record
        count = len(transformer.windings)
        if transformer.phases not in (1, 2, 3):
            yield row.error("phases", f"{transformer.phases}, expected 1, 2 or 3")
        if count < 2:
            yield row.error("name", f"{count} windings of it in windings, expected two or more")
        pairs = count * (count - 1) // 2
        reactance = transformer.reactance_percent
        if len(reactance) != pairs or not all(1e-9 <= x <= 1e6 for x in reactance):
            yield row.error(
                "reactance_percent", f"{reactance}, expected {pairs} numbers from 1e-9 to 1e6"
            )
        elif _is_singular(
            leakage_impedance([w.resistance_percent for w in transformer.windings], reactance)
        ):
            yield row.error(
                "reactance_percent", f"{reactance}, which no {count} windings can have between them"
            )
        for _ in transformer.windings:
            yield from _check_winding(next(windings), transformer)


def _check_winding(row: _Row, transformer: Transformer) -> Iterator[InvalidFeeder]:
    winding: Winding = row.record
    # Terminals of a winding by the transformer's number of phases and its own connection.
    terminals = {
        (1, "wye"): (1, 2),
        (1, "delta"): (2,),
        (2, "wye"): (2,),
        (2, "open_delta"): (3,),
        (3, "wye"): (3,),
        (3, "delta"): (3,),
    }
    phases, connection = transformer.phases, winding.connection
    if phases in (1, 2, 3) and (phases, connection) not in terminals:
        known = " or ".join(c for count, c in terminals if count == phases)
        yield row.error(
            "connection", f"{connection} in a {phases}-phase transformer, expected {known}"
        )
    elif phases in (1, 2, 3) and len(winding.phases) not in terminals[phases, connection]:
        yield row.error(
            "phases",
            f"{winding.phases}, expected {' or '.join(map(str, terminals[phases, connection]))} of "
            f"them in a {connection} winding of {transformer.name!r}, a {phases}-phase "
            "transformer",
        )
    between_two = (phases, len(winding.phases)) == (1, 2) and any(winding.phases)
    if 0 in winding.phases and not between_two:
        yield row.error("phases", f"{winding.phases}, expected no 0")
    if winding.neutral and len(winding.phases) > phases:
        yield row.error("neutral", f"{winding.neutral} of a coil between two phases, expected 0")


def _check_regulators(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
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
        limit = row.record.tap_limit
        if abs(row.record.tap_position) > limit:
            yield row.error(
                "tap_position", f"{row.record.tap_position}, expected -{limit} to {limit}"
            )
        if limit * row.record.tap_step >= 1:
            yield row.error(
                "tap_step", f"{row.record.tap_step} x {limit} positions, expected below 1"
            )


def _check_loads(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
    for row in _rows(feeder, "loads"):
        load = row.record
        if not 0 <= load.vlow_pu < load.vmin_pu < load.vmax_pu:
            yield row.error(
                "vmin_pu", f"{load.vmin_pu!r}, expected 0 <= vlow_pu < vmin_pu < vmax_pu"
            )
        for field in ("p_exponent", "q_exponent"):
            if (getattr(load, field) is None) == (load.model == "exponential"):
                wanted = "a number" if load.model == "exponential" else "nothing"
                yield row.error(
                    field, f"{getattr(load, field)!r} with model {load.model}, expected {wanted}"
                )


def _check_admittances(feeder: FeederRecords) -> Iterator[InvalidFeeder]:
    known = {*feeder.node_names, *(f"{bus.name}.0" for bus in feeder.buses)}
    for row in _rows(feeder, "admittances"):
        start, end = row.record.from_nodes, row.record.to_nodes
        for field in ("from_nodes", "to_nodes"):
            lost = [node for node in getattr(row.record, field) if node not in known]
            if lost:
                yield row.error(field, f"unknown {lost[0]!r}, expected nodes such as {min(known)}")
        if not start:
            yield row.error("from_nodes", "none, expected one or more")
        if end and len(end) != len(start):
            yield row.error("to_nodes", f"{len(end)}, expected {len(start)} as in from_nodes")
        for field in ("conductance", "susceptance"):
            yield from _check_matrix(row, field, len(start) + len(end), "nodes")

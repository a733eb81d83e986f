"""Lines, switches and line codes of an OpenDSS circuit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import Any

import numpy as np

from gridedge_env.feeder.elements import line_element, switch_element
from gridedge_env.feeder.opendss.circuit import Circuit, CircuitElement
from gridedge_env.feeder.opendss.elements import OPEN, admittance_of, symmetric
from gridedge_env.feeder.opendss.verification import same_admittance, same_charging
from gridedge_env.feeder.records import Admittance, LengthUnit, Line, LineCode, Switch
from gridedge_env.feeder.validation import RANGES

DEFAULT_AMPACITY = 400.0
"""A, of a line whose model gives none: taken for no rating at all."""


@dataclass(frozen=True)
class Lines:
    """The lines and switches of a circuit, the line codes that they use, and what is neither."""

    lines: tuple[Line, ...]
    line_codes: tuple[LineCode, ...]
    switches: tuple[Switch, ...]
    admittances: tuple[Admittance, ...]


def lines_of(circuit: Circuit) -> Lines:
    """Every line as the simplest record that is the same: a switch, a line, an admittance.

    A line that is open is an open switch; what charges its open end is an admittance.
    """
    codes = _LineCodes(circuit)
    records: list[Line | Switch | Admittance] = []
    for element in circuit.elements_of("Line"):
        record = _switch(element, codes.ampacity(element)) or _line(element, codes)
        records += [record] if record else []
        if record is None or (isinstance(record, Switch) and not record.closed):
            records += admittance_of(element)
    return Lines(
        lines=tuple(record for record in records if isinstance(record, Line)),
        line_codes=tuple(replace(code, name=name) for code, name in codes.names.items()),
        switches=tuple(record for record in records if isinstance(record, Switch)),
        admittances=tuple(record for record in records if isinstance(record, Admittance)),
    )


def _switch(element: CircuitElement, ampacity: float | None) -> Switch | None:
    """An open line, or a closed one without rating that is a resistance per phase."""
    (start, start_phases), (end, end_phases) = map(_terminal, element.terminals)
    if start_phases != end_phases or 0 in start_phases or not _are_different(start_phases):
        return None
    ohm = element.properties["RMatrix"][0][0] * element.properties["Length"]
    least, most = RANGES["switches"]["resistance_ohm"]
    half = len(start_phases)
    if np.abs(element.admittance[:half, half:]).max() <= OPEN:
        return Switch(
            element.name, start, end, start_phases, min(max(ohm, least), most), closed=False
        )
    if ampacity is not None or not least <= ohm <= most:
        return None
    switch = Switch(element.name, start, end, start_phases, ohm, closed=True)
    ours = switch_element(switch)
    return switch if same_admittance(ours, element) and same_charging(ours, element) else None


def _line(element: CircuitElement, codes: _LineCodes) -> Line | None:
    """A line with the first line code that makes it the same; None if there is no such code."""
    (start, start_phases), (end, end_phases) = map(_terminal, element.terminals)
    length = float(element.properties["Length"])
    is_closed = (np.abs(element.admittance) > OPEN).any(axis=1).all()
    is_line = is_closed and _are_different(start_phases) and _are_different(end_phases)
    if not is_line or not length > 0:
        return None
    for code, unit in codes.candidates(element):
        if code.phases != len(start_phases):
            continue
        line = Line(element.name, start, end, start_phases, end_phases, "", length, unit)
        ours = line_element(line, code, codes.circuit.frequency)
        if same_admittance(ours, element) and same_charging(ours, element):
            return replace(line, line_code=codes.name_of(code, element))
    return None


def _terminal(terminal: tuple[tuple[str, int], ...]) -> tuple[str, tuple[int, ...]]:
    return terminal[0][0], tuple(node for _, node in terminal)


def _are_different(phases: tuple[int, ...]) -> bool:
    """Whether they make a terminal: one or more nodes beside the ground, none of them twice."""
    live = [phase for phase in phases if phase]
    return bool(live) and len(set(live)) == len(live)


@dataclass(frozen=True)
class _LineCodes:
    """The line codes in use so far; those that are keys or still candidates have no name.

    Attributes:
        circuit: where the declared ones are.
        names: of every code in use.
        measured: codes taken from primitives, by what the lines call theirs.
    """

    circuit: Circuit
    names: dict[LineCode, str] = field(default_factory=dict)
    measured: dict[str, LineCode] = field(default_factory=dict)

    def candidates(self, element: CircuitElement) -> Iterator[tuple[LineCode, LengthUnit]]:
        """Line codes that may be the element's, the most readable first, and its unit of length."""
        properties = element.properties
        unit, ampacity = properties["Units"], self.ampacity(element)
        declared = self._declared(element)
        if declared is not None:
            # With one of the units unknown, OpenDSS takes the length for one in the code's unit.
            own_unit = declared["Units"] if "none" in (unit, declared["Units"]) else unit
            yield _given_code(declared, ampacity), own_unit
        yield _given_code(properties, ampacity), unit
        label = self._label(element)
        if label in self.measured:
            yield replace(self.measured[label], ampacity=ampacity), unit
        self.measured[label] = _measured_code(element, self.circuit.frequency, ampacity)
        yield self.measured[label], unit

    def ampacity(self, element: CircuitElement) -> float | None:
        """A; None where neither the line, its line code nor its wires give one."""
        ampacity = element.properties["NormAmps"]
        declared = self._declared(element)
        is_default = declared is not None and declared["NormAmps"] is None
        if ampacity is None or (is_default and ampacity == DEFAULT_AMPACITY):
            return None
        return float(ampacity) if ampacity > 0 else None

    def name_of(self, code: LineCode, element: CircuitElement) -> str:
        """What the line calls its code, if no other code has that name; else the line's name."""
        if code not in self.names:
            taken = set(self.names.values())
            numbered = (f"{element.name}_{number}" for number in count(2))
            wanted = chain((self._label(element), element.name), numbered)
            self.names[code] = next(name for name in wanted if name not in taken)
        return self.names[code]

    def _declared(self, element: CircuitElement) -> dict[str, Any] | None:
        name = element.properties["LineCode"]
        return self.circuit.line_codes[name.lower()] if name else None

    def _label(self, element: CircuitElement) -> str:
        properties = element.properties
        return str(properties["LineCode"] or properties["Geometry"] or element.name).lower()


def _given_code(properties: dict[str, Any], ampacity: float | None) -> LineCode:
    """From the matrices of a line code or a line."""
    resistance, reactance, capacitance = (
        symmetric(np.array(properties[name])) for name in ("RMatrix", "XMatrix", "CMatrix")
    )
    unit = properties["Units"]
    return LineCode(
        "", len(resistance), resistance, reactance, capacitance, ampacity, length_unit=unit
    )


def _measured_code(element: CircuitElement, frequency: float, ampacity: float | None) -> LineCode:
    """From the primitive: what OpenDSS makes of a geometry, or of data for another frequency."""
    half = len(element.nodes) // 2
    length = element.properties["Length"]
    series = -element.admittance[:half, half:]
    impedance = np.linalg.inv(series) / length
    charging = (element.admittance[:half, :half] - series).imag / length
    return LineCode(
        name="",
        phases=half,
        resistance=symmetric(impedance.real),
        reactance=symmetric(impedance.imag),
        capacitance=symmetric(1e9 * charging / (math.pi * frequency)),
        ampacity=ampacity,
        length_unit=element.properties["Units"],
    )

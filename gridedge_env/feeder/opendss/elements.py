"""The source, the capacitors, and every element that is only an admittance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gridedge_env.feeder.elements import capacitor_element
from gridedge_env.feeder.opendss.circuit import ADMITTANCES, Circuit, CircuitElement
from gridedge_env.feeder.opendss.verification import (
    ROUNDING,
    nodal,
    same_admittance,
    same_source,
)
from gridedge_env.feeder.primitive import FloatArray
from gridedge_env.feeder.records import Admittance, Capacitor, Connection, Matrix, Source

OTHER_THAN_WYE: dict[int, Connection] = {1: "delta", 2: "open_delta", 3: "delta"}
OPEN = 1e-12
"""S that OpenDSS leaves in the place of an open conductor."""


def source_of(circuit: Circuit) -> Source:
    """The circuit's only source.

    Raises:
        ValueError: for a second source, or for one that is not grounded and balanced with one or
            three phases; names it.
    """
    element, *others = circuit.elements_of("Vsource")
    if others:
        raise others[0].refused("a second source")
    phases = tuple(node for _, node in element.terminals[0])
    grounded = all(node == 0 for _, node in element.terminals[1])
    if not grounded or len(phases) not in (1, 3) or 0 in phases:
        raise element.refused(f"a source between nodes {', '.join(element.nodes)}")
    for rotation in (phases, (phases[0], *phases[:0:-1])):
        for z1, z0 in (_given_impedance(element), _measured_impedance(element)):
            source = Source(
                bus=element.terminals[0][0][0],
                phases=rotation,
                base_kv=element.properties["BasekV"],
                per_unit=element.properties["pu"],
                angle_degrees=element.properties["Angle"],
                r1=z1.real,
                x1=z1.imag,
                r0=z0.real,
                x0=z0.imag,
            )
            if same_source(source, element):
                return source
    raise element.refused("its phases are not balanced, or it changes with time")


def _given_impedance(element: CircuitElement) -> tuple[complex, complex]:
    """Positive and zero sequence."""
    return complex(*element.properties["Z1"]), complex(*element.properties["Z0"])


def _measured_impedance(element: CircuitElement) -> tuple[complex, complex]:
    """The same from the primitive, where OpenDSS makes something else of what was given."""
    count = len(element.terminals[0])
    impedance = np.linalg.inv(element.admittance[:count, :count])
    mutual = impedance[0, 1] if count > 1 else 0.0
    return complex(impedance[0, 0] - mutual), complex(impedance[0, 0] + 2 * mutual)


def capacitors_of(circuit: Circuit) -> Iterator[Capacitor | Admittance]:
    """Every capacitor that has a step switched on; in series, as an admittance."""
    for element in circuit.elements_of("Capacitor"):
        candidates = _capacitors(element)
        same = (c for c in candidates if same_admittance(capacitor_element(c), element))
        capacitor = next(same, None)
        if capacitor is None:
            yield from admittance_of(element)
        else:
            yield capacitor


def _capacitors(element: CircuitElement) -> Iterator[Capacitor]:
    """The shunt with the steps that are on, then with what OpenDSS has made of them."""
    properties = element.properties
    (bus, _), *_ = element.terminals[0]
    nodes = tuple(node for _, node in element.terminals[0])
    if properties["Conn"] == "wye":
        star = set(element.terminals[-1])
        if len(star) > 1 or star.pop()[0] != bus:
            return
        nodes = (*nodes, element.terminals[-1][0][1])
    connected = connection_of(properties["Phases"], properties["Conn"] == "wye", nodes)
    if connected is None or properties["kV"] <= 0:
        return
    phases, connection, neutral = connected
    unit = Capacitor(element.name, bus, phases, connection, 1.0, properties["kV"], neutral)
    given = sum(k * on for k, on in zip(properties["kvar"], properties["States"], strict=True))
    one = np.abs(capacitor_element(unit).admittance).max()
    # Of unequal steps, it takes each for the first.
    for kvar in (given, np.abs(element.admittance).max() / one):
        if kvar > 0:
            yield replace(unit, kvar=float(kvar))


def connection_of(
    count: int, wye: bool, nodes: tuple[int, ...]
) -> tuple[tuple[int, ...], Connection, int] | None:
    """Phases, connection and neutral of an element without polarity; None where there are none.

    Args:
        count: number of phases.
        wye: whether the branches meet in the last of `nodes`; else they close or open a delta.
        nodes: of its conductors.
    """
    if count not in (1, 2, 3):
        return None
    phases, connection, neutral = nodes, OTHER_THAN_WYE[count], 0
    if count == 1 and 0 in nodes:
        phases, connection = (max(nodes),), "wye"
    elif wye and (count > 1 or nodes[1] > 3):
        phases, connection, neutral = nodes[:-1], "wye", nodes[-1]
    if 0 in phases or len({*phases, neutral}) <= len(phases):
        return None
    return phases, connection, neutral


def admittance_of(element: CircuitElement) -> Iterator[Admittance]:
    """An element by its primitive; nothing if none of its conductors carries current.

    Raises:
        ValueError: if the primitive is not symmetric; names the element.
    """
    admittance = element.admittance
    if np.abs(admittance - admittance.T).max() > ROUNDING * np.abs(admittance).max():
        raise element.refused("its admittance is not symmetric")
    live = np.abs(admittance).max(axis=1) > OPEN
    admittance = np.where(np.outer(live, live), admittance, 0.0)
    kept = [at for at in np.flatnonzero(live) if not element.nodes[at].endswith(".0")]
    if not kept:
        return
    half = len(element.nodes) // 2
    in_series = len(element.terminals) == 2 and kept[0] < half <= kept[-1]
    if in_series and len({element.nodes[at] for at in kept}) == len(kept):
        start, end, matrix = element.nodes[:half], element.nodes[half:], admittance
    else:
        start, end = tuple(dict.fromkeys(element.nodes[at] for at in kept)), ()
        matrix = nodal(element.nodes, admittance, start)
    yield Admittance(
        name=f"{element.kind}.{element.name}".lower(),
        from_nodes=start,
        to_nodes=end,
        conductance=symmetric(matrix.real),
        susceptance=symmetric(matrix.imag),
    )


def admittances_of(circuit: Circuit) -> Iterator[Admittance]:
    """Reactors, faults and other linear elements that have no record of their own."""
    for element in circuit.elements_of(*ADMITTANCES):
        yield from admittance_of(element)


def symmetric(matrix: FloatArray) -> Matrix:
    """Exactly symmetric, from what is so but for rounding."""
    return tuple(map(tuple, ((matrix + matrix.T) / 2 + 0.0).tolist()))

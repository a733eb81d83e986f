"""Feeders from OpenDSS: a script is solved there, and each of its elements becomes a record.

No record is taken on trust: its admittance, or the current that it draws, is compared with
OpenDSS's own, and an element that no record describes to rounding becomes an `Admittance`. What
cannot be represented so is refused by name.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse.linalg import splu

from gridedge_env.feeder.admittance import at_rest, build_network
from gridedge_env.feeder.feeder import Feeder
from gridedge_env.feeder.opendss.circuit import Circuit
from gridedge_env.feeder.opendss.elements import admittances_of, capacitors_of, source_of
from gridedge_env.feeder.opendss.injections import loads_of
from gridedge_env.feeder.opendss.lines import lines_of
from gridedge_env.feeder.opendss.process import solved_circuit
from gridedge_env.feeder.opendss.transformers import transformers_of
from gridedge_env.feeder.opendss.verification import LAW_TOLERANCE, unbalanced_nodes
from gridedge_env.feeder.records import Admittance, Bus, Capacitor
from gridedge_env.feeder.validation import InvalidFeeder
from gridedge_gateway.mistakes import one_line

__all__ = ["load_opendss"]

PROVISIONAL_BASE = 1.0
"""kV, of buses that the script gave none, until their own is known."""


def load_opendss(path: str | Path) -> Feeder:
    """The feeder of an OpenDSS script, with its controls where OpenDSS leaves them.

    What it says of the network runs in a process of its own, which can write nothing and read only
    what the script names in its folder or just above; where it does not solve the circuit as a
    snapshot, that is done with the script's settings. Regulators, capacitor steps, switches and
    inverters keep the state that they have then. Meters, shapes and other controls have no effect
    and are left out, and so are disabled elements, and reports that the script asks for.

    Raises:
        OSError: when there is no such file, or what is there is none.
        ImportError: when dss_python is not installed.
        ValueError: when the script does more than describe a network, when OpenDSS finds an error
            or no solution, crashes or takes too long, or when an element cannot be represented;
            names the file, and the line, the element or what OpenDSS said.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{one_line(path)}: no such OpenDSS model")
    try:
        return _feeder(solved_circuit(path), path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _feeder(circuit: Circuit, path: Path) -> Feeder:
    lines = lines_of(circuit)
    transformers = transformers_of(circuit)
    capacitors = tuple(capacitors_of(circuit))
    tables: dict[str, tuple[Any, ...]] = {
        "buses": tuple(
            Bus(bus.name, bus.phases, bus.base_kv or PROVISIONAL_BASE, bus.x, bus.y)
            for bus in circuit.buses
        ),
        "line_codes": lines.line_codes,
        "lines": lines.lines,
        "switches": lines.switches,
        "transformers": transformers.transformers,
        "regulators": transformers.regulators,
        "capacitors": tuple(c for c in capacitors if isinstance(c, Capacitor)),
        "loads": loads_of(circuit),
        "admittances": (
            *lines.admittances,
            *transformers.admittances,
            *(c for c in capacitors if isinstance(c, Admittance)),
            *admittances_of(circuit),
        ),
    }
    try:
        feeder = Feeder(
            name=circuit.name,
            frequency=circuit.frequency,
            source=source_of(circuit),
            provenance=f"{path.name}, through {circuit.version}",
            **tables,
        )
    except InvalidFeeder as error:
        raise _by_name(error, tables) from error
    wrong = unbalanced_nodes(feeder, circuit.voltage, LAW_TOLERANCE * circuit.tolerance)
    if wrong:
        raise ValueError(
            f"cannot be represented: at {', '.join(wrong[:10])} OpenDSS's solution leaves out some "
            "of the current of its elements, expected no open loads or generators"
        )
    unknown = {bus.name for bus in circuit.buses if bus.base_kv == 0}
    return _with_bases(feeder, unknown) if unknown else feeder


def _by_name(error: InvalidFeeder, tables: dict[str, tuple[Any, ...]]) -> ValueError:
    """The same error with the record's name in the place of its row."""
    windings = [t for t in tables["transformers"] for _ in t.windings]
    records = {**tables, "windings": windings}.get(error.table, ())
    if error.index >= len(records):
        return error
    record = records[error.index]
    name = getattr(record, "name", None) or record.transformer
    return ValueError(f"{error.table}, {name}: {error.field}: {error.problem}")


def _with_bases(feeder: Feeder, unknown: set[str]) -> Feeder:
    """Bases for the buses that the script gave none: their no-load voltage at 1 pu of the source.

    A bus's is that of its node with the highest voltage, since a neutral has none to speak of; a
    dead bus has the source's.
    """
    network = build_network(feeder)
    voltage = np.abs(
        splu(at_rest(network.nodal_admittance, network.source_nodes)).solve(network.source_current)
    )
    highest: dict[str, float] = {}
    for node, volt in zip(network.node_names, voltage.tolist(), strict=True):
        bus = node.rpartition(".")[0]
        highest[bus] = max(highest.get(bus, 0.0), volt / 1e3 / feeder.source.per_unit)
    source = feeder.source.base_kv / (math.sqrt(3) if len(feeder.source.phases) == 3 else 1.0)
    return replace(
        feeder,
        buses=tuple(
            replace(bus, base_kv=highest[bus.name] or source) if bus.name in unknown else bus
            for bus in feeder.buses
        ),
    )

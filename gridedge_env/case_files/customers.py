"""Customers and their devices as tables: `agents.csv`, and one for each kind of device.

`agents.csv` has the columns `agent`, `place` and, where demand is metered, `meter`. The table of a
kind, `batteries.csv`, has `agent` and the parameters of that kind; who has several devices stands
in several rows. Numbers are written so that they read back exactly.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from gridedge_env.clock import Clock
from gridedge_env.devices import KINDS, Devices, Fleet, make_fleet
from gridedge_env.devices.kind import DeviceKind
from gridedge_env.devices.ranges import out_of_range
from gridedge_env.feeder.places import PLACE_FORMS
from gridedge_env.scenarios.series import Fault, Faults
from gridedge_env.scenarios.series.faults import Findings, collected
from gridedge_env.scenarios.series.numbers import read_numbers
from gridedge_env.scenarios.series.reading import Table, read_table
from gridedge_gateway.names import check_name

AGENTS_FILE = "agents.csv"
CONNECTIONS_FILE = "connections.csv"


@dataclass(frozen=True)
class Customers:
    """What the tables say.

    Attributes:
        fleet: agents and their devices.
        meters: of each agent, its meter's name; empty where there is none.
        rows: of each agent, its line of `agents.csv`.
        notes: what was assumed, in sentences.
    """

    fleet: Fleet
    meters: tuple[str, ...]
    rows: tuple[int, ...]
    notes: tuple[str, ...]


def table_of(kind: DeviceKind[Any, Any]) -> str:
    """Name of the table of a kind's devices: "ev_chargers.csv"."""
    return f"{kind.plural.replace(' ', '_').lower()}.csv"


def write_customers(fleet: Fleet, meters: Sequence[str], folder: Path) -> None:
    """Write the tables."""
    places = fleet.places
    agents: dict[str, Sequence[Any]] = {"agent": fleet.names, "place": places}
    write_table(folder / AGENTS_FILE, {**agents, "meter": meters} if any(meters) else agents)
    # The order of places is that of the power flow's equations: another would round otherwise.
    if tuple(dict.fromkeys(places)) != fleet.connection_names:
        numbers = range(1, len(fleet.connection_names) + 1)
        write_table(folder / CONNECTIONS_FILE, {"number": numbers, "place": fleet.connection_names})
    for group in fleet.groups:
        columns = {
            entry.name: [repr(value) for value in getattr(group.parameters, entry.name).tolist()]
            for entry in fields(group.parameters)
        }
        owners = [fleet.names[agent] for agent in group.agent.tolist()]
        write_table(folder / table_of(group.kind), {"agent": owners, **columns})


def read_customers(folder: Path, clock: Clock) -> Customers:
    """Read the tables of devices that go by a clock.

    Raises:
        Faults: what is wrong in them, all of it.
    """
    findings = Findings(AGENTS_FILE)
    if not (folder / AGENTS_FILE).exists():
        findings.stop("got no such file, expected the customers")
    table = read_table(folder / AGENTS_FILE, findings)
    columns = texts_of(table, findings, ["agent", "place"], ["meter"])
    rows: dict[str, int] = {}
    for agent, place, row in zip(
        columns["agent"], columns["place"], table.rows.tolist(), strict=True
    ):
        if not place:
            findings.fault(f"got no place, expected {PLACE_FORMS}", row, "place")
        if not agent or agent in rows:
            met = f"{agent!r}, as in row {rows[agent]}" if agent else "no name"
            findings.fault(f"got {met}, expected a name of its own", row, "agent")
        else:
            with collected(findings, row):
                check_name(agent, "agent")
        rows.setdefault(agent, row)
    places = dict(zip(columns["agent"], columns["place"], strict=True))
    faults, notes, devices = list(findings.faults), list(findings.notes), dict[str, Devices]()
    for kind in KINDS.values():
        if (folder / table_of(kind)).exists():
            found = Findings(table_of(kind))
            with suppress(Faults):  # they are among those found
                path = folder / found.file
                devices[kind.name] = _read_devices(path, kind, rows, clock, found)
            faults += found.faults
            notes += found.notes
    owners = {agent for table in devices.values() for agent in table.agent}
    tables = ", ".join(table_of(kind) for kind in KINDS.values())
    if not faults:
        faults += [
            Fault(
                AGENTS_FILE, row, "agent", f"got {agent!r} with no device, expected one in {tables}"
            )
            for agent, row in rows.items()
            if agent not in owners
        ]
    connections, more = _read_connections(folder, places.values())
    faults += more
    if faults:
        raise Faults(faults)
    meters = tuple(columns.get("meter", [""] * len(places)))
    fleet = make_fleet(places, devices, connections)
    return Customers(fleet, meters, tuple(rows.values()), tuple(notes))


def _read_devices(
    path: Path,
    kind: DeviceKind[Any, Any],
    agents: Collection[str],
    clock: Clock,
    findings: Findings,
) -> Devices:
    names = [entry.name for entry in fields(kind.parameters)]
    table = read_table(path, findings)
    owners = texts_of(table, findings, ["agent", *names])["agent"]
    for agent, row in zip(owners, table.rows.tolist(), strict=True):
        if agent not in agents:
            findings.fault(f"got {agent!r}, expected an agent of {AGENTS_FILE}", row, "agent")
    findings.check()
    numbers = read_numbers(table.of([table.names.index(n) for n in names]), findings, "a number")
    for column, name in enumerate(names):
        missing = np.isnan(numbers[:, column]) & (not findings.faults)
        lacking = table.rows[missing].tolist()
        findings.cells(lacking, name, ["got nothing, expected a number"] * len(lacking))
    findings.check()
    columns = {name: numbers[:, column] for column, name in enumerate(names)}
    found = out_of_range(kind.parameters, columns, clock.hours)
    for name, (outside, expected) in found.items():
        odd = columns[name][outside]
        whats = [f"got {value:g}, expected {expected}" for value in odd]
        findings.cells(table.rows[outside].tolist(), name, whats)
    findings.check()
    return Devices(owners, columns)


def _read_connections(folder: Path, places: Iterable[str]) -> tuple[list[str] | None, list[Fault]]:
    """Places in the order of the power flow, if the folder says it; others come behind."""
    path = folder / CONNECTIONS_FILE
    if not path.exists():
        return None, []
    findings = Findings(CONNECTIONS_FILE)
    table = read_table(path, findings)
    listed = texts_of(table, findings, ["number", "place"])["place"]
    seen: dict[str, int] = {}
    for place, row in zip(listed, table.rows.tolist(), strict=True):
        if place in seen:
            findings.fault(f"got {place!r} as in row {seen[place]}, expected it once", row, "place")
        seen.setdefault(place, row)
    return list(dict.fromkeys([*listed, *places])), list(findings.faults)


def texts_of(
    table: Table, findings: Findings, needed: Sequence[str], allowed: Sequence[str] = ()
) -> dict[str, list[str]]:
    """The columns as trimmed text.

    Raises:
        Faults: a column is missing, or one too many.
    """
    expected = [*needed, *allowed]
    for name in table.names:
        if name not in expected:
            findings.fault(f"got this column, expected {', '.join(expected)}", 1, name)
    for name in needed:
        if name not in table.names:
            findings.fault(f"got no column {name!r}, expected {', '.join(needed)}", 1)
    findings.check()
    columns = zip(table.names, table.columns, strict=True)
    return {
        name: [str(cell if cell is not None else "").strip() for cell in column.to_pylist()]
        for name, column in columns
    }


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns by name."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))

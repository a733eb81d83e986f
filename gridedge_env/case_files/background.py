"""Loads of the feeder that take no part: `background.csv`, and their `profiles.csv`.

Without a table, the feeder's loads stay that no customer replaces. With one, those stay that it
lists: a row without a place is a load of the feeder by its name, as modelled but for the power that
the row gives; a row with a place is a load of the user's own, at constant power.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, nan, sqrt
from pathlib import Path

import numpy as np

from gridedge_env.case_files.customers import texts_of, write_table
from gridedge_env.case_files.series import bare, find_series, read_series, write_series
from gridedge_env.feeder import Feeder
from gridedge_env.feeder.places import FIRST_NEUTRAL, loads_beside, place_at
from gridedge_env.feeder.records import Bus, Load
from gridedge_env.scenarios import LoadProfiles
from gridedge_env.scenarios.series import Faults, read_profiles
from gridedge_env.scenarios.series.faults import Findings
from gridedge_env.scenarios.series.numbers import read_numbers
from gridedge_env.scenarios.series.reading import Table, read_table

FEEDER_FOLDER = "feeder"
BACKGROUND_FILE = "background.csv"
COLUMNS = ("load", "place", "kw", "kvar", "profile")
PROFILES = "profiles"
LARGEST_POWER = 1e6  # kW or kvar: a thousand times a feeder's
NAMED = 5  # loads that a note names
# Constant power, as customers draw it: between these voltages, in pu.
LOWEST_VOLTAGE, HIGHEST_VOLTAGE = 0.5, 2.0


def write_background(feeder: Feeder, profiles: LoadProfiles | None, folder: Path) -> None:
    """Write which of the feeder's loads stay, if any: all that it has."""
    if not feeder.loads:
        return
    names = [""] * len(feeder.loads) if profiles is None else profiles.names
    columns = {"load": [load.name for load in feeder.loads], "profile": names}
    write_table(folder / BACKGROUND_FILE, columns)
    if profiles is not None:
        write_series(profiles.series, folder / f"{PROFILES}.csv")


def leave_loads_to_customers(feeder: Feeder, folder: Path) -> None:
    """Write all loads of a feeder to a case, where its customers decide which of them stay."""
    feeder.save(folder / FEEDER_FOLDER)
    (folder / BACKGROUND_FILE).unlink(missing_ok=True)


def read_background(
    folder: Path, feeder: Feeder, places: Sequence[str], time_zone: str
) -> tuple[Feeder, LoadProfiles | None, tuple[str, ...]]:
    """The feeder with the loads that stay, their profiles, and notes.

    Args:
        folder: of the case.
        feeder: with the loads that its tables have.
        places: of the customers, all on the feeder.
        time_zone: of the days.

    Raises:
        Faults: what is wrong in the tables, all of it.
    """
    if not (folder / BACKGROUND_FILE).exists():
        kept = loads_beside(feeder, places)
        notes = _notes(feeder, kept, "as no customer replaces them", places)
        path = find_series(folder, PROFILES, Findings(BACKGROUND_FILE))
        if path.exists():
            notes += (f"{path.name} is not read: there is no {BACKGROUND_FILE}.",)
        return feeder.with_loads(kept), None, notes
    findings = Findings(BACKGROUND_FILE)
    table = read_table(folder / BACKGROUND_FILE, findings)
    loads = _loads(table, feeder, findings)
    findings.check()
    profiles = _profiles(folder, table, time_zone, findings)
    notes = _notes(feeder, loads, f"as {BACKGROUND_FILE} says", places)
    return feeder.with_loads(loads), profiles, (*findings.notes, *notes)


def _loads(table: Table, feeder: Feeder, findings: Findings) -> list[Load]:
    """The load of each row; without those in which something is wrong."""
    texts = texts_of(table, findings, COLUMNS[:1], COLUMNS[1:])
    places = texts.get("place", [""] * len(table.rows))
    powers = [_powers(table, column, findings) for column in ("kw", "kvar")]
    modelled = {load.name: load for load in feeder.loads}
    buses = {bus.name: bus for bus in feeder.buses}
    found: dict[str, Load] = {}
    rows = zip(table.rows.tolist(), texts["load"], places, *powers, strict=True)
    for row, given, place, kw, kvar in rows:
        name = given.lower()  # OpenDSS knows no cases
        if name.split() != [name] or name in found:
            what = f"got {given!r}, expected a name of its own, without spaces"
            findings.fault(what, row, "load")
        if place and isnan(kw):
            findings.fault("got nothing, expected the power of the load here", row, "kw")
        try:
            load = _load_at(name, place, buses) if place else modelled[name]
        except ValueError as error:
            findings.fault(str(error).removeprefix("place: "), row, "place")
        except KeyError:
            what = f"got {given!r}, expected a load of the feeder, or a place for one of your own"
            findings.fault(what, row, "load")
        else:
            own = {"kw": kw, "kvar": kvar}
            changed = {column: power for column, power in own.items() if not isnan(power)}
            found[name] = replace(load, **changed)
    return list(found.values())


def _powers(table: Table, column: str, findings: Findings) -> list[float]:
    """A column of power; not a number where there is nothing."""
    if column not in table.names:
        return [nan] * len(table.rows)
    cells = table.of([table.names.index(column)])
    powers = read_numbers(cells, findings, f"a power in {column}")[:, 0]
    odd = np.flatnonzero(np.abs(powers) > LARGEST_POWER)
    whats = [f"got {power:g}, expected up to {LARGEST_POWER:g}" for power in powers[odd]]
    findings.cells(table.rows[odd].tolist(), column, whats)
    return powers.tolist()


def _load_at(name: str, place_name: str, buses: dict[str, Bus]) -> Load:
    """A load of constant power, still without any, at a place.

    Raises:
        ValueError: no such place.
    """
    place = place_at(place_name, buses)
    (first, other), base = place.branches[0], buses[place.bus].base_kv
    between_phases = 0 < other < FIRST_NEUTRAL
    phases = tuple(phase for phase, _ in place.branches)
    return Load(
        name=name,
        bus=place.bus,
        phases=(first, other) if between_phases else phases,
        connection="delta" if between_phases else "wye",
        model="constant_power",
        kv=base if phases == (first,) and not between_phases else sqrt(3.0) * base,
        kw=0.0,
        kvar=0.0,
        vmin_pu=LOWEST_VOLTAGE,
        vmax_pu=HIGHEST_VOLTAGE,
        vlow_pu=0.0,
        neutral=0 if between_phases else other,
    )


def _profiles(
    folder: Path, table: Table, time_zone: str, findings: Findings
) -> LoadProfiles | None:
    """The profiles of the loads of a table; None if no row names one."""
    names = texts_of(table, findings, COLUMNS[:1], COLUMNS[1:]).get("profile", [])
    if not any(names):
        return None
    path = find_series(folder, PROFILES, findings)
    if not path.exists():
        findings.stop(f"got profiles and no {path.name}, expected one beside it", None, "profile")
    series = read_series(read_profiles, path, findings, time_zone)
    if series is None:
        raise Faults(findings.faults)
    findings.notes += (f"{path.name}: {note}" for note in series.notes)
    for row, name in zip(table.rows.tolist(), names, strict=True):
        if name and name not in series.names:
            findings.fault(f"got {name!r}, expected a column of {path.name}", row, "profile")
    findings.check()
    try:
        return LoadProfiles(bare(series), tuple(names), time_zone)
    except ValueError as error:
        findings.stop(str(error).removeprefix("profile: "), None, "profile")


def _notes(
    feeder: Feeder, kept: Sequence[Load], why: str, places: Sequence[str]
) -> tuple[str, ...]:
    """Which loads stay and why, which of the feeder's customers replace, and which are left out."""
    names = {load.name for load in kept}
    beside = {load.name for load in loads_beside(feeder, places)}
    gone = [load for load in feeder.loads if load.name not in names]
    replaced = [load for load in gone if load.name not in beside]
    missing = [load for load in gone if load.name in beside]
    notes = []
    if kept:
        notes.append(f"Loads that stay, {why}: {_power(kept)}.")
    if replaced:
        notes.append(f"Loads of the feeder that customers replace: {_listed(replaced)}.")
    if missing:
        notes.append(f"Loads of the feeder that are left out: {_listed(missing)}.")
    return tuple(notes)


def _power(loads: Sequence[Load]) -> str:
    return f"{len(loads)}, of {sum(load.kw for load in loads):,.1f} kW"


def _listed(loads: Sequence[Load]) -> str:
    shown = ", ".join(load.name for load in loads[:NAMED])
    return f"{_power(loads)} ({shown}{', ...' if len(loads) > NAMED else ''})"

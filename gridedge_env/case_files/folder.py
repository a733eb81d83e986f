"""The folder of a case, read and written whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from gridedge_env.case_files.customers import (
    AGENTS_FILE,
    CONNECTIONS_FILE,
    Customers,
    read_customers,
    table_of,
    write_customers,
)
from gridedge_env.case_files.description import (
    CASE_FILE,
    TAPS,
    check_keys,
    collected,
    read_description,
    with_rows,
    write_description,
)
from gridedge_env.case_files.series import (
    METERS,
    PRICES,
    SUFFIXES,
    WEATHER,
    read_days,
    read_demand,
    write_days,
    write_demand,
)
from gridedge_env.checks import check_number, check_source_voltage
from gridedge_env.clock import Clock
from gridedge_env.constraints import Limits
from gridedge_env.devices import KINDS
from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.feeder.admittance import build_network
from gridedge_env.powerflow.injections import device_branches
from gridedge_env.scenarios import DaySource, DemandSource, GeneratedDemand, ObservedDays, Tariff
from gridedge_env.scenarios.series import Fault, Faults
from gridedge_env.scenarios.series.faults import Findings
from gridedge_env.scenarios.tariff import tariff_from_record

FEEDER_FOLDER = "feeder"


def write_case(case: Mapping[str, Any], folder: Path) -> None:
    """Write the fields of a `Case`.

    Raises:
        ValueError: the folder holds something, or the case has a source that no folder can hold.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"folder: {folder} is not empty, expected a new one")
    folder.mkdir(parents=True, exist_ok=True)
    days = write_days(case["days"], folder)
    demand, meters = write_demand(case["demand"], folder)
    case["feeder"].save(folder / FEEDER_FOLDER)
    write_customers(case["fleet"], meters, folder)
    taps = "controlled" if case["regulator_control"] else "as modelled"
    zone = getattr(case["demand"], "time_zone", getattr(case["days"], "time_zone", None))
    write_description(
        {
            "time_zone": zone,
            "step_minutes": case["clock"].minutes,
            "penalty": case["penalty"],
            "reactive_power": case["reactive_power"],
            "seed": case["seed"],
            "feeder": {"taps": taps},
            "limits": case["limits"].thresholds,
            "tariff": case["tariff"].record(),
            "days": days,
            "demand": demand,
        },
        folder,
    )


def read_case(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of a `Case`, and what was repaired, left out or assumed.

    Raises:
        FileNotFoundError: no folder, or no `case.toml` in it.
        Faults: all that is wrong in its files.
    """
    findings = Findings(CASE_FILE)
    description = read_description(folder, findings)
    faults = list(_unread(folder))
    feeder = _feeder(folder, description["feeder"], findings, faults)
    customers = _customers(folder, feeder, faults)
    clock = Clock.of_minutes(description["step_minutes"])
    limits = _limits(description["limits"], findings)
    tariff = _tariff(description["tariff"], clock, findings)
    zone, notes = description["time_zone"], list[str]()
    days: DaySource = ObservedDays()
    demand: DemandSource[Any] = GeneratedDemand()
    with listed(faults):
        days, found = read_days(folder, description["days"], zone)
        notes += found
    with listed(faults):
        demand, found = read_demand(folder, description["demand"], zone, days, customers)
        notes += [*found, *(customers.notes if customers else ())]
    if customers and not (faults or findings.faults):
        for group in customers.fleet.groups:
            with collected(findings):
                group.kind.check_days(days.load("train", clock))
    if faults or findings.faults:
        raise Faults(with_rows([*findings.faults, *faults], folder))
    assert customers is not None
    return {
        "feeder": feeder,
        "fleet": customers.fleet,
        "clock": clock,
        "days": days,
        "demand": demand,
        "tariff": tariff,
        "limits": limits,
        "penalty": description["penalty"],
        "reactive_power": description["reactive_power"],
        "regulator_control": description["feeder"].get("taps") == "controlled",
        "seed": description["seed"],
    }, tuple(notes)


def _unread(folder: Path) -> Iterator[Fault]:
    """Tables that nothing reads: under a slip of the pen devices or meters would be left out."""
    tables = [AGENTS_FILE, CONNECTIONS_FILE, *map(table_of, KINDS.values())]
    series = [f"{name}{suffix}" for name in (PRICES, WEATHER, METERS) for suffix in SUFFIXES]
    expected = ", ".join([*tables, *(name for name in series if name.endswith(".csv"))])
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith(SUFFIXES) and path.name not in (*tables, *series):
            yield Fault(path.name, None, None, f"got this file, expected {expected}")


@contextmanager
def listed(faults: list[Fault]) -> Iterator[None]:
    """Add what is found wrong to a list."""
    try:
        yield
    except Faults as error:
        faults += error.faults


def _feeder(
    folder: Path, section: Mapping[str, Any], findings: Findings, faults: list[Fault]
) -> Feeder | None:
    """The feeder, its source voltage and taps as the description says."""
    check_keys(section, ["source_voltage", "taps"], findings, "feeder.")
    taps = section.get("taps", TAPS[0])
    if taps not in TAPS:
        findings.fault(f"got {taps!r}, expected one of {', '.join(TAPS)}", None, "feeder.taps")
    source_voltage = section.get("source_voltage")
    if source_voltage is not None:
        with collected(findings):
            check_source_voltage(source_voltage, "feeder.source_voltage")
    try:
        feeder = load_feeder(folder / FEEDER_FOLDER)
        if taps == "neutral":
            feeder = feeder.with_neutral_taps()
        return feeder if source_voltage is None else feeder.with_source_voltage(source_voltage)
    except (ValueError, FileNotFoundError) as error:
        faults.append(Fault(FEEDER_FOLDER, None, None, str(error)))
        return None


def _customers(folder: Path, feeder: Feeder | None, faults: list[Fault]) -> Customers | None:
    """The customers, if their tables are right and they stand on the feeder."""
    customers = None
    with listed(faults):
        customers = read_customers(folder)
    if feeder is None or customers is None:
        return customers
    network, fleet = build_network(feeder), customers.fleet
    at_home = [fleet.connection_names[place] for place in fleet.connection.tolist()]
    unused = [place for place in fleet.connection_names if place not in at_home]
    named: list[tuple[str, int | None, str]] = [
        *((AGENTS_FILE, row, place) for row, place in zip(customers.rows, at_home, strict=True)),
        *((CONNECTIONS_FILE, None, place) for place in unused),
    ]
    for file, row, place in named:
        try:
            device_branches(network, [place], 0)
        except ValueError:
            what = f"got {place!r}, expected bus.phase or bus.phase.phase of the feeder"
            faults.append(Fault(file, row, "place", what))
    return customers


def _limits(section: Mapping[str, Any], findings: Findings) -> Limits:
    """The limits: the usual ones where the description says nothing, or nonsense."""
    usual, given = Limits(), dict[str, float]()
    check_keys(section, usual.thresholds, findings, "limits.")
    for name in usual.thresholds.keys() & section.keys():
        with collected(findings):
            given[name] = check_number(section[name], f"limits.{name}")
    with collected(findings):
        return Limits(**given)
    return usual


def _tariff(section: Mapping[str, Any], clock: Clock, findings: Findings) -> Tariff:
    """Retail prices, likewise."""
    tariff, parts = Tariff(), [entry.name for entry in fields(Tariff)]
    check_keys(section, parts, findings, "tariff.")
    for part in parts:
        if part in section:
            with collected(findings):
                price = getattr(tariff_from_record({part: section[part]}), part)
                price.check_clock(clock)
                tariff = replace(tariff, **{part: price})
    return tariff

"""The folder of a case, read and written whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from gridedge_env.case_files.background import (
    BACKGROUND_FILE,
    FEEDER_FOLDER,
    PROFILES,
    read_background,
    write_background,
)
from gridedge_env.case_files.customers import (
    AGENTS_FILE,
    CONNECTIONS_FILE,
    Customers,
    read_customers,
    table_of,
    write_customers,
)
from gridedge_env.case_files.description import (
    AS_MODELLED,
    CASE_FILE,
    LOADS,
    TAPS,
    check_keys,
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
from gridedge_env.feeder import Feeder
from gridedge_env.feeder.loading import load_tables
from gridedge_env.feeder.places import place_at
from gridedge_env.scenarios import (
    DaySource,
    DemandSource,
    GeneratedDemand,
    LoadProfiles,
    ObservedDays,
    Tariff,
)
from gridedge_env.scenarios.series import Fault, Faults
from gridedge_env.scenarios.series.faults import Findings, collected
from gridedge_env.scenarios.tariff import tariff_from_record
from gridedge_gateway.mistakes import in_words

# Mean prices per kWh for which constants in euros are made.
USUAL_PRICE = (0.03, 1.0)


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
    write_background(case["feeder"], case["load_profiles"], folder)
    write_customers(case["fleet"], meters, folder)
    taps = "controlled" if case["regulator_control"] else AS_MODELLED
    zoned = (case[source] for source in ("demand", "days", "load_profiles"))
    zone = next((source.time_zone for source in zoned if hasattr(source, "time_zone")), None)
    write_description(
        {
            "name": case["name"],
            "currency": case["currency"],
            "time_zone": zone,
            "step_minutes": case["clock"].minutes,
            "days_per_episode": case["clock"].days,
            "penalty": case["penalty"],
            "reactive_power": case["reactive_power"],
            "local_response": case["local_response"],
            "public_plan": case["public_plan"],
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
    clock = Clock.of_minutes(description["step_minutes"], description["days_per_episode"])
    faults = list(_unread(folder))
    feeder = _feeder(folder, description["feeder"], findings, faults)
    customers = _customers(folder, clock, faults)
    limits = _limits(description["limits"], findings)
    tariff = _tariff(description["tariff"], clock, findings)
    zone, notes = description["time_zone"], list[str]()
    days: DaySource = ObservedDays()
    demand: DemandSource[Any] = GeneratedDemand()
    with listed(faults):
        days, found = read_days(folder, description["days"], zone, clock)
        notes += found
    with listed(faults):
        demand, found = read_demand(folder, description["demand"], zone, days, customers)
        notes += [*found, *(customers.notes if customers else ())]
    profiles: LoadProfiles | None = None
    if feeder and customers and _all_stand_on(feeder, customers, faults):
        with listed(faults):
            places = customers.fleet.places
            feeder, profiles, found = read_background(folder, feeder, places, zone)
            notes += found
    if customers and not (faults or findings.faults):
        table = days.load("train", clock.day)
        for group in customers.fleet.groups:
            with collected(findings):
                group.kind.check_days(table)
        price = float(tariff.import_price(table, clock.day).mean())
        notes += _price_note(price, description["currency"])
    if faults or findings.faults:
        raise Faults(with_rows([*findings.faults, *faults], folder))
    assert customers is not None
    return {
        "feeder": feeder,
        "fleet": customers.fleet,
        "clock": clock,
        "days": days,
        "demand": demand,
        "load_profiles": profiles,
        "tariff": tariff,
        "limits": limits,
        "penalty": description["penalty"],
        "reactive_power": description["reactive_power"],
        "local_response": description["local_response"],
        "public_plan": description["public_plan"],
        "regulator_control": description["feeder"].get("taps") == "controlled",
        "seed": description["seed"],
        "name": description["name"],
        "currency": description["currency"],
    }, tuple(notes)


def _price_note(price: float, currency: str) -> list[str]:
    """Whether electricity, at a mean price per kWh, costs what constants in euros are made for."""
    if USUAL_PRICE[0] <= price <= USUAL_PRICE[1]:
        return []
    least, most = USUAL_PRICE
    return [
        f"Electricity costs {price:.3g} {currency}/kWh on average. What agents observe of prices, "
        f"the price of cold rooms and the weights of limits in training are made for {least:g} "
        f"to {most:g}: state prices and costs in a unit that is worth about a euro."
    ]


def _unread(folder: Path) -> Iterator[Fault]:
    """Tables that nothing reads: under a slip of the pen devices or meters would be left out."""
    tables = [AGENTS_FILE, CONNECTIONS_FILE, BACKGROUND_FILE, *map(table_of, KINDS.values())]
    names = (PRICES, WEATHER, METERS, PROFILES)
    series = [f"{name}{suffix}" for name in names for suffix in SUFFIXES]
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
    """The feeder; its source voltage, taps and loads as the description says."""
    check_keys(section, ["source_voltage", "taps", "loads"], findings, "feeder.")
    taps, loads = (section.get(key, AS_MODELLED) for key in ("taps", "loads"))
    for key, value, known in (("taps", taps, TAPS), ("loads", loads, LOADS)):
        if value not in known:
            what = f"got {value!r}, expected one of {', '.join(known)}"
            findings.fault(what, None, f"feeder.{key}")
    source_voltage: float | None = None
    if "source_voltage" in section:
        with collected(findings):
            given = section["source_voltage"]
            source_voltage = check_source_voltage(given, "feeder.source_voltage")
    try:
        feeder = load_tables(folder / FEEDER_FOLDER)  # never a script
        if taps == "neutral":
            feeder = feeder.with_neutral_taps()
        if loads == "none":
            feeder = feeder.without_loads()
        return feeder if source_voltage is None else feeder.with_source_voltage(source_voltage)
    except (ValueError, OSError) as error:
        faults.append(Fault(FEEDER_FOLDER, None, None, in_words(error)))
        return None


def _customers(folder: Path, clock: Clock, faults: list[Fault]) -> Customers | None:
    """The customers, if their tables are right."""
    with listed(faults):
        return read_customers(folder, clock)
    return None


def _all_stand_on(feeder: Feeder, customers: Customers, faults: list[Fault]) -> bool:
    """Whether all customers' places are on the feeder; those that are not are faults."""
    buses, before = {bus.name: bus for bus in feeder.buses}, len(faults)
    fleet = customers.fleet
    unused = [place for place in fleet.connection_names if place not in fleet.places]
    named: list[tuple[str, int | None, str]] = [
        *((AGENTS_FILE, *each) for each in zip(customers.rows, fleet.places, strict=True)),
        *((CONNECTIONS_FILE, None, place) for place in unused),
    ]
    for file, row, place in named:
        try:
            place_at(place, buses)
        except ValueError as error:
            what = str(error).removeprefix("place: ")
            faults.append(Fault(file, row, "place", what))
    return len(faults) == before


def _limits(section: Mapping[str, Any], findings: Findings) -> Limits:
    """The limits: the usual ones where the description says nothing, or nonsense."""
    usual, given = Limits(), dict[str, float]()
    check_keys(section, usual.thresholds, findings, "limits.")
    for name in usual.thresholds:
        if name in section:
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

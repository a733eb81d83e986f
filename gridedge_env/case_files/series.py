"""The series of a case: `prices.csv`, `weather.csv` and `meters.csv`, or what stands for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from gridedge_env.case_files.customers import AGENTS_FILE, Customers
from gridedge_env.case_files.description import CASE_FILE, check_keys
from gridedge_env.checks import check_positive, renamed
from gridedge_env.clock import HOURS_PER_DAY, Clock
from gridedge_env.scenarios import (
    SPLITS,
    CustomerMeters,
    DaySource,
    DemandSource,
    GeneratedDemand,
    MeteredDemand,
    ObservedDays,
    SeriesDays,
)
from gridedge_env.scenarios.observed import consecutive
from gridedge_env.scenarios.own_series import DateRange
from gridedge_env.scenarios.series import (
    Fault,
    Faults,
    Series,
    by_local_day,
    notes_of_days,
    read_meters,
    read_prices,
    read_weather,
)
from gridedge_env.scenarios.series.faults import Findings, collected

OBSERVED, GENERATED = "observed", "generated"
# Meters of homes of which customers get some, on days of the same month and kind.
POOL = "pool"
PRICES, WEATHER, METERS = "prices", "weather", "meters"
SUFFIXES = (".csv", ".csv.gz", ".parquet", ".epw")

# Keys of a section, by the reader's argument that they are.
_PRICE_KEYS = {"unit": "price_unit", "stamps": "price_stamps"}
_WEATHER_KEYS = {"stamps": "weather_stamps", "year": "weather_year"}
_METER_KEYS = {key: key for key in ("unit", "stamps", "largest_gap_share", "leave_out")}
_POOL_KEYS = {**_METER_KEYS, "time_zone": "time_zone"}


def find_series(folder: Path, name: str, findings: Findings) -> Path:
    """The file of a series, whatever its format; the usual one where there is none."""
    paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    found = [path for path in paths if path.exists()]
    if len(found) > 1:
        listed = " and ".join(path.name for path in found)
        findings.fault(f"got {listed} beside it, expected one of them", None, name)
    return found[0] if found else paths[0]


def read_days(
    folder: Path, section: Mapping[str, Any], time_zone: str, clock: Clock
) -> tuple[DaySource, tuple[str, ...]]:
    """The source of days, and notes.

    Args:
        folder: of the case.
        section: `[days]` of its description.
        time_zone: of the days.
        clock: whose episodes must fit into each split.

    Raises:
        Faults: what is wrong in the section, or in the files.
    """
    findings = Findings(CASE_FILE)
    prices, weather = (find_series(folder, name, findings) for name in (PRICES, WEATHER))
    alone = not (prices.exists() or weather.exists())
    if section.get("source", OBSERVED if alone else "") == OBSERVED:
        check_keys(section, ["source"], findings, "days.")
        findings.check()
        left = (f"{path.name} is not read." for path in (prices, weather) if path.exists())
        return ObservedDays(), ("Prices and weather are the built-in ones.", *left)
    known = [*_PRICE_KEYS.values(), *_WEATHER_KEYS.values(), "site", *SPLITS]
    check_keys(section, known, findings, "days.")
    for path in (prices, weather):
        if not path.exists():
            findings.fault(f"got no {path.name}, expected one beside it", None, "days")
    site = section.get("site")
    if site is not None:
        site = _site(site, findings)
    splits = {split: _ranges(section.get(split), split, findings) for split in SPLITS}
    readers = ((read_prices, prices, _PRICE_KEYS), (read_weather, weather, _WEATHER_KEYS))
    series = [
        read_series(reader, path, findings, time_zone, "days", section, keys)
        for reader, path, keys in readers
        if path.exists()
    ]
    findings.check()
    price, seen = filter(None, series)
    days = SeriesDays(bare(price), bare(seen), time_zone, splits, site)
    notes, left_out = list[str](), list[str]()
    for path, read in ((prices, price), (weather, seen)):
        notes += (f"{path.name}: {note}" for note in read.notes)
        left_out += (f"{path.name}: {note}" for note in notes_of_days(read, time_zone))
    for split in SPLITS:
        if not consecutive(days.dates(split), clock.days):
            which = "no day" if clock.days == 1 else f"no {clock.days} days in a row"
            what = f"got {which} on which prices and weather are complete, expected some"
            findings.fault(" ".join([f"{what}.", *left_out]), None, f"days.{split}")
    findings.check()
    notes += left_out
    for one, other in combinations(SPLITS, 2):
        if shared := set(days.dates(one)).intersection(days.dates(other)):
            notes.append(f"{len(shared)} days are in {one} and in {other}.")
    if "irradiance_forecast" in seen.names:
        told = f"{weather.name}: forecasts of the irradiance are left out: no agent observes it."
        notes.append(told)
    return days, tuple(notes)


def read_demand(
    folder: Path,
    section: Mapping[str, Any],
    time_zone: str,
    days: DaySource,
    customers: Customers | None,
) -> tuple[DemandSource[Any], tuple[str, ...]]:
    """The source of demand, and notes; `customers` are None where their tables are faulty.

    Raises:
        Faults: what is wrong in the section `[demand]`, in the file, or with the customers' meters.
    """
    findings = Findings(CASE_FILE)
    path = find_series(folder, METERS, findings)
    metered = path.exists() or any(customers.meters if customers else ())
    if section.get("source", "" if metered else GENERATED) == GENERATED:
        scale = section.get("scale", 1.0)
        check_keys(section, ["source", "scale"], findings, "demand.")
        with collected(findings):
            check_positive(scale, "demand.scale")
        findings.check()
        left = (f"{path.name} is not read.",) if path.exists() else ()
        return GeneratedDemand(scale), ("Demand is generated.", *left)
    if section.get("source", POOL) != POOL:
        what = f"got {section['source']!r:.80}, expected {GENERATED} or {POOL}"
        findings.fault(what, None, "demand.source")
    if section.get("source") == POOL:
        return _read_pool(path, section, time_zone, customers.meters if customers else ())
    check_keys(section, ["source", *_METER_KEYS], findings, "demand.")
    if not path.exists():
        findings.stop(f"got no {path.name}, expected one beside it", None, "demand")
    series = read_series(read_meters, path, findings, time_zone, "demand", section, _METER_KEYS)
    if series is None or customers is None:
        raise Faults(findings.faults)
    meters = customers.meters
    for name, row in zip(meters, customers.rows, strict=True):
        if name and name not in series.names:
            what = f"got {name!r}, expected a meter of {path.name}"
            findings.faults.append(Fault(AGENTS_FILE, row, "meter", what))
    used = list(dict.fromkeys(filter(None, meters)))
    if not used:
        what = f"got no meter of any agent, expected those of {path.name}"
        findings.faults.append(Fault(AGENTS_FILE, None, "meter", what))
    findings.check()
    source = CustomerMeters(bare(series), meters, time_zone, days)
    with collected(findings):
        source.assign_homes("train", len(meters), 0, "cpu")
    findings.check()
    unused = [name for name in series.names if name not in used]
    notes = [f"{path.name}: {note}" for note in series.notes]
    if missing := source.missing_days():
        most = max(missing, key=lambda name: missing[name])
        notes.append(
            f"{path.name}: meters that lack days of the case: {len(missing)}, {most!r} most, "
            f"{missing[most]}; on these each shows its own nearest day of the same kind."
        )
    if unused:
        notes.append(f"{path.name}: meters left out, as no agent has them: {len(unused)}.")
    if len(meters) > len([name for name in meters if name]):
        notes.append("Agents without a meter have no other demand than their devices'.")
    return source, tuple(notes)


def _read_pool(
    path: Path, section: Mapping[str, Any], time_zone: str, meters: Sequence[str]
) -> tuple[MeteredDemand, tuple[str, ...]]:
    findings = Findings(CASE_FILE)
    check_keys(section, ["source", *_POOL_KEYS], findings, "demand.")
    if any(meters):
        findings.fault("got a pool, and meters of agents, expected one of them", None, "demand")
    if not path.exists():
        findings.stop(f"got no {path.name}, expected one beside it", None, "demand")
    series = read_series(read_meters, path, findings, time_zone, "demand", section, _POOL_KEYS)
    if series is None or findings.faults:
        raise Faults(findings.faults)
    findings = Findings(path.name)
    dates, values = by_local_day(series, section.get("time_zone", time_zone))
    demand = MeteredDemand(series.names, dates, torch.from_numpy(values.astype(np.float32)))
    with collected(findings):
        demand.check_drawable()
    findings.check()
    drawn = f"{path.name}: agents get homes of these meters, on days of the same month and kind."
    return demand, (*(f"{path.name}: {note}" for note in series.notes), drawn)


def can_be_saved(days: DaySource, demand: DemandSource[Any]) -> bool:
    """Whether a folder can hold these sources."""
    return isinstance(days, ObservedDays | SeriesDays) and isinstance(
        demand, GeneratedDemand | CustomerMeters | MeteredDemand
    )


def write_days(days: DaySource, folder: Path) -> dict[str, Any]:
    """Write the files of a source of days, and return its section.

    Raises:
        ValueError: a source that no folder can hold.
    """
    if isinstance(days, ObservedDays):
        return {"source": OBSERVED}
    if not isinstance(days, SeriesDays):
        raise ValueError(
            f"days: got {type(days).__name__}, expected ObservedDays or SeriesDays, which a folder "
            "can hold"
        )
    write_series(days.prices, folder / f"{PRICES}.csv")
    write_series(days.weather, folder / f"{WEATHER}.csv")
    splits = {split: [list(each) for each in days.splits.get(split, ())] for split in SPLITS}
    site = {} if days.site is None else {"site": list(days.site)}
    return {"price_unit": "currency/kWh", **site, **splits}


def write_demand(demand: DemandSource[Any], folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Write the file of a source of demand, and return its section and the agents' meters.

    Raises:
        ValueError: a source that no folder can hold.
    """
    if isinstance(demand, GeneratedDemand):
        return {"source": GENERATED, "scale": demand.scale}, ()
    if isinstance(demand, MeteredDemand):
        demand.check_drawable()
        path = folder / f"{METERS}.csv"
        write_series(_series_of(demand), path)
        section = {"source": POOL, "unit": "kW", "time_zone": "UTC", "largest_gap_share": 0.0}
        # What could not be read is refused now.
        _read_pool(path, section, "UTC", ())
        return section, ()
    if not isinstance(demand, CustomerMeters):
        raise ValueError(
            f"demand: got {type(demand).__name__}, expected GeneratedDemand, MeteredDemand or "
            "CustomerMeters, which a folder can hold"
        )
    write_series(demand.meters, folder / f"{METERS}.csv")
    return {"unit": "kW"}, demand.meter


def read_series(
    reader: Callable[..., Series],
    path: Path,
    findings: Findings,
    time_zone: str,
    place: str = "",
    section: Mapping[str, Any] = MappingProxyType({}),
    keys: Mapping[str, str] = MappingProxyType({}),
) -> Series | None:
    """A series, its notes without its path; None where its file, or what is said of it, is faulty.

    Args:
        reader: of such series.
        path: of the file, which faults name.
        findings: takes what is wrong.
        time_zone: of timestamps without an offset.
        place: name of the section.
        section: of the description.
        keys: which of it are arguments of the reader, by the argument.
    """
    options = {option: section[key] for option, key in keys.items() if key in section}
    in_section = {option: f"{place}.{key}" for option, key in keys.items()}
    with collected(findings), renamed(**in_section):
        try:
            series = reader(path, **{"time_zone": time_zone, **options})
            own = (note.removeprefix(f"{path}: ") for note in series.notes)
            return replace(series, notes=tuple(own))
        except Faults as found:
            findings.faults += (replace(fault, file=path.name) for fault in found.faults)
    return None


def bare(series: Series) -> Series:
    """Without notes: what was repaired is repaired."""
    return replace(series, notes=())


def _site(value: Any, findings: Findings) -> tuple[float, float] | None:
    """`[latitude, longitude]`."""
    degrees = value if isinstance(value, list) else []
    if [type(each) in (int, float) for each in degrees] != [True, True] or not (
        abs(degrees[0]) <= 90.0 and abs(degrees[1]) <= 180.0
    ):
        what = f"got {value!r:.80}, expected degrees north and east, such as [52.5, 13.4]"
        findings.fault(what, None, "days.site")
        return None
    return float(degrees[0]), float(degrees[1])


def _ranges(value: Any, split: str, findings: Findings) -> tuple[DateRange, ...]:
    """`[first, last]`, or several such."""
    listed = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    ranges = []
    for entry in listed:
        dates = entry if isinstance(entry, list) else []
        if [type(day) for day in dates] != [date, date] or dates[0] > dates[1]:
            findings.fault(
                f"got {entry!r:.80}, expected the first and last day, such as "
                "[2024-01-01, 2024-12-31], or several such",
                None,
                f"days.{split}",
            )
            return ()
        ranges.append((dates[0], dates[1]))
    return tuple(ranges)


def _series_of(pool: MeteredDemand) -> Series:
    """Its days as if clocks never changed: all are of 24 hours, and those between are missing."""
    first, (_, steps, homes) = pool.dates[0], pool.load.shape
    rows = [(day - first).days for day in pool.dates]
    values = np.full((rows[-1] + 1, steps, homes), np.nan, dtype=np.float32)
    values[rows] = pool.load.numpy()
    begin = datetime.combine(first, time(), timezone.utc)
    return Series(begin, HOURS_PER_DAY * 60 // steps, pool.names, values.reshape(-1, homes), ())


def write_series(series: Series, path: Path) -> None:
    """Write a series so that it reads back exactly."""
    import pandas as pd  # a case in Python needs no files
    import pyarrow as pa
    import pyarrow.csv

    begin, step = pd.Timestamp(series.begin), timedelta(minutes=series.minutes)
    stamps = pd.date_range(begin, periods=len(series.values), freq=step)
    columns = [pa.array(column, from_pandas=True) for column in series.values.T]
    texts = pa.array(stamps.strftime("%Y-%m-%dT%H:%MZ"), pa.string())
    table = pa.Table.from_arrays([texts, *columns], ["timestamp", *series.names])
    # Numbers are the shortest that read back exactly.
    pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(quoting_style="needed"))

"""The series of a case: `prices.csv`, `weather.csv` and `meters.csv`, or what stands for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gridedge_env.case_files.customers import AGENTS_FILE
from gridedge_env.case_files.description import CASE_FILE
from gridedge_env.checks import check_known, check_positive
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
METER_KEYS = ("unit", "stamps", "largest_gap_share", "leave_out")
SUFFIXES = (".csv", ".csv.gz", ".parquet", ".epw")


def find_series(folder: Path, name: str) -> Path:
    """The file of a series, whatever its format; the usual one where there is none."""
    found = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    return next((path for path in found if path.is_file()), found[0])


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
    prices, weather = find_series(folder, "prices"), find_series(folder, "weather")
    alone = not (prices.is_file() or weather.is_file())
    if section.get("source", OBSERVED if alone else "") == OBSERVED:
        with collected(findings):
            check_known(section, ["source"], "days")
        findings.check()
        return ObservedDays(), ("Prices and weather are the built-in ones.",)
    known = ["price_unit", "price_stamps", "weather_stamps", "weather_year", "site", *SPLITS]
    with collected(findings):
        check_known(section, known, "days")
    for path in (prices, weather):
        if not path.is_file():
            findings.fault(f"got no {path.name}, expected one beside it", None, "days")
    site = section.get("site")
    if site is not None:
        site = _site(site, findings)
    splits = {split: _ranges(section.get(split), split, findings) for split in SPLITS}
    findings.check()
    price = read_series(
        read_prices,
        prices,
        findings,
        unit=section.get("price_unit", "currency/MWh"),
        time_zone=time_zone,
        stamps=section.get("price_stamps", "begin"),
    )
    seen = read_series(
        read_weather,
        weather,
        findings,
        time_zone=time_zone,
        stamps=section.get("weather_stamps", "begin"),
        year=section.get("weather_year"),
    )
    days = SeriesDays(bare(price), bare(seen), time_zone, splits, site)
    read = ((prices.name, price), (weather.name, seen))
    left_out = [f"{name}: {note}" for name, of in read for note in notes_of_days(of, time_zone)]
    for split in SPLITS:
        if not consecutive(days.dates(split), clock.days):
            what = "no day" if clock.days == 1 else f"no {clock.days} days in a row"
            why = " ".join(["", *left_out])
            findings.fault(
                f"got {what} on which prices and weather are complete, expected some.{why}",
                None,
                split,
            )
    findings.check()
    notes = [f"{name}: {note}" for name, of in read for note in of.notes] + left_out
    if "irradiance_forecast" in seen.names:
        told = f"{weather.name}: forecasts of the irradiance are left out: no agent observes it."
        notes.append(told)
    return days, tuple(notes)


def read_demand(
    folder: Path,
    section: Mapping[str, Any],
    time_zone: str,
    days: DaySource,
    meters: Mapping[int, str],
) -> tuple[DemandSource[Any], tuple[str, ...]]:
    """The source of demand, and notes.

    Args:
        folder: of the case.
        section: `[demand]` of its description.
        time_zone: of the days.
        days: of the case.
        meters: the customers', in the order of the fleet, by their rows of `agents.csv`; "" is
            none. Empty if nothing is known of customers: then the file is read for its faults.

    Raises:
        Faults: what is wrong in the section `[demand]`, in the file, or with the customers' meters.
    """
    findings = Findings(CASE_FILE)
    path = find_series(folder, "meters")
    metered = path.is_file() or any(meters.values())
    if section.get("source", "" if metered else GENERATED) == GENERATED:
        scale = section.get("scale", 1.0)
        with collected(findings):
            check_known(section, ["source", "scale"], "demand")
            check_positive(scale, "demand.scale")
        findings.check()
        return GeneratedDemand(scale), ("Demand is generated.",)
    pool = section.get("source") == POOL
    with collected(findings):
        check_known(section, [*METER_KEYS, *(("source", "time_zone") if pool else ())], "demand")
    if not path.is_file():
        findings.fault(f"got no {path.name}, expected one beside it", None, "demand")
    findings.check()
    if pool:
        return _read_pool(path, section, section.get("time_zone", time_zone), meters.values())
    series = _read_meters(path, section, time_zone, findings)
    if not meters:  # The tables of customers are wrong; only what is wrong in this file was asked.
        return GeneratedDemand(), ()
    findings = Findings(AGENTS_FILE)
    for row, name in meters.items():
        if name and name not in series.names:
            findings.fault(f"got {name!r}, expected a meter of {path.name}", row, "meter")
    if not any(meters.values()):
        findings.fault(f"got no meter of any agent, expected those of {path.name}", None, "meter")
    findings.check()
    source = CustomerMeters(bare(series), tuple(meters.values()), time_zone, days)
    findings = Findings(path.name)
    with collected(findings):
        source.assign_homes("train", len(meters), 0, "cpu")
    findings.check()
    unused = set(series.names).difference(source.meter)
    notes = [f"{path.name}: {note}" for note in series.notes]
    if missing := source.missing_days():
        most = max(missing, key=lambda name: missing[name])
        notes.append(
            f"{path.name}: {len(missing)} meters lack days of the case, {most!r} most, "
            f"{missing[most]}: there they show their own nearest day of the same kind."
        )
    if unused:
        notes.append(f"{path.name}: {len(unused)} meters that no agent has are left out.")
    if not all(source.meter):
        notes.append("Agents without a meter have no other demand than their devices'.")
    return source, tuple(notes)


def _read_meters(
    path: Path, section: Mapping[str, Any], time_zone: str, findings: Findings
) -> Series:
    return read_series(
        read_meters,
        path,
        findings,
        unit=section.get("unit", "kW"),
        time_zone=time_zone,
        largest_gap_share=section.get("largest_gap_share", 0.01),
        stamps=section.get("stamps", "begin"),
        leave_out=section.get("leave_out", ()),
    )


def _read_pool(
    path: Path, section: Mapping[str, Any], time_zone: str, meters: Iterable[str]
) -> tuple[MeteredDemand, tuple[str, ...]]:
    findings = Findings(CASE_FILE)
    if any(meters):
        findings.stop("got a pool, and meters of agents, expected one of them", None, "demand")
    series = _read_meters(path, section, time_zone, findings)
    findings = Findings(path.name)
    dates, values = by_local_day(series, time_zone)
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
    write_series(days.prices, folder / "prices.csv")
    write_series(days.weather, folder / "weather.csv")
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
        write_series(_series_of(demand), find_series(folder, "meters"))
        section = {"source": POOL, "unit": "kW", "time_zone": "UTC", "largest_gap_share": 0.0}
        # What could not be read is refused now.
        read_demand(folder, section, "UTC", ObservedDays(), {})
        return section, ()
    if not isinstance(demand, CustomerMeters):
        raise ValueError(
            f"demand: got {type(demand).__name__}, expected GeneratedDemand, MeteredDemand or "
            "CustomerMeters, which a folder can hold"
        )
    write_series(demand.meters, folder / "meters.csv")
    return {"unit": "kW"}, demand.meter


def read_series(
    reader: Callable[..., Series], path: Path, findings: Findings, **options: Any
) -> Series:
    """A series; faults name its file, wrong options are faults of the description."""
    try:
        return reader(path, **options)
    except Faults as found:
        raise Faults(replace(fault, file=path.name) for fault in found.faults) from found
    except ValueError as error:
        findings.stop(str(error))


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

    begin, step = pd.Timestamp(series.begin), timedelta(minutes=series.minutes)
    stamps = pd.date_range(begin, periods=len(series.values), freq=step)
    table = pd.DataFrame(series.values, columns=list(series.names))
    table.insert(0, "timestamp", stamps.strftime("%Y-%m-%dT%H:%MZ"))
    # Without a format numbers are the shortest that read back exactly.
    table.to_csv(path, index=False, lineterminator="\n")

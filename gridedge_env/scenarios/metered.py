"""Metered household demand from a user's own file: read, checked, split by home, drawn by day."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

import torch
from torch import Tensor

from gridedge_env.checks import shown
from gridedge_env.clock import FIRST_YEAR, LAST_YEAR, Clock
from gridedge_env.record import Record
from gridedge_env.scenarios.demand import Homes, home_generator
from gridedge_env.scenarios.metered_file import is_long, read_homes
from gridedge_env.scenarios.observed import SPLITS, Calendar, check_split

if TYPE_CHECKING:
    import pandas as pd

KILOWATTS = {"kW": 1.0, "W": 1e-3}
METERED_STEPS = (24, 48, 96)
MISSING_SHARE = 0.01
HELD_OUT_SHARE = 0.15
PLAUSIBLE_MEAN = (0.01, 100.0)
"""kW: outside, the unit must be wrong (below: for half of all homes; above: for any home)."""


@dataclass(frozen=True, eq=False)
class MeteredHomes(Homes):
    """Homes whose demand was metered.

    Attributes:
        load: (days, metered steps, meters) kW, of the meters of the homes' split.
        meter: (homes,) int64, which of these meters is the home's.
        month: (days,) int64, 0 = January.
        weekend: (days,) bool.
    """

    load: Tensor
    meter: Tensor
    month: Tensor
    weekend: Tensor


@dataclass(frozen=True, eq=False)
class MeteredDemand(Record):
    """A `DemandSource` of metered homes; `load_metered_demand` makes one from a file.

    Attributes:
        names: of the homes.
        dates: local days, complete and without clock changes.
        load: (days, metered steps, homes) kW.
    """

    names: tuple[str, ...]
    dates: tuple[date, ...]
    load: Tensor
    scale: ClassVar[float] = 1.0

    def check_drawable(self) -> None:
        """Refuse homes and days of which not every split, month and kind of day can be drawn.

        Raises:
            ValueError: too few of them, days out of order, or a home that does not consume.
        """
        if len(self.names) < len(SPLITS):
            raise ValueError(f"homes: got {len(self.names)}, expected one for each split or more")
        if list(self.dates) != sorted(set(self.dates)):
            raise ValueError("dates: got some twice or out of order, expected each after another")
        if lacking := _kind_of_day_without(self.dates):
            raise ValueError(f"dates: got no complete {lacking}, expected one of each month")
        for name, mean in zip(self.names, self.load.mean(dim=(0, 1)).tolist(), strict=True):
            if not mean > 0.0:
                raise ValueError(f"home {name!r}: got {mean:.4g} kW, expected one that consumes")

    def homes_of(self, split: str) -> list[int]:
        """Indices of a split's homes: validation and test get 15 % each, by a hash of the name."""
        check_split(split)

        def hash_of_name(home: int) -> str:
            return hashlib.sha256(self.names[home].encode()).hexdigest()

        order = sorted(range(len(self.names)), key=hash_of_name)
        held_out = max(1, round(HELD_OUT_SHARE * len(order)))
        parts = order[: -2 * held_out], order[-2 * held_out : -held_out], order[-held_out:]
        return parts[SPLITS.index(split)]

    def assign_homes(
        self, split: str, count: int, seed: int, device: torch.device | str
    ) -> MeteredHomes:
        """Choose homes of the split at random, each as often as any other within one.

        More homes than the split has meters means homes with equal demand: there is then less
        diversity between agents than in reality. See `DemandSource.assign_homes`.

        Raises:
            ValueError: unknown split, or a count below one.
        """
        generator = home_generator(split, count, seed)
        members = self.homes_of(split)
        rounds = -(-count // len(members))
        where: dict[str, Any] = {"device": "cpu", "dtype": torch.long}
        shuffled = [
            torch.randperm(len(members), generator=generator, **where) for _ in range(rounds)
        ]
        meter = torch.cat(shuffled)[:count]
        load = self.load[:, :, members]
        return MeteredHomes(
            mean_power=load.mean(dim=(0, 1))[meter].to(device),
            load=load.to(device),
            meter=meter.to(device),
            month=torch.tensor([day.month - 1 for day in self.dates], **where).to(device),
            weekend=torch.tensor([day.weekday() >= 5 for day in self.dates], **where)
            .bool()
            .to(device),
        )

    def draw(
        self,
        homes: MeteredHomes,
        calendar: Calendar,
        generator: torch.Generator,
        clock: Clock,
    ) -> Tensor:
        """Draw a metered day of the same month and kind, the same one for all homes.

        What homes do at the same time, and their midnight-to-midnight pattern, is thus as it was
        metered; averaged or held over steps of another length. See `DemandSource.draw`.
        """
        like = homes.mean_power
        month, weekend = calendar.month[:, None], calendar.weekend[:, None]
        alike = (homes.month == month) & (homes.weekend == weekend)
        lot = torch.rand(alike.shape, generator=generator, device=like.device, dtype=like.dtype)
        day = ((1.0 + lot) * alike).argmax(dim=1)
        return in_steps(homes.load[day].index_select(-1, homes.meter), clock.steps)


def in_steps(load: Tensor, steps: int) -> Tensor:
    """(days, metered steps, homes) kW, averaged or held over so many steps a day."""
    metered = load.shape[1]
    if metered <= steps:
        return load.repeat_interleave(steps // metered, dim=1)
    return load.unflatten(1, (steps, -1)).mean(dim=2)


def load_metered_demand(
    path: str | Path, unit: str = "kW", timezone: str = "Europe/Amsterdam"
) -> MeteredDemand:
    """Read metered demand from a CSV (also compressed) or Parquet file.

    Wide: the first column holds timestamps, every other column is a home. Long: the columns are
    `timestamp`, `home` and `power`, in any order of columns and rows.

    - Power is the mean over the step that begins at the timestamp, every 15, 30 or 60 minutes:
      averaged, taken or held for the steps of a simulation. It is consumption, so not negative.
    - Timestamps are ISO 8601. Without an offset they are local clock time; with one they are
      converted to it. Days on which clocks change are dropped whatever they hold (an hour missing,
      repeated or neither), as is an incomplete first or last day.
    - At most 1 % of a home's values may be missing; they are interpolated linearly.
    - Every month needs a complete working day and a complete weekend day.

    Args:
        path: `.csv`, `.csv.gz` or `.parquet`.
        unit: of power, "kW" or "W".
        timezone: the homes' local time, an IANA name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything above is not so; the message names file, column and row, counted from
            the first row of data as 1.
    """
    check_unit(unit)
    source = Path(path)
    table = read_homes(source)
    stamps = _local_stamps(source, table.iloc[:, 0], _zone(timezone))
    for column in table.columns[1:]:
        if column != "home" or not is_long(table):
            table[column] = _powers(source, table[column]) * KILOWATTS[unit]

    changes = _clock_change_days(stamps, _zone(timezone))
    kept = ~stamps.dt.date.isin(changes)
    table, stamps = table[kept], stamps[kept]
    by_home = _unstack(source, table, stamps) if is_long(table) else _align(source, table, stamps)
    by_home = _complete_days(source, by_home, stamps, changes)
    by_home = _fill(source, by_home)
    _check_magnitudes(source, by_home)

    dates = tuple(by_home.index[by_home.index == by_home.index.normalize()].date)
    _check_calendar(source, dates)
    if by_home.shape[1] < len(SPLITS):
        raise ValueError(f"{source}: {by_home.shape[1]} homes, expected one for each split or more")
    return MeteredDemand(tuple(map(str, by_home.columns)), dates, _by_day(by_home, len(dates)))


def check_unit(unit: str) -> None:
    """Refuse what is no unit of metered power.

    Raises:
        ValueError: neither kW nor W.
    """
    if not isinstance(unit, str) or unit not in KILOWATTS:
        raise ValueError(f"unit: got {shown(unit)}, expected 'kW' or 'W'")


def _error(source: Path, column: object, row: int, what: str) -> ValueError:
    """An error at a table's row; `row` counts from zero, the message from one."""
    return ValueError(f"{source}: column {str(column)!r}, row {row + 1}: {what}")


def _zone(timezone: str) -> ZoneInfo:
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError) as unknown:
        raise ValueError(f"timezone: got {shown(timezone)}, expected an IANA name") from unknown


def _local_stamps(source: Path, column: pd.Series, zone: ZoneInfo) -> pd.Series:
    """Timestamps as local clock time without an offset."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(column):
        text = column.astype(str).str.strip()
        has_offset = text.str.contains(r":\d\d.*(?:Z|[+-]\d\d:?\d\d)$")
        if has_offset.nunique() > 1:
            odd = int((has_offset != has_offset.iloc[0]).to_numpy().argmax())
            raise _error(source, column.name, odd, "some timestamps have an offset, others none")
        utc = bool(has_offset.iloc[0])
        column = pd.to_datetime(text, format="ISO8601", utc=utc, errors="coerce")
    else:
        text = column
    bad = ~column.dt.year.between(FIRST_YEAR, LAST_YEAR)  # nor has what is no timestamp a year
    if bad.any():
        row = int(bad.to_numpy().argmax())
        expected = f"an ISO 8601 timestamp, of {FIRST_YEAR} to {LAST_YEAR}"
        what = f"got {str(text.iloc[row])!r}, expected {expected}"
        raise _error(source, column.name, row, what)
    return column if column.dt.tz is None else column.dt.tz_convert(zone).dt.tz_localize(None)


def _powers(source: Path, column: pd.Series) -> pd.Series:
    """Power as numbers, missing ones as NaN, none of them negative or infinite."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    bad = (numbers.isna() & column.notna()) | (numbers < 0.0) | numbers.isin([float("inf")])
    if bad.any():
        row = int(bad.to_numpy().argmax())
        what = f"got {str(column.iloc[row])!r}, expected a power, not negative"
        raise _error(source, column.name, row, what)
    return numbers


def _clock_change_days(stamps: pd.Series, zone: ZoneInfo) -> set[date]:
    """The days from the first to the last timestamp that do not have 24 hours."""
    first, last = stamps.min().date(), stamps.max().date()
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]

    def offset(day: date) -> timedelta | None:
        return datetime.combine(day, time(), zone).utcoffset()

    return {day for day in days if offset(day) != offset(day + timedelta(days=1))}


def _align(source: Path, table: pd.DataFrame, stamps: pd.Series) -> pd.DataFrame:
    """A wide table, its timestamps as index."""
    backwards = stamps.diff() <= timedelta(0)
    if backwards.any():
        row = backwards.idxmax()
        what = f"{stamps[row]} does not come after the row before"
        raise _error(source, table.columns[0], row, what)
    return table.iloc[:, 1:].set_axis(stamps)


def _unstack(source: Path, table: pd.DataFrame, stamps: pd.Series) -> pd.DataFrame:
    """A long table as (timestamps, homes)."""
    table = table.assign(timestamp=stamps)
    repeated = table.duplicated(["home", "timestamp"])
    if repeated.any():
        row = repeated.idxmax()
        what = f"home {table.home[row]!r} has {stamps[row]} twice"
        raise _error(source, "timestamp", row, what)
    return table.pivot(index="timestamp", columns="home", values="power")


def _complete_days(
    source: Path, by_home: pd.DataFrame, stamps: pd.Series, changes: set[date]
) -> pd.DataFrame:
    """The rows of complete days, once no step is missing between the first and the last."""
    import pandas as pd

    day = pd.Timedelta(days=1)
    index = by_home.index
    step = index.to_series().diff().mode().get(0, pd.NaT)
    if day / step not in METERED_STEPS:
        raise ValueError(
            f"{source}: column {str(stamps.name)!r}: steps of {step}, expected 15, 30 or 60 minutes"
        )
    first_day, last_day = index[0].normalize(), index[-1].normalize()
    grid = pd.date_range(first_day, last_day + day, freq=step, inclusive="left")
    grid = grid[~pd.Index(grid.date).isin(changes)]
    expected = grid[(grid >= index[0]) & (grid <= index[-1])]
    if not index.equals(expected):
        _report_irregular_step(source, index, expected, stamps)
    incomplete = [first_day] * (index[0] > grid[0]) + [last_day] * (index[-1] < grid[-1])
    return by_home[~index.normalize().isin(incomplete)]


def _report_irregular_step(
    source: Path, index: pd.DatetimeIndex, expected: pd.DatetimeIndex, stamps: pd.Series
) -> None:
    """Raise the error that names the first timestamp which is not the expected one."""
    length = min(len(index), len(expected))
    first = int((index[:length] != expected[:length]).argmax())
    row = int((stamps == index[first]).idxmax())
    what = f"got {index[first]}, expected {expected[first]} as the next regular step"
    raise _error(source, stamps.name, row, what)


def _fill(source: Path, by_home: pd.DataFrame) -> pd.DataFrame:
    """Interpolate the few missing values; refuse a home that misses many."""
    missing = by_home.isna()
    share = missing.mean()
    if (share > MISSING_SHARE).any():
        home = share.idxmax()
        raise ValueError(
            f"{source}: column {str(home)!r}, first at {missing[home].idxmax()}: {share[home]:.1%} "
            f"of values are missing, expected at most {MISSING_SHARE:.0%}"
        )
    return by_home.interpolate(limit_direction="both")


def _check_magnitudes(source: Path, by_home: pd.DataFrame) -> None:
    """Refuse homes that never consume, and powers that betray another unit."""
    mean = by_home.mean()
    low, high = PLAUSIBLE_MEAN
    if mean.max() > high:
        home, what = mean.idxmax(), f"expected at most {high} kW; is the unit W?"
    elif mean.min() == 0.0:
        home, what = mean.idxmin(), "expected a home that consumes"
    elif mean.median() < low:
        home, what = mean.idxmin(), f"expected at least {low} kW for most homes; is the unit kW?"
    else:
        return
    row = f"largest at {by_home[home].idxmax()}"
    raise ValueError(f"{source}: column {str(home)!r}, {row}: mean of {mean[home]:.4g} kW, {what}")


def _check_calendar(source: Path, dates: tuple[date, ...]) -> None:
    """Refuse a record that lacks a month's working days or weekends: they could not be drawn."""
    if lacking := _kind_of_day_without(dates):
        raise ValueError(
            f"{source}: column 'timestamp': no complete {lacking}, expected at least one of each "
            "month (the record must span a year)"
        )


def _kind_of_day_without(dates: tuple[date, ...]) -> str:
    """The first kind of day of which there is none, "" if there are all."""
    present = {(day.month, day.weekday() >= 5) for day in dates}
    for month in range(1, 13):
        for weekend, kind in ((False, "working day"), (True, "weekend day")):
            if (month, weekend) not in present:
                return f"{kind} in month {month}"
    return ""


def _by_day(by_home: pd.DataFrame, days: int) -> Tensor:
    """(days, metered steps, homes) kW, in single precision."""
    values = torch.tensor(by_home.to_numpy(), dtype=torch.float32, device="cpu")
    return values.reshape(days, -1, by_home.shape[1])

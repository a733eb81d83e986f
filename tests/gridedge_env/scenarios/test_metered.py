from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.scenarios import SPLITS, Calendar, MeteredDemand, load_metered_demand
from gridedge_env.scenarios.metered import in_steps

NAMES = ["ash", "birch", "cedar", "elm"]
SHARED = Path(__file__).parents[3].parent / "shared" / "data"
RESSTOCK = SHARED / "household_base_load_2018_hourly.npz"


def on(month: Tensor, weekend: Tensor) -> Calendar:
    """Days of which these sources know the month and the kind alone."""
    return Calendar(torch.zeros_like(month), month, weekend)


@pytest.fixture(scope="module")
def hourly() -> pd.DataFrame:
    """A year by the hour in UTC from local midnight to local midnight; (hours, homes) kW."""
    index = pd.date_range("2017-12-31 23:00", "2018-12-31 22:00", freq="h", tz="UTC")
    power = np.random.default_rng(0).gamma(2.0, 0.25, (len(index), len(NAMES))).round(3)
    return pd.DataFrame(power, index.rename("timestamp"), NAMES)


def local_clock(table: pd.DataFrame) -> pd.DataFrame:
    return table.tz_convert("Europe/Amsterdam").tz_localize(None)


def to_long(table: pd.DataFrame) -> pd.DataFrame:
    return table.reset_index().melt("timestamp", var_name="home", value_name="power")


@pytest.fixture(scope="module")
def reference(hourly, tmp_path_factory) -> MeteredDemand:
    path = tmp_path_factory.mktemp("meters") / "local.csv"
    local_clock(hourly).to_csv(path)
    return load_metered_demand(path)


def test_local_days_are_complete_and_hours_are_held(hourly, reference):
    """Clocks changed on 25 March and 28 October 2018: 363 of 365 days remain."""
    local = local_clock(hourly)
    assert len(reference.dates) == 363
    for text in ("2018-01-01", "2018-03-24", "2018-07-15", "2018-12-31"):
        day = reference.dates.index(pd.Timestamp(text).date())
        hours = local.loc[text].to_numpy()
        np.testing.assert_allclose(reference.load[day], hours, rtol=1e-7)
        held = steps_of(reference.load[day], 30)
        np.testing.assert_allclose(held, np.repeat(hours, 2, axis=0), rtol=1e-7)


def steps_of(load: torch.Tensor, minutes: int) -> torch.Tensor:
    """A metered day (metered steps, homes) in steps of so many minutes."""
    return in_steps(load[None], Clock.of_minutes(minutes).steps)[0]


@pytest.mark.parametrize("form", ["utc", "long", "parquet", "watts", "no daylight saving"])
def test_other_forms_of_the_same_file_give_the_same_demand(form, hourly, reference, tmp_path):
    path, unit = tmp_path / "meters.csv", "kW"
    if form == "utc":
        hourly.to_csv(path)
    elif form == "long":
        to_long(hourly).sample(frac=1.0, random_state=0).to_csv(path, index=False)
    elif form == "parquet":
        path = tmp_path / "meters.parquet"
        hourly.to_parquet(path)
    elif form == "watts":
        unit = "W"
        (local_clock(hourly) * 1000).to_csv(path)
    else:
        local = local_clock(hourly)
        local = local[~local.index.duplicated()]
        local.reindex(pd.date_range(local.index[0], local.index[-1], freq="h")).to_csv(path)
    demand = load_metered_demand(path, unit=unit)
    assert demand.dates == reference.dates
    assert demand.names == reference.names
    torch.testing.assert_close(demand.load, reference.load)


def test_quarter_hours_are_averaged_and_incomplete_ends_dropped(hourly, tmp_path):
    """Quarters of k, k + 0.1, k + 0.2, k + 0.3 average to k + 0.05 and k + 0.25."""
    quarters = hourly.resample("15min").ffill().iloc[20:]
    quarters = quarters.add(0.1 * (quarters.index.minute.to_numpy() // 15), axis=0)
    quarters.to_parquet(tmp_path / "meters.parquet")
    demand = load_metered_demand(tmp_path / "meters.parquet")
    assert demand.dates[0] == pd.Timestamp("2018-01-02").date()
    day = demand.dates.index(pd.Timestamp("2018-05-05").date())
    hours = local_clock(hourly).loc["2018-05-05"].to_numpy()
    expected = np.stack([hours + 0.05, hours + 0.25], axis=1).reshape(48, -1)
    np.testing.assert_allclose(steps_of(demand.load[day], 30), expected, rtol=1e-6)
    np.testing.assert_allclose(steps_of(demand.load[day], 60), hours + 0.15, rtol=1e-6)
    np.testing.assert_allclose(steps_of(demand.load[day], 15), demand.load[day])


def test_few_missing_values_are_interpolated(hourly, tmp_path):
    local = local_clock(hourly)
    local.loc["2018-02-03 10:00":"2018-02-03 11:00", "elm"] = np.nan
    local.loc["2018-02-03 09:00", "elm"], local.loc["2018-02-03 12:00", "elm"] = 1.0, 4.0
    local.to_csv(tmp_path / "meters.csv")
    demand = load_metered_demand(tmp_path / "meters.csv")
    day = demand.dates.index(pd.Timestamp("2018-02-03").date())
    filled = demand.load[day, 9:13, demand.names.index("elm")]
    torch.testing.assert_close(filled, torch.tensor([1.0, 2, 3, 4]))


def spoil_number(table: pd.DataFrame) -> pd.DataFrame:
    table = table.astype(object)
    table.iloc[6, 2] = "n/k"
    return table


def spoil_value(value: float):
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table.iloc[6, 2] = value
        return table

    return spoil


def spoil_many(table: pd.DataFrame) -> pd.DataFrame:
    table.iloc[100:200, 1] = np.nan
    return table


def repeat_row(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table.iloc[:50], table.iloc[49:]])


def spoil_stamp(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_axis(["1/13/2018", *table.index[1:].astype(str)]).rename_axis("timestamp")


def in_year(year: str):
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        stamps = table.index.astype(str).to_list()
        stamps[8] = f"{year}{stamps[8][4:]}"
        return table.set_axis(stamps).rename_axis("timestamp")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_number, r"column 'cedar', row 7: got 'n/k', expected a power"),
        (spoil_value(-0.2), r"column 'cedar', row 7: got '-0\.2', expected a power, not negative"),
        (spoil_value(np.inf), r"column 'cedar', row 7: got 'inf'"),
        (spoil_many, r"column 'birch', first at 2018-01-05 04:00:00: 1\.1% of values are missing"),
        (lambda table: table.drop(table.index[40]), r"row 41: got .*02 17:00.*expected .*02 16:00"),
        (lambda table: table.drop(table.index[960:984]), r"row 961: got 2018-02-11 00:00:00"),
        (repeat_row, r"row 51: 2018-01-03 01:00:00 does not come after"),
        (spoil_stamp, r"column 'timestamp', row 1: got '1/13/2018', expected an ISO 8601"),
        (in_year("0000"), r"row 9: got '0000-\S+ 08:00:00', expected .* of 1940 to 2100"),
        (in_year("9999"), r"row 9: got '9999-\S+ 08:00:00', expected .* of 1940 to 2100"),
        (lambda table: table.iloc[::2], r"steps of 0 days 02:00:00, expected 15, 30 or 60 minutes"),
        (lambda table: table * 1000, r"column '\w+', largest at .* is the unit W\?"),
        (lambda table: table / 1000, r"column '\w+', largest at .* is the unit kW\?"),
        (lambda table: table.assign(elm=0.0), r"column 'elm', .* a home that consumes"),
        (lambda table: table.loc[:"2018-11-30"], r"no complete working day in month 12"),
        (lambda table: table[["ash", "elm"]], r"2 homes, expected one for each split"),
        (lambda table: table[[]], r"8760 rows, 1 columns; expected timestamps in the first"),
    ],
)
def test_bad_files_are_refused_by_name_and_place(spoil, message, hourly, tmp_path):
    path = tmp_path / "meters.csv"
    spoil(local_clock(hourly)).to_csv(path)
    with pytest.raises(ValueError, match=f"meters.csv.*{message}"):
        load_metered_demand(path)


def test_a_home_that_has_a_time_twice_is_refused(hourly, tmp_path):
    table = to_long(local_clock(hourly))
    table.loc[len(table)] = table.loc[3]
    table.to_csv(tmp_path / "long.csv", index=False)
    with pytest.raises(ValueError, match=r"row 35041: home 'ash' has 2018-01-01 03:00:00 twice"):
        load_metered_demand(tmp_path / "long.csv")


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="unit: got 'kWh', expected 'kW' or 'W'"):
        load_metered_demand(tmp_path / "meters.csv", unit="kWh")
    with pytest.raises(
        FileNotFoundError, match=r"meters\.csv: not found, expected a file of metered"
    ):
        load_metered_demand(tmp_path / "meters.csv")
    (tmp_path / "meters.xls").write_text("")
    with pytest.raises(ValueError, match=r"meters\.xls: expected a \.csv"):
        load_metered_demand(tmp_path / "meters.xls")
    (tmp_path / "meters.csv").write_text("timestamp,ash\n2018-01-01 00:00,1\n")
    with pytest.raises(ValueError, match="timezone: got 'Amsterdam', expected an IANA name"):
        load_metered_demand(tmp_path / "meters.csv", timezone="Amsterdam")


def test_splits_share_no_home_and_leave_none_out():
    names = tuple(f"home {n}" for n in range(100))
    demand = MeteredDemand(names, (), torch.zeros(0, 48, 100))
    members = [demand.homes_of(split) for split in SPLITS]
    assert [len(part) for part in members] == [70, 15, 15]
    assert sorted(home for part in members for home in part) == list(range(100))


def test_draw_gives_all_homes_the_same_metered_day_of_the_right_kind(reference):
    homes = reference.assign_homes("train", 7, 0, "cpu")
    month, weekend = torch.arange(12), torch.arange(12) % 3 == 0
    demand = reference.draw(homes, on(month, weekend), torch.Generator().manual_seed(0), Clock())
    assert demand.shape == (12, 48, 7)
    metered = reference.load[:, :, reference.homes_of("train")][:, :, homes.meter]
    for sample, m, w in zip(demand, month.tolist(), weekend.tolist(), strict=True):
        (day,) = (metered == sample[::2]).all(dim=2).all(dim=1).nonzero()[:, 0].tolist()
        assert reference.dates[day].month == m + 1
        assert (reference.dates[day].weekday() >= 5) == w


def test_draw_reaches_every_day_of_its_kind(reference):
    """January 2018 has 8 weekend days; 400 draws miss a given one with chance (7/8)^400 = 6e-24."""
    homes = reference.assign_homes("train", 1, 0, "cpu")
    month, weekend = torch.zeros(400, dtype=torch.int64), torch.ones(400, dtype=torch.bool)
    demand = reference.draw(homes, on(month, weekend), torch.Generator().manual_seed(0), Clock())
    assert len(demand[:, :, 0].unique(dim=0)) == 8


def test_homes_have_their_mean_power_and_repeat_evenly(reference):
    homes = reference.assign_homes("train", 5, 3, "cpu")
    again = reference.assign_homes("train", 5, 3, "cpu")
    assert homes == again
    torch.testing.assert_close(
        homes.mean_power, homes.load.mean(dim=(0, 1))[homes.meter], rtol=1e-6, atol=0.0
    )
    assert homes.meter.bincount().tolist() in ([3, 2], [2, 3])  # two of the four homes train


@pytest.mark.skipif(not RESSTOCK.exists(), reason="needs ../shared/data: a set of 247 homes")
def test_a_real_sized_set_loads(tmp_path):
    """247 homes by the hour in watts, on a clock without daylight saving."""
    data = np.load(RESSTOCK)
    index = pd.date_range("2018-01-01", periods=8760, freq="h", name="timestamp")
    pd.DataFrame(data["watts"].T, index, data["home_id"]).to_csv(tmp_path / "homes.csv")
    demand = load_metered_demand(tmp_path / "homes.csv", unit="W", timezone="America/New_York")
    assert demand.load.shape == (363, 24, 247)
    homes = demand.assign_homes("test", 100, 0, "cpu")
    month, weekend = torch.tensor([0, 6]), torch.tensor([False, True])
    drawn = demand.draw(homes, on(month, weekend), torch.Generator().manual_seed(0), Clock())
    assert drawn.shape == (2, 48, 100)
    # Two of 365 days are left out: the mean of the file is met within 0.5 %.
    assert demand.load.mean().item() == pytest.approx(data["watts"].mean() / 1000, rel=0.005)


def test_a_name_of_two_lines_is_told_in_one():
    with pytest.raises(FileNotFoundError, match=r"^no file\.csv: not found, expected a file"):
        load_metered_demand("no\rfile.csv", "kW", "UTC")

"""Loads that take no part, in the folder of a case."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from gridedge_env import default_case, load_case, load_feeder
from gridedge_env.case_files import read_case
from gridedge_env.cli import case as case_command
from gridedge_env.clock import Clock
from gridedge_env.feeder.records import Load
from gridedge_env.scenarios import GeneratedDemand
from gridedge_env.scenarios.series import Faults
from tests.gridedge_env.other_loads import STAY, case_among_loads

PROFILES = "timestamp,office,night\n" + "".join(
    f"2023-06-05T{hour:02}:00,{1.1 if 8 <= hour < 18 else 0.2},{0.5 if hour < 6 else 0}\n"
    for hour in range(24)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Homes at 671, 634.1 and 645.2 on the tables of IEEE 13, all loads among them."""
    case = replace(case_among_loads(), load_profiles=None)
    replace(case, feeder=load_feeder("ieee13")).save(tmp_path / "case")
    (tmp_path / "case" / "background.csv").unlink()
    return tmp_path / "case"


def background(folder: Path, *rows: str, profiles: str = PROFILES) -> None:
    (folder / "background.csv").write_text("\n".join(("load,place,kw,kvar,profile", *rows)))
    (folder / "profiles.csv").write_text(profiles)


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    case = case_among_loads()
    case.save(tmp_path / "case")
    assert load_case(tmp_path / "case") == case
    kept = replace(case, load_profiles=None)
    kept.save(tmp_path / "kept")
    assert load_case(tmp_path / "kept") == kept


def test_without_a_table_loads_stay_that_no_customer_replaces(folder: Path) -> None:
    feeder = load_feeder("ieee13")
    fields, notes = read_case(folder)
    assert fields["feeder"].loads == tuple(load for load in feeder.loads if load.name in STAY)
    assert fields["load_profiles"] is None
    kept = sum(load.kw for load in fields["feeder"].loads)
    gone = sum(load.kw for load in feeder.loads) - kept
    assert notes[-2:] == (
        f"Loads that stay, as no customer replaces them: 12, of {kept:,.1f} kW.",
        f"Loads of the feeder that customers replace: 3, of {gone:,.1f} kW (671, 634a, 645).",
    )


def test_replaced_and_left_out_are_told_apart(folder: Path) -> None:
    background(folder, "646,,,,", "671,,,,")  # the second although a customer stands there
    assert [note.partition(" (")[0] for note in read_case(folder)[1][-3:]] == [
        "Loads that stay, as background.csv says: 2, of 1,385.0 kW.",
        "Loads of the feeder that customers replace: 2, of 330.0 kW",
        "Loads of the feeder that are left out: 11, of 1,751.0 kW",
    ]


def test_a_case_may_leave_them_out(folder: Path) -> None:
    text = (folder / "case.toml").read_text()
    assert 'taps = "as modelled"' in text
    (folder / "case.toml").write_text(text.replace("[feeder]", '[feeder]\nloads = "none"'))
    assert load_case(folder).feeder.loads == ()


def test_a_table_says_which_stay_and_how(folder: Path) -> None:
    """One of the feeder as modelled, one with another power, even where a home stands; own ones."""
    background(
        folder,
        "646,,,,office",
        "671,,600,,",
        "Pump,632,30,9,night",
        "lamp,633.2,0.4,,",
        "weld,680.1.3,8,,",
    )
    case = load_case(folder)
    modelled = {load.name: load for load in load_feeder("ieee13").loads}
    law = {"model": "constant_power", "vmin_pu": 0.5, "vmax_pu": 2.0, "vlow_pu": 0.0}
    buses = {bus.name: bus.base_kv for bus in case.feeder.buses}
    assert case.feeder.loads[:2] == (modelled["646"], replace(modelled["671"], kw=600.0))
    pump, lamp, weld = case.feeder.loads[2:]
    root = 3.0**0.5
    assert pump == Load(
        "pump", "632", (1, 2, 3), "wye", kv=root * buses["632"], kw=30.0, kvar=9.0, **law
    )
    assert lamp == Load("lamp", "633", (2,), "wye", kv=buses["633"], kw=0.4, kvar=0.0, **law)
    assert weld == Load(
        "weld", "680", (1, 3), "delta", kv=root * buses["680"], kw=8.0, kvar=0.0, **law
    )
    assert pump.branch_kv == pytest.approx(4.16 / root, rel=1e-3)


def test_a_profile_of_one_day_is_every_day_the_same(folder: Path) -> None:
    """In half-hours an hour's value is held; in the first column is the load without a profile."""
    background(folder, "646,,,,office", "611,,,,", "pump,632,30,,night")
    profiles = load_case(folder).load_profiles
    assert profiles is not None
    assert profiles.columns == [1, 0, 2]
    found = profiles.on([date(2024, 2, 29), date(2021, 12, 25)], Clock())
    assert found.shape == (2, 48, 3)
    assert found[0].equal(found[1])
    assert found[0, 15:17].tolist() == [[1.0, 0.2, 0.0], [1.0, 1.1, 0.0]]
    assert found[0, 0].tolist() == [1.0, 0.2, 0.5]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["moon,,5,,"], "row 2, column 'load': got 'moon', expected a load of the feeder, or"),
        (["646,,,,", "646,,,,"], "row 3, column 'load': got '646', expected a name of its own"),
        (["a b,632.1,5,,"], "row 2, column 'load': got 'a b', expected a name of its own"),
        (["pump,632.7,5,,"], "row 2, column 'place': got '632.7', expected 'bus.phase'"),
        (["pump,632.1,,,"], "row 2, column 'kw': got nothing, expected the power"),
        (["pump,632.1,five,,"], "row 2, column 'kw': got 'five', expected a power in kw"),
        (["pump,632.1,5,5e6,"], "row 2, column 'kvar': got 5e\\+06, expected up to 1e\\+06"),
        (["646,,,,shop"], "row 2, column 'profile': got 'shop', expected a column of profiles.csv"),
    ],
)
def test_faults_are_named(folder: Path, rows: list[str], message: str) -> None:
    background(folder, *rows)
    with pytest.raises(Faults, match=f"background.csv, {message}"):
        load_case(folder)


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        (
            PROFILES.replace("1.1", "110", 1),
            "profiles.csv, row 10, column 'office': got 110, expec",
        ),
        (
            PROFILES.replace("1.1", "x", 1),
            "row 10, column 'office': got 'x', expected a multiple of",
        ),
        (
            PROFILES.rsplit("\n", 2)[0],
            "background.csv, column 'profile': got 'office' without a complete day",
        ),
    ],
)
def test_faults_of_profiles_are_named(folder: Path, profiles: str, message: str) -> None:
    background(folder, "646,,,,office", profiles=profiles)
    with pytest.raises(Faults, match=message):
        load_case(folder)
    (folder / "profiles.csv").unlink()
    with pytest.raises(Faults, match="'profile': got profiles and no profiles.csv, expected one"):
        load_case(folder)


def test_a_new_case_of_ones_own_feeder_keeps_its_loads(tmp_path: Path) -> None:
    """All stand in its tables; four homes decide which stay, until the user writes others."""
    feeder = load_feeder("ieee13")
    feeder.save(tmp_path / "tables")
    options = ["--feeder", str(tmp_path / "tables"), "--num-agents", "4"]
    case_command(["new", str(tmp_path / "case"), *options])
    assert load_feeder(tmp_path / "case" / "feeder") == feeder
    case = load_case(tmp_path / "case")
    modelled = {"neutral_taps": False, "source_voltage": feeder.source.per_unit}
    assert case == default_case(feeder, 4, keep_loads=True, public_plan=True, **modelled)
    assert 0 < len(case.feeder.loads) < len(feeder.loads)
    assert (case.feeder.source, case.feeder.regulators) == (feeder.source, feeder.regulators)


def test_homes_are_in_proportion_to_the_loads_that_they_replace() -> None:
    """One home for every 3.49 kW of what is gone, in at most tenfold size."""
    feeder = load_feeder("ieee123")
    case = default_case(feeder, num_agents=120, keep_loads=True)
    kept = {load.name for load in case.feeder.loads}
    gone = sum(load.kw for load in feeder.loads if load.name not in kept)
    assert 0.0 < gone < 3490.0
    assert isinstance(case.demand, GeneratedDemand)
    assert case.demand.scale == pytest.approx(gone / 3.49 / 120)
    assert default_case(feeder, num_agents=120).feeder.loads == ()

"""A case in a folder is the case, and whatever is wrong in its files is named with its place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gridedge_env import Limits, default_case, load_case, make_simulator
from gridedge_env.case_files import read_case
from gridedge_env.clock import Clock
from gridedge_env.scenarios import CustomerMeters, DayTable, ObservedDays, SeriesDays
from gridedge_env.scenarios.series import Faults
from tests.gridedge_env.case_files.street import NAMES, write_street


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases") / "street"
    write_street(folder)
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "feeder": "ieee13",
            "num_agents": 7,
            "step_minutes": 15,
            "reactive_power": True,
        },
        {"feeder": "ieee13", "num_agents": 5, "public_plan": True, "local_response": True},
        {"feeder": "european_lv", "num_agents": 55, "neutral_taps": False, "seed": 5},
        {"num_agents": 12, "regulator_control": True, "limits": Limits(0.9, 1.1), "penalty": 3.0},
    ],
)
def test_saved_and_loaded_is_the_same_to_the_bit(options: dict[str, Any], tmp_path: Path) -> None:
    case = default_case(**options)
    case.save(tmp_path / "case")
    again = load_case(tmp_path / "case")
    assert again == case
    rewards = []
    for each in (case, again):
        simulator = make_simulator(case=each)
        action = torch.full((2, simulator.num_agents, simulator.action_size), 0.3)
        rewards.append(simulator.step(simulator.reset(batch_size=2), action)[1].reward)
    assert torch.equal(*rewards)


def test_a_customer_may_move_to_a_place_where_nobody_was(tmp_path: Path) -> None:
    """It comes behind those whose order is known."""
    case = default_case("ieee13", num_agents=3)
    case.save(tmp_path / "case")
    agents = pd.read_csv(tmp_path / "case" / "agents.csv")
    agents.loc[0, "place"] = "633.1"
    agents.to_csv(tmp_path / "case" / "agents.csv", index=False)
    moved = load_case(tmp_path / "case").fleet
    assert moved.connection_names == (*case.fleet.connection_names, "633.1")
    assert moved.places[0] == "633.1"


def test_a_street_of_ones_own(street: Path, tmp_path: Path) -> None:
    """Names, meters, prices and tariff are the street's; what was assumed is said."""
    case = load_case(street)
    assert case.fleet.names == NAMES
    assert (case.title, case.currency) == ("Elm Street", "CHF")
    assert isinstance(case.days, SeriesDays)
    assert isinstance(case.demand, CustomerMeters)
    simulator = make_simulator(case=case)
    dates = simulator.days("train").dates
    assert (dates[0], dates[-1]) == (date(2024, 3, 2), date(2024, 4, 10))
    assert date(2024, 3, 31) not in dates  # clocks change
    day = simulator.reset(days=[2], split="test").day
    # 23 April 2024 is a Tuesday: 28 quarters at night, 64 by day, 4 before midnight.
    assert day.import_price[0].tolist() == pytest.approx([0.22] * 28 + [0.32] * 64 + [0.22] * 4)
    meters = pd.read_csv(street / "meters.csv")
    own = meters[meters.timestamp.str.startswith("2024-04-23")]
    np.testing.assert_allclose(day.demand[0, :, 1], own["meter 1"], atol=1e-6)
    assert not day.demand[0, :, 5].any()
    units = [field.unit for field in simulator.observation_fields]
    assert "CHF/kWh" in units
    assert not any("€" in unit for unit in units)
    notes = " ".join(read_case(street)[1])
    assert "clocks change: 2024-03-31" in notes
    assert "Agents without a meter" in notes
    case.save(tmp_path / "copy")
    assert load_case(tmp_path / "copy") == case


def test_meters_stand_in_for_their_own_missing_days(street: Path, tmp_path: Path) -> None:
    """Meter 2 begins on 15 March, a Friday: the Saturday 2 March is as its Saturday 16 March."""
    folder = tmp_path / "street"
    shutil.copytree(street, folder)
    meters = pd.read_csv(folder / "meters.csv")
    late = meters.timestamp < "2024-03-15"
    meters.loc[late, "meter 2"] = np.nan
    meters.to_csv(folder / "meters.csv", index=False)
    day = make_simulator(case=load_case(folder)).reset(days=[0], split="train").day
    like = meters[meters.timestamp.str.startswith("2024-03-16")]
    np.testing.assert_allclose(day.demand[0, :, 2], like["meter 2"], atol=1e-6)
    # 2 to 14 March.
    told = "meters.csv: meters that lack days of the case: 1, 'meter 2' most, 13; on these each"
    assert told in " ".join(read_case(folder)[1])


def test_agents_with_meters_get_no_others(street: Path, tmp_path: Path) -> None:
    folder = tmp_path / "street"
    shutil.copytree(street, folder)
    with (folder / "case.toml").open("a", encoding="utf-8") as file:
        file.write('\n[demand]\nsource = "pool"\n')
    with pytest.raises(Faults, match="'demand': got a pool, and meters of agents, expected one"):
        load_case(folder)


def test_sources_of_ones_own_are_refused_by_name(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Mine(ObservedDays):
        pass

    @dataclass(frozen=True)
    class Other:
        def load(self, split: str, clock: Clock) -> DayTable:
            return ObservedDays().load(split, clock)

    case = default_case("ieee13", num_agents=3)
    assert replace(case, days=Mine()).can_be_saved  # what it is but for a name
    with pytest.raises(ValueError, match="^days: got Other, expected ObservedDays or SeriesDays"):
        replace(case, days=Other()).save(tmp_path / "case")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("")
    with pytest.raises(ValueError, match="^folder: .*full is not empty"):
        case.save(tmp_path / "full")


def test_series_made_in_python_read_back_too(street: Path, tmp_path: Path) -> None:
    """Notes, lists, numbers of NumPy and meters that nobody has do not tell cases apart."""
    case = load_case(street)
    assert isinstance(case.days, SeriesDays)
    assert isinstance(case.demand, CustomerMeters)
    splits: Any = {split: list(map(list, ranges)) for split, ranges in case.days.splits.items()}
    days = replace(
        case.days,
        prices=replace(case.days.prices, notes=("One value is repaired.",)),
        splits=splits,
        site=(52, 13),
    )
    meter = (*case.demand.meter[:1], *[""] * 5)
    demand = replace(case.demand, days=days, meter=meter)
    made = replace(case, days=days, demand=demand, seed=np.int64(3), penalty=np.float32(0.1))
    made.save(tmp_path / "case")
    assert load_case(tmp_path / "case") == made


def test_sources_that_do_not_fit_each_other_are_refused(street: Path) -> None:
    """The rows of the demand are those of its days, its columns those of the customers."""
    case = load_case(street)
    assert isinstance(case.days, SeriesDays)
    assert isinstance(case.demand, CustomerMeters)
    days = replace(case.days, splits={**case.days.splits, "train": case.days.splits["test"]})
    fewer = replace(case.demand, meter=case.demand.meter[1:])
    elsewhere = replace(case.days, time_zone="Europe/Athens")
    for changes, message in (
        ({"days": days}, "demand.days: got others than the case's days"),
        (
            {"demand": fewer},
            "got 5, expected .* 6 agents",
        ),
        (
            {"days": elsewhere, "demand": replace(case.demand, days=elsewhere)},
            "time_zone: got Europe/Athens, Europe/Berlin, expected the same of all series",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            replace(case, **changes)
    with pytest.raises(ValueError, match="meter: got no meter of any agent, expected some"):
        replace(case.demand, meter=[""] * 6)
    with pytest.raises(ValueError, match="meter: got 'meter 9', expected one of meter 0"):
        replace(case.demand, meter=["meter 9"] * 6)


def test_money_that_is_worth_much_less_than_a_euro_is_told(street: Path, tmp_path: Path) -> None:
    folder = tmp_path / "street"
    shutil.copytree(street, folder)
    text("case.toml", "otherwise = 0.22", "otherwise = 2.5")(folder)
    assert "Electricity costs" not in " ".join(read_case(street)[1])
    assert "Electricity costs 1." in " ".join(read_case(folder)[1])


def test_what_is_not_read_and_days_of_two_splits_are_told(street: Path, tmp_path: Path) -> None:
    folder = tmp_path / "street"
    shutil.copytree(street, folder)
    text("case.toml", "2024-04-11", "2024-04-09")(folder)
    tail('[demand]\nsource = "generated"\n')(folder)
    (folder / "profiles.csv").write_text("timestamp,school\n", encoding="utf-8")
    notes = read_case(folder)[1]
    assert "meters.csv is not read." in notes
    assert "profiles.csv is not read: there is no background.csv." in notes
    assert "2 days are in train and in validation." in notes


def text(name: str, old: str, new: str) -> Callable[[Path], None]:
    """An edit: the first `old` in a file becomes `new`."""

    def edit(folder: Path) -> None:
        content = (folder / name).read_text(encoding="utf-8")
        assert old in content
        (folder / name).write_text(content.replace(old, new, 1), encoding="utf-8")

    return edit


def tail(lines: str) -> Callable[[Path], None]:
    """An edit: lines at the end of the description."""
    return text("case.toml", "2024-04-30]\n", f"2024-04-30]\n\n{lines}")


def gone(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def heat_pump(**parameters: float) -> Callable[[Path], None]:
    """An edit: other parameters of the first heat pump."""

    def edit(folder: Path) -> None:
        table = pd.read_csv(folder / "heat_pumps.csv")
        table.loc[0, list(parameters)] = list(parameters.values())
        table.to_csv(folder / "heat_pumps.csv", index=False)

    return edit


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a key": (text("case.toml", "seed", "sede"), "case.toml, row 3, column 'sede': got this key,"),
    "a step": (text("case.toml", "= 15", "= 20"), "'step_minutes': got 20, expected one of 15, 30"),
    "a name": (text("case.toml", '"Elm Street"', "7"), "'name': got 7, expected text"),
    "a currency": (text("case.toml", '"CHF"', '"1 CHF"'), "'currency': got '1 CHF', expected a cu"),
    "a zone": (text("case.toml", "Berlin", "Bärlin"), "'time_zone': got 'Europe/Bärlin', expected"),
    "a tariff's key": (
        text("case.toml", "price = 0.08", "prise = 0.08"),
        "row 16, column 'tariff.exports': unknown 'prise'",
    ),
    "a key twice": (
        text("case.toml", 'kind = "fixed"', "price = 0.1"),
        "case.toml, row 18: got no TOML .Cannot overwrite a value.",
    ),
    "a number too long": (
        text("case.toml", "seed = 4", f"penalty = {'9' * 400}"),
        "row 3, column 'penalty': got 9999.*, expected a number of at least 0",
    ),
    "a voltage": (
        text("case.toml", "[limits]", "[feeder]\nsource_voltage = 230\n\n[limits]"),
        "^case.toml, row 8, column 'feeder.source_voltage': got 230, expected a number from 0.5",
    ),
    "no toml": (text("case.toml", "seed = 4", "seed ="), "case.toml, row 3: got no TOML"),
    "a limit": (
        text("case.toml", "= 0.9", "= 2.0"),
        "row 7, column 'limits': got voltages 2.0 to 1.1",
    ),
    "a tariff": (
        text("case.toml", '"fixed"', '"fix"'),
        "row 17, column 'tariff.exports.kind': got 'fix'",
    ),
    "a period": (
        text("case.toml", "07:00", "07:10"),
        "row 11, column 'tariff.imports': got a price that changes at '07:10'",
    ),
    "a split": (
        text("case.toml", "2024-04-10", "2024-02-10"),
        "row 21, column 'days.train': got .*expected the f",
    ),
    "no split": (
        text("case.toml", "test = ", "text = "),
        "row 23, column 'days.text': got this key, expected one of",
    ),
    "no days": (
        text("case.toml", "2024-04-21, 2024-04-30", "2025-01-01, 2025-02-01"),
        "row 23, column 'days.test': got no day",
    ),
    "a twin": (
        text("agents.csv", "bob", "ann"),
        "agents.csv, row 3, column 'agent': got 'ann', as",
    ),
    "no place": (text("agents.csv", "671.3.1", ""), "agents.csv, row 2, column 'place': got no"),
    "a place": (text("agents.csv", "ann,", "ann,x"), "agents.csv, row 2, column 'place': got 'x"),
    "a meter": (
        text("agents.csv", "meter 1", "meter 9"),
        "agents.csv, row 3, column 'meter': got 'meter 9',",
    ),
    "no meters": (
        gone("meters.csv"),
        "case.toml, column 'demand': got no meters.csv, expected one beside it",
    ),
    "a unit of meters": (
        tail('[demand]\nunit = ["kW"]\n'),
        r"'demand.unit': got \['kW'\], expected one of",
    ),
    "a source": (
        tail('[demand]\nsource = "meters"\n'),
        "'demand.source': got 'meters', expected generated or pool",
    ),
    "a meter in the place of meters": (
        tail('[demand]\nleave_out = "meter 1"\n'),
        "'demand.leave_out': got 'meter 1', expected a list of meters",
    ),
    "a long name": (
        text("agents.csv", "bob", "b" * 241),
        "agents.csv, row 3, column 'agent': got 'bbb.*, expected a name of up to 220 bytes",
    ),
    "a column": (
        text("agents.csv", "meter\n", "metre\n"),
        "row 1, column 'metre': got this column",
    ),
    "an owner": (
        text("batteries.csv", "ann", "zoe"),
        "batteries.csv, row 2, column 'agent': got 'z",
    ),
    "a cell": (
        text("generators.csv", "\neve,", "\neve,x"),
        "generators.csv, row 2, column 'maximum",
    ),
    "a building that keeps no heat": (
        heat_pump(capacity=0.01, resistance=10.0),
        "heat_pumps.csv, row 2, column 'capacity': got 0.01, .*at least the 0.25 h of a step",
    ),
    "a number too small": (
        tail('[demand]\nsource = "generated"\nscale = 1e-300\n'),
        "row 27, column 'demand.scale': got 1e-300, expected a positive number of at least 1e-15",
    ),
    "a currency that turns": (
        text("case.toml", '"CHF"', '"C\u202eF"'),
        "'currency': got 'C.u202eF', expected a currency",
    ),
    "a seed": (
        text("case.toml", "seed = 4", f"seed = {2**63}"),
        "row 3, column 'seed': got 9223372036854775808, expected a whole number from 0 to",
    ),
    "no table": (gone("heat_pumps.csv"), "'cleo' with no device, expected one in batteries.csv"),
    "a unit": (
        text("case.toml", "[days]", "[days]\nprice_unit = 'ct'"),
        "row 21, column 'days.price_unit': got 'ct', expected one of",
    ),
    "no agents": (gone("agents.csv"), "agents.csv: got no such file"),
    "a table unread": (
        lambda folder: (folder / "heat_pumps.csv").rename(folder / "heatpumps.csv"),
        "heatpumps.csv: got this file, expected agents.csv, ",
    ),
    "prices twice": (
        lambda folder: (folder / "prices.parquet").write_bytes(b"PAR1"),
        "'prices': got prices.csv and prices.parquet beside it, expected one",
    ),
    "no prices": (gone("prices.csv"), "got no prices.csv, expected one beside it"),
    "a price": (
        text("prices.csv", "\n2024-03-01T00:15+0100,", "\n2024-03-01T00:15+0100,x"),
        "row 3",
    ),
    "a reading": (
        text("meters.csv", "+0100,", "+0100,True"),
        "meters.csv, row 2, column 'meter 0'",
    ),
    "a feeder": (gone("feeder/lines.csv"), "feeder: .*lines.csv"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named_with_their_place(name: str, street: Path, tmp_path: Path) -> None:
    folder = tmp_path / "street"
    shutil.copytree(street, folder)
    edit, message = FAULTS[name]
    edit(folder)
    with pytest.raises(Faults, match=message):
        load_case(folder)


def test_all_faults_are_listed(street: Path, tmp_path: Path) -> None:
    folder = tmp_path / "street"
    shutil.copytree(street, folder)
    names = ("a step", "a twin", "a cell", "a reading", "a feeder")
    for name in names:
        FAULTS[name][0](folder)
    with pytest.raises(Faults) as caught:
        load_case(folder)
    files = {fault.file for fault in caught.value.faults}
    # The twin's battery is nobody's.
    tables = {"agents.csv", "batteries.csv", "generators.csv", "meters.csv"}
    assert files == {"case.toml", "feeder", *tables}


def test_no_folder_of_a_case(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="case.toml not found, expected the folder of a"):
        load_case(tmp_path)

"""Any folder is a case that works, or names its faults with file and row; nothing else happens.

The folder is tiny, three customers and six days, so that thousands of damaged ones can be tried:

    python -c 'from tests.gridedge_env.case_files.test_mutations import try_many; try_many(5000)'
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gridedge_env import load_case, make_simulator
from gridedge_env.case import default_case
from gridedge_env.scenarios.series import Faults

DESCRIPTION = """\
time_zone = "Europe/Berlin"
step_minutes = 60
penalty = 50.0
reactive_power = false
seed = 1

[feeder]
source_voltage = 1.02
taps = "neutral"

[limits]
minimum_voltage = 0.9
maximum_voltage = 1.1

[tariff.imports]
kind = "time_of_use"
otherwise = 0.22
periods = [{ days = "working", begin = "07:00", end = "23:00", price = 0.32 }]

[tariff.exports]
kind = "fixed"
price = 0.08

[days]
price_unit = "currency/MWh"
site = [52.0, 5.0]
train = [2024-03-01, 2024-03-02]
validation = [2024-03-03, 2024-03-04]
test = [[2024-03-05, 2024-03-05], [2024-03-06, 2024-03-06]]

[demand]
unit = "kW"
largest_gap_share = 0.05
"""
CUSTOMERS = 3


def write_hamlet(folder: Path) -> None:
    """Three customers of IEEE 13, one with two devices; six days by the hour."""
    mix = {"battery": 1 / 3, "ev_charger": 1 / 3, "pv_inverter": 1 / 3}
    default_case("ieee13", num_agents=CUSTOMERS, mix=mix).save(folder)
    agents = pd.read_csv(folder / "agents.csv")
    agents["meter"] = ["a", "b", ""]
    agents.to_csv(folder / "agents.csv", index=False)
    pump = "7,45,1,5,10,20,22,0.4,3"
    header = (
        "agent,maximum_power,supply_temperature,performance,resistance,capacity,"
        "lowest_temperature,highest_temperature,internal_gain,solar_aperture"
    )
    (folder / "heat_pumps.csv").write_text(f"{header}\nbattery_0,{pump}\n")
    times = pd.date_range("2024-03-01", periods=144, freq="h", tz="Europe/Berlin")
    stamps = times.strftime("%Y-%m-%dT%H:%M%z")
    hour = times.hour.to_numpy()
    for name, columns in (
        ("prices", {"price": 80.0 - 3.0 * hour}),
        ("weather", {"temperature": 5.0 + hour / 4.0, "ghi": 40.0 * (12 - abs(hour - 12))}),
        ("meters", {"a": 0.2 + 0.1 * hour, "b": 1.0 - 0.1 * hour}),
    ):
        table = pd.DataFrame({"timestamp": stamps, **columns})
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.3f")
    (folder / "case.toml").write_text(DESCRIPTION, encoding="utf-8")


NUMBERS = [
    "0",
    "0.5",
    "3",
    "20",
    "250",
    "-1",
    "-0.0",
    "1e308",
    "1e-320",
    "99999",
    "1e9",
    "1_000",
    "0x1F",
    "1e400",
    "9" * 400,
]
CELLS = st.sampled_from(
    [*NUMBERS, "", "NaN", "inf", "-inf", "True", "None", "-", "1,5", "1.234,5", '"', '""', "'",
     "ä", "\ud83d", "\u2028", "٣", "  ", ";", ",,,", "\t", "\0", "#", "=1+1", "battery_0", "a",
     "671.1", "671.1.2", "671.9", "671", "2024-03-02T05:00+01:00", "9999-12-31", "0000-00-00",
     "24:00"]
) | st.text(max_size=6)  # fmt: skip
VALUES = st.sampled_from(
    [*NUMBERS, "inf", "nan", "true", "false", '""', '"x"', "[]", "{}", "[[]]", "[1, 2]", "07:30:00",
     "2024-03-02", "2024-03-02T00:00:00Z", "[2024-03-05, 2024-03-01]", "[9999-12-31, 9999-12-31]",
     "[[0001-01-01, 9999-12-31]]", '["a"]', '[{ price = 1 }]', '"Asia/Kathmandu"', '"Europe"',
     '"../zone"', '"kWh"', '"end"', '"ct/kWh"', '"controlled"', '"observed"', '"generated"', "15",
     "0.5", "[91, 0]", '[["2024-03-01"]]', "-0", "1.0", "30", '"day_ahead"', '"nothing"', '"flat"']
) | st.text(max_size=6)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, name: str, files: Mapping[str, bytes]) -> bytes | None:
    """A file of the folder, changed in one to three ways; None where it is gone."""
    lines = files[name].decode().split("\n")
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        lines = draw(changed_toml(lines) if name == "case.toml" else changed_table(lines))
    content = "\n".join(lines).encode(
        draw(st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1", "utf-16-be"])),
        "replace",
    )
    how = draw(
        st.sampled_from(["text"] * 16 + ["bytes"] * 4 + ["gone", "none", "zip", "half", "swap"])
    )
    if how == "gone":
        return None
    if how == "swap":
        return files[draw(st.sampled_from(sorted(files)))]
    if how == "bytes":
        mutable = bytearray(content or b" ")
        for _ in range(draw(st.integers(1, 4))):
            mutable[draw(st.integers(0, len(mutable) - 1))] = draw(st.integers(0, 255))
        return bytes(mutable)
    packed = {"none": b"", "zip": gzip.compress(content), "half": content[: len(content) // 2]}
    return packed.get(how, content)


@st.composite
def changed_toml(draw: st.DrawFn, lines: list[str]) -> list[str]:
    """One key, value or line of the description changed."""
    row = draw(st.integers(0, len(lines) - 1))
    key, sign, value = lines[row].partition(" = ")
    how = draw(
        st.sampled_from(["value", "value", "value", "key", "line", "drop", "repeat", "move"])
    )
    if how == "value" and sign:
        new = [f"{key} = {draw(VALUES)}"]
    elif how == "key" and sign:
        other = draw(st.sampled_from(lines)).partition(" = ")[0]
        key = draw(st.sampled_from([other, f"{key}s", "source", "x.y", "leave_out", "1"]))
        new = [f"{key} = {value}"]
    elif how in ("drop", "move"):
        new = []
    else:
        new = [lines[row]] * 2 if how == "repeat" else [draw(CELLS)]
    rest = [*lines[:row], *new, *lines[row + 1 :]]
    if how == "move":
        rest.insert(draw(st.integers(0, len(rest))), lines[row])
    return rest


@st.composite
def changed_table(draw: st.DrawFn, lines: list[str]) -> list[str]:
    """Some cells, rows or columns of a table changed."""
    cells = [line.split(",") for line in lines]
    row = draw(st.integers(0, len(cells) - 1))
    column = draw(st.integers(0, len(cells[0]) - 1))
    how = draw(st.sampled_from(
        ["cell"] * 4
        + ["head", "drop", "repeat", "row", "sort", "fill", "cut", "twice", "swap", "sign"]
    ))  # fmt: skip
    if how in ("cell", "head"):
        row = 0 if how == "head" else row
        cells[row][min(column, len(cells[row]) - 1)] = draw(CELLS)
    elif how == "drop":
        del cells[row : row + draw(st.sampled_from([1, 1, 5, 40]))]
    elif how == "repeat":
        cells.insert(row, cells[draw(st.integers(0, len(cells) - 1))])
    elif how == "row":
        cells[row] = [draw(CELLS)]
    elif how == "sort":
        cells[1:] = sorted(cells[1:], key=lambda each: each[-1:])
    elif how == "sign":
        sign = draw(st.sampled_from(";\t|: "))
        return [sign.join(each) for each in cells]
    else:
        value, other = draw(CELLS), draw(st.integers(0, len(cells[0]) - 1))
        for number, each in enumerate(cells):
            if column >= len(each) or other >= len(each):
                continue
            if how == "fill" and number:
                each[column] = value
            elif how == "cut":
                del each[column]
            elif how == "twice":
                each.append(each[column])
            elif how == "swap":
                each[column], each[other] = each[other], each[column]
    return [",".join(each) for each in cells] or [""]


def check(folder: Path) -> bool:
    """Whether it is a case, which then plays a step; else its faults say where they are."""
    try:
        case = load_case(folder)
    except (Faults, FileNotFoundError) as error:
        check_error(error)
        return False
    simulator = make_simulator(case=case)
    state = simulator.reset(days=[0], split="test")
    action = torch.zeros(1, simulator.num_agents, simulator.action_size)
    _, result = simulator.step(state, action)
    assert result.cost.isfinite().all()
    assert simulator.observe(state).isfinite().all()
    return True


def check_error(error: Exception) -> None:
    """No `case.toml`, or faults with file, what came and what was expected."""
    if not isinstance(error, Faults):
        assert "case.toml not found" in str(error)
        return
    assert error.faults
    for fault in error.faults:
        assert fault.file == "feeder" or "." in fault.file, fault
        met = "got" in fault.what or "unknown" in fault.what
        more = "more rows with a fault like these" in fault.what
        assert more or (met and "expected" in fault.what), fault


def damage_and_check(folder: Path, files: Mapping[str, bytes], data: Any) -> None:
    """One or two files damaged for as long as they are looked at."""
    names = data.draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=2, unique=True))
    changed = {name: data.draw(damaged(name, files)) for name in names}
    for name, content in changed.items():
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
    try:
        check(folder)
    finally:
        for name in names:
            (folder / name).write_bytes(files[name])


def files_of(folder: Path) -> dict[str, bytes]:
    """What is in the folder, the feeder's tables excepted: they have tests of their own."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def hamlet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases") / "hamlet"
    write_hamlet(folder)
    return folder


QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@QUICK
@given(data=st.data())
def test_any_folder_is_a_case_or_names_its_faults(hamlet: Path, data: Any) -> None:
    damage_and_check(hamlet, files_of(hamlet), data)


def test_undamaged_it_is_a_case(hamlet: Path) -> None:
    assert check(hamlet)


def try_many(count: int) -> None:
    """As the test does, with so many folders, other ones each time."""
    folder = Path(tempfile.mkdtemp())
    write_hamlet(folder / "hamlet")
    files = files_of(folder / "hamlet")

    @settings(QUICK, max_examples=count, derandomize=False)
    @given(data=st.data())
    def many(data: Any) -> None:
        damage_and_check(folder / "hamlet", files, data)

    try:
        many()
    finally:
        shutil.rmtree(folder)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridedge_env.feeder import DATA, load_feeder
from gridedge_env.feeder.tables import TABLES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    load_feeder("ieee123").save(tmp_path)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("name", sorted(built_in.name for built_in in DATA.iterdir()))
def test_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    feeder = load_feeder(name)
    assert feeder.name == name
    feeder.save(tmp_path)
    again = load_feeder(tmp_path)
    assert again == feeder
    assert again.fingerprint == feeder.fingerprint
    assert {path.name for path in tmp_path.iterdir()} == {
        "feeder.json",
        *(f"{table}.csv" for table in TABLES),
    }


def test_a_spreadsheet_s_byte_order_mark_does_no_harm(folder: Path) -> None:
    path = folder / "loads.csv"
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert load_feeder(folder) == load_feeder("ieee123")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "lines.csv",
            "l11,9r,14,1,1,9,",
            "l11,9r,14,1,1,x,",
            r"lines.csv, row 12, column line_code: unknown line code 'x', expected one of 1, 2, 3",
        ),
        (
            "lines.csv",
            "l11,9r,14,1,1,9,0.425",
            "l11,9r,14,1,1,9,-0.425",
            r"lines.csv, row 12, column length: -0.425, expected a number from 1e-07 to 1e\+07",
        ),
        (
            "lines.csv",
            "l11,9r,14,1,1,9,0.425,kft",
            "l11,9r,14,1,1,9,0.425,furlong",
            r"lines.csv, row 12, column length_unit: 'furlong', expected one of mi, kft, km",
        ),
        (
            "lines.csv",
            "l11,9r,14,1,1,9,",
            "l11,9r,14,2,1,9,",
            r"lines.csv, row 12, column from_phases: \(2,\), expected .* of bus '9r'",
        ),
        (
            "loads.csv",
            "s2b,2,2,wye,constant_power,2.4,20,",
            "s2b,2,2,wye,constant_power,2.4,nan,",
            r"loads.csv, row 3, column kw: 'nan', expected a finite number",
        ),
        (
            "loads.csv",
            "s2b,2,2,wye,constant_power,",
            "s2b,2,2,wye,constant_current_power,",
            r"loads.csv, row 3, column model: 'constant_current_power', expected one of const",
        ),
        (
            "loads.csv",
            "s2b,2,2,",
            "s1a,2,2,",
            r"loads.csv, row 3, column name: 's1a' occurs twice, expected unique names",
        ),
        (
            "line_codes.csv",
            "\n7,2,0.086666667 | 0.02907197 0.087405303,",
            "\n7,2,0.086666667,",
            r"line_codes.csv, row 8, column resistance: .* expected a matrix of phases = 2",
        ),
        (
            "switches.csv",
            "sw8,54,94_open,1,1e-06,yes",
            "sw8,54,94_open,1,1e-06,perhaps",
            r"switches.csv, row 9, column closed: 'perhaps', expected yes or no",
        ),
        (
            "windings.csv",
            "xfm1,610,1 2 3,",
            "xfm1,610,1 2,",
            r"windings.csv, row 17, column phases: \(1, 2\), expected 3 of them",
        ),
        (
            "windings.csv",
            "xfm1,610,",
            "reg1a,610,",
            r"windings.csv, row 17, column transformer: 'reg1a', expected the transformers in",
        ),
        (
            "regulators.csv",
            "reg2a,2,0,",
            "reg2a,3,0,",
            r"regulators.csv, row 3, column winding: 3, expected 1 to 2",
        ),
        (
            "buses.csv",
            "name,phases,base_kv,x,y",
            "name,phases,base_kv,x",
            r"buses.csv, row 1: columns \['name', .*\], expected \['name', .* 'y'\]",
        ),
        (
            "capacitors.csv",
            "c88a,88,1,wye,50,2.402",
            "c88a,88,1,wye,50",
            r"capacitors.csv, row 3: 6 cells, expected 7",
        ),
        (
            "feeder.json",
            '"frequency": 60.0',
            '"frequency": 0',
            r"feeder.json, feeder.frequency: 0.0, expected a number from 1 to 1000",
        ),
        (
            "feeder.json",
            '"x1": 0.0001',
            '"x1": "none"',
            r"feeder.json, source.x1: 'none', expected a finite number",
        ),
        (
            "feeder.json",
            '"bus": "150"',
            '"bus": "15"',
            r"feeder.json, source.phases: \(1, 2, 3\), expected different phases among \(3,\)",
        ),
    ],
)
def test_errors_name_file_row_and_column(
    folder: Path, file: str, old: str, new: str, message: str
) -> None:
    edit(folder / file, old, new)
    with pytest.raises(ValueError, match=message):
        load_feeder(folder)


def test_a_missing_table_is_named(folder: Path) -> None:
    (folder / "switches.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"switches\.csv"):
        load_feeder(folder)


def test_broken_json_is_named(folder: Path) -> None:
    header = json.dumps(json.loads((folder / "feeder.json").read_text(encoding="utf-8")))
    (folder / "feeder.json").write_text(header[:-1], encoding="utf-8")
    with pytest.raises(ValueError, match=r"feeder\.json, row 1"):
        load_feeder(folder)


def test_an_unknown_feeder_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'ieee124', expected one of .*ieee123"):
        load_feeder("ieee124")


def test_a_missing_opendss_model_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"Master\.dss: no such OpenDSS model"):
        load_feeder("Master.dss")

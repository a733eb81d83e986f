"""The command: what it says of a file, what it makes of recorded readings, how it refuses."""

from __future__ import annotations

import csv
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from gridedge_gateway.cli import main
from gridedge_gateway.connection import within_connection
from gridedge_gateway.controller import Controller
from gridedge_gateway.mqtt import Gateway
from gridedge_gateway.readings import Readings
from gridedge_gateway.replay import replay

ROOT = Path(__file__).parents[2]
OTHERS = {
    *(
        "torch",
        "gridedge_env",
        "gradmap_trainer",
        "pandas",
        "scipy",
        "numba",
        "onnx",
        "onnxruntime",
    ),
    "paho",
}
MIDNIGHT = datetime(2026, 1, 14, 23, tzinfo=timezone.utc)  # of 15 January in Amsterdam
SERIES = ("day_ahead_price", "temperature_forecast", "irradiance_forecast")
# Of the second day, half-hours without a price: a value holds for six hours at most.
UNKNOWN = range(56, 80)


def rows(steps: int = 96) -> list[dict[str, object]]:
    """Two days in half-hours; prices are those of an hour, weather is that of half an hour."""
    return [
        {
            "time": (MIDNIGHT + timedelta(minutes=30 * step)).isoformat(),
            "meter_power": 0.4,
            "voltage": 231.0,
            "battery.state_of_charge": 50.0 if step == 0 else "",
            "day_ahead_price": "" if step % 2 or step in UNKNOWN else 50 + step % 24,
            "temperature_forecast": 3.0,
            "irradiance_forecast": 0.0,
        }
        for step in range(steps)
    ]


def write(path: Path, table: list[dict[str, object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def not_served(monkeypatch: pytest.MonkeyPatch) -> list[Gateway]:
    """Gateways that would be served from now on; signals stay this process's own."""
    begun: list[Gateway] = []
    monkeypatch.setattr(Gateway, "serve", lambda gateway: begun.append(gateway))
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    return begun


@pytest.fixture(scope="module")
def replayed(battery_file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    recorded = write(folder / "readings.csv", rows())
    out, picture = folder / "set_points.csv", folder / "days.svg"
    options = ["--readings", recorded, "--out", out, "--picture", picture]
    main(["replay", str(battery_file), *map(str, options)])
    return folder


def test_recorded_readings_become_set_points(replayed):
    """Of a day that lacks prices, all steps are the fallback's: it is known as it begins."""
    steps = read(replayed / "set_points.csv")
    assert [step["battery.follows"] for step in steps] == 48 * ["policy"] + 48 * ["fallback"]
    assert len({step["battery.set_point"] for step in steps[:48]}) > 3
    assert {float(step["battery.set_point"]) for step in steps[48:]} == {0.0}
    assert all("day_ahead_price" in step["reasons"] for step in steps[48:])
    assert [step["time"] for step in steps] == [row["time"] for row in rows()]


def test_a_device_by_its_own_fallback_is_counted(battery_file, tmp_path, capsys):
    """Its state of charge is read at midnight alone: after 24 hours nobody knows it any more."""
    table = [{**row, "day_ahead_price": 50.0} for row in rows()]
    recorded, out = write(tmp_path / "readings.csv", table), tmp_path / "set_points.csv"
    main(["replay", str(battery_file), "--readings", str(recorded), "--out", str(out)])
    told = capsys.readouterr().out
    assert told == f"96 steps to {out}, of them by the fallback: battery 47\n"
    assert [step["battery.follows"] for step in read(out)] == 49 * ["policy"] + 47 * ["fallback"]


def test_a_picture_shows_what_was_known_and_done(replayed):
    text = (replayed / "days.svg").read_text(encoding="utf-8")
    for words in (
        *(
            "battery_0",
            "€/MWh",
            "day-ahead price",
            "set-points, kW",
            "meter power",
            "%",
            "fallback",
        ),
        *("battery: state of charge, estimate", "local time, Europe/Amsterdam"),
        "battery: state of charge estimated in 95 of 96 steps",
    ):
        assert f"<!-- {words} -->" in text


def test_what_was_replayed_can_be_replayed(battery_file, replayed, tmp_path):
    out = tmp_path / "again.csv"
    options = ["--readings", str(replayed / "set_points.csv"), "--out", str(out)]
    main(["replay", str(battery_file), *options])
    assert read(out) == read(replayed / "set_points.csv")


def test_prices_may_be_finer_than_steps(battery_file, tmp_path):
    """Of 0 and 200 in a half-hour's quarters 100 counts; readings within a step are refused."""
    tables = {"steps": rows(48), "quarters": rows(48), "readings": rows(48)}
    for row in tables["steps"] + tables["quarters"]:
        row["day_ahead_price"] = 100
    within = dict.fromkeys(tables["steps"][0], "")
    within["time"] = (MIDNIGHT + timedelta(minutes=15)).isoformat()
    tables["quarters"][0]["day_ahead_price"] = 0
    tables["quarters"].insert(1, {**within, "day_ahead_price": 200})
    tables["readings"].insert(1, {**within, "voltage": 230.0})
    told = {}
    for name in ("steps", "quarters"):
        controller = Controller.load(battery_file)
        table = write(tmp_path / f"{name}.csv", tables[name])
        told[name] = [answer for _, answer in replay(controller, table, tmp_path / "out.csv")]
    assert [answer.power for answer in told["quarters"]] == [
        answer.power for answer in told["steps"]
    ]
    assert len(told["quarters"]) == 48
    table = write(tmp_path / "readings.csv", tables["readings"])
    expected = r"row 3, column 'time': got '.*T23:15:00.*', expected the begin of .* of voltage"
    with pytest.raises(ValueError, match=expected):
        replay(Controller.load(battery_file), table, tmp_path / "out.csv")


def test_a_file_says_what_is_in_it(battery_file, capsys):
    main(["inspect", str(battery_file)])
    told = capsys.readouterr().out
    for words in (
        "battery_0 at ",
        "Steps of 30 minutes, a day in advance, Europe/Amsterdam",
        "battery.state_of_charge              %, 0 to 100\n",
        "outdoor_temperature                  °C, -60 to 60, optional\n",  # nothing heats here
        "  V, ",
        ", nominal ",
        "day_ahead_price                      €/MWh",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--out readings.csv", "out: got readings.csv, expected another file than readings.csv"),
        ("--out ./over/../readings.csv", "out: got over/../readings.csv, expected another file"),
        ("--out link.csv", "out: got link.csv, expected another file than readings.csv"),
        ("--out hard.csv", "out: got hard.csv, expected another file than readings.csv"),
        ("--out home.onnx", "out: got home.onnx, expected another file than home.onnx"),
        ("--out nowhere/out.csv", "out: got nowhere/out.csv, expected a file in a folder that is"),
        ("--out over", "out: got over, expected a file in a folder that is there"),
        ("--out p.svg --picture over/../p.svg", "picture: got over/../p.svg, expected another"),
        ("--out out.csv --picture readings.svg", "picture: got readings.svg, expected another"),
        ("--out out.csv --picture nowhere/p.png", "picture: got nowhere/p.png, expected a file in"),
        ("--out out.csv --picture p.xyz", "picture: got p.xyz, expected a name that ends in .png"),
        ("--out out.csv --connection-kw -3", "connection_kw: got -3, expected more than 0"),
        ("--out out.csv --connection-kw inf", "connection_kw: got inf, expected more than 0"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(
    battery_file, tmp_path, monkeypatch, capsys, options, expected
):
    """Nothing that is read is overwritten, under whatever name; no file is as much as loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Controller, "load", lambda *_: pytest.fail("it works"))
    recorded = write(tmp_path / "readings.csv", rows(2))
    (tmp_path / "link.csv").symlink_to(recorded)
    (tmp_path / "readings.svg").symlink_to(recorded)
    (tmp_path / "hard.csv").hardlink_to(recorded)
    (tmp_path / "home.onnx").write_bytes(battery_file.read_bytes())
    (tmp_path / "over").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(SystemExit) as stop:
        main(["replay", "home.onnx", "--readings", "readings.csv", *options.split()])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"gridedge-gateway: error: {expected}")
    assert told.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--connection-kw -3", "connection_kw: got -3, expected more than 0"),
        ("--log table.csv", "table.csv: got a file, expected a folder"),
        ("--user me --password-file .", ".: got a folder, expected a file"),
        (
            "--user me --password-file /dev/zero",
            "password_file: got more than 4096 signs, expected",
        ),
        ("--password-file table.csv", "password_file: got one without a user, expected user, too"),
        ("--authority table.csv", "authority: got table.csv for mqtt://, expected mqtts://"),
        ("--mqtt mqtts://x --authority no.pem", "authority: got no.pem, expected a file that is"),
        ("--mqtt mqtts://x --private-key no.pem", "private_key: got one without a certificate"),
        ("--mqtt mqtts://x --authority table.csv", "authority, certificate, private_key: got ["),
    ],
)
def test_options_of_serve_that_cannot_be_meant_are_refused(
    battery_file, tmp_path, monkeypatch, capsys, options, expected
):
    """By their names, not those of the files that are to be served, which are not at fault."""
    monkeypatch.chdir(tmp_path)
    begun = not_served(monkeypatch)
    write(tmp_path / "table.csv", rows(2))
    with pytest.raises(SystemExit) as stop:
        main(["serve", str(battery_file), "--mqtt", "mqtt://localhost", *options.split()])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"gridedge-gateway: error: {expected}")
    assert told.count("\n") == 1
    assert not begun


def test_a_damaged_file_is_told_by_name_and_the_others_served(
    battery_file, tmp_path, capsys, caplog, monkeypatch
):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(battery_file.read_bytes()[:-100])
    address = ("--mqtt", "mqtt://127.0.0.1:1")
    with pytest.raises(SystemExit) as stop:
        main(["serve", str(damaged), *address])
    assert stop.value.code == 2
    assert "damaged.onnx: got a damaged file" in caplog.text
    assert "files: got none that can be served" in capsys.readouterr().err
    for path, expected in (("none.onnx", "not found"), (str(tmp_path), "got a folder, expected")):
        with pytest.raises(SystemExit):
            main(["inspect", path])
        assert f"error: {path}: {expected}" in capsys.readouterr().err
    begun = not_served(monkeypatch)
    main(["serve", str(damaged), str(battery_file), *address])
    assert len(begun) == 1


def test_a_file_needs_nothing_of_what_trained_it(battery_file):
    """Where neither PyTorch nor the other packages can be imported, and any warning is an error."""
    program = f"""
import sys
for name in {sorted(OTHERS)}:
    sys.modules[name] = None  # importing it is an ImportError
from gridedge_gateway import Controller, Readings
from gridedge_gateway.cli import main
controller = Controller.load({str(battery_file)!r})
said = {{"day_ahead_price": {{"2026-01-15T00:00:00+01:00": 50.0}}}}
message = '{{"time": "2026-01-15T12:00:00+01:00", "battery.state_of_charge": 50}}'
print(controller.step(Readings.of_json(message, None)).as_json())
main(["inspect", {str(battery_file)!r}])
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"follows": {"battery": "fallback"}' in done.stdout


def test_a_connection_bounds_what_a_home_draws_and_feeds_in():
    """Beside a load of 3 kW, 11 kW leave 8 and what flows back: 6 and 4 become 8/10 of that."""
    asked = {"heat_pump": 6.0, "ev_charger": 4.0}
    assert within_connection(asked, (3.0, 3.0), 20.0) == asked
    assert within_connection(asked, (3.0, 3.0), 11.0) == {"heat_pump": 4.8, "ev_charger": 3.2}
    roof = {**asked, "pv_inverter": -2.0}
    assert within_connection(roof, (3.0, 3.0), 11.0) == roof
    assert within_connection(asked, (12.0, 12.0), 11.0) == {"heat_pump": 0.0, "ev_charger": 0.0}
    assert within_connection({"pv_inverter": -3.5}, (-1.0, -1.0), 4.0) == {"pv_inverter": -3.0}


@pytest.mark.parametrize("load", [-1e4, -120.0, -11.5, 0.0, 3.0, 11.0, 120.0, 1e4])
@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_connection_holds_whatever_the_meter_says(load, way):
    """Of the devices alone; with the load as far as what goes the right way reaches."""
    asked = {"battery": way * 166.0, "ev_charger": 6.0, "pv_inverter": -7.0}
    told = within_connection(asked, (load, load), 11.0)
    total = sum(told.values())
    assert abs(total) <= 11.0 + 1e-9
    assert abs(load + total) <= 11.0 + 1e-9 or abs(load + total) <= abs(load) + 1e-9
    assert all(told[name] * kw >= 0.0 and abs(told[name]) <= abs(kw) for name, kw in asked.items())


def test_a_connection_is_heeded(battery_file):
    """Its meter is not read: all else draws the annual mean, and leaves 0.5 kW to draw."""
    free = Controller.load(battery_file)
    mean = free.file.customer["mean_demand"]
    bound = Controller.load(battery_file, mean + 0.5)
    table = [{name: value for name, value in row.items() if value != ""} for row in rows(48)]
    news = {name: {row["time"]: row[name] for row in table if name in row} for name in SERIES}
    powers = np.array(
        [
            [
                each.step(Readings.of({"time": row["time"], **news}, MIDNIGHT)).power["battery"]
                for row in table
            ]
            for each in (free, bound)
        ]
    )
    assert powers[0].max() > 1.0
    assert powers[1].max() == pytest.approx(0.5, rel=1e-12)
    with pytest.raises(ValueError, match="connection_kw: got -1"):
        Controller.load(battery_file, -1.0)

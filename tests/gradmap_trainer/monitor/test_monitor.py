"""What gateways have logged, held against the run: what is disturbed is found, and nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import export_run
from gradmap_trainer.monitor import MonitoredFleet, logged_tables, read_fleet, write_monitor
from gradmap_trainer.monitor.findings import Findings, findings_of
from gradmap_trainer.monitor.logs import play
from gradmap_trainer.run_folder import load_policies, save_learner
from gradmap_trainer.training import open_run
from gridedge_env import default_case, make_simulator
from gridedge_env.evaluation import evaluate
from gridedge_env.evaluation_files import save_evaluation
from gridedge_gateway import Controller
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.record import Log
from gridedge_gateway.replay import recorded_readings, replay
from tests.gradmap_trainer.monitor.gateway_logs import Row, log_episodes, read, write
from tests.gradmap_trainer.test_own_case import call

# Of training, in spring; the simulator's year has no clock change then.
FIRST, DAYS = 100, 2
HOMES = ("battery_0", "heat_pump_0", "generator_0")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In hours, with policies that each do something else, hour by hour."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    case = default_case("ieee13", 3, step_minutes=60)
    simulator, config = make_simulator(case=case), TrainConfig(run=str(folder), case=None)
    learner, generator = open_run(config, simulator), torch.Generator().manual_seed(0)
    with torch.no_grad():
        learner.policies.weights[-1].mul_(30.0)
        bias = learner.policies.biases[-1]
        bias.add_(0.3 * torch.randn(bias.shape, generator=generator))
    save_learner(learner, config, simulator, folder)
    exact = make_simulator(case=case, dtype=torch.float64)
    export_run(config, exact, learner.policies, folder / "policies")
    days = range(FIRST, FIRST + DAYS)
    log_episodes(exact, learner.policies, folder / "policies", folder / "logs", days)
    return folder


def fleet_of(run: Path, logs: Path) -> MonitoredFleet:
    config, simulator, learner = load_policies(run)
    tables = logged_tables(logs, run / "policies", run)
    return read_fleet(run, config, simulator, learner.policies, tables, run / "policies")


@pytest.fixture(scope="module")
def undisturbed(run: Path) -> MonitoredFleet:
    return fleet_of(run, run / "logs")


@pytest.fixture(scope="module")
def disturbed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> MonitoredFleet:
    """A voltage that is read too high, a day without prices, set-points that are not the file's."""
    logs = tmp_path_factory.mktemp("disturbed")
    # Where devices stand is read at midnight alone: these gateways tell them something else.
    again(
        run,
        "battery_0",
        logs,
        lambda step, row: row.update(
            {"voltage": f"{1.06 * 230.0}", "battery.state_of_charge": "" if step % 24 else "50"}
        ),
    )
    shutil.copy(run / "logs" / "generator_0.csv", logs)
    table = read(logs / "generator_0.csv")
    for row in table[::4]:
        row["generator.set_point"] = "0.0" if float(row["generator.set_point"]) < -1.0 else "-9.0"
    write(logs / "generator_0.csv", [*table[:21], table[20], *table[23:]])
    again(
        run,
        "heat_pump_0",
        logs,
        lambda step, row: (
            step < 24 or row.update({"day_ahead_price": "", "heat_pump.room_temperature": ""})
        ),
    )
    return fleet_of(run, logs)


def again(run: Path, name: str, logs: Path, change: Callable[[int, Row], object]) -> None:
    """The log of a gateway that reads something else."""
    table = read(run / "logs" / f"{name}.csv")
    for step, row in enumerate(table):
        change(step, row)
    changed = write(logs / f"{name}.readings", table)
    replay(Controller.load(run / "policies" / f"{name}.onnx"), changed, logs / f"{name}.csv")


def of(fleet: MonitoredFleet, name: str) -> Findings:
    return next(found for found in fleet.findings if found.customer == name)


def text_of(page: Path) -> str:
    html = page.read_text(encoding="utf-8")
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_nothing_is_found_where_nothing_is_wrong(undisturbed):
    assert tuple(found.customer for found in undisturbed.findings) == HOMES
    assert not undisturbed.to_retrain
    assert not undisturbed.silent
    assert undisturbed.trained.of_the_season
    for found in undisturbed.findings:
        assert (found.steps, found.missing, found.repeated) == (24 * DAYS, 0, 0)
        assert found.by_policy == dict.fromkeys(found.by_policy, 1.0)
        assert found.meter_follows
        assert found.compared == found.steps
        # The log has six decimals, and the file is the same.
        assert found.apart < 1e-6
        # What has no spread, such as the clock, is where it was, to single precision.
        clock = [
            k for k, f in enumerate(undisturbed.simulator.observation_fields) if "_day" in f.name
        ]
        assert np.abs(found.drift[clock]).max() < 1e-4
        # The meter is not read at midnight, of a step of the day before.
        assert found.reasons == {"meter_power": DAYS}
    # Actions are in single precision.
    assert of(undisturbed, "battery_0").moves["battery"] == pytest.approx(1.0, abs=1e-6)


def test_a_voltage_that_has_drifted_is_found(disturbed):
    found = of(disturbed, "battery_0")
    fields = [entry.name for entry in disturbed.simulator.observation_fields]
    assert [fields[field] for field in found.most_adrift()] == ["own_voltage"]
    assert (found.low, found.high) == (0.0, 1.0)
    assert found.keeps_parity
    # By hand: the scale is 0.05 pu, and the spread of a day's mean is less than a tenth of it.
    trained, agent = disturbed.trained, HOMES.index("battery_0")
    usual = 1.0 + 0.05 * trained.mean[1:, agent, fields.index("own_voltage")].mean()
    assert trained.spread[agent, fields.index("own_voltage")] < 0.1
    expected = (1.06 - usual) / 0.05 / 0.1
    # At midnight, one step of 24, training has a voltage of its own.
    assert found.drift[fields.index("own_voltage")] == pytest.approx(expected, rel=0.05)


def test_set_points_that_are_not_the_files_are_found(disturbed):
    found = of(disturbed, "generator_0")
    assert (found.missing, found.repeated) == (2, 1)
    assert not found.keeps_parity
    assert found.compared == found.steps == 24 * DAYS - 2
    # In the step after the gap the gateway knew a load that is no longer in its log.
    assert 6 * DAYS <= round(found.apart_share * found.steps) <= 6 * DAYS + 1


def test_the_fallback_is_told_with_its_reasons(disturbed):
    found = of(disturbed, "heat_pump_0")
    assert found.follows_policy == 0.5
    assert found.reasons_of_fallback["day_ahead_price"] == 24
    assert found.compared == 24
    assert found.keeps_parity
    assert not found.needs_retraining
    # Of a day without prices there is no bill; of the other one the meter of the last step is
    # not read at midnight.
    assert found.billed_days == pytest.approx(23 / 24)


@pytest.fixture(scope="module")
def deaf(run: Path, tmp_path_factory: pytest.TempPathFactory) -> MonitoredFleet:
    """A battery whose charge is read once, and that never does what it is told."""
    logs = tmp_path_factory.mktemp("deaf")
    powers = [float(row["battery.set_point"]) for row in read(run / "logs" / "battery_0.csv")]

    def deafen(step: int, row: Row) -> None:
        row["battery.state_of_charge"] = "50" if step == 0 else ""
        if row["meter_power"]:
            row["meter_power"] = str(float(row["meter_power"]) - powers[step - 1])

    again(run, "battery_0", logs, deafen)
    shutil.copy(run / "logs" / "heat_pump_0.csv", logs)
    return fleet_of(run, logs)


def test_a_device_by_its_own_fallback_is_found(deaf):
    """For more than 24 of 48 hours its charge was not read."""
    found = of(deaf, "battery_0")
    assert found.by_policy == {"battery": 25 / 48}
    assert found.follows_policy == 25 / 48
    assert found.reasons_of_fallback["battery"] == 23
    assert found.compared == 25
    assert found.keeps_parity
    assert found.lost == ["battery"]
    assert not of(deaf, "heat_pump_0").lost


def test_a_meter_that_does_not_follow_puts_the_saving_in_doubt(deaf, undisturbed, tmp_path):
    """By hand: what it is off by is what the battery was told and did not do."""
    found = of(deaf, "battery_0")
    assert not found.meter_follows
    assert of(deaf, "heat_pump_0").meter_follows
    assert found.from_usual == pytest.approx(of(undisturbed, "battery_0").from_set_points)
    page = text_of(write_monitor(deaf, tmp_path))
    for words in (
        "Devices that were often by their fallback: 1 (battery_0: battery).",
        "The saving is in doubt. Meters that do not follow the set-points: 1 (battery_0); they are",
        "saved a day, all together in doubt: 1 of 2 meters do not follow the set-points",
        "battery_0 battery 52",
    ):
        assert words in page, words
    table = pd.read_csv(tmp_path / "monitor.csv", index_col="customer")
    assert table.loc["battery_0", "by_policy.battery"] == pytest.approx(25 / 48, abs=1e-6)
    assert table.loc["battery_0", "from_set_points"] > table.loc["battery_0", "from_usual"]


def test_those_with_a_reason_are_to_be_retrained(disturbed):
    assert [found.customer for found in disturbed.to_retrain] == ["battery_0", "generator_0"]


def test_a_saving_is_what_a_resting_battery_would_have_cost_more(run, undisturbed):
    """By hand: a kWh costs and earns 1.21 of the market's price and 15 cents."""
    table = read(run / "logs" / "battery_0.csv")
    known = [(row, after) for row, after in pairwise(table) if after["meter_power"]]
    prices = [1.21 * float(row["day_ahead_price"]) / 1000.0 + 0.15 for row, _ in known]
    days = len(known) / 24
    asked = sum(
        p * float(row["battery.set_point"]) for p, (row, _) in zip(prices, known, strict=True)
    )
    bill = sum(p * float(after["meter_power"]) for p, (_, after) in zip(prices, known, strict=True))
    found = of(undisturbed, "battery_0")
    assert found.billed_days == pytest.approx(days)
    assert found.after == pytest.approx(bill / days, rel=1e-5)
    # Prices are stored in single precision.
    assert found.saving == pytest.approx(-asked / days, rel=1e-5)


def test_what_was_promised_is_of_those_who_logged(run, tmp_path):
    """Each episode of the evaluation is a day of all customers; one of them has a log."""
    config, simulator, learner = load_policies(run)
    played = evaluate(
        simulator, {"gradmap": learner.policies}, [FIRST, FIRST + 1], foresight_iterations=0
    )
    save_evaluation(played, simulator.case.limits, tmp_path)
    (tmp_path / "logs").mkdir()
    shutil.copy(run / "logs" / "heat_pump_0.csv", tmp_path / "logs")
    tables = [tmp_path / "logs" / "heat_pump_0.csv"]
    fleet = read_fleet(tmp_path, config, simulator, learner.policies, tables, run / "policies")
    assert fleet.silent == ("battery_0", "generator_0")
    assert fleet.promise is not None
    bills = {k: e.agent_electricity[:, 1].mean() for k, e in played.episodes.items()}
    told = fleet.promise.before, fleet.promise.after
    assert told == pytest.approx((bills["thermostat"], bills["gradmap"]))
    assert fleet.promise.days == 2
    page = write_monitor(fleet, tmp_path).read_text(encoding="utf-8")
    assert "promised, 2 test days" in page


def test_a_battery_that_holds_less_than_its_parameters_say_is_found(run, undisturbed, tmp_path):
    """Two thirds: it moves by half more, but where it is full or empty before its time."""
    file = CustomerFile(run / "policies" / "battery_0.onnx")
    controller, own = Controller(file), file.customer["devices"][0]["parameters"]
    log, stands = Log(tmp_path / "log.csv", file), 50.0
    for _, readings in recorded_readings(controller, run / "logs" / "battery_0.csv"):
        values = {**readings.values, "battery.state_of_charge": stands}
        told = replace(readings, values=values)
        set_point = controller.step(told)
        log.add(told, controller.published.at(told.time), set_point)
        power = set_point.power["battery"]
        efficiencies = own["charge_efficiency"], 1.0 / own["discharge_efficiency"]
        stored = power * efficiencies[0 if power > 0.0 else 1]
        stands = min(max(stands + 150.0 * stored / own["capacity"], 0.0), 100.0)
    played = play(tmp_path / "log.csv", file, None)
    found = findings_of(played, undisturbed.trained, 0, 1.0, (0.9, 1.1))
    assert found.misfits == ["battery"]
    assert 1.25 < found.moves["battery"] <= 1.5 * (1.0 + 1e-12)  # sums are rounded
    assert found.needs_retraining


def test_the_page_tells_all(disturbed, tmp_path):
    text = text_of(write_monitor(disturbed, tmp_path))
    for words in (
        "Policies that should be trained again: 2 (battery_0, generator_0).",
        "drift: own_voltage +",
        "parity: 2",
        "in standard deviations of the field's daily mean in training",
        "the run has no evaluation",
        "battery_0",
    ):
        assert words in text, words
    assert (tmp_path / "monitor.html").read_text("utf-8").count("data:image/svg+xml") == 3


def test_what_cannot_be_read_is_told_and_hides_nothing(run, tmp_path, capsys):
    logs = tmp_path / "logs"
    logs.mkdir()
    shutil.copy(run / "logs" / "battery_0.csv", logs / "stranger.csv")
    assert call("gradmap-monitor", run, "--readings", logs) == 2
    assert "stranger.csv: got a customer that" in capsys.readouterr().err
    table = read(run / "logs" / "heat_pump_0.csv")
    write(logs / "heat_pump_0.csv", [{**row, "heart.rate": "60"} for row in table])
    write(logs / "generator_0.csv", [{"time": row["time"], "voltage": "230"} for row in table])
    shutil.copy(run / "logs" / "battery_0.csv", logs)
    assert call("gradmap-monitor", run, "--readings", logs, "--to", tmp_path / "page") == 2
    told = capsys.readouterr()
    assert [line.partition(": error: ")[0] for line in told.err.splitlines()] == 3 * [
        "gradmap-monitor"
    ]
    for words in (
        "generator_0.csv: got no column 'generator.follows', expected a gateway's log",
        "heat_pump_0.csv: got column 'heart.rate', expected some of time, meter_power",
        "stranger.csv: got a customer that",
    ):
        assert words in told.err
    page = (tmp_path / "page" / "monitor.html").read_text(encoding="utf-8")
    assert "1 of 3 customers have logged" in page
    assert "heart.rate" in page


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--readings empty", "empty: got no tables, expected the folder of gridedge-gateway --log"),
        ("--readings logs --policies none", "none: not found, expected the folder of gradmap-exp"),
        ("--readings logs --to empty/../logs", "to: got empty/../logs, the folder of the logs"),
        ("--readings logs --connection-kw -3", "connection_kw: got -3, expected more than 0"),
    ],
)
def test_what_cannot_be_is_told_before_the_run_is_loaded(
    run, tmp_path, monkeypatch, capsys, options, expected
):
    monkeypatch.chdir(tmp_path)
    loads = "gradmap_trainer.commands.monitor.load_policies"
    monkeypatch.setattr(loads, lambda run: pytest.fail("it works"))
    (tmp_path / "empty").mkdir()
    shutil.copytree(run / "logs", tmp_path / "logs")
    assert call("gradmap-monitor", run, *options.split()) == 2
    assert capsys.readouterr().err.startswith(f"gradmap-monitor: error: {expected}")
    assert call("gradmap-monitor", "nowhere", *options.split()) == 2
    missing = "gradmap-monitor: error: run: nowhere/config.json not found, expected the folder of"
    assert capsys.readouterr().err.startswith(missing)


def test_files_of_another_run_are_refused(run, tmp_path, capsys):
    (tmp_path / "battery_0.csv").write_bytes((run / "logs" / "battery_0.csv").read_bytes())
    assert call("gradmap-monitor", run, "--readings", tmp_path, "--policies", tmp_path) == 2
    assert "battery_0.onnx: not found, expected after gradmap-export" in capsys.readouterr().err

"""The file of a customer holds all that its gateway must know, and does what the simulator does."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from gradmap_trainer.commands import export as command
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import Parting, export_run, gateway_starts, policy_file, replay
from gradmap_trainer.export.customer import Customer
from gradmap_trainer.export.files import nominal_voltage
from gradmap_trainer.gradmap import make_learner
from gradmap_trainer.policies import Policies
from gridedge_env import Clock, Simulator, default_case, make_simulator
from gridedge_env.day import Window
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_env.reference import Thermostat, play
from gridedge_env.scenarios import DayAheadFeedIn, DayTable, ObservedDays, Tariff
from gridedge_gateway import Controller
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.replay import replay as replay_table
from tests.gridedge_env.devices.sensors import sensors_of

CONFIG = TrainConfig(case=None)
# A day of spring: rooms are heated, and the sun shines.
SPRING = 100


def lively(simulator: Simulator, spread: float) -> Policies:
    """Policies that each do something else, hour by hour."""
    policies = make_learner(CONFIG, make_simulator(case=simulator.case)).policies
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        policies.weights[-1].mul_(100.0)
        bias = policies.biases[-1]
        bias.add_(spread * torch.randn(bias.shape, generator=generator))
    return policies


def street(scale: float = 15.0, **options: object) -> Simulator:
    """A home of each kind, one of another and one with two devices, in hours."""
    case = default_case("ieee13", 3, step_minutes=60, home_scale=scale, **options)
    owners = {kind: [f"{kind} 1"] for kind in KINDS}
    owners["heat_pump"] += ["house", "heat_pump 2"]
    owners["battery"] += ["house"]
    tables = {
        kind: Devices(names, KINDS[kind].sample(len(names), scale, np.random.default_rng(0)))
        for kind, names in owners.items()
    }
    homes = sorted({name for names in owners.values() for name in names})
    fleet = make_fleet(dict.fromkeys(homes, "671.1"), tables)
    return make_simulator(case=replace(case, fleet=fleet), dtype=torch.float64)


@dataclass(frozen=True)
class ForecastDays:
    """The built-in days, as they were forecast: a cent dearer and a degree warmer."""

    site = ObservedDays.site

    def load(self, split: str, clock: Clock) -> DayTable:
        days = ObservedDays().load(split, clock)
        return replace(
            days,
            price_forecast=days.day_ahead_price + 0.01,
            temperature_forecast=days.outdoor_temperature + 1.0,
        )


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return street()


@pytest.fixture(scope="module")
def policies(simulator: Simulator) -> Policies:
    return lively(simulator, 0.5)


@pytest.fixture(scope="module")
def folder(
    simulator: Simulator, policies: Policies, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("policies")
    export_run(CONFIG, simulator, policies, folder)
    return folder


def test_files_do_as_the_simulator_does(simulator, policies, folder):
    state = simulator.reset(split="test", days=[SPRING])
    played = play(simulator, lambda *parts: policies(*(part.float() for part in parts)), state)
    actions = torch.stack([action[0] for _, action, _ in played])
    assert (actions.std(dim=0)[:, 0] > 0.01).all(), "nothing to compare: most are at rest"
    for sensors in (True, False):
        partings = replay(simulator, policies, folder, SPRING, sensors)
        assert [parting.agent for parting in partings] == list(simulator.fleet.names)
        for parting in partings:
            assert parting.is_small, str(parting)


def test_so_do_those_that_correct_a_plan_in_days_of_two_with_reactive_power(tmp_path):
    """And where what is fed in has a price of its own, and forecasts are wrong."""
    tariff = Tariff(exports=DayAheadFeedIn())
    case = street(100.0, public_plan=True, reactive_power=True, tariff=tariff).case
    case = replace(case, clock=Clock.of_minutes(60, 2), days=ForecastDays())
    simulator = make_simulator(case=case, dtype=torch.float64)
    policies = lively(simulator, 3.0)
    planned = simulator.reset(split="test", days=[SPRING]).day.planned
    assert planned is not None
    assert planned.congestion_price.abs().max() > 0.0, "no limit binds"
    file, *_ = export_run(CONFIG, simulator, policies, tmp_path)
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    shared = ["day", "flexibility", "told"]
    own = ["estimate", "sense", "observe", "fallback", "operate"]
    assert list(json.loads(metadata["graphs"])) == [*shared, *own]
    assert "program" in metadata
    first = next(day for day in gateway_starts(simulator) if day >= SPRING)
    for parting in replay(simulator, policies, tmp_path, first):
        assert parting.is_small, str(parting)
    with pytest.raises(ValueError, match=rf"day: got {first + 1}, expected one on which gateways"):
        replay(simulator, policies, tmp_path, first + 1)


def test_a_table_of_the_day_can_be_replayed(simulator, policies, folder, tmp_path):
    """Devices do in it what a gateway tells them: it has nothing to complain of but the begin."""
    replay(simulator, policies, folder, SPRING, tables=tmp_path)
    for name in simulator.fleet.names:
        table, out = tmp_path / f"{name}.csv", tmp_path / "set_points.csv"
        steps = replay_table(Controller.load(folder / policy_file(name)), table, out)
        assert len(steps) == simulator.clock.steps
        first, *others = (set_point for _, set_point in steps)
        assert [reason.split(":")[0] for reason in first.reasons] == ["meter_power"]
        assert not [set_point for set_point in others if set_point.reasons or set_point.fallbacks]


def test_a_file_of_another_customer_parts(simulator, policies, folder, tmp_path):
    """Of two homes with a heat pump each, whose files are under each other's names."""
    names = dict.fromkeys(simulator.fleet.names)
    others = {name: name for name in names} | {"heat_pump 1": "heat_pump 2"}
    for name, other in others.items():
        (tmp_path / policy_file(name)).write_bytes((folder / policy_file(other)).read_bytes())
    partings = replay(simulator, policies, tmp_path, SPRING)
    assert [parting.agent for parting in partings if not parting.is_small] == ["heat_pump 1"]


def test_a_file_says_all_that_its_gateway_must_know(simulator, folder):
    model = onnx.load(folder / policy_file("house"))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    case, customer, graphs = (json.loads(metadata[key]) for key in ("case", "customer", "graphs"))
    assert case["tariff"] == simulator.case.tariff.record()
    assert (case["steps"], case["step_minutes"]) == (24, 60)
    assert case["time_zone"] == "Europe/Amsterdam"
    assert case["limits"]["maximum_voltage"] == 1.05
    assert len(bytes.fromhex(case["run"])) == 32

    assert (customer["name"], customer["place"]) == ("house", "671.1")
    agent = simulator.fleet.names.index("house")
    mean = simulator.reset(days=[0]).day.mean_demand[agent]
    assert customer["mean_demand"] == pytest.approx(mean.item())
    assert [(device["kind"], device["slot"]) for device in customer["devices"]] == [
        ("battery", 0),
        ("heat_pump", 1),
    ]
    battery, _ = customer["devices"]
    parameters = simulator.fleet.group("battery").parameters
    told = {name: getattr(parameters, name)[1].item() for name in battery["parameters"]}
    assert battery["parameters"] == told
    assert {"capacity", "maximum_power", "wear_cost"} <= told.keys()
    assert battery["full_power"] == told["maximum_power"]
    assert battery["inverter_rating"] == pytest.approx(1.1 * told["maximum_power"])
    assert battery["name"] == "battery"
    assert battery["readings"] == [
        {"name": "state_of_charge", "unit": "%", "lowest": 0.0, "highest": 100.0}
    ]
    assert battery["rests"] is True
    assert metadata["format"] == "3"
    # Half full, and mid-way in the comfort band, to 1 % of it.
    assert customer["begin"].keys() == {"battery.energy", "heat_pump.temperature"}
    assert customer["begin"]["battery.energy"] == [[pytest.approx(0.5 * told["capacity"])]]
    rooms = customer["devices"][1]["parameters"]
    lowest, highest = (rooms[f"{end}_temperature"] for end in ("lowest", "highest"))
    middle, near = 0.5 * (lowest + highest), 0.02 * (highest - lowest)
    assert customer["begin"]["heat_pump.temperature"] == [[pytest.approx(middle, abs=near)]]
    assert list(graphs) == ["day", "estimate", "sense", "observe", "fallback", "operate"]


@pytest.mark.parametrize(
    ("place", "voltage"),
    # 4.16 kV, of which no household's meter knows; 480 V to ground; between two of its phases.
    [("671.1", 230.0), ("634.3", 480.0 / 3.0**0.5), ("634.1.2", 480.0)],
)
def test_the_voltage_that_a_meter_reads(simulator, place, voltage):
    assert nominal_voltage(simulator.feeder, place) == pytest.approx(voltage, rel=1e-3)


def test_what_is_plausible_is_said_in_kilowatts(simulator, folder):
    """Of a roof, and of its inverter: from a bit less than nothing to a bit more than all."""
    model = onnx.load(folder / policy_file("pv_inverter 1"))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    (device,) = json.loads(metadata["customer"])["devices"]
    full = device["full_power"]
    assert device["readings"] == [
        {"name": "power", "unit": "kW", "lowest": -0.1 * full, "highest": 1.2 * full}
    ]


def test_sensors_say_where_devices_stand_and_what_is_safe_follows(simulator, folder):
    """After 13 hours of it, of which the files know nothing but what sensors read."""
    begin = simulator.reset(split="test", days=[SPRING])
    state, safe, _ = list(play(simulator, Thermostat(simulator), begin))[13]
    window, fleet = Window(state.day, 13, 1), simulator.fleet
    for agent, name in enumerate(fleet.names):
        file, customer = CustomerFile(folder / policy_file(name)), Customer.of(simulator, agent)
        own = fleet.of_home(state.devices, agent)
        known = {"step": np.array(13), "new_episode": np.array(True)}
        for group, where in zip(customer.fleet.groups, own, strict=True):
            kind = group.kind.name
            read = sensors_of(kind, group.parameters, where, window)
            known |= {f"reading.{kind}.{key}": value.numpy() for key, value in read.items()}
        known |= {key: value.numpy() for key, value in customer.stands(customer.begin).items()}
        found = {
            key.removeprefix("next."): value for key, value in file.run("sense", known).items()
        }
        wanted = customer.stands(own)
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            np.testing.assert_allclose(found[key], value.numpy(), rtol=1e-12, atol=1e-12)
        if file.reads:
            for key, said in file.run("estimate", known | found).items():
                np.testing.assert_allclose(said, known[key], rtol=1e-12, atol=1e-12)
        action = file.run("fallback", known | found)["action"]
        assert action.dtype == np.float32
        np.testing.assert_allclose(action[0], safe[0, agent].numpy(), atol=1e-6)


def test_a_simulator_in_single_precision_is_refused(simulator, policies, tmp_path):
    single = make_simulator(case=simulator.case)
    with pytest.raises(
        ValueError, match=r"simulator: got one of torch\.float32, expected torch\.float64"
    ):
        export_run(CONFIG, single, policies, tmp_path)


def test_the_command_says_which_files_do_something_else(simulator, policies, monkeypatch, capsys):
    """A quarter of full power, and nobody knows what: NaN is not near anything either."""
    names, learner = ("battery 1", "generator 1", "house"), SimpleNamespace(policies=policies)
    apart = (1e-7, 0.25), (1e-7, 1e-7), (float("nan"), 0.0)
    partings = [Parting(name, *by) for name, by in zip(names, apart, strict=True)]
    monkeypatch.setattr(command, "load_policies", lambda run: (CONFIG, simulator, learner))
    monkeypatch.setattr("gradmap_trainer.export.export_run", lambda *_: [])
    monkeypatch.setattr("gradmap_trainer.export.replay", lambda *_, **__: partings)
    monkeypatch.setattr(sys, "argv", ["gradmap-export", "run", "--check"])
    with pytest.raises(SystemExit) as stop:
        command.export()
    assert stop.value.code == 1
    _, *told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == ["battery 1", "house"]
    assert "by 1.0e-07 in an observation, 2.5e-01 of full power, on 2024-07-02" in told[0]

"""Bills: each customer's own meter, before and after, and they add up to what the report says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gradmap_trainer.report import write_report
from gradmap_trainer.report.bills import BILLS_FILE, customer_bills
from gradmap_trainer.report.customers import customers
from gradmap_trainer.report.measured import how_this_was_measured
from gradmap_trainer.report.run import EvaluatedRun, read_run
from gradmap_trainer.report.sections import one_day
from gridedge_env import Simulator, default_case, make_simulator
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_env.evaluation import evaluate
from gridedge_env.evaluation_files import save_evaluation
from gridedge_env.reference import Idle, Policy, PriceFollowing, play
from gridedge_env.scenarios import Fixed, GeneratedDemand, Tariff
from tests.gradmap_trainer.test_report import CONFIG, write_metrics

# A house with two devices behind its meter, and two with one.
PLACES = {"north": "671.1", "south": "675.2", "attic, <b>": "634.3"}
OWNERS = {"battery": ["north", "south"], "heat_pump": ["north", "attic, <b>"]}
DAYS = [40, 200]


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    tables = {
        kind: Devices(owners, KINDS[kind].sample(len(owners), 1.0, np.random.default_rng(3)))
        for kind, owners in OWNERS.items()
    }
    case = default_case("ieee13", num_agents=3, tariff=Tariff(exports=Fixed(0.08)))
    fleet = make_fleet(PLACES, tables)
    return make_simulator(case=replace(case, fleet=fleet, demand=GeneratedDemand(1.0)))


@pytest.fixture(scope="module")
def folder(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    policies = {"gradmap": PriceFollowing(simulator)}
    evaluation = evaluate(simulator, policies, DAYS, foresight_iterations=0)
    save_evaluation(replace(evaluation, iteration=12), simulator.case.limits, folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    write_metrics(folder, extra=False)
    write_report(folder, simulator)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path, simulator: Simulator) -> EvaluatedRun:
    return read_run(folder, simulator)


def test_every_customer_has_a_row(folder: Path) -> None:
    bills = pd.read_csv(folder / BILLS_FILE, dtype={"place": str})
    assert bills["customer"].tolist() == list(PLACES)
    assert bills["place"].tolist() == list(PLACES.values())
    assert bills["devices"].tolist() == ["battery and heat pump", "battery", "heat pump"]
    np.testing.assert_allclose(bills["saving"], bills["before"] - bills["after"], atol=2e-6)
    assert f'<a href="{BILLS_FILE}">' in (folder / "report.html").read_text(encoding="utf-8")


def test_bills_add_up_to_the_cost_of_the_report(folder: Path) -> None:
    """In single precision: 48 steps of 3 customers, each sum within 150 roundings of 6e-8."""
    bills = pd.read_csv(folder / BILLS_FILE)
    table = json.loads((folder / "evaluation.json").read_text())
    assert bills["before"].sum() == pytest.approx(table["idle"]["cost"], rel=1e-5)
    assert bills["after"].sum() == pytest.approx(table["gradmap"]["cost"], rel=1e-5)
    assert abs(bills["saving"].sum()) > 0.01, "nothing to compare"


def test_the_bill_is_that_of_the_meter(run: EvaluatedRun, simulator: Simulator) -> None:
    """By hand from the meter's power: the day's price for each kWh drawn, 0.08 € for each fed in.

    What it moves, likewise: the larger of what it drew more, and less, than at rest.
    """
    state = simulator.reset(split="test", days=DAYS, seed=0)

    def energy(policy: Policy) -> np.ndarray:
        powers = [result.power for _, _, result in play(simulator, policy, state)]
        return 0.5 * torch.stack(powers).double().numpy()  # half-hours

    price = run.evaluation.import_price.T[..., None]

    def bill(energy: np.ndarray) -> np.ndarray:
        drawn, fed = energy.clip(min=0.0), (-energy).clip(min=0.0)
        return (price * drawn - 0.08 * fed).sum(axis=0).mean(axis=0)

    before, after = energy(Idle(simulator)), energy(PriceFollowing(simulator))
    moved = after - before
    more, less = moved.clip(min=0.0).sum(axis=0), -moved.clip(max=0.0).sum(axis=0)
    bills = customer_bills(run)
    close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}  # single precision against double
    np.testing.assert_allclose(bills["electricity_before"], bill(before), **close)
    np.testing.assert_allclose(bills["electricity_after"], bill(after), **close)
    np.testing.assert_allclose(bills["moved_kwh"], np.maximum(more, less).mean(axis=0), **close)
    assert (bills["moved_kwh"] > 1.0).all()
    # Batteries wear, which no meter bills; at rest they do not.
    wear = bills["after"] - bills["electricity_after"]
    assert wear[1] > 0.01
    assert bills["before"][1] == pytest.approx(bills["electricity_before"][1], rel=1e-5)


def test_installed_power_is_that_of_all_devices(run: EvaluatedRun, simulator: Simulator) -> None:
    fleet = simulator.fleet
    battery, pump = (fleet.group(kind).parameters.maximum_power for kind in OWNERS)
    expected = [battery[0] + pump[0], battery[1], pump[1]]
    np.testing.assert_allclose(customer_bills(run)["installed_kw"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ([8.0, 11.0, 9.0], "1 of 3 customers (33.3 %) pay more than before, € 1.00 a day together"),
        ([8.0, 10.0, 9.0], "Nobody pays more than before."),
        ([12.0, 10.0, 11.5], "2 of 3 customers (66.7 %) pay more than before, € 3.50 a day"),
    ],
)
def test_who_is_worse_off_is_told(run: EvaluatedRun, after: list[float], told: str) -> None:
    """All of them paid 10 € before."""
    text = customers_section(run, after)
    assert told in text
    assert ("<td>634.3</td>" in text) == (after[2] > 10.0)


def test_groups_are_those_of_the_same_devices(run: EvaluatedRun) -> None:
    """Three groups of one customer each; what one of them loses is marked."""
    text = customers_section(run, [8.0, 11.0, 9.0])
    for devices, saving, worse in (
        ("battery and heat pump", "€ 2.00", "<td><data value="),
        ("battery", "−€ 1.00", "<td class=bad><data value="),
        ("heat pump", "€ 1.00", "<td><data value="),
    ):
        row = next(r for r in text.split("<tr>") if f'scope="row">{devices}</th>' in r)
        assert row.count(f">{saving}</data>") == 3  # the mean, and both ends of the spread
        assert f"{worse}'{int(devices == 'battery')}'".replace("'", '"') in row


def test_one_price_at_all_times_is_told_as_such(run: EvaluatedRun) -> None:
    """The widest day is no news where none is wider than another."""
    assert "on which prices differ most, from " in "".join(one_day(run))
    prices = np.full_like(run.evaluation.import_price, 0.29)
    flat = replace(run, evaluation=replace(run.evaluation, import_price=prices))
    told = "one of the evaluated days. The price is the same at all times, 0.29 € per kWh."
    assert told in "".join(one_day(flat))


def customers_section(run: EvaluatedRun, after: list[float]) -> str:
    episodes = run.evaluation.episodes
    paid = {"idle": [10.0, 10.0, 10.0], "gradmap": after}
    changed = {
        key: replace(episodes[key], agent_cost=np.tile(cost, (2, 1))) for key, cost in paid.items()
    }
    evaluation = replace(run.evaluation, episodes={**episodes, **changed})
    text = "".join(customers(replace(run, evaluation=evaluation)))
    assert "attic, <b>" not in text
    return text.replace("\u00a0", " ")


def test_what_they_decide_on_is_told(run: EvaluatedRun, simulator: Simulator) -> None:
    """Demand, voltage and the states of two devices; a plan for both, two numbers of a place."""
    planned = make_simulator(case=replace(simulator.case, public_plan=True))
    for each, own, plan in ((simulator, 4, "without"), (planned, 10, "with")):
        section = "".join(how_this_was_measured(replace(run, simulator=each)))
        assert f"each home decides on {own} numbers of its own and" in section
        assert f"that all homes know, {plan} the public plan." in section

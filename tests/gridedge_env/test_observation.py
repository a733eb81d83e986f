"""What agents observe: in which units, of whom, and of when."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import pytest
import torch
from torch import Tensor

from gridedge_env import Simulator, make_simulator
from gridedge_env.devices.battery import TYPICAL_EFFICIENCY
from gridedge_env.observation import (
    OBSERVATION_BOUND,
    PLANNED_HOURS,
    PRICE_BLOCKS,
    observation_fields,
    shared_observations,
)
from gridedge_env.scenarios import DayTable, Tariff
from gridedge_env.state import SimulatorState

FIELDS = {field.name: field for field in observation_fields()}
SHARED = [name for name, field in FIELDS.items() if not field.private]
AS_TRADED = Tariff(tax_factor=1.0, adder=0.0)


def day_table(price: Tensor, temperature: Tensor) -> DayTable:
    days = len(price)
    return DayTable(
        dates=tuple(date(2023, 1, 2 + k) for k in range(days)),
        month=torch.zeros(days, dtype=torch.long),
        weekend=torch.zeros(days, dtype=torch.bool),
        outdoor_temperature=temperature,
        irradiance=torch.zeros_like(price),
        day_ahead_price=price,
    )


def values(entries: Tensor) -> dict[str, Tensor]:
    """Shared entries (..., shared fields) by name, in their units."""
    return {
        name: FIELDS[name].offset + FIELDS[name].scale * entries[..., k]
        for k, name in enumerate(SHARED)
    }


def test_fields() -> None:
    """Private ones first, of which everyone has three; no name twice."""
    fields = observation_fields()
    assert len(FIELDS) == len(fields) == 35
    assert [field.name for field in fields[:3]] == ["own_state", "own_load", "own_voltage"]
    assert [field.private for field in fields] == [True] * 3 + [False] * 32
    assert all(field.scale > 0.0 for field in fields)


def test_the_price_against_the_rest_of_the_day() -> None:
    """A day of 0.1 €/kWh but for 0.3 at step 10 and 0.05 at step 20."""
    price = torch.full((1, 48), 0.1, dtype=torch.float64)
    price[0, 10], price[0, 20] = 0.3, 0.05
    entries = shared_observations(day_table(price, torch.zeros_like(price)), AS_TRADED)
    seen = {name: value[0] for name, value in values(entries).items()}
    # At step 0, one of 48 steps is cheaper; at 10, all 37 that follow are, of 38 with itself.
    for step, cheaper, least, greatest in (
        (0, 1 / 48, -0.05, 0.2),
        (10, 37 / 38, -0.25, 0.0),
        (11, 1 / 37, -0.05, 0.0),
        (20, 0.0, 0.0, 0.05),
        (47, 0.0, 0.0, 0.0),
    ):
        # No entry is clipped; double precision.
        assert seen["price_rank_ahead"][step] == pytest.approx(cheaper, abs=1e-12)
        assert seen["price_minimum_ahead"][step] == pytest.approx(least, abs=1e-12)
        assert seen["price_maximum_ahead"][step] == pytest.approx(greatest, abs=1e-12)


def test_the_plans_of_lone_batteries() -> None:
    """Cheap until six, dear from 18:00, half full at both ends: fill early, sell late.

    A price between that changes nothing: twice 0.89 of the spread is more than wear. The slow
    battery cannot fill in less than 0.5 x 5 h / 0.946 = 2.6 h, which is 6 half-hours.
    """
    price = torch.full((1, 48), 0.3, dtype=torch.float64)
    price[0, :12], price[0, 36:] = 0.1, 0.6
    seen = values(shared_observations(day_table(price, torch.zeros_like(price)), AS_TRADED))
    for hours in PLANNED_HOURS:
        energy, power = (seen[f"planned_{what}_{hours}_hours"][0] for what in ("energy", "power"))
        assert energy[0] == pytest.approx(0.5)
        assert energy.min() >= 0.05 - 1e-9
        assert (power[:12].sum(), power[12:36].abs().sum()) > (0.0, 0.0)
        assert (energy[12:36] > 0.9).all()
        assert power[36:].sum() < 0.0
        # A level is a fourteenth of a step's charge.
        full = math.ceil(0.5 * hours / TYPICAL_EFFICIENCY / 0.5 - 1 / 14)
        assert int((power > 1e-9).sum()) >= full
        # What is planned is what a battery does.
        into = torch.where(power > 0.0, power * TYPICAL_EFFICIENCY, power / TYPICAL_EFFICIENCY)
        torch.testing.assert_close(energy.diff(), into[:-1] * 0.5 / hours, rtol=0.0, atol=1e-9)


@pytest.fixture(scope="module")
def ramp() -> dict[str, Tensor]:
    """A price of step / 1000 €/kWh, at most 0.047, and a temperature of step / 10 °C: (1, 48)."""
    step = torch.arange(48, dtype=torch.float64)[None]
    return values(shared_observations(day_table(step / 1000.0, step / 10.0), AS_TRADED))


@pytest.mark.parametrize(
    ("step", "block", "expected"),
    [
        # The steps ahead, less the present one: means of 1, of 3 and 4, of 21 to 28.
        (0, "1_1", 1.0),
        (10, "3_4", 3.5),
        (19, "21_28", 24.5),
        # Of 21 to 28 ahead of step 24, only 45, 46 and 47 are today.
        (24, "21_28", 22.0),
        (44, "3_4", 3.0),
        # No price is known beyond midnight: nothing is said.
        (27, "21_28", 0.0),
        (45, "3_4", 0.0),
        (47, "1_1", 0.0),
    ],
)
def test_price_ahead_by_hand(
    ramp: dict[str, Tensor], step: int, block: str, expected: float
) -> None:
    found = ramp[f"price_ahead_{block}"][0, step].item()
    assert found == pytest.approx(expected / 1000.0, abs=1e-12)


def test_the_rest_by_hand(ramp: dict[str, Tensor]) -> None:
    """Of a ramp from 0 to 47: mean 23.5, standard deviation √((48² - 1) / 12) = 13.85."""
    assert ramp["price"][0, 30].item() == pytest.approx(0.030)
    assert ramp["price_mean"][0].tolist() == pytest.approx([0.0235] * 48)
    assert ramp["price_minimum"][0].tolist() == pytest.approx([0.0] * 48, abs=1e-12)
    assert ramp["price_maximum"][0].tolist() == pytest.approx([0.047] * 48)
    assert ramp["price_rank"][0].tolist() == pytest.approx([k / 48 for k in range(48)])
    z_score = (30 - 23.5) / math.sqrt((48**2 - 1) / 12)
    assert ramp["price_z_score"][0, 30].item() == pytest.approx(z_score)
    assert ramp["outdoor_temperature"][0, 30].item() == pytest.approx(3.0)
    # 7 to 16 ahead: 11.5 on average; a tenth of a degree each.
    assert ramp["temperature_ahead_7_16"][0, 10].item() == pytest.approx(1.15)
    # Six in the morning: a quarter of the day, half of half a day, ...
    quarter = [
        ramp[f"{wave}_{turns}_day"][0, 12].item()
        for turns in (1, 2, 3)
        for wave in ("sine", "cosine")
    ]
    assert quarter == pytest.approx([1, 0, 0, -1, -1, 0], abs=1e-12)


def test_a_day_of_one_price_has_no_extremes() -> None:
    price = torch.full((1, 48), 0.1, dtype=torch.float64)
    found = values(shared_observations(day_table(price, 10.0 * price), AS_TRADED))
    assert not found["price_rank"].any()
    for name in ("price_z_score", *(f"price_ahead_{a}_{b}" for a, b in PRICE_BLOCKS)):
        assert (found[name].abs() < 1e-12).all(), name


def test_entries_are_clipped() -> None:
    price = torch.zeros(1, 48, dtype=torch.float64)
    price[0, 20], price[0, 30] = 10.0, -10.0
    entries = shared_observations(day_table(price, 1e3 * price), AS_TRADED)
    assert entries.abs().max() == OBSERVATION_BOUND


def test_other_days_change_nothing() -> None:
    """Tomorrow's prices are not known before they are published, nor its weather."""
    random = torch.Generator().manual_seed(0)
    price, change = torch.rand(2, 3, 48, generator=random, dtype=torch.float64)
    temperature = 20.0 * price
    before = shared_observations(day_table(price, temperature), AS_TRADED)[1]
    change[1] = 0.0
    changed = day_table(price + change, temperature - 10.0 * change)
    assert torch.equal(shared_observations(changed, AS_TRADED)[1], before)


def test_entries_invert_to_what_they_stand_for(simulator: Simulator) -> None:
    state = simulator.reset(batch_size=2, days=[3, 190])
    for _ in range(20):
        action = torch.full((2, 12, 1), -0.3, dtype=torch.float64)
        state, result = simulator.step(state, action)
    private, shared = simulator.observe_parts(state)
    assert torch.equal(simulator.observe(state)[:, 7], torch.cat((private[:, 7], shared), dim=-1))
    seen = values(shared)
    torch.testing.assert_close(seen["price"], state.day.import_price[:, 20])
    torch.testing.assert_close(seen["outdoor_temperature"], state.day.outdoor_temperature[:, 20])

    assert (private.abs() < OBSERVATION_BOUND).all()
    own = {
        field.name: field.offset + field.scale * private[..., k]
        for k, field in enumerate(simulator.observation_fields[:3])
    }
    fleet = simulator.fleet
    charge, warmth, paying = own["own_state"].split(fleet.counts, dim=1)
    torch.testing.assert_close(
        charge * fleet.group("battery").parameters.capacity, state.devices[0].energy
    )
    low, high = (
        fleet.group("heat_pump").parameters.lowest_temperature,
        fleet.group("heat_pump").parameters.highest_temperature,
    )
    torch.testing.assert_close(low + warmth * (high - low), state.devices[1].temperature)
    # Marginal fuel b + 2 c l equals the price; said as far as -1 and 2.
    linear, quadratic = (
        fleet.group("generator").parameters.linear_cost,
        fleet.group("generator").parameters.quadratic_cost,
    )
    price = state.day.import_price[:, 20, None]
    torch.testing.assert_close(paying, ((price - linear) / (2.0 * quadratic)).clamp(-1.0, 2.0))
    torch.testing.assert_close(own["own_load"] * state.day.mean_demand, state.day.demand[:, 20])

    # The voltage of the previous step at the home's own connection, wye or delta.
    nodes = simulator.power_flow.node_names
    for agent, connection in enumerate(fleet.connection.tolist()):
        bus, *phases = fleet.connection_names[connection].split(".")
        ends = [result.voltage[:, nodes.index(f"{bus}.{phase}")] for phase in phases]
        across = ends[0].abs() if len(ends) == 1 else (ends[0] - ends[1]).abs() / math.sqrt(3.0)
        torch.testing.assert_close(own["own_voltage"][:, agent], across)


def perturbations(simulator: Simulator, state: SimulatorState) -> dict[str, SimulatorState]:
    """The same moment with something private of agents 1 (battery), 5 (heat pump), 9 changed."""

    def changed(name: str, agent: int) -> SimulatorState:
        tensor = getattr(state, name).clone()
        tensor[:, agent] += 0.1
        return replace(state, **{name: tensor})

    demand = state.day.demand.clone()
    demand[:, state.step, 5] += 0.3
    voltage = state.device_voltage.clone()
    connection = simulator.fleet.connection[9].item()
    voltage[:, [connection, connection + len(simulator.fleet.connection_names)]] *= 0.97
    return {
        "energy 1": changed("energy", 1),
        "temperature 5": changed("temperature", 1),
        "demand 5": replace(state, day=replace(state.day, demand=demand)),
        "voltage 9": replace(state, device_voltage=voltage),
    }


def test_nobody_sees_what_is_private_to_another(simulator: Simulator) -> None:
    state = simulator.reset(batch_size=2)
    action = torch.zeros(2, 12, 1, dtype=torch.float64)
    state, _ = simulator.step(state, action)
    assert len(set(simulator.fleet.connection.tolist())) == 12  # all live at places of their own
    before = simulator.observe(state)
    for name, other in perturbations(simulator, state).items():
        agent = int(name.split()[1])
        same = (simulator.observe(other) == before).all(dim=-1)
        assert not same[:, agent].any(), name
        assert same[:, [k for k in range(12) if k != agent]].all(), name


def test_nobody_sees_what_is_not_yet_known(simulator: Simulator) -> None:
    """Demand and sunshine of later steps; for prices and temperatures there are forecasts."""
    state = replace(simulator.reset(batch_size=2), step=10)
    demand, sun = state.day.demand.clone(), state.day.irradiance.clone()
    demand[:, 11:] += 1.0
    sun[:] += 100.0
    later = replace(state, day=replace(state.day, demand=demand, irradiance=sun))
    assert torch.equal(simulator.observe(later), simulator.observe(state))


def test_prices_are_those_that_agents_pay() -> None:
    """Whatever the tariff; export prices that differ are not observed."""
    tariff = Tariff(tax_factor=1.0, adder=0.2, net_metering=False)
    simulator = make_simulator(num_agents=3, dtype=torch.float64, tariff=tariff)
    state = simulator.reset(days=[100])
    price = simulator.days("train").day_ahead_price[100, 0] + 0.2
    torch.testing.assert_close(values(simulator.observe_parts(state)[1])["price"][0], price)
    assert (state.day.export_price < state.day.import_price).all()

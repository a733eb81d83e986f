"""What agents observe: in which units, of whom, and of when."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import pytest
import torch
from torch import Tensor

from gridedge_env import Simulator, make_simulator, observation
from gridedge_env.clock import Clock
from gridedge_env.devices.battery import BatteryState
from gridedge_env.devices.heat_pump import HeatPumpState
from gridedge_env.devices.storage import TYPICAL_EFFICIENCY
from gridedge_env.news import PLANNED_HOURS
from gridedge_env.observation import (
    OBSERVATION_BOUND,
    PRICE_BLOCKS,
    SHARED_FIELDS,
    observation_fields,
    shared_observations,
)
from gridedge_env.scenarios import DayAhead, DayAheadFeedIn, DayTable, Tariff
from gridedge_env.state import SimulatorState
from tests.gridedge_env.device_states import state_of

FIELDS = {field.name: field for field in observation_fields()}
AS_TRADED = Tariff(DayAhead(factor=1.0, adder=0.0))
HALF_HOURS = Clock()


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


def entries_of(days: DayTable, clock: Clock = HALF_HOURS) -> Tensor:
    """(days, steps, shared fields) as agents see them, at the prices of the auction."""
    return entries_under(AS_TRADED, days, clock)


def entries_under(tariff: Tariff, days: DayTable, clock: Clock = HALF_HOURS) -> Tensor:
    """The same under a tariff, of which agents are told more fields than under net metering."""
    fields = tuple(field for field in observation_fields(tariff=tariff) if not field.private)
    return shared_observations(fields, days, tariff, clock)


def values(entries: Tensor, tariff: Tariff = AS_TRADED) -> dict[str, Tensor]:
    """Shared entries (..., shared fields) by name, in their units."""
    fields = [field for field in observation_fields(tariff=tariff) if not field.private]
    assert entries.shape[-1] == len(fields)
    return {
        field.name: field.offset + field.scale * entries[..., k] for k, field in enumerate(fields)
    }


def test_fields() -> None:
    """Private ones first, of which everyone has three; no name twice."""
    fields = observation_fields()
    assert len(FIELDS) == len(fields) == 35
    assert [field.name for field in fields[:3]] == ["own_state", "own_load", "own_voltage"]
    assert [field.private for field in fields] == [True] * 3 + [False] * 32
    assert all(field.scale > 0.0 for field in fields)


def test_a_simulator_hands_out_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that there were when it was made, whatever is registered since."""
    simulator = make_simulator("ieee13", num_agents=3)
    before = simulator.reset().day.shared_observation
    monkeypatch.setattr(observation, "SHARED_FIELDS", SHARED_FIELDS[:4])
    assert torch.equal(simulator.reset().day.shared_observation, before)


def test_the_price_against_the_rest_of_the_day() -> None:
    """A day of 0.1 €/kWh but for 0.3 at step 10 and 0.05 at step 20."""
    price = torch.full((1, 48), 0.1, dtype=torch.float64)
    price[0, 10], price[0, 20] = 0.3, 0.05
    entries = entries_of(day_table(price, torch.zeros_like(price)))
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
    seen = values(entries_of(day_table(price, torch.zeros_like(price))))
    for hours in PLANNED_HOURS:
        energy, power = (seen[f"planned_{what}_{hours}_hours"][0] for what in ("energy", "power"))
        assert energy[[0, -1]].tolist() == pytest.approx([0.5, 0.5])
        assert (power[:12] >= 0.0).all()
        assert not power[12:36].any()
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
    return values(entries_of(day_table(step / 1000.0, step / 10.0)))


@pytest.mark.parametrize(
    ("step", "block", "expected"),
    [
        # The steps ahead, less the present one: means of 1, of 3 and 4, of 21 to 28.
        (0, "0_0.5", 1.0),
        (10, "1_2", 3.5),
        (19, "10_14", 24.5),
        # Of 21 to 28 ahead of step 24, only 45, 46 and 47 are today.
        (24, "10_14", 22.0),
        (44, "1_2", 3.0),
        # No price is known beyond midnight: nothing is said.
        (27, "10_14", 0.0),
        (45, "1_2", 0.0),
        (47, "0_0.5", 0.0),
    ],
)
def test_price_ahead_by_hand(
    ramp: dict[str, Tensor], step: int, block: str, expected: float
) -> None:
    found = ramp[f"price_ahead_{block}_hours"][0, step].item()
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
    assert ramp["temperature_ahead_3_8_hours"][0, 10].item() == pytest.approx(1.15)
    # Six in the morning: a quarter of the day, half of half a day, ...
    quarter = [
        ramp[f"{wave}_{turns}_day"][0, 12].item()
        for turns in (1, 2, 3)
        for wave in ("sine", "cosine")
    ]
    assert quarter == pytest.approx([1, 0, 0, -1, -1, 0], abs=1e-12)


def test_a_day_of_one_price_has_no_extremes() -> None:
    price = torch.full((1, 48), 0.1, dtype=torch.float64)
    found = values(entries_of(day_table(price, 10.0 * price)))
    assert not found["price_rank"].any()
    for name in ("price_z_score", *(f"price_ahead_{a:g}_{b:g}_hours" for a, b in PRICE_BLOCKS)):
        assert (found[name].abs() < 1e-12).all(), name


def test_entries_are_clipped() -> None:
    price = torch.zeros(1, 48, dtype=torch.float64)
    price[0, 20], price[0, 30] = 10.0, -10.0
    entries = entries_of(day_table(price, 1e3 * price))
    assert entries.abs().max() == OBSERVATION_BOUND


def test_other_days_change_nothing() -> None:
    """Tomorrow's prices are not known before they are published, nor its weather."""
    random = torch.Generator().manual_seed(0)
    price, change = torch.rand(2, 3, 48, generator=random, dtype=torch.float64)
    temperature = 20.0 * price
    before = entries_of(day_table(price, temperature))[1]
    change[1] = 0.0
    changed = day_table(price + change, temperature - 10.0 * change)
    assert torch.equal(entries_of(changed)[1], before)


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
        charge * fleet.group("battery").parameters.capacity, state_of(state, BatteryState).energy
    )
    low, high = (
        fleet.group("heat_pump").parameters.lowest_temperature,
        fleet.group("heat_pump").parameters.highest_temperature,
    )
    torch.testing.assert_close(
        low + warmth * (high - low), state_of(state, HeatPumpState).temperature
    )
    # Marginal fuel b + 2 c l equals the price; said as far as -1 and 2.
    linear, quadratic = (
        fleet.group("generator").parameters.linear_cost,
        fleet.group("generator").parameters.quadratic_cost,
    )
    price = state.day.import_price[:, 20, None]
    torch.testing.assert_close(paying, ((price - linear) / (2.0 * quadratic)).clamp(-1.0, 2.0))
    # Of the step that has ended.
    torch.testing.assert_close(own["own_load"] * state.day.mean_demand, state.day.demand[:, 19])

    # The voltage of the previous step at the home's own connection, wye or delta.
    nodes = simulator.power_flow.node_names
    for agent, connection in enumerate(fleet.connection.tolist()):
        bus, *phases = fleet.connection_names[connection].split(".")
        ends = [result.voltage[:, nodes.index(f"{bus}.{phase}")] for phase in phases]
        across = ends[0].abs() if len(ends) == 1 else (ends[0] - ends[1]).abs() / math.sqrt(3.0)
        torch.testing.assert_close(own["own_voltage"][:, agent], across)


def perturbations(simulator: Simulator, state: SimulatorState) -> dict[str, SimulatorState]:
    """The same moment with something private of agents 1 (battery), 5 (heat pump), 9 changed."""

    def changed(kind: int, name: str, device: int) -> SimulatorState:
        tensor = getattr(state.devices[kind], name).clone()
        tensor[:, device] += 0.1
        devices = list(state.devices)
        devices[kind] = replace(devices[kind], **{name: tensor})
        return replace(state, devices=tuple(devices))

    demand = state.day.demand.clone()
    demand[:, state.step - 1, 5] += 0.3
    voltage = state.device_voltage.clone()
    connection = simulator.fleet.connection[9].item()
    voltage[:, [connection, connection + len(simulator.fleet.connection_names)]] *= 0.97
    return {
        "energy 1": changed(0, "energy", 1),
        "temperature 5": changed(1, "temperature", 1),
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
    """Demand and sunshine of this step and later; for prices and temperatures there are forecasts.

    Nobody can know the mean of a step that begins.
    """
    state = replace(simulator.reset(batch_size=2), step=10)
    demand, sun = state.day.demand.clone(), state.day.irradiance.clone()
    demand[:, 10:] += 1.0
    sun[:] += 100.0
    later = replace(state, day=replace(state.day, demand=demand, irradiance=sun))
    assert torch.equal(simulator.observe(later), simulator.observe(state))


def test_prices_are_those_that_agents_pay_and_earn() -> None:
    """Of the first half-hour: 0.2 €/kWh more than the auction's, and 0.01 €/kWh less."""
    tariff = Tariff(DayAhead(factor=1.0, adder=0.2), DayAheadFeedIn(fee=0.01, floor=-1.0))
    simulator = make_simulator(num_agents=3, dtype=torch.float64, tariff=tariff)
    state = simulator.reset(days=[100])
    traded = simulator.days("train").day_ahead_price[100, 0]
    seen = values(simulator.observe_parts(state)[1], tariff)
    torch.testing.assert_close(seen["price"][0], traded + 0.2)
    torch.testing.assert_close(seen["export_price"][0], traded - 0.01)
    assert (state.day.export_price < state.day.import_price).all()


def test_at_midnight_the_load_is_as_if_usual(simulator: Simulator) -> None:
    private, _ = simulator.observe_parts(simulator.reset(batch_size=2))
    assert not private[..., 1].any()  # over its annual mean, less 1


def test_of_equal_plans_the_earlier_is_taken() -> None:
    """Two cheap half-hours at night, two dear ones in the evening, of which each battery needs one.

    The 2-hour battery moves 0.9 kWh and more either way in two half-hours at full power; with half
    an hour of 0.5 kWh to spare, it moves most in the first of each pair.
    """
    price = torch.full((1, 48), 0.3, dtype=torch.float64)
    price[0, 8:14], price[0, 36:42] = 0.1, 0.6
    seen = values(entries_of(day_table(price, 0.0 * price)))
    power = seen["planned_power_2_hours"][0]
    for first, sign in ((8, 1.0), (36, -1.0)):
        used = sign * power[first : first + 6]
        assert (used.diff() <= 1e-9).all()  # never more later
        assert used[0] > 0.9
        assert used[-1] == 0.0


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_both_precisions_see_the_same_days_and_plans(split: str) -> None:
    """All days of a year: entries to single precision's rounding, plans without one exception.

    Entries are up to 10 of their scale, prices of some €/kWh over a scale of 0.1 carry 1e-6; a plan
    that broke a tie otherwise would differ by a level, 1 / 14 of full power.
    """
    days = []
    for dtype in (torch.float32, torch.float64):
        simulator = make_simulator(num_agents=3, dtype=dtype)
        rows = range(len(simulator.days(split).dates))
        days.append(simulator.reset(split=split, days=rows).day)
    single, double = days
    seen, exact = (values(day.shared_observation) for day in days)
    assert len(seen) == 32
    for name in seen:
        tolerance = 1e-6 if name.startswith("planned") else 1e-4
        torch.testing.assert_close(seen[name].double(), exact[name], rtol=0.0, atol=tolerance)
    torch.testing.assert_close(single.demand.double(), double.demand, rtol=1e-6, atol=0.0)
    assert torch.equal(single.outdoor_temperature.double(), double.outdoor_temperature)


@pytest.mark.parametrize("minutes", [15, 60])
def test_blocks_are_of_hours_whatever_the_step(minutes: int) -> None:
    """A price of the hour of the day in cents, held: at 10:00, the block 1 to 2 h after the step.

    In quarter-hours that is 11:15 to 12:15, three quarters of hour 11 and one of hour 12: 11.25; in
    hours 12:00 to 13:00: 12. The next half-hour is all of hour 10 or of hour 11.
    """
    clock = Clock.of_minutes(minutes)
    price = (torch.arange(24, dtype=torch.float64) / 100.0).repeat_interleave(clock.steps // 24)
    table = day_table(price[None], 0.0 * price[None])
    seen = values(entries_of(table, clock))
    step = 10 * clock.steps // 24
    expected = {15: (11.25 - 10.0, 0.0), 60: (12.0 - 10.0, 1.0)}[minutes]
    found = [seen[f"price_ahead_{b}_hours"][0, step].item() for b in ("1_2", "0_0.5")]
    assert found == pytest.approx([x / 100.0 for x in expected], abs=1e-12)
    noon = seen["sine_1_day"][0, clock.steps // 4].item()
    assert noon == pytest.approx(1.0)

"""Episodes of several consecutive days: what runs through midnights, and what is of each day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pettingzoo.test import parallel_api_test

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner
from gridedge_env import Case, Simulator, default_case, load_case, make_simulator, parallel_env
from gridedge_env.clock import Clock
from gridedge_env.devices.storage import RETURN_POWER_SHARE
from gridedge_env.evaluation import evaluate, evaluation_days, summarise
from gridedge_env.reference import Idle, PriceFollowing, lower_bound, perfect_foresight, play
from gridedge_env.reference.rules import seen_by_kind
from gridedge_env.scenarios import Flat, Period, Tariff, TimeOfUse, Variation
from tests.gridedge_env.case_files.street import write_street
from tests.gridedge_env.other_loads import case_among_loads

AGENTS, ROW = 10, 40
KINDS = ("battery", "heat_pump", "generator", "ev_charger", "pv_inverter")
# Of states and powers, some 100 kWh and kW in double precision over 168 steps.
ROUNDING = 1e-10


def case_of(days: int, **options: object) -> Case:
    case = default_case(
        "ieee13", num_agents=AGENTS, step_minutes=60, mix=dict.fromkeys(KINDS, 0.2), **options
    )
    return replace(case, clock=Clock.of_minutes(60, days))


@pytest.fixture(scope="module")
def simulators() -> dict[int, Simulator]:
    return {days: make_simulator(case=case_of(days), dtype=torch.float64) for days in (1, 2, 7)}


def random_actions(simulator: Simulator, batch: int) -> torch.Tensor:
    size = (simulator.clock.steps, batch, AGENTS, 1)
    random = torch.Generator().manual_seed(0)
    return 2.0 * torch.rand(size, generator=random, dtype=torch.float64) - 1.0


# What an episode is -------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [2, 7])
def test_an_episode_is_its_days_on_end(simulators: dict[int, Simulator], days: int) -> None:
    """Weather, prices, demand and news are those of its days, each on its own, and as varied."""
    simulator, alone = simulators[days], simulators[1]
    variation = Variation(price_factor=torch.tensor([1.5]), temperature_shift=2.0)
    long = simulator.reset(days=[ROW], variation=variation).day
    rows = range(ROW, ROW + days)
    each = replace(variation, price_factor=torch.full((days,), 1.5))
    short = alone.reset(days=rows, variation=each).day
    for name in ("outdoor_temperature", "irradiance", "import_price", "demand"):
        joined = getattr(short, name).flatten(0, 1)
        assert torch.equal(getattr(long, name)[0], joined), name
    *known, left = long.shared_observation[0].unbind(-1)
    assert torch.equal(torch.stack(known, -1), short.shared_observation.flatten(0, 1))
    assert left.tolist() == [float(days - 1 - k) for k in range(days) for _ in range(24)]
    assert simulator.observation_fields[-1].name == "days_left"
    assert len(alone.observation_fields) == len(simulator.observation_fields) - 1


def test_weekends_have_their_own_prices() -> None:
    """Friday 17 and Saturday 18 February 2023."""
    tariff = Tariff(TimeOfUse(otherwise=0.2, periods=(Period(0.3, days="weekend"),)))
    simulator = make_simulator(case=case_of(2, tariff=tariff))
    friday = simulator.days("train").dates.index(date(2023, 2, 17))
    price = simulator.reset(days=[friday]).day.import_price[0]
    assert price.tolist() == pytest.approx([0.2] * 24 + [0.3] * 24)


def test_other_loads_go_on_by_their_profiles() -> None:
    case = case_among_loads()
    clock = Clock.of_minutes(case.clock.minutes, 2)
    long, short = (make_simulator(case=each) for each in (replace(case, clock=clock), case))
    row = long.starts("train")[0]
    told = long.reset(days=[row]).day.load_multiplier
    expected = short.reset(days=[row, row + 1]).day.load_multiplier
    assert told is not None
    assert expected is not None
    assert torch.equal(told[0], expected.flatten(0, 1))


@pytest.mark.parametrize("days", [1, 2, 7])
def test_only_days_that_others_follow_are_starts(
    simulators: dict[int, Simulator], days: int
) -> None:
    """26 March and 29 October, on which clocks change, are missing in 2023: 362 days in 3 parts."""
    simulator = simulators[days]
    dates, starts = simulator.days("train").dates, simulator.starts("train")
    assert len(starts) == 362 - 3 * (days - 1)
    for row in starts:
        assert dates[row + days - 1] == dates[row] + timedelta(days=days - 1)
    for seed in range(3):
        drawn = simulator.reset(batch_size=50, seed=seed).day.table_row
        assert set(drawn.tolist()) <= set(starts)
    assert set(evaluation_days(simulator, "train", len(starts))) == set(starts)
    if days > 1:
        eve = dates.index(date(2023, 3, 25))
        with pytest.raises(ValueError, match=f"got row {eve}, 2023-03-25, expected one at which"):
            simulator.reset(days=[eve])


# What devices do ----------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [1, 2, 7])
def test_devices_run_through_midnights(simulators: dict[int, Simulator], days: int) -> None:
    """Stores end half full, and on other midnights they stand where they stand; no car is short."""
    simulator = simulators[days]
    state = simulator.reset(days=[ROW, ROW + 9], seed=2)
    actions = random_actions(simulator, 2).abs()  # store as much as may be
    batteries, cars = (simulator.fleet.group(k).parameters for k in ("battery", "ev_charger"))
    trips = state.devices[3]
    assert trips.departure.shape == (days, 2, 2)  # type: ignore[attr-defined]
    results = []
    for step, action in enumerate(actions):
        state, result = simulator.step(state, action)
        results.append(result.power)
        shares = [
            state.devices[k].energy / p.capacity  # type: ignore[attr-defined]
            for k, p in ((0, batteries), (3, cars))
        ]
        if (step + 1) % 24 == 0 and step + 1 < simulator.clock.steps:
            assert (shares[0] > 0.6).all()
        # A car on the way has the rest of its trip and the driver's minimum.
        day, hour = divmod(step + 1, 24)
        if day < days:
            leave, back, trip = (
                getattr(trips, name)[day] for name in ("departure", "arrival", "trip_energy")
            )
            rest = trip * ((back - hour) / (back - leave)).clamp(0.0, 1.0)
            away = (hour >= leave) & (hour <= back)
            enough = shares[1] * cars.capacity - rest >= cars.minimum_energy - ROUNDING
            assert enough[away].all()
    for share in shares:
        torch.testing.assert_close(share, torch.full_like(share, 0.5), rtol=0.0, atol=ROUNDING)
    together = simulator.simulate(simulator.reset(days=[ROW, ROW + 9], seed=2), actions)
    torch.testing.assert_close(together.power, torch.stack(results), rtol=0.0, atol=1e-8)


def test_a_car_may_leave_full_and_come_back_to_less_than_half(
    simulators: dict[int, Simulator],
) -> None:
    """What the second day's trip needs may be charged on the first evening, or the next morning."""
    simulator = simulators[2]
    state = simulator.reset(days=[ROW], seed=1)
    cars = simulator.fleet.group("ev_charger").parameters
    up = RETURN_POWER_SHARE * cars.limits.charge
    midnight = {}
    for action in (-1.0, 1.0):
        now, actions = state, torch.full((24, 1, AGENTS, 1), action, dtype=torch.float64)
        for each in actions:
            now = simulator.step(now, each)[0]
        midnight[action] = now.devices[3].energy[0]  # type: ignore[attr-defined]
    departure, _, trip = (
        getattr(state.devices[3], name)[1, 0] for name in ("departure", "arrival", "trip_energy")
    )
    needed = cars.limits.least + trip - up * departure
    assert (midnight[-1.0] >= torch.maximum(cars.limits.least, needed) - ROUNDING).all()
    assert (midnight[-1.0] < 0.5 * cars.capacity).any()
    assert (midnight[1.0] > 0.5 * cars.capacity).all()


def test_gradients_through_a_midnight(simulators: dict[int, Simulator]) -> None:
    """Along a random direction, against central differences.

    Errors: rounding of 1e-13 of some 1e2 over h = 1e-6, so 1e-5 of a slope of 1e2, and h².
    """
    simulator = simulators[2]
    state = simulator.reset(days=[ROW])
    actions = (0.5 * random_actions(simulator, 1)).requires_grad_()

    def objective(actions: torch.Tensor) -> torch.Tensor:
        result = simulator.simulate(state, actions)
        return result.cost.sum() + result.violation.sum()

    (gradient,) = torch.autograd.grad(objective(actions), actions)
    assert (gradient[:24].abs().sum(dim=(0, 1, 3)) > 0.0).all()
    random = torch.Generator().manual_seed(1)
    direction = torch.randn(actions.shape, generator=random, dtype=torch.float64)
    h = 1e-6
    with torch.no_grad():
        ends = [objective(actions + sign * h * direction) for sign in (1.0, -1.0)]
    slope = (ends[0] - ends[1]) / (2.0 * h)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-5, atol=1e-5)


def test_agents_know_how_long_an_episode_lasts(simulators: dict[int, Simulator]) -> None:
    """Before step 5 of 48 hours: 42 from its end on; before step 30: 17."""
    simulator = simulators[2]
    state = simulator.reset(days=[ROW])
    for before, _, _ in play(simulator, PriceFollowing(simulator), state):
        _, seen = next(seen_by_kind(simulator, *simulator.observe_parts(before)))
        assert seen.hours_left.item() == pytest.approx(47.0 - before.step, abs=1e-9)


# Who plays it -------------------------------------------------------------------------------------


def test_the_pettingzoo_checker_plays_whole_episodes() -> None:
    env = parallel_env(case=case_of(2), render_mode="rgb_array")
    parallel_api_test(env, num_cycles=60)
    env.reset(seed=0, options={"day": ROW})
    for step in range(48):
        assert env.agents, step
        over = env.step({agent: np.zeros(1, np.float32) for agent in env.agents})[2]
    assert all(over.values())
    assert not env.agents
    assert env.render() is not None
    with pytest.raises(ValueError, match="the episode of 48 steps is over"):
        env.step({})


def test_gradmap_learns_on_them() -> None:
    """A multiplier for each step of the episode; the log's cost is that of a day."""
    simulator = make_simulator(case=case_of(2, tariff=Tariff(Flat(0.3))))
    config = TrainConfig(
        batch_days=2, minibatches=2, epochs=1, hidden_sizes=(4,), price_variation=0.0
    )
    learner = make_learner(config, simulator)
    before = [weights.detach().clone() for weights in learner.policies.parameters()]
    after, row = iterate(config, simulator, learner)
    assert after.duals["voltage"].shape[0] == 48
    assert row["environment_steps"] == 2 * 48
    assert all(np.isfinite(list(row.values())))
    pairs = zip(before, after.policies.parameters(), strict=True)
    assert all(not torch.equal(*pair) for pair in pairs)
    alone = make_simulator(case=case_of(1, tariff=Tariff(Flat(0.3))))
    _, single = iterate(config, alone, make_learner(config, alone))
    assert row["cost"] == pytest.approx(single["cost"], rel=0.5)  # of a day, not of two


def test_evaluations_are_of_days(simulators: dict[int, Simulator]) -> None:
    """Two episodes of two days are four days, each with its date, price and share of the cost."""
    simulator = simulators[2]
    rows = [ROW, ROW + 9]
    found = evaluate(simulator, {}, rows, "train", foresight_iterations=0)
    dates = simulator.days("train").dates
    expected = [dates[row + k].isoformat() for row in rows for k in range(2)]
    assert found.dates.tolist() == expected
    day = simulator.reset(days=rows).day
    np.testing.assert_array_equal(found.import_price[1], day.import_price[0, 24:])
    played = found.episodes["idle"]
    assert played.quantities["voltage"].shape[:2] == played.fleet_power.shape == (4, 24)
    results = [
        result for _, _, result in play(simulator, Idle(simulator), simulator.reset(days=rows))
    ]
    cost = torch.stack([result.cost.sum(dim=-1) for result in results])  # (steps, episodes)
    by_hand = [float(cost[24 * k : 24 * (k + 1), e].sum()) for e in range(2) for k in range(2)]
    np.testing.assert_allclose(played.cost, by_hand, rtol=1e-12)
    mean = summarise(played, simulator.case.limits)["cost"]
    assert mean == pytest.approx(float(cost.sum()) / 4.0)


def test_foresight_of_two_days_is_no_dearer_than_of_each() -> None:
    """Half full at midnight is one of its plans: so are the bounds, and the plan keeps above its.

    The solver's tolerance is 1e-7 for each of some hundred rows.
    """
    mix = {"battery": 0.4, "ev_charger": 0.4, "generator": 0.2}
    case = default_case("ieee13", num_agents=5, step_minutes=60, mix=mix)
    bounds = {}
    for days, rows in ((1, [ROW, ROW + 1]), (2, [ROW])):
        longer = replace(case, clock=Clock.of_minutes(60, days))
        simulator = make_simulator(case=longer, dtype=torch.float64)
        state = simulator.reset(days=rows)
        plan = perfect_foresight(simulator, state, 10)
        assert plan.shape == (24 * days, len(rows), 5, 1)
        bound = lower_bound(simulator, state, plan, rounds=1)
        cost = float(simulator.simulate(state, plan).cost.sum())
        bounds[days] = float(bound.cost_without_network.sum())
        assert bounds[days] <= cost + 1e-4
    assert bounds[2] < bounds[1] - 0.01


# Cases in folders ---------------------------------------------------------------------------------


def test_own_days_follow_each_other(tmp_path: Path) -> None:
    """A street whose clocks change on 31 March: 30 March is no start, and meters go on."""
    write_street(tmp_path / "street")
    path = tmp_path / "street" / "case.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"days_per_episode = 2\n{text}", encoding="utf-8")
    case = load_case(tmp_path / "street")
    assert case.clock == Clock.of_minutes(15, 2)
    case.save(tmp_path / "copy")
    assert load_case(tmp_path / "copy") == case
    simulator = make_simulator(case=case)
    dates = simulator.days("train").dates
    starts = [dates[row] for row in simulator.starts("train")]
    assert date(2024, 3, 29) in starts
    assert not {date(2024, 3, 30), date(2024, 3, 31), date(2024, 4, 10)} & set(starts)
    demand = simulator.reset(days=[dates.index(date(2024, 3, 4))]).day.demand
    meters = pd.read_csv(tmp_path / "street" / "meters.csv")
    own = meters[meters.timestamp.str.startswith(("2024-03-04", "2024-03-05"))]
    np.testing.assert_allclose(demand[0, :, 1], own["meter 1"], atol=1e-6)
    path.write_text(f"days_per_episode = 8\n{text}", encoding="utf-8")
    with pytest.raises(ValueError, match="'days_per_episode': got 8, expected a whole number from"):
        load_case(tmp_path / "street")
    few = text.replace("[2024-04-21, 2024-04-30]", "[2024-04-21, 2024-04-21]")
    path.write_text(f"days_per_episode = 2\n{few}", encoding="utf-8")
    told = "days.test': got no 2 days in a row .* Left out, as clocks change: 2024-03-31"
    with pytest.raises(ValueError, match=told):
        load_case(tmp_path / "street")

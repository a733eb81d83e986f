"""The simulator's contract: shapes, determinism, independence, limits and rewards."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env import Simulator, load_feeder, make_simulator
from gridedge_env.constraints import Limits
from gridedge_env.devices import KINDS
from gridedge_env.devices.heat_pump import HeatPumpState
from gridedge_env.scenarios import SPLITS
from gridedge_env.state import Result, SimulatorState
from tests.gridedge_env.device_states import state_of

# Power flows stop at changes below 1e-11 pu; loadings are a hundred times as sensitive.
SAME_VOLTAGE = 1e-10
SAME = 1e-8

RESULT_FIELDS = (
    "cost",
    "reward",
    "power",
    "voltage",
    "voltage_magnitude",
    "loading",
    "unbalance",
    "voltage_violation",
    "loading_violation",
    "unbalance_violation",
    "violation",
    "converged",
)


def random_actions(simulator: Simulator, *shape: int, seed: int = 0) -> Tensor:
    size = (*shape, simulator.num_agents, simulator.action_size)
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.rand(size, generator=generator, dtype=simulator.dtype) - 1.0


def walk(simulator: Simulator, state: SimulatorState, actions: Tensor) -> list[Result]:
    results = []
    for action in actions:
        state, result = simulator.step(state, action)
        results.append(result)
    return results


def test_shapes(simulator: Simulator) -> None:
    state = simulator.reset(batch_size=3)
    nodes, branches = 278, len(simulator.power_flow.branch_names)
    buses = len(simulator.power_flow.three_phase_buses)
    assert simulator.clock.steps == 48
    assert simulator.fleet.counts == (4, 4, 4)
    assert simulator.observe(state).shape == (3, 12, len(simulator.observation_fields))
    private, shared = simulator.observe_parts(state)
    assert private.shape == (3, 12, simulator.private_size)
    assert shared.shape == (3, len(simulator.observation_fields) - simulator.private_size)
    expected = {
        "cost": (12,),
        "reward": (12,),
        "power": (12,),
        "voltage": (nodes,),
        "voltage_magnitude": (nodes,),
        "loading": (branches,),
        "unbalance": (buses,),
        "voltage_violation": (nodes,),
        "loading_violation": (branches,),
        "unbalance_violation": (buses,),
        "violation": (),
        "converged": (),
    }
    actions = random_actions(simulator, 2, 3)
    following, result = simulator.step(state, actions[0])
    trajectory = simulator.simulate(state, actions)
    assert (state.step, following.step) == (0, 1)
    for name, shape in expected.items():
        assert getattr(result, name).shape == (3, *shape), name
        assert getattr(trajectory, name).shape == (2, 3, *shape), name
    assert result.voltage.dtype == torch.complex128
    assert result.converged.dtype == torch.bool
    assert result.cost.dtype == torch.float64


def test_the_default_case_stands_at_one_per_unit_with_neutral_taps(simulator: Simulator) -> None:
    """Not at the published taps, which boost for a full load: its capacitors alone add 3 %."""
    assert simulator.feeder.source.per_unit == 1.0
    assert {regulator.tap_position for regulator in simulator.feeder.regulators} == {0}
    assert simulator.feeder.loads == ()
    re, im = simulator.power_flow.no_load(1).chunk(2, dim=-1)
    assert ((torch.hypot(re, im) - 1.0).abs() < 0.03).all()
    published = load_feeder("ieee123")
    assert {regulator.tap_position for regulator in published.regulators} != {0}
    kept = make_simulator(published, 3, neutral_taps=False, source_voltage=0.98)
    assert kept.feeder.regulators == published.regulators
    assert kept.feeder.source.per_unit == 0.98


def test_steps_one_by_one_are_the_simulated_day(simulator: Simulator) -> None:
    state = simulator.reset(batch_size=2, seed=5)
    actions = random_actions(simulator, 48, 2)
    results = walk(simulator, state, actions)
    trajectory = simulator.simulate(state, actions)
    for name in RESULT_FIELDS:
        stepped = torch.stack([getattr(result, name) for result in results])
        together = getattr(trajectory, name)
        if name in ("cost", "power", "converged"):
            assert torch.equal(stepped, together), name
        else:
            scale = 1e3 if name in ("violation", "reward") else 1.0  # sums over hundreds of places
            torch.testing.assert_close(stepped, together, rtol=0.0, atol=scale * SAME)


def test_a_start_changes_nothing_but_time(simulator: Simulator) -> None:
    state = simulator.reset(batch_size=2)
    actions = random_actions(simulator, 6, 2)
    cold = simulator.simulate(state, actions)
    start = cold.solution.device_voltage.unflatten(0, (6, 2))
    warm = simulator.simulate(state, actions, start)
    torch.testing.assert_close(warm.voltage, cold.voltage, rtol=0.0, atol=SAME_VOLTAGE)
    assert (warm.solution.iterations < cold.solution.iterations).all()


def test_a_glance_is_a_step_with_nearly_its_voltages(simulator: Simulator) -> None:
    """Two sweeps, each of which gains about a digit on a change of some per cent."""
    state, _ = simulator.step(simulator.reset(batch_size=4), random_actions(simulator, 4))
    action = random_actions(simulator, 4, seed=1)
    exact, _ = simulator.step(state, action)
    glanced = simulator.glance(state, action)
    assert glanced.step == exact.step
    assert glanced.devices == exact.devices
    error = (glanced.device_voltage - exact.device_voltage).abs().max()
    assert 0.0 < error < 0.1 * (state.device_voltage - exact.device_voltage).abs().max()


def test_reset_is_a_function_of_its_arguments(simulator: Simulator) -> None:
    """Whatever was done before, and in another simulator too; to the last bit."""
    arguments: dict[str, Any] = {"batch_size": 3, "split": "validation", "seed": 4}
    first = simulator.reset(**arguments)
    simulator.reset(batch_size=2, seed=9)
    other = make_simulator(num_agents=12, dtype=torch.float64)
    for state in (simulator.reset(**arguments), other.reset(**arguments)):
        assert state == first
    changed = simulator.reset(batch_size=3, split="validation", seed=5)
    assert not torch.equal(first.day.demand, changed.day.demand)
    assert not torch.equal(
        state_of(first, HeatPumpState).temperature, state_of(changed, HeatPumpState).temperature
    )
    assert not torch.equal(first.day.table_row, changed.day.table_row)


def test_same_seed_same_bits() -> None:
    days = []
    for _ in range(2):
        simulator = make_simulator(num_agents=12, seed=3)
        state = simulator.reset(batch_size=2, seed=1)
        days.append(walk(simulator, state, random_actions(simulator, 5, 2)))
    for one, other in zip(*days, strict=True):
        assert all(torch.equal(getattr(one, n), getattr(other, n)) for n in RESULT_FIELDS)


def test_the_callers_random_state_is_left_alone() -> None:
    def draws() -> tuple[float, float, float]:
        return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002

    def seed() -> None:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)

    seed()
    expected = draws()
    seed()
    simulator = make_simulator(num_agents=3)
    state = simulator.reset(batch_size=2)
    simulator.observe(state)
    simulator.step(state, random_actions(simulator, 2))
    assert draws() == expected


def test_given_days_are_taken(simulator: Simulator) -> None:
    table = simulator.days("test")
    state = simulator.reset(split="test", days=[5, 300, 5], seed=2)
    assert state.day.table_row.tolist() == [5, 300, 5]
    expected = table.outdoor_temperature[[5, 300, 5]]
    assert torch.equal(state.day.outdoor_temperature, expected)
    # Every day of a batch has a demand of its own.
    assert not torch.equal(state.day.demand[0], state.day.demand[2])
    rows: Any = np.array([7])
    assert simulator.reset(days=rows).day.table_row.tolist() == [7]


def test_splits_have_other_years_and_other_homes(simulator: Simulator) -> None:
    """But the same devices at the same places."""
    dates = [set(simulator.days(split).dates) for split in SPLITS]
    assert not dates[0] & dates[1]
    assert not dates[0] & dates[2]
    assert not dates[1] & dates[2]
    states = [simulator.reset(split=split) for split in SPLITS]
    for k, state in enumerate(states):
        for other in states[:k]:
            assert not torch.isin(state.day.mean_demand, other.day.mean_demand).any()
            assert not torch.isin(
                state_of(state, HeatPumpState).temperature,
                state_of(other, HeatPumpState).temperature,
            ).any()


def test_days_do_not_depend_on_their_companions(simulator: Simulator) -> None:
    state = simulator.reset(batch_size=4, seed=1)
    actions = random_actions(simulator, 4, 4)
    together = simulator.simulate(state, actions)
    for rows in ([2], [3, 0], [1, 2, 3, 0]):
        apart = simulator.simulate(state.take(rows), actions[:, rows])
        assert torch.equal(apart.power, together.power[:, rows])
        torch.testing.assert_close(apart.cost, together.cost[:, rows])
        torch.testing.assert_close(
            apart.voltage, together.voltage[:, rows], rtol=0.0, atol=SAME_VOLTAGE
        )
        assert torch.equal(simulator.observe(state.take(rows)), simulator.observe(state)[rows])


@pytest.mark.parametrize("num_agents", [1, 2, 3, 10_000])
def test_any_number_of_agents(num_agents: int) -> None:
    simulator = make_simulator(num_agents=num_agents)
    names = simulator.fleet.names
    assert len(names) == num_agents
    assert {name.rpartition("_")[0] for name in names} == set(list(KINDS)[: min(num_agents, 3)])
    state = simulator.reset(batch_size=2)
    state, result = simulator.step(state, random_actions(simulator, 2))
    assert simulator.observe(state).isfinite().all()
    assert result.cost.shape == (2, num_agents)
    assert result.converged.all()
    assert result.reward.isfinite().all()


def test_actions_beyond_their_ends_count_as_the_ends(simulator: Simulator) -> None:
    state = simulator.reset()
    action = 3.0 * random_actions(simulator, 1)
    _, result = simulator.step(state, action)
    _, clipped = simulator.step(state, action.clamp(-1.0, 1.0))
    assert torch.equal(result.cost, clipped.cost)
    # In another precision, too.
    _, single = simulator.step(state, action.float())
    torch.testing.assert_close(single.power, result.power, rtol=1e-6, atol=1e-4)


def test_violations_are_what_is_outside_the_limits(simulator: Simulator) -> None:
    state = simulator.reset(batch_size=2, days=[0, 200])
    actions = torch.ones_like(random_actions(simulator, 12, 2))
    wide = Limits(0.5, 1.5, 10.0, 0.5)
    tight = Limits(0.999, 1.001, 0.05, 0.0005)
    result = simulator.simulate(state, actions)
    assert result.converged.all()
    assert not any(x.any() for x in result.scaled_violations(wide).values())

    voltage, loading, unbalance = result.scaled_violations(tight).values()
    magnitude = result.voltage.abs()
    outside = torch.maximum(0.999 - magnitude, magnitude - 1.001).clamp(min=0.0)
    torch.testing.assert_close(voltage, outside / 0.05)
    torch.testing.assert_close(loading, (result.loading - 0.05).clamp(min=0.0))
    torch.testing.assert_close(unbalance, (result.unbalance - 0.0005).clamp(min=0.0) / 0.02)
    assert all(x.any() and not x.all() for x in (voltage, loading, unbalance))


def test_loading_is_current_over_rating(simulator: Simulator) -> None:
    _, result = simulator.step(simulator.reset(), random_actions(simulator, 1))
    ratings = simulator.power_flow.branch_rating
    rated = ratings.isfinite()
    amps = result.solution.branch_current.abs()
    torch.testing.assert_close(result.loading[:, rated] * ratings[rated], amps[:, rated])
    assert not result.loading[:, ~rated].any()


def test_reward_is_cost_and_a_share_of_the_violations() -> None:
    """Penalty 30 € over 6 agents: 5 € each for a violation of 1."""
    simulator = make_simulator(
        num_agents=6,
        dtype=torch.float64,
        penalty=30.0,
        limits=Limits(minimum_voltage=0.999, maximum_loading=0.05, maximum_unbalance=0.001),
    )
    state = simulator.reset(batch_size=2)
    _, result = simulator.step(state, torch.ones_like(random_actions(simulator, 2)))
    total = (
        result.voltage_violation.sum(dim=-1) / 0.05
        + result.loading_violation.sum(dim=-1) / 1.0
        + result.unbalance_violation.sum(dim=-1) / 0.02
    )
    assert (total > 0.0).all()
    torch.testing.assert_close(result.violation, total)
    torch.testing.assert_close(result.reward, -result.cost - 5.0 * total[:, None])


def test_a_power_flow_without_solution_is_never_free_of_violations() -> None:
    simulator = make_simulator(num_agents=12, dtype=torch.float64, home_scale=1000.0)
    state = simulator.reset(batch_size=2)
    action = random_actions(simulator, 2).requires_grad_()
    following, result = simulator.step(state, action)
    assert not result.converged.any()
    assert (result.voltage_violation > 0.0).all()
    assert (result.violation > 278 * 0.05 / 0.05 - 1e-9).all()
    assert result.reward.isfinite().all()
    assert simulator.observe(following).isfinite().all()
    (gradient,) = torch.autograd.grad(result.reward.sum(), action)
    assert gradient.isfinite().all()
    # And the next step starts from there without harm.
    _, result = simulator.step(following, action.detach())
    assert result.reward.isfinite().all()


def test_inference_mode_leaves_nothing_behind_that_later_gradients_trip_over() -> None:
    """What a fleet keeps for later is first computed here without gradients; no bit tells."""
    gradients = []
    for inferred in (True, False):
        simulator = make_simulator(num_agents=6, reactive_power=True)
        actions = torch.zeros(2, 1, 6, 2)
        if inferred:
            with torch.inference_mode():
                simulator.observe(simulator.reset())
                simulator.simulate(simulator.reset(), actions)
        state = simulator.reset()
        actions.requires_grad_()
        for action in actions:
            state, _ = simulator.step(state, action + 0.1 * simulator.observe(state)[..., :2])
        total = simulator.observe(state).sum() + simulator.simulate(state, actions).cost.sum()
        gradients += torch.autograd.grad(total, actions)
    assert gradients[0].any()
    assert torch.equal(*gradients)

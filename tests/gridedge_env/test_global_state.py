"""The global state: PettingZoo's own tests, every entry by name, and batches like single days."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from pettingzoo.test.state_test import state_test
from pettingzoo.utils.conversions import parallel_to_aec

from gridedge_env import GridEdgeParallelEnv, Limits, make_simulator, parallel_env
from gridedge_env.global_state import global_state, state_names
from gridedge_env.observation import OBSERVATION_BOUND


@pytest.fixture(scope="module")
def simulator():
    return make_simulator("ieee13", num_agents=6)


@pytest.fixture
def env(simulator):
    return GridEdgeParallelEnv(simulator)


def test_passes_pettingzoos_own_test(simulator):
    """It warns where it does not refuse."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state_test(parallel_to_aec(GridEdgeParallelEnv(simulator)), GridEdgeParallelEnv(simulator))


def test_every_entry_is_what_its_name_says(env, simulator):
    """After a step: shared fields once, private ones of all, and the network as the result says."""
    env.reset(seed=1)
    state = simulator.reset(seed=1)
    action = torch.linspace(-1.0, 1.0, 6)[:, None]
    observations, *_ = env.step(dict(zip(env.agents, action.numpy(), strict=True)))
    _, result = simulator.step(state, action[None])
    names, found = state_names(simulator), env.state()
    assert len(set(names)) == len(names) == len(found)
    entries = dict(zip(names, found.tolist(), strict=True))
    expected = {}
    for agent, row in observations.items():
        for field, value in zip(simulator.observation_fields, row.tolist(), strict=True):
            expected[f"{field.name} {agent}" if field.private else field.name] = value
    # At the limits of ±5 %, of 100 % and of 2 %: ±1.
    for name, quantity, middle, half_width in (
        ("voltage", result.voltage_magnitude, 1.0, 0.05),
        ("loading", result.loading, 0.0, 1.0),
        ("unbalance", result.unbalance, 0.0, 0.02),
    ):
        (kind,) = (kind for kind in simulator.case.limits if kind.name == name)
        for place, value in zip(
            kind.places(simulator.power_flow), quantity[0].tolist(), strict=True
        ):
            expected[f"{name} {place}"] = (value - middle) / half_width
    assert entries.keys() == expected.keys()
    # Single precision, 1.2e-7 of 1 pu, over 0.05 pu.
    assert list(entries.values()) == pytest.approx([expected[name] for name in names], abs=5e-6)


def test_at_midnight_the_network_is_without_load(env, simulator):
    """So that voltages are what meters show then; IEEE 13's capacitors draw some current."""
    env.reset(seed=1)
    entries = dict(zip(state_names(simulator), env.state().tolist(), strict=True))
    for agent, place in zip(simulator.fleet.names, simulator.fleet.places, strict=True):
        if place.count(".") == 1:  # not between two phases
            metered = entries[f"own_voltage {agent}"]
            assert entries[f"voltage {place}"] == pytest.approx(metered, abs=5e-6)
    loading = [value for name, value in entries.items() if name.startswith("loading ")]
    assert 0.0 < max(loading) < 0.5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"public_plan": True},
        {"regulator_control": True, "source_voltage": 0.97},
        {"home_scale": 3000.0},
        {"dtype": torch.float64, "limits": Limits(maximum_loading=0.1)},
    ],
    ids=["plain", "plan", "taps", "no solution", "double"],
)
def test_it_stays_in_its_space_all_day(options):
    env = parallel_env("ieee13", num_agents=6, **options)
    assert env.state_space.dtype == np.float32
    assert (env.state_space.high == OBSERVATION_BOUND).all()
    env.reset(seed=2)
    assert env.state_space.contains(env.state())
    numbers = np.random.default_rng(0)
    while env.agents:
        env.step({agent: numbers.uniform(-1.0, 1.0, 1) for agent in env.agents})
        assert env.state_space.contains(env.state())


def test_taps_are_told_where_they_move():
    """At most 16 steps either way: 1/16 each."""
    env = parallel_env("ieee13", num_agents=6, regulator_control=True, source_voltage=0.97)
    names = state_names(env.simulator)
    taps = [k for k, name in enumerate(names) if name.startswith("tap_position ")]
    assert len(taps) == len(env.simulator.feeder.regulators) > 0
    env.reset(seed=0)
    assert not env.state()[taps].any()
    env.step({agent: [0.0] for agent in env.agents})
    assert env.simulator_state is not None
    assert env.simulator_state.tap_position is not None
    assert (16.0 * env.state()[taps]).tolist() == env.simulator_state.tap_position[0].tolist()
    assert env.state()[taps].any()


def test_a_batch_is_as_single_days_and_has_gradients(simulator):
    """Power flows of a batch and of one day agree to single precision, 1e-6 pu over 0.05 pu."""
    state = simulator.reset(batch_size=3, seed=5)
    assert global_state(simulator, state).shape == (3, len(state_names(simulator)))
    action = torch.linspace(-1.0, 1.0, 18).reshape(3, 6, 1).requires_grad_()
    following, result = simulator.step(state, action)
    together = global_state(simulator, following, result)
    for day in range(3):
        one, alone = simulator.step(state.take([day]), action[day : day + 1])
        torch.testing.assert_close(
            together[day], global_state(simulator, one, alone)[0], rtol=0.0, atol=1e-4
        )
    assert torch.autograd.grad(together.square().sum(), action)[0].any()


def test_asking_takes_nothing_from_a_graph(env):
    """The result of a differentiable step keeps its own."""
    env.reset(seed=1)
    action = torch.zeros(6, 1, requires_grad=True)
    result = env.differentiable_step(action)
    before = env.state()
    assert env.state_space.contains(before)
    assert torch.autograd.grad(result.reward.sum() + result.voltage.abs().sum(), action)[0].any()
    assert (env.state() == before).all()


def test_a_missing_or_foreign_result_is_refused(env, simulator):
    with pytest.raises(ValueError, match=r"no episode has begun, expected reset\(\) first"):
        env.state()
    state, result = simulator.step(simulator.reset(batch_size=2), torch.zeros(2, 6, 1))
    with pytest.raises(ValueError, match="result: got None after midnight, expected that of the"):
        global_state(simulator, state)
    with pytest.raises(ValueError, match=r"result: got a batch of \(2,\), expected \(1,\)"):
        global_state(simulator, state.take([0]), result)

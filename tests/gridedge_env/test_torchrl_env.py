"""TorchRL's view of the batched simulator: the simulator's numbers, groups, days, copies."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from gridedge_env import default_case, make_simulator
from gridedge_env.devices import Devices, make_fleet
from gridedge_env.global_state import global_state

pytest.importorskip("torchrl", reason="the extra `learners` is not installed")

from tensordict import TensorDict
from torchrl.envs import check_env_specs
from torchrl.envs.utils import ExplorationType, exploration_type, set_exploration_type

from gridedge_env.torchrl_env import TorchRLEnv

SIMULATOR = make_simulator("ieee13", num_agents=6, home_scale=60.0)
DAYS, STEPS = 3, 5
# Owners of several devices, whose groups do not stand in the order of the agents.
BATTERY = {
    "capacity": 12.0,
    "maximum_power": 5.0,
    "charge_efficiency": 0.95,
    "discharge_efficiency": 0.95,
    "minimum_energy": 0.6,
    "wear_cost": 0.04,
}
GENERATOR = {"maximum_power": 8.0, "linear_cost": 0.2, "quadratic_cost": 0.05}


def village():
    owners = ["bakery", "villa", "farm"]
    devices = {
        "battery": Devices(owners, {name: np.full(3, value) for name, value in BATTERY.items()}),
        "generator": Devices(
            ["bakery", "farm"], {name: np.full(2, value) for name, value in GENERATOR.items()}
        ),
    }
    case = default_case("ieee13", num_agents=3)
    places = dict(zip(owners, ("671", "675.2", "634.1"), strict=True))
    return make_simulator(case=replace(case, fleet=make_fleet(places, devices)))


def rows(env: TorchRLEnv, episodes: int) -> list[int]:
    """Rows of the days that it begins."""
    found = []
    for _ in range(episodes):
        env.reset()
        assert env.simulator_state is not None
        found += env.simulator_state.day.table_row.tolist()
    return found


@pytest.mark.parametrize("simulator", [SIMULATOR, village()], ids=["thirds", "village"])
def test_the_specifications_hold(simulator):
    check_env_specs(TorchRLEnv(simulator, DAYS))


@pytest.mark.parametrize("simulator", [SIMULATOR, village()], ids=["thirds", "village"])
def test_it_plays_as_the_simulator_does(simulator):
    """Each agent's own numbers are in its group, whoever stands before it."""
    env = TorchRLEnv(simulator, DAYS, "validation")
    env.set_seed(4)
    seen = env.reset()
    state, result = simulator.reset(DAYS, "validation", seed=4), None
    names = simulator.fleet.names
    shape = (simulator.clock.steps, DAYS, len(names), simulator.action_size)
    actions = 2.0 * torch.rand(shape, generator=torch.Generator().manual_seed(1)) - 1.0
    for action in actions:
        observation = simulator.observe(state)
        assert torch.equal(seen["state"], global_state(simulator, state, result))
        for group, own in env.group_map.items():
            agents = [names.index(name) for name in own]
            assert torch.equal(seen[group, "observation"], observation[:, agents])
            seen[group, "action"] = action[:, agents]
        seen = env.step(seen)["next"]
        state, result = simulator.step(state, action)
        for group, own in env.group_map.items():
            agents = [names.index(name) for name in own]
            assert torch.equal(seen[group, "reward"][..., 0], result.reward[:, agents])
            assert (seen[group, "done"] == (state.step == simulator.clock.steps)).all()
        assert (seen["terminated"] == (state.step == simulator.clock.steps)).all()
    assert seen["done"].all()


def test_groups_are_those_with_the_same_devices():
    assert TorchRLEnv(village(), 1).group_map == {
        "battery_and_generator": ["bakery", "farm"],
        "battery": ["villa"],
    }


def test_rewards_of_ones_own_and_their_gradient():
    """A step is differentiable: what all pay, in what one battery does."""
    env = TorchRLEnv(SIMULATOR, DAYS, reward=lambda result: -2.0 * result.cost)
    seen = env.reset()
    for group in env.group_map:
        seen[group, "action"] = torch.zeros(DAYS, 2, 1)
    action = seen["battery", "action"] = torch.full((DAYS, 2, 1), 0.3, requires_grad=True)
    paid = env.step(seen)["next", "battery", "reward"]
    assert env.result is not None
    assert torch.equal(paid[..., 0], -2.0 * env.result.cost[:, :2])
    (gradient,) = torch.autograd.grad(paid.sum(), action)
    assert (gradient != 0.0).all()


def test_an_actor_is_a_policy():
    """Which does what the actor does without chance, agent by agent."""

    def actor(seen: TensorDict) -> None:
        by_chance = exploration_type() == ExplorationType.RANDOM
        for group in ("battery_and_generator", "battery"):
            own = seen[group, "observation"][..., :2]
            seen[group, "action"] = 0.0 * own if by_chance else own

    simulator = village()
    env = TorchRLEnv(simulator, 1)
    state = simulator.reset(DAYS, seed=0)
    with set_exploration_type(ExplorationType.RANDOM):
        actions = env.policy_of(actor)(*simulator.observe_parts(state))
    assert torch.equal(actions, simulator.observe(state)[..., :2])


# Days ---------------------------------------------------------------------------------------------


def test_days_differ_and_follow_from_a_seed():
    """Of 160 draws from 362 days 129 ± 4.1 differ; fewer than 110 once in a million tests."""
    env = TorchRLEnv(SIMULATOR, 4)
    assert len(set(rows(env, 40))) >= 110
    env.set_seed(8)
    found = rows(env, 40)
    assert len(set(found)) >= 110
    env.set_seed(8)
    assert rows(env, 40) == found
    env.set_seed(None)
    assert rows(env, 40) != found


@pytest.mark.parametrize("how", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies(how):
    """Go on alike where there was a seed, and otherwise each with days of its own."""
    env = TorchRLEnv(SIMULATOR, 4)
    rows(env, 1)
    assert rows(how(env), 5) != rows(env, 5)
    env.set_seed(3)
    rows(env, 1)
    assert rows(how(env), 5) == rows(env, 5)


def test_processes():
    env = TorchRLEnv(SIMULATOR, 2)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        one, other = pool.starmap(rows, [(env, 10)] * 2, chunksize=1)
        assert one != other
        env.set_seed(6)
        assert pool.starmap(rows, [(env, 10)] * 2, chunksize=1) == [rows(env, 10)] * 2


def test_what_is_refused():
    with pytest.raises(ValueError, match="days: got 0, expected a whole number of at least 1"):
        TorchRLEnv(SIMULATOR, 0)
    with pytest.raises(ValueError, match="split: got 'tests', expected one of"):
        TorchRLEnv(SIMULATOR, 1, "tests")
    env = TorchRLEnv(SIMULATOR, 2)
    some = TensorDict({"_reset": torch.tensor([[True], [False]])}, (2,))
    with pytest.raises(ValueError, match="_reset: got some of the days, expected all"):
        env.reset(some)

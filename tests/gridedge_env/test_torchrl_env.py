"""TorchRL's view of the batched simulator: the simulator's numbers, groups, days, copies."""

from __future__ import annotations

import copy
import math
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


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, 2), "simulator: got None, expected a Simulator"),
        ((SIMULATOR, 0), "days: got 0, expected a whole number of at least 1"),
        ((SIMULATOR, 2.0), "days: got 2.0, expected a whole number of at least 1"),
        ((SIMULATOR, 1, "tests"), "split: got 'tests', expected one of"),
        ((SIMULATOR, 1, "train", 5), "reward: got 5, expected a function of a Result"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TorchRLEnv(*arguments)


def test_rewards_of_days_are_not_taken_for_agents():
    """Where there are as many of one as of the other, either would fit."""
    env = TorchRLEnv(SIMULATOR, 6, reward=lambda result: -result.cost.sum(dim=-1))
    with pytest.raises(
        ValueError, match=r"^reward: got rewards \(6,\), expected \(6, 6\) or \(6, 1"
    ):
        env.step(acting(env))


@pytest.mark.parametrize("how", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_has_no_part_in_the_originals_graph(how):
    env = TorchRLEnv(SIMULATOR, DAYS)
    seen = acting(env)
    for group in env.group_map:
        seen[group, "action"].requires_grad_()
    env.step(seen)
    other = how(env)
    for each, has_graph in ((env, True), (other, False)):
        assert each.result is not None
        assert each.simulator_state is not None
        assert each.result.cost.requires_grad is has_graph
        assert each.simulator_state.device_voltage.requires_grad is has_graph


def acting(env):
    """What a step is given: an episode has begun, and everybody acts at random."""
    return env.rand_action(env.reset())


REWARDS = {
    r"got nan, expected finite rewards": lambda result: result.cost * math.nan,
    r"got -inf, expected finite rewards": lambda result: result.cost.double().abs() * -1e300,
    r"got rewards \(3, 5\), expected \(3, 6\)": lambda result: result.cost[:, :5],
    r"got rewards \(1, 3, 6\), expected \(3, 6\)": lambda result: result.cost[None],
    r"got rewards \(6,\), expected \(3, 6\) or \(3, 1\)": lambda result: result.cost[0],
    r"got rewards \(\), expected \(3, 6\)": lambda result: result.cost.sum(),
    r"got rewards NoneType, expected \(3, 6\)": lambda result: None,
    r"got rewards ndarray, expected \(3, 6\)": lambda result: result.cost.numpy(),
    r"got a tensor of torch.complex64, .*, expected real": lambda result: result.cost * 1j,
    r"got a tensor of .*, torch.sparse_coo, expected real": lambda result: result.cost.to_sparse(),
    r"got a tensor on meta, expected numbers": lambda result: result.cost.to("meta"),
}


@pytest.mark.parametrize("message", REWARDS)
def test_rewards_that_are_none_are_refused(message):
    """Nothing has happened then: the same actions can be taken again."""
    env = TorchRLEnv(SIMULATOR, DAYS, reward=REWARDS[message])
    seen = acting(env)
    with pytest.raises(ValueError, match=f"^reward: {message}"):
        env.step(seen)
    assert env.simulator_state is not None
    assert env.simulator_state.step == 0


@pytest.mark.parametrize(
    "reward",
    [
        lambda result: -result.violation[:, None],
        lambda result: result.cost.long(),
        lambda result: result.cost.double(),
    ],
)
def test_rewards_of_any_numbers_are_those_that_are_specified(reward):
    env = TorchRLEnv(SIMULATOR, DAYS, reward=reward)
    assert env.reward_spec.is_in(env.step(acting(env))["next"].select(*env.reward_keys))


ACTIONS = {
    r"contains NaN or infinity, expected numbers in": torch.full((DAYS, 2, 1), math.nan),
    r"got shape \(3, 2\), expected \(3, 2, 1\)": torch.zeros(DAYS, 2),
    r"got shape \(3, 2, 3\), expected \(3, 2, 1\)": torch.zeros(DAYS, 2, 3),
    r"got a tensor of torch.complex64": torch.zeros(DAYS, 2, 1, dtype=torch.complex64),
    r"got None, expected a tensor \(3, 2, 1\)": None,
}


@pytest.mark.parametrize("message", ACTIONS)
def test_wrong_actions_are_refused(message):
    """By the group whose they are, in a step and in a policy."""
    env = TorchRLEnv(SIMULATOR, DAYS)

    def spoil(groups):
        for group in env.group_map:
            groups[group, "action"] = torch.zeros(DAYS, 2, 1)
        del groups["heat_pump", "action"]
        if ACTIONS[message] is not None:
            groups["heat_pump", "action"] = ACTIONS[message]

    seen = env.reset()
    spoil(seen)
    with pytest.raises(ValueError, match=rf"^heat_pump.action: {message}"):
        env.step(seen)
    with pytest.raises(ValueError, match=rf"^heat_pump.action: {message}"):
        env.policy_of(spoil)(*SIMULATOR.observe_parts(SIMULATOR.reset(DAYS)))


def test_a_step_before_the_first_reset_is_refused():
    env = TorchRLEnv(SIMULATOR, DAYS)
    with pytest.raises(ValueError, match=r"no episode has begun, expected reset\(\) first"):
        env.step(env.rand_action())


@pytest.mark.parametrize("seed", [1.5, -1, True, "a", torch.tensor(3.0)])
def test_seeds_that_are_none_are_refused(seed):
    with pytest.raises(ValueError, match="seed: got .*, expected a whole number of at least 0"):
        TorchRLEnv(SIMULATOR, 2).set_seed(seed)


def test_seeds_of_any_type_are_numbers():
    env = TorchRLEnv(SIMULATOR, 4)
    following = env.set_seed(3)
    found = rows(env, 5)
    for seed in (np.int64(3), torch.tensor(3)):
        assert env.set_seed(seed) == following
        assert rows(env, 5) == found
    assert env.set_seed(2**70, static_seed=True) == 2**70


def test_other_mistakes_are_refused():
    env = TorchRLEnv(SIMULATOR, 2)
    with pytest.raises(ValueError, match="actor: got 5, expected a function of a TensorDict"):
        env.policy_of(5)
    some = TensorDict({"_reset": torch.tensor([[True], [False]])}, (2,))
    with pytest.raises(ValueError, match="_reset: got some of the days, expected all"):
        env.reset(some)

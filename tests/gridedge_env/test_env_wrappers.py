"""Our wrappers beside the plain environment in lockstep: each changes what it says, no more."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete, MultiDiscrete
from pettingzoo.test import parallel_api_test, parallel_seed_test
from pettingzoo.utils import BaseParallelWrapper
from supersuit import (
    action_lambda_v1,
    dtype_v0,
    frame_skip_v0,
    frame_stack_v1,
    normalize_obs_v0,
    reshape_v0,
    scale_actions_v0,
)

from gridedge_env import GridEdgeParallelEnv, make_simulator
from gridedge_env.moment import Moment
from gridedge_env.reference.rules import Idle
from gridedge_env.wrappers import (
    DiscreteActions,
    FailingAgents,
    HiddenFields,
    KindIndicator,
    RewardFunction,
)

SIMULATOR = make_simulator("ieee13", num_agents=6, home_scale=5.0)
FIELDS = [field.name for field in SIMULATOR.observation_fields]
STEPS = 5


def shared_cost(result):
    """A team's reward."""
    return -result.cost.mean(dim=-1, keepdim=True)


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "reward": lambda env: RewardFunction(env, shared_cost),
    "hidden": lambda env: HiddenFields(env, ["own_voltage", "price"]),
    "kinds": KindIndicator,
    "discrete": lambda env: DiscreteActions(env, 5),
    "failing": lambda env: FailingAgents(env, 0.5),
    "all": lambda env: RewardFunction(
        HiddenFields(KindIndicator(DiscreteActions(FailingAgents(env, 0.5))), ["own_voltage"]),
        shared_cost,
    ),
}


def plain(simulator=SIMULATOR):
    return GridEdgeParallelEnv(simulator)


def play(env, actions, seed=7):
    """Everything that a few steps return, by step."""
    found = [env.reset(seed=seed)]
    return found + [env.step(action) for action in actions]


@pytest.fixture(scope="module")
def actions():
    random = np.random.default_rng(1)
    return [
        {agent: random.uniform(-1.0, 1.0, 1).astype(np.float32) for agent in SIMULATOR.fleet.names}
        for _ in range(STEPS)
    ]


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_api_holds(name):
    parallel_api_test(WRAPPERS[name](plain()), num_cycles=60)
    parallel_seed_test(lambda: WRAPPERS[name](plain()), num_cycles=5)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_copy_goes_on_alike(name):
    env = WRAPPERS[name](plain())
    env.reset(seed=2)
    other = copy.deepcopy(env)
    for agent in env.agents:
        env.action_space(agent).seed(3), other.action_space(agent).seed(3)
    one, same = (
        each.step({agent: each.action_space(agent).sample() for agent in each.agents})
        for each in (env, other)
    )
    assert one[1:] == same[1:]
    assert (env.state() == other.state()).all()


@pytest.mark.parametrize("name", [name for name in WRAPPERS if name != "all"])
def test_what_is_no_step_of_a_wrapped_environment(name):
    """What would go past the wrapper, and actions or agents that are none."""
    env = WRAPPERS[name](plain())
    env.reset(seed=7)
    for way in ("step_array", "differentiable_step"):
        assert not hasattr(env, way)
        with pytest.raises(AttributeError, match=rf"{way}: goes past .* env.unwrapped.{way}$"):
            getattr(env, way)
    for actions in (None, 5, [0.0] * 6):
        with pytest.raises(ValueError, match="actions: got .*, expected a dictionary by agent"):
            env.step(actions)
    for agent in ("nobody", ["battery_0"], None):
        for space in (env.observation_space, env.action_space):
            with pytest.raises(ValueError, match="agent: got .*, expected one of env.possible_ag"):
                space(agent)
    assert env.unwrapped.simulator_state.step == 0


@pytest.mark.parametrize(
    "wrapper", [lambda env: HiddenFields(env, ["price"]), KindIndicator], ids=["hidden", "kinds"]
)
def test_fields_are_known_where_others_wrap(wrapper):
    """Values may change; in a stack of frames, or a picture, no field has a place of its own."""
    for other in (lambda env: frame_stack_v1(env, 2), lambda env: reshape_v0(env, (5, 7))):
        with pytest.raises(ValueError, match="env: got observations in Box.* for each of the 35"):
            wrapper(other(plain()))
    scaled = wrapper(normalize_obs_v0(plain(), 0.0, 1.0))
    expected = wrapper(plain()).observation_fields
    assert scaled.observation_fields == expected
    seen, _ = scaled.reset(seed=7)
    assert scaled.observation_space("battery_0").contains(seen["battery_0"])
    assert len(seen["battery_0"]) == len(expected)


def test_spaces_are_of_the_numbers_that_are_seen():
    for wrapper in (lambda env: HiddenFields(env, ["price"]), KindIndicator):
        env = wrapper(dtype_v0(plain(), np.float64))
        seen, _ = env.reset(seed=7)
        assert env.observation_space("battery_0").dtype == np.float64
        assert env.observation_space("battery_0").contains(seen["battery_0"])


class Reversed(BaseParallelWrapper):
    """Another's wrapper, whose dictionaries have another order."""

    def reset(self, seed=None, options=None):
        return tuple(dict(reversed(said.items())) for said in self.env.reset(seed, options))

    def step(self, actions):
        return tuple(dict(reversed(said.items())) for said in self.env.step(actions))


@pytest.mark.parametrize("name", ["reward", "hidden", "kinds"])
def test_agents_are_known_by_name(name, actions):
    """Whatever the order of dictionaries."""
    ours, theirs = (play(WRAPPERS[name](env), actions) for env in (Reversed(plain()), plain()))
    for here, there in zip(ours, theirs, strict=True):
        assert here[1:] == there[1:]
        assert all((here[0][agent] == row).all() for agent, row in there[0].items())


def test_what_goes_around_other_wrappers_only(actions):
    """A reward is of one step; how agents rest, the environment alone understands."""
    skipping = RewardFunction(frame_skip_v0(plain(), 4), shared_cost)
    with pytest.raises(ValueError, match="env: got 4 steps in one, expected one: what skips steps"):
        play(skipping, actions)
    negated = action_lambda_v1(plain(), lambda action, space: -action, lambda space: space)
    for within in (negated, scale_actions_v0(plain(), 0.5)):
        with pytest.raises(ValueError, match="env: got .* within, expected none but gridedge_"):
            FailingAgents(within)
    with pytest.raises(ValueError, match=r"env: got actions in Box\(-2.0, .* continuous ones from"):
        DiscreteActions(scale_actions_v0(plain(), 2.0))


@pytest.mark.parametrize("wrapper", [FailingAgents, KindIndicator])
def test_once_is_enough(wrapper):
    within = HiddenFields(wrapper(plain()), ["price"])
    with pytest.raises(ValueError, match=f"env: got one with {wrapper.__name__}, expected one wit"):
        wrapper(within)


def test_rewards_are_what_the_function_says(actions):
    for ours, theirs in zip(
        play(WRAPPERS["reward"](plain()), actions)[1:], play(plain(), actions)[1:], strict=True
    ):
        costs = [info["cost"] for info in theirs[4].values()]
        # The mean of six numbers in single precision.
        assert list(ours[1].values()) == pytest.approx([-np.mean(costs)] * 6, rel=1e-5)
        assert ours[2:] == theirs[2:]
        assert all((ours[0][agent] == theirs[0][agent]).all() for agent in theirs[0])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda result: result.cost[:, :2], r"function: got rewards \(1, 2\), expected \(1, 6\)"),
        (lambda result: 1.0, r"function: got rewards float, expected \(1, 6\)"),
        (lambda result: result.voltage[:, :6], "function: got a tensor of torch.complex64"),
        (lambda result: result.cost.to("meta"), "function: got a tensor on meta, expected num"),
        (lambda result: result.cost / 0.0, "function: got -?(inf|nan), expected finite"),
    ],
)
def test_a_reward_of_another_shape_is_refused(function, message, actions):
    with pytest.raises(ValueError, match=message):
        play(RewardFunction(plain(), function), actions)


def test_hidden_fields_are_not_seen(actions):
    """Twice around, too; all else is as it was."""
    env = HiddenFields(HiddenFields(plain(), ["own_voltage"]), ["price"])
    kept = [k for k, name in enumerate(FIELDS) if name not in {"own_voltage", "price"}]
    assert [field.name for field in env.observation_fields] == [FIELDS[k] for k in kept]
    space = env.observation_space("battery_0")
    assert space is env.observation_spaces["battery_0"]
    assert space.shape == (len(kept),)
    for ours, theirs in zip(play(env, actions), play(plain(), actions), strict=True):
        for agent, row in ours[0].items():
            assert space.contains(row)
            assert (row == theirs[0][agent][kept]).all()
        assert ours[1:] == theirs[1:]
    with pytest.raises(ValueError, match="names: unknown 'price', expected one of own_state, own_"):
        HiddenFields(env, ["price"])
    for wrong in ("price", b"price", {}, [["price"]], [None]):
        with pytest.raises(ValueError, match="names: got .*, expected a list of names"):
            HiddenFields(env, wrong)
    with pytest.raises(ValueError, match="names: got all fields, expected that at least one"):
        HiddenFields(plain(), FIELDS)


def test_kinds_are_told(actions):
    """Two of each; the fields' own functions say the same, and one can be hidden again."""
    env = KindIndicator(plain())
    assert [field.name for field in env.observation_fields] == [
        *(*FIELDS, "has_battery", "has_heat_pump", "has_generator")
    ]
    for ours, theirs in zip(play(env, actions), play(plain(), actions), strict=True):
        rows = np.array(list(ours[0].values()))
        assert all(env.observation_space(agent).contains(row) for agent, row in ours[0].items())
        assert (rows[:, :-3] == np.array(list(theirs[0].values()))).all()
        assert (rows[:, -3:] == np.repeat(np.eye(3), 2, axis=0)).all()
        assert ours[1:] == theirs[1:]
    moment = Moment(SIMULATOR.fleet, SIMULATOR.wiring, env.simulator_state, STEPS)
    told = torch.stack([field.value(moment)[0] for field in env.observation_fields[-3:]], dim=-1)
    assert (told.numpy() == rows[:, -3:]).all()
    without, _ = HiddenFields(env, ["has_heat_pump"]).reset()
    assert [row[-2:].tolist() for row in without.values()] == [
        *([[1.0, 0.0]] * 2 + [[0.0, 0.0]] * 2 + [[0.0, 1.0]] * 2)
    ]


def test_discrete_actions_are_levels(actions):
    """Five of them: -1, -0.5, 0, 0.5, 1."""
    env = DiscreteActions(plain(), 5)
    assert env.action_space("battery_0") == Discrete(5)
    numbers = [{agent: k % 5 for k, agent in enumerate(action)} for action in actions]
    levels = [
        {agent: np.array([-1.0 + 0.5 * number]) for agent, number in action.items()}
        for action in numbers
    ]
    for ours, theirs in zip(play(env, numbers)[1:], play(plain(), levels)[1:], strict=True):
        assert ours[1:] == theirs[1:]
    for wrong in (5, -1, 0.5, 2.0, True, None, "a", [], {}, {1}, [[1], [2, 3]], [[1]], 2**70):
        told = re.escape(f"actions['battery_0']: got {wrong!r}, expected whole numbers from 0 to 4")
        with pytest.raises(ValueError, match=told):
            env.step(numbers[0] | {"battery_0": wrong})
    for right in (np.int8(3), np.array(3), [3], torch.tensor([3])):
        again = play(env, [numbers[0] | {"battery_0": right}])[1]
        assert again[1] == play(env, [numbers[0] | {"battery_0": 3}])[1][1]
    with pytest.raises(ValueError, match="actions: none for 'battery_0'"):
        env.step({})
    with pytest.raises(ValueError, match="levels: got 1, expected a whole number from 2 to"):
        DiscreteActions(plain(), 1)
    for wrapper in (DiscreteActions, FailingAgents):
        with pytest.raises(ValueError, match=r"env: got actions in Discrete\(3\), expected contin"):
            wrapper(DiscreteActions(plain(), 3))


def test_several_numbers_are_several_discrete_actions():
    env = DiscreteActions(plain(make_simulator("ieee13", num_agents=3, reactive_power=True)), 3)
    assert env.action_space("battery_0") == MultiDiscrete([3, 3])
    env.reset(seed=0)
    env.step({agent: env.action_space(agent).sample() for agent in env.agents})


def test_agents_that_send_nothing_rest(actions):
    """As the rule of those who do least."""
    env, beside, rule = FailingAgents(plain()), plain(), Idle(SIMULATOR)
    env.reset(seed=7), beside.reset(seed=7)
    for action in actions:
        least = rule(*SIMULATOR.observe_parts(beside.simulator_state))[0].numpy()
        idle = dict(zip(beside.agents, least, strict=True))
        theirs = beside.step(idle | {"battery_0": action["battery_0"]})
        ours = env.step({"battery_0": action["battery_0"]})
        assert ours[1] == theirs[1]
        assert not any(info["failed"] for info in ours[4].values())
    with pytest.raises(ValueError, match="actions: unknown agent 'nobody'"):
        env.step({"nobody": np.zeros(1)})


def test_failed_agents_rest_for_the_episode(actions):
    """Whatever they send; the draw is the seed's. Of 600 agents half fail, within 5 deviations."""
    env, beside = FailingAgents(plain(), 0.5), FailingAgents(plain())
    played = play(env, actions, seed=8)
    failed = {agent for agent, info in played[0][1].items() if info["failed"]}
    assert 0 < len(failed) < 6
    others = [{a: row for a, row in action.items() if a not in failed} for action in actions]
    for ours, theirs in zip(played[1:], play(beside, others, seed=8)[1:], strict=True):
        assert ours[1] == theirs[1]
        assert {agent for agent, info in ours[4].items() if info["failed"]} == failed
    drawn = [env.reset(seed=seed)[1] for seed in range(100)]
    counts = [sum(info["failed"] for info in infos.values()) for infos in drawn]
    assert abs(sum(counts) - 300) < 5.0 * 150.0**0.5
    assert env.reset(seed=99)[1] == drawn[-1]
    for junk in ("junk", [], [np.nan], None):
        with pytest.raises(ValueError, match=r"actions\['.*'\]: got "):
            play(env, [actions[0] | dict.fromkeys(failed, junk)], seed=8)
    with pytest.raises(ValueError, match="probability: got 2.0, expected a number from 0 to 1"):
        FailingAgents(plain(), 2.0)


def test_an_episode_s_seed_says_who_fails():
    """Of later episodes, too, and of those that nobody seeded."""
    env, beside = FailingAgents(plain(), 0.5), FailingAgents(plain(), 0.5)
    for seed in (7, None, None):
        _, infos = env.reset(seed=seed)
        assert beside.reset(seed=env.episode_seed)[1] == infos
    unseeded = FailingAgents(plain(), 0.5)
    _, infos = unseeded.reset()
    assert beside.reset(seed=unseeded.episode_seed)[1] == infos


def test_physics_is_untouched_by_all_of_them(actions):
    """The simulator's state after the same actions."""
    env, beside = WRAPPERS["reward"](WRAPPERS["hidden"](FailingAgents(plain()))), plain()
    play(env, actions), play(beside, actions)
    assert env.unwrapped.simulator_state == beside.simulator_state
    assert torch.equal(env.unwrapped.result.cost, beside.result.cost)

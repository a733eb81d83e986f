"""The PettingZoo view: the API's own tests, the simulator's numbers, and exact repetition."""

from __future__ import annotations

import itertools
import pickle
import random
import warnings

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test, parallel_seed_test

from gridedge_env import GridEdgeParallelEnv, make_simulator, parallel_env
from gridedge_env.constraints import Limits
from gridedge_env.observation import OBSERVATION_BOUND

STEPS = 48


@pytest.fixture(scope="module")
def simulator():
    return make_simulator(num_agents=10)


@pytest.fixture
def env(simulator):
    return GridEdgeParallelEnv(simulator)


def actions_of(env, generator):
    values = generator.uniform(-1.0, 1.0, (len(env.agents), env.simulator.action_size))
    return dict(zip(env.agents, values.astype(np.float32), strict=True))


def same(a, b):
    """Whether two nested results hold the same bits."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


# The API ------------------------------------------------------------------------------------------


def test_passes_pettingzoos_own_test(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(env, num_cycles=2 * STEPS)


def test_passes_pettingzoos_seed_test():
    parallel_seed_test(lambda: parallel_env(num_agents=10))


def test_agents_are_named_by_kind(env):
    assert env.possible_agents == [
        *(f"battery_{k}" for k in range(4)),
        *(f"heat_pump_{k}" for k in range(3)),
        *(f"generator_{k}" for k in range(3)),
    ]
    assert env.agents == env.possible_agents
    assert env.num_agents == env.max_num_agents == 10


def test_spaces_are_the_same_object_at_every_call_and_alike_for_all(env):
    for space in (env.observation_space, env.action_space):
        first = space("battery_0")
        assert all(space(agent) is space(agent) for agent in env.possible_agents)
        assert all(space(agent) == first for agent in env.possible_agents)
        assert first.dtype == np.float32
    observation = env.observation_space("battery_0")
    assert observation.shape == (len(env.simulator.observation_fields),)
    assert (observation.low == -OBSERVATION_BOUND).all()
    assert (observation.high == OBSERVATION_BOUND).all()
    action = env.action_space("battery_0")
    assert (action.low.tolist(), action.high.tolist()) == ([-1.0], [1.0])


def test_one_agents_sampling_leaves_anothers_alone(env):
    """So that random actions do not depend on the order in which agents are asked."""
    one, other = env.action_space("battery_0"), env.action_space("battery_1")
    one.seed(1)
    expected = [one.sample() for _ in range(3)]
    one.seed(1)
    drawn = []
    for _ in range(3):
        other.seed(2)
        other.sample()
        drawn.append(one.sample())
    assert same(drawn, expected)


def test_observations_stay_in_their_space_and_rewards_are_floats(env):
    generator = np.random.default_rng(0)
    observations, infos = env.reset(seed=3)
    assert infos == {agent: {} for agent in env.agents}
    while env.agents:
        agents = env.agents
        for agent in agents:
            assert env.observation_space(agent).contains(observations[agent])
        observations, rewards, *_ = env.step(actions_of(env, generator))
        assert list(observations) == list(rewards) == agents
        assert all(type(reward) is float for reward in rewards.values())


def test_midnight_terminates_all_agents_and_nothing_truncates_them(env):
    env.reset(seed=0)
    for step in range(1, STEPS + 1):
        actions = dict.fromkeys(env.agents, np.zeros(1))
        _, _, terminations, truncations, _ = env.step(actions)
        assert list(terminations) == list(truncations) == env.possible_agents
        assert set(terminations.values()) == {step == STEPS}
        assert not any(truncations.values())
    assert env.agents == []
    assert env.num_agents == 0
    with pytest.raises(ValueError, match=r"the episode of 48 steps is over, expected reset\(\)"):
        env.step({})
    with pytest.raises(ValueError, match="over"):
        env.differentiable_step(torch.zeros(10, 1))
    env.reset()
    assert env.agents == env.possible_agents
    env.step(actions)


def test_steps_need_a_reset(simulator):
    fresh = GridEdgeParallelEnv(simulator, render_mode="rgb_array")
    actions = dict.fromkeys(fresh.agents, np.zeros(1))
    for call in (
        lambda: fresh.step(actions),
        lambda: fresh.differentiable_step(torch.zeros(10, 1)),
        fresh.render,
    ):
        with pytest.raises(ValueError, match=r"no episode has begun, expected reset\(\) first"):
            call()


# The same numbers, again and again ----------------------------------------------------------------


@pytest.mark.parametrize("num_agents", [10, 1000])
def test_two_environments_agree_in_every_bit_of_a_whole_day(num_agents):
    """PettingZoo's seed test stops early; this one does not, and allows no difference at all."""
    one, other = (parallel_env(num_agents=num_agents, seed=5) for _ in range(2))
    generator = np.random.default_rng(1)
    assert same(one.reset(seed=42), other.reset(seed=42))
    steps = 0
    while one.agents:
        actions = actions_of(one, generator)
        assert same(one.step(actions), other.step(actions))
        assert one.agents == other.agents
        steps += 1
    assert steps == STEPS


def test_it_is_the_simulator_with_a_batch_of_one(env, simulator):
    generator = np.random.default_rng(2)
    observations, _ = env.reset(seed=9)
    state = simulator.reset(batch_size=1, split="train", seed=9)
    while env.agents:
        assert same(np.stack(list(observations.values())), simulator.observe(state)[0].numpy())
        actions = actions_of(env, generator)
        observations, rewards, _, _, infos = env.step(actions)
        state, result = simulator.step(
            state, torch.from_numpy(np.stack(list(actions.values())))[None]
        )
        assert list(rewards.values()) == result.reward[0].tolist()
        assert [info["cost"] for info in infos.values()] == result.cost[0].tolist()
        assert {info["violation"] for info in infos.values()} == {result.violation.item() / 10}


def test_resets_after_a_seed_bring_new_days_in_an_order_of_its_own(simulator):
    def days(env, resets):
        rows = []
        for seed in resets:
            env.reset(seed=seed)
            rows.append(int(env.simulator_state.day.table_row))
        return rows

    first = days(GridEdgeParallelEnv(simulator), [0] + [None] * 11)
    assert days(GridEdgeParallelEnv(simulator), [0] + [None] * 11) == first
    # Twelve draws from 362 days: at least ten differ but once in 2,000 orders.
    assert len(set(first)) >= 10
    # A seed begins its own order anew.
    env = GridEdgeParallelEnv(simulator)
    eight = days(env, [8] + [None] * 5)
    assert days(env, [8] + [None] * 5) == eight
    # Orders of neighbouring seeds do not overlap, as they would if seeds were counted up.
    assert days(env, [9] + [None] * 4) != eight[1:]


def test_another_split_has_other_days_and_a_day_can_be_chosen(simulator):
    env = GridEdgeParallelEnv(simulator, split="test")
    env.reset(seed=4, options={"day": np.int64(362), "unknown": "counts for nothing"})
    expected = simulator.reset(split="test", seed=4, days=[362])
    state = env.simulator_state
    assert state is not None
    assert int(state.day.table_row) == 362
    assert torch.equal(state.day.demand, expected.day.demand)
    assert torch.equal(state.day.import_price, expected.day.import_price)


def test_several_days_in_a_row(env):
    generator = np.random.default_rng(3)
    for _ in range(3):
        env.reset()
        steps = 0
        while env.agents:
            env.step(actions_of(env, generator))
            steps += 1
        assert steps == STEPS


def test_observations_are_not_overwritten_by_later_steps(env):
    kept, _ = env.reset(seed=0)
    copies = {agent: row.copy() for agent, row in kept.items()}
    env.step(actions_of(env, np.random.default_rng(4)))
    assert same(kept, copies)


def test_the_callers_random_state_is_left_alone():
    def states():
        legacy = pickle.dumps(np.random.get_state())  # noqa: NPY002
        return random.getstate(), legacy, torch.get_rng_state().tolist()

    before = states()
    env = parallel_env(num_agents=10, render_mode="rgb_array")
    env.reset(seed=1)
    env.step(dict.fromkeys(env.agents, np.ones(1)))
    env.differentiable_step(torch.zeros(10, 1, requires_grad=True)).reward.sum().backward()
    env.reset()
    env.render()
    env.action_space("battery_0").sample()
    assert states() == before


# Reward, and what can go wrong --------------------------------------------------------------------


def test_reward_is_minus_cost_minus_the_penalty_on_the_shared_violation():
    env = parallel_env(num_agents=10, penalty=3.0, limits=Limits(maximum_loading=0.01))
    env.reset(seed=0)
    _, rewards, _, _, infos = env.step(dict.fromkeys(env.agents, np.ones(1)))
    assert infos["battery_0"]["violation"] > 0.0
    for agent, info in infos.items():
        assert info["converged"] is True
        # Sums of a few numbers in single precision: some units of its rounding, 1.2e-7.
        expected = -info["cost"] - 3.0 * info["violation"]
        assert rewards[agent] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_power_flow_without_solution_is_told_and_counts_as_a_violation():
    """Homes of 3,000 times the ordinary power: no operating point exists."""
    env = parallel_env(num_agents=10, home_scale=3000.0)
    env.reset(seed=0)
    observations, rewards, _, _, infos = env.step(dict.fromkeys(env.agents, np.ones(1)))
    assert not any(info["converged"] for info in infos.values())
    assert all(info["violation"] > 0.0 for info in infos.values())
    assert np.isfinite(list(rewards.values())).all()
    assert np.isfinite(np.stack(list(observations.values()))).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"battery_2": None},
            r"actions: none for 'battery_2', expected one for each of env.agents",
        ),
        ({"wallbox_0": [0.0]}, "actions: unknown agent 'wallbox_0'"),
        (
            {"heat_pump_1": [0.0, 0.0]},
            r"actions\['heat_pump_1'\]: got shape \(2,\), expected \(1,\)",
        ),
        ({"heat_pump_1": 0.0}, r"actions\['heat_pump_1'\]: got shape \(\), expected \(1,\)"),
        ({"generator_2": [np.nan]}, r"actions\['generator_2'\]: got \[nan\], expected numbers"),
        ({"generator_0": [-np.inf]}, r"actions\['generator_0'\]: got \[-inf\], expected numbers"),
        ({"battery_0": ["full"]}, r"actions\['battery_0'\]: got \['full'\], expected an array of"),
    ],
)
def test_a_faulty_action_is_refused_and_names_the_agent(env, change, message):
    env.reset(seed=0)
    actions = {agent: np.zeros(1) for agent in env.agents}
    actions.update(change)
    faulty = {agent: action for agent, action in actions.items() if action is not None}
    with pytest.raises(ValueError, match=message):
        env.step(faulty)
    assert env.simulator_state.step == 0


def test_actions_of_one_wrong_shape_are_refused(env):
    """They do stack."""
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions\['battery_0'\]: got shape \(2,\)"):
        env.step(dict.fromkeys(env.agents, np.zeros(2)))
    with pytest.raises(ValueError, match="actions: got ndarray, expected a dictionary by agent"):
        env.step(np.zeros((10, 1)))


def test_actions_beyond_the_range_are_taken_as_its_end(env):
    env.reset(seed=0)
    beyond = env.step({agent: [7] for agent in env.agents})
    env.reset(seed=0)
    assert same(beyond, env.step(dict.fromkeys(env.agents, np.ones(1, np.float32))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"feeder": "ieee124"}, "feeder: unknown 'ieee124'"),
        ({"num_agents": 0}, "num_agents: got 0"),
        ({"split": "holdout"}, "split: got 'holdout'"),
        ({"render_mode": "ansi"}, r"render_mode: got 'ansi', expected None or one of"),
        ({"penality": 1.0}, "unknown option 'penality'"),
    ],
)
def test_a_faulty_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        parallel_env(**{"num_agents": 4, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed: got -1, expected a whole number of at least 0"),
        ({"seed": 0.5}, "seed: got 0.5, expected a whole number"),
        (
            {"options": {"day": 362}},
            r'options\["day"\]: got 362, expected a whole number from 0 to 361',
        ),
        ({"options": {"dya": 3}}, "options: unknown 'dya', expected 'day'"),
        ({"options": {"Days": 3}}, "options: unknown 'Days', expected 'day'"),
        ({"options": {"day": "monday"}}, r"""options\["day"\]: got 'monday'"""),
    ],
)
def test_a_faulty_reset_is_refused_and_changes_nothing(env, arguments, message):
    env.reset(seed=1)
    before = env.simulator_state
    with pytest.raises(ValueError, match=message):
        env.reset(**arguments)
    assert env.simulator_state is before


@pytest.mark.parametrize("num_agents", [1, 2])
def test_a_fleet_without_every_kind(num_agents):
    env = parallel_env(num_agents=num_agents)
    env.reset(seed=0)
    _, rewards, *_ = env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    assert list(rewards) == ["battery_0", "heat_pump_0"][:num_agents]


# Pictures ----------------------------------------------------------------------------------------


def test_render_shows_the_feeder_as_it_is_now(simulator):
    env = GridEdgeParallelEnv(simulator, render_mode="rgb_array")
    env.reset(seed=0)
    pictures = [env.render()]
    for _ in range(2):
        env.step(dict.fromkeys(env.agents, np.ones(1)))
        pictures.append(env.render())
    for picture in pictures:
        assert picture is not None
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(pictures))


def test_render_without_a_mode_warns(env):
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None
    env.close()

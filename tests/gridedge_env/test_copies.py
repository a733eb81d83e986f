"""Copies of an environment: days of their own without a seed, the same ones with it.

Whatever makes them: vectorisers, processes, `copy.deepcopy`, pickle; at any moment of an episode.
"""

from __future__ import annotations

import ast
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import supersuit
import torch

from gridedge_env import GridEdgeParallelEnv, make_simulator, parallel_env

SIMULATOR = make_simulator("ieee13", num_agents=3)
FIELDS = [field.name for field in SIMULATOR.observation_fields]
COPIES, EPISODES = 4, 40
# Of 160 draws from 362 days 129 are expected to differ, with a standard deviation of 4.1: fewer
# than 110 once in a million tests. Copies that play the same days come to 40 at most.
FEWEST_DAYS = 110

Env = GridEdgeParallelEnv
COPY: dict[str, Callable[[Env], Env]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),
}


def rows(env: Env, episodes: int = EPISODES, seed: int | None = None) -> list[int]:
    """Rows of the days that an environment begins, of which the first may be seeded."""
    found = []
    for episode in range(episodes):
        env.reset(seed=None if episode else seed)
        assert env.simulator_state is not None
        found.append(int(env.simulator_state.day.table_row))
    return found


def different(found: Iterable[list[int]]) -> set[int]:
    """Days of all copies, each once."""
    return set().union(*found)


def act(env: Env, numbers: np.random.Generator) -> dict[str, np.ndarray]:
    return {agent: numbers.uniform(-1.0, 1.0, 1).astype(np.float32) for agent in env.agents}


def same_step(one: Any, other: Any) -> bool:
    """Whether two steps agree in every bit, observations and all."""
    (seen, *others), (other_seen, *other_others) = one, other
    alike = all(seen[agent].tobytes() == other_seen[agent].tobytes() for agent in seen)
    return alike and seen.keys() == other_seen.keys() and others == other_others


# Days ---------------------------------------------------------------------------------------------


def test_unseeded_environments_play_days_of_their_own():
    assert len(different(rows(Env(SIMULATOR)) for _ in range(COPIES))) >= FEWEST_DAYS


@pytest.mark.parametrize("how", COPY)
@pytest.mark.parametrize("resets", [0, 1])
def test_unseeded_copies_play_days_of_their_own(how, resets):
    """Made before the first reset, or after it."""
    env = Env(SIMULATOR)
    rows(env, resets)
    copies = [COPY[how](env) for _ in range(COPIES)]
    assert len(different(map(rows, copies))) >= FEWEST_DAYS


@pytest.mark.parametrize("how", COPY)
def test_a_copy_of_a_seeded_environment_goes_on_with_its_days(how):
    env = Env(SIMULATOR)
    first = rows(env, 3, seed=4)
    assert rows(COPY[how](env)) == rows(env)
    assert rows(COPY[how](env), 3, seed=4) == first


def test_the_fleets_seed_chooses_no_days():
    """Nor do the days' seed homes."""
    envs = [parallel_env("ieee13", num_agents=3, seed=seed) for seed in (0, 0, 1)]
    assert envs[0].simulator.fleet.places == envs[1].simulator.fleet.places
    assert envs[0].simulator.fleet.places != envs[2].simulator.fleet.places
    assert rows(envs[0]) != rows(envs[1])
    assert rows(envs[0], seed=5) == rows(envs[2], seed=5)


def test_an_episodes_seed_brings_it_back():
    """Whether the environment was never seeded, or the episode is a later one of a seed's."""
    for seed in (None, 6):
        env, other = Env(SIMULATOR), Env(SIMULATOR)
        rows(env, 2, seed)
        again, _ = other.reset(seed=env.episode_seed)
        assert other.simulator_state == env.simulator_state
        numbers = np.random.default_rng(0), np.random.default_rng(0)
        assert same_step(env.step(act(env, numbers[0])), other.step(act(other, numbers[1])))
        assert list(again) == env.possible_agents


def test_wrappers_draw_numbers_of_their_own_too():
    """As SuperSuit's frame skip does."""
    env = Env(SIMULATOR)
    env.reset()
    other = copy.deepcopy(env)
    env.reset(), other.reset()
    assert env.np_random.random() != other.np_random.random()
    env.reset(seed=3), other.reset(seed=3)
    assert env.np_random.random() == other.np_random.random()


# Vectorisers and processes ------------------------------------------------------------------------


def midnights(observed: np.ndarray) -> list[tuple[float, ...]]:
    """What tells a day: prices and temperatures that the first agent of each copy is shown."""
    shared = observed.reshape(COPIES, 3, -1)[:, 0, SIMULATOR.private_size :]
    return [tuple(row) for row in shared.tolist()]


@pytest.mark.parametrize("processes", [0, 2, COPIES])
@pytest.mark.parametrize("base_class", ["gymnasium", "stable_baselines3"])
def test_supersuits_copies(base_class, processes):
    """Stable-Baselines3 resets without a seed, whatever it was given."""
    pytest.importorskip(base_class, reason="the extra `learners` is not installed")
    vector = supersuit.pettingzoo_env_to_vec_env_v1(Env(SIMULATOR))
    vector = supersuit.concat_vec_envs_v1(vector, COPIES, processes, base_class)
    copies = vector if base_class == "gymnasium" else vector.venv

    def begun(episodes: int) -> list[tuple[float, ...]]:
        seen = (vector.reset() for _ in range(episodes))
        first = (each if isinstance(each, np.ndarray) else each[0] for each in seen)
        return [day for observed in first for day in midnights(observed)]

    try:
        assert len(set(begun(EPISODES))) >= FEWEST_DAYS
        once, again = (midnights(copies.reset(seed=8)[0]) + begun(EPISODES - 1) for _ in range(2))
        assert once == again
        # Of two processes each counts seeds from its own number: both have copies with the second.
        assert len(set(once)) >= (FEWEST_DAYS if processes != 2 else 80)
    finally:
        vector.close()


@pytest.mark.parametrize(("method", "copies"), [("fork", 4), ("forkserver", 2), ("spawn", 2)])
def test_processes(method, copies):
    env = Env(SIMULATOR)
    env.reset()
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(["gridedge_env"])
    with context.Pool(copies) as pool:
        found = pool.map(rows, [env] * copies, chunksize=1)
        seeded = pool.starmap(rows, [(env, 5, 9)] * copies, chunksize=1)
    # Two copies: 80 draws, of which 72 ± 2.5 differ.
    assert len(different(found)) >= (FEWEST_DAYS if copies == COPIES else 57)
    assert seeded == [rows(env, 5, 9)] * copies


# Not in this process, whose threads are one in tests. What is forked must not wait for others.
IN_THREADS = """
import multiprocessing
import torch
from tests.gridedge_env.test_copies import SIMULATOR, Env, rows

torch.set_num_threads(4)
torch.ones(10**6).sum()  # in all of them
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(rows, [Env(SIMULATOR)] * 2, chunksize=1))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_a_fork_of_a_process_with_threads_does_not_wait_for_them():
    words = [sys.executable, "-c", IN_THREADS]
    played = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert len(ast.literal_eval(played.stdout)) == 2


@pytest.mark.parametrize("method", [None, "fork"])
def test_torchrls_copies(method):
    pytest.importorskip("torchrl", reason="the extra `learners` is not installed")
    from torchrl.envs import ParallelEnv, SerialEnv

    vector = (
        SerialEnv(COPIES, torchrl_env)
        if method is None
        else ParallelEnv(COPIES, torchrl_env, mp_start_method=method)
    )
    try:
        found = []
        for _ in range(EPISODES):
            observed = vector.reset()["battery", "observation"][:, 0, SIMULATOR.private_size :]
            found += [tuple(row) for row in observed.tolist()]
        assert len(set(found)) >= FEWEST_DAYS
    finally:
        vector.close()


def torchrl_env() -> Any:
    from torchrl.envs.libs.pettingzoo import PettingZooWrapper

    return PettingZooWrapper(Env(SIMULATOR), use_mask=False, categorical_actions=False)


# Moments ------------------------------------------------------------------------------------------


def fresh(env: Env) -> None: ...


def begun(env: Env) -> None:
    env.reset(seed=1)


def under_way(env: Env) -> None:
    begun(env)
    for _ in range(20):
        env.step(act(env, np.random.default_rng(1)))


def differentiated(env: Env) -> None:
    begun(env)
    env.differentiable_step(torch.full((3, 1), 0.3, requires_grad=True))


def over(env: Env) -> None:
    begun(env)
    while env.agents:
        env.step(act(env, np.random.default_rng(1)))


def closed(env: Env) -> None:
    under_way(env)
    env.close()


@pytest.mark.parametrize("how", COPY)
@pytest.mark.parametrize("moment", [fresh, begun, under_way, differentiated, over, closed])
def test_a_copy_goes_on_from_any_moment(how, moment):
    """To the end of the episode and beyond it, bit for bit; and each by itself."""
    env = Env(SIMULATOR)
    moment(env)
    other = COPY[how](env)
    assert other.agents == env.agents
    assert other.simulator_state == env.simulator_state
    if env.simulator_state is not None:
        assert (other.state() == env.state()).all()
    numbers = np.random.default_rng(2), np.random.default_rng(2)
    if not env.agents or env.simulator_state is None:
        assert same_step(env.reset(seed=3), other.reset(seed=3))
    while env.agents:
        assert same_step(env.step(act(env, numbers[0])), other.step(act(other, numbers[1])))
    assert same_step(env.reset(), other.reset())
    before = copy.deepcopy(env.simulator_state)
    other.step(act(other, numbers[1]))
    assert env.simulator_state == before


@pytest.mark.parametrize("how", COPY)
def test_a_copy_has_no_part_in_the_originals_graph(how):
    """And the original keeps it: what is to come can still be differentiated in the action."""
    env = Env(SIMULATOR)
    env.reset(seed=1)
    action = torch.full((3, 1), 0.3, requires_grad=True)
    env.differentiable_step(action)
    other, rest = COPY[how](env), torch.zeros(3, 1)
    for of, has_graph in ((env, True), (other, False)):
        assert of.simulator_state is not None
        assert of.simulator_state.device_voltage.requires_grad is has_graph
    assert env.simulator_state is not None
    seen = env.simulator_state.device_voltage.sum()
    assert torch.autograd.grad(seen, action, retain_graph=True)[0].any()
    ours, theirs = env.differentiable_step(rest), other.differentiable_step(rest)
    assert torch.equal(theirs.reward, ours.reward)
    assert not theirs.reward.requires_grad

"""The fleet as one agent: environment, module, advantages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.spaces import Dict

pytest.importorskip("ray", reason="needs the rllib extra")

from ray.rllib.core.columns import Columns

import gridedge_env
from baselines.rllib.algorithm import modules_of
from baselines.rllib.config import RLConfig
from baselines.rllib.environment import AGENT_REWARDS, JointDays
from baselines.rllib.learner import clipped_surrogate, generalised_advantages, standardise
from baselines.rllib.module import JointActorCritic, log_probability
from gridedge_env.case import Case, CaseSettings, default_case
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_env.scenarios import GeneratedDemand

AGENTS, SAMPLES = 6, 5


@pytest.fixture(scope="module")
def simulator():
    return gridedge_env.make_simulator(num_agents=AGENTS)


@pytest.fixture(scope="module")
def days(simulator):
    return JointDays(simulator, num_envs=3)


def make_module(days: JointDays, central: bool) -> JointActorCritic:
    return JointActorCritic(
        observation_space=days.single_observation_space,
        action_space=days.single_action_space,
        model_config={
            "central": central,
            "kinds": days.simulator.fleet.agent_kinds,
            "hidden_sizes": (8,),
            "initial_deviation": 0.5,
            "seed": 3,
        },
    )


def observations(days: JointDays) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    spaces = days.single_observation_space
    assert isinstance(spaces, Dict)
    shapes = {name: space.shape or () for name, space in spaces.items()}
    return {
        name: torch.randn(SAMPLES, *shape, generator=generator) for name, shape in shapes.items()
    }


def test_days_are_the_simulators(days, simulator):
    """Rewards, observations and spaces of a step are those of the batched simulator."""
    observation, infos = days.reset(seed=5)
    assert infos == {}
    assert days.observation_space.contains(observation)
    outputs = np.linspace(-2.0, 2.0, 3 * AGENTS, dtype=np.float32).reshape(3, AGENTS, 1)
    state = days._state
    observation, reward, terminated, truncated, infos = days.step(outputs)
    assert days.observation_space.contains(observation)
    # Rest up to 0.3, linear beyond, within ±1: the mapping that GradMAP's policies have.
    action = np.clip(np.sign(outputs) * np.maximum(np.abs(outputs) - 0.3, 0.0), -1.0, 1.0)
    _, result = simulator.step(state, torch.from_numpy(action))
    np.testing.assert_allclose(infos[AGENT_REWARDS], result.reward, rtol=1e-5)
    np.testing.assert_allclose(reward, result.reward.sum(dim=1), rtol=1e-5)
    assert not terminated.any()
    assert not truncated.any()


def test_days_end_at_midnight_and_new_ones_begin(days, simulator):
    days.reset(seed=5)
    first = days._state.day
    idle = np.zeros((3, AGENTS, 1), dtype=np.float32)
    over = [days.step(idle)[2] for _ in range(simulator.clock.steps)]
    assert [bool(o.all()) for o in over] == [False] * (simulator.clock.steps - 1) + [True]
    _, reward, terminated, _, _ = days.step(idle)  # resets, whatever the actions
    assert days._state.step == 0
    assert not terminated.any()
    assert not reward.any()
    assert not torch.equal(days._state.day.demand, first.demand)


def test_days_follow_from_the_first_seed(simulator):
    """RLlib resets with the same seed before every batch, which must not bring the same days."""
    one, other = (JointDays(simulator, num_envs=3) for _ in range(2))
    first = one.reset(seed=8)[0], one.reset(seed=8)[0]
    again = other.reset(seed=8)[0], other.reset()[0]
    for left, right in zip(first, again, strict=True):
        np.testing.assert_array_equal(left["private"], right["private"])
    assert not np.array_equal(first[0]["private"], first[1]["private"])


@pytest.mark.parametrize("central", [False, True], ids=["ippo", "mappo"])
def test_permuting_agents_permutes_outputs(days, central):
    """Weights are each agent's own: move them with its observation, and its outputs move too."""
    module, moved = make_module(days, central), make_module(days, central)
    # Within kinds, whose pooled observations the centralised critic sees.
    order = torch.tensor([1, 0, 3, 2, 5, 4])
    with torch.no_grad():
        for name, weight in moved.named_parameters():
            weight.copy_(module.get_parameter(name)[order])
    seen = observations(days)
    permuted = {**seen, "private": seen["private"][:, order]}
    for of in (
        lambda m, o: m.forward_inference({Columns.OBS: o})[Columns.ACTIONS],
        lambda m, o: m.compute_values({Columns.OBS: o}),
    ):
        straight, crossed = of(module, seen), of(moved, permuted)
        # Sums in another order: a few roundings of single precision.
        torch.testing.assert_close(crossed, straight[:, order], rtol=1e-5, atol=1e-6)
        assert not torch.allclose(straight[:, order], straight)


def test_only_the_centralised_critic_sees_other_agents(days):
    seen = observations(days)
    other = {**seen, "private": seen["private"].clone()}
    other["private"][:, 1:] += 1.0
    own, central = make_module(days, False), make_module(days, True)

    def change(module: JointActorCritic) -> torch.Tensor:
        before, after = (module.compute_values({Columns.OBS: o})[:, 0] for o in (seen, other))
        return (after - before).abs().max()

    assert change(own) == 0.0
    assert change(central) > 1e-4
    means = [central.actor(o["private"], o["shared"])[:, 0] for o in (seen, other)]
    assert torch.equal(*means)


# --- Homes with several devices, and other steps --------------------------------------------------

# Two houses with a battery and a heat pump, in between one with a heat pump alone.
PLACES = {"north": "671.1", "attic": "634.3", "south": "675.2"}
OWNERS = {"battery": ["north", "south"], "heat_pump": ["north", "attic", "south"]}


def houses(step_minutes: int = 30) -> Case:
    devices = {
        kind: Devices(owners, KINDS[kind].sample(len(owners), 20.0, np.random.default_rng(3)))
        for kind, owners in OWNERS.items()
    }
    case = default_case("ieee13", num_agents=3, step_minutes=step_minutes)
    return replace(case, fleet=make_fleet(PLACES, devices), demand=GeneratedDemand(20.0))


def test_the_critic_sees_kinds_of_homes():
    """Mean and spread over those that have the same devices, wherever they stand."""
    days = JointDays(gridedge_env.make_simulator(case=houses()), num_envs=1)
    private, shared = observations(days)["private"], observations(days)["shared"]
    got = make_module(days, True)._fleet_state(private, shared)
    both = (private[:, 0] + private[:, 2]) / 2.0, (private[:, 0] - private[:, 2]).abs() / 2.0
    alone = private[:, 1], torch.zeros_like(private[:, 1])
    expected = torch.cat((shared, both[0], alone[0], both[1], alone[1]), dim=-1)
    torch.testing.assert_close(got, expected)


def test_modules_go_by_kinds_of_homes_or_by_homes():
    simulator = gridedge_env.make_simulator(case=houses())
    assert modules_of(RLConfig(policies="by-kind"), simulator) == {
        "north": "battery_and_heat_pump",
        "attic": "heat_pump",
        "south": "battery_and_heat_pump",
    }
    separate = RLConfig(policies="separate", case=CaseSettings(num_agents=3))
    assert modules_of(separate, simulator) == {name: name for name in PLACES}


def test_days_have_the_cases_steps():
    days = JointDays(gridedge_env.make_simulator(case=houses(step_minutes=60)), num_envs=2)
    days.reset(seed=5)
    idle = np.zeros((2, 3, 2), dtype=np.float32)
    assert [bool(days.step(idle)[2].all()) for _ in range(24)] == [False] * 23 + [True]


# --- Learning -------------------------------------------------------------------------------------


def test_likelihoods_are_each_agents_own(days):
    """Against PyTorch's normal distribution, agent by agent."""
    generator = torch.Generator().manual_seed(2)
    actions, means = torch.randn(2, SAMPLES, AGENTS, 2, generator=generator)
    deviation = torch.rand(AGENTS, 2, generator=generator) + 0.1
    got = log_probability(actions, means, deviation.log())
    for agent in range(AGENTS):
        normal = torch.distributions.Normal(means[:, agent], deviation[agent])
        expected = normal.log_prob(actions[:, agent]).sum(dim=-1)
        torch.testing.assert_close(got[:, agent], expected, rtol=1e-4, atol=1e-4)


def test_advantages_against_a_plain_loop():
    """A_t = sum_k (γλ)^k δ_{t+k}, δ_t = r_t + γ V_{t+1} − V_t, agent by agent, day by day."""
    generator = torch.Generator().manual_seed(4)
    rewards, values = torch.randn(2, 7, 3, AGENTS, generator=generator, dtype=torch.float64)
    discount, trace = 0.9, 0.8
    got = generalised_advantages(rewards, values, discount, trace)
    for day in range(3):
        for agent in range(AGENTS):
            r, v = rewards[:, day, agent].tolist(), [*values[:, day, agent].tolist(), 0.0]
            delta = [r[t] + discount * v[t + 1] - v[t] for t in range(7)]
            for t in range(7):
                expected = sum((discount * trace) ** (k - t) * delta[k] for k in range(t, 7))
                assert float(got[t, day, agent]) == pytest.approx(expected, abs=1e-12)


def test_advantages_are_standardised_per_agent():
    generator = torch.Generator().manual_seed(6)
    scale = torch.tensor([0.01, 1.0, 100.0])
    got = standardise(5.0 + scale * torch.randn(200, 3, generator=generator))
    torch.testing.assert_close(got.mean(dim=0), torch.zeros(3), atol=1e-3, rtol=0.0)
    torch.testing.assert_close(got.std(dim=0, correction=0), torch.ones(3), atol=1e-3, rtol=0.0)
    assert not standardise(torch.full((4, 1), 3.0)).any()


def test_one_agents_ratio_clips_no_other():
    """By hand with clip 0.2: min(r A, clip(r) A).

    Agent 0: r = 2, A = 1 -> 1.2. Agent 1: r = 1.1, A = 1 -> 1.1. Agent 2: r = 2, A = -1 -> -2.
    Agent 3: r = 0.5, A = -1 -> -0.8. Of these only agents 1 and 2 have a gradient, their A.
    """
    ratio = torch.tensor([[2.0, 1.1, 2.0, 0.5]], requires_grad=True)
    surrogate = clipped_surrogate(ratio, torch.tensor([[1.0, 1.0, -1.0, -1.0]]), 0.2)
    torch.testing.assert_close(surrogate, torch.tensor([[1.2, 1.1, -2.0, -0.8]]))
    surrogate.sum().backward()
    assert ratio.grad is not None
    assert ratio.grad.tolist() == [[0.0, 1.0, -1.0, 0.0]]

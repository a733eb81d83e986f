"""Homes that share parameters: what they observe, what they are charged, how values are scaled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.spaces import Dict

pytest.importorskip("ray", reason="needs the rllib extra")

from ray.rllib.core.columns import Columns

from baselines.rllib.environment import AGENT_REWARDS
from baselines.rllib.shared.environment import SharedDays
from baselines.rllib.shared.homes import Homes, homes_of, standardised
from baselines.rllib.shared.learner import clipped_value_loss, standardise_kinds
from baselines.rllib.shared.module import SharedActorCritic, ValueScale
from baselines.rllib.shared.multipliers import ascend
from baselines.rllib.shared.policies import Correction
from gradmap_trainer.objective import price_spread
from gridedge_env.case import default_case
from gridedge_env.constraints import Limits
from gridedge_env.global_state import global_state
from gridedge_env.reference import PlanFollowing
from gridedge_env.simulator import Simulator, make_simulator

AGENTS, DAYS = 6, 3  # two with each kind of device, in this order
PRICE = 10.0  # € per unit of violation and agent


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    """Limits that a few homes can break, one with what others feed in."""
    limits = Limits(minimum_voltage=0.985, maximum_voltage=0.995, maximum_loading=0.3)
    case = default_case("ieee13", num_agents=AGENTS, penalty=PRICE * AGENTS, limits=limits)
    return make_simulator(case=case, dtype=torch.float64)


def shared_days(simulator: Simulator, central=False, credit="equal") -> SharedDays:
    days = SharedDays(simulator, DAYS, 0.0, central, credit)
    days.reset(seed=3)
    return days


def module_of(days: SharedDays, homes: Homes, central: bool) -> SharedActorCritic:
    return SharedActorCritic(
        observation_space=days.single_observation_space,
        action_space=days.single_action_space,
        model_config={
            "central": central,
            "homes": homes,
            "correction": Correction.of(days.simulator),
            "hidden_sizes": (8,),
            "initial_deviation": 0.5,
            "seed": 3,
        },
    )


def observed(days: SharedDays) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    spaces = days.single_observation_space
    assert isinstance(spaces, Dict)
    return {
        name: torch.randn(5, *(space.shape or ()), generator=generator)
        for name, space in spaces.items()
    }


def test_homes_of_a_kind_share_their_parameters(simulator):
    """Two homes that swap what they are and what they see swap what they do, and are worth."""
    days, homes = shared_days(simulator), homes_of(simulator)
    swap = [1, 0, 3, 2, 5, 4]
    swapped = replace(homes, constants=tuple(own.flip(0) for own in homes.constants))
    seen = observed(days)
    module, other = (module_of(days, each, central=False) for each in (homes, swapped))
    crossed = {**seen, "private": seen["private"][:, swap]}
    for function in (lambda m, s: m.actor.networks(s["private"], s["shared"]), values):
        first, second = function(module, seen), function(other, crossed)
        torch.testing.assert_close(second, first[:, swap])
        assert not torch.allclose(first, first[:, swap], rtol=1e-3), "what homes are counts"
    larger = homes_of(make_simulator(num_agents=12))
    parameters = [
        sum(p.numel() for p in module_of(days, each, central=False).parameters())
        for each in (homes, larger)
    ]
    assert parameters[0] == parameters[1], "as many as for twice the homes"


def values(module: SharedActorCritic, seen: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return module.compute_values({Columns.OBS: seen})


@pytest.mark.parametrize("central", [False, True], ids=["ippo", "mappo"])
def test_what_a_critic_sees(simulator, central):
    """Its own home's observation; or the whole state, too. Policies see no more than before."""
    days = shared_days(simulator, central)
    module, seen = module_of(days, homes_of(simulator), central), observed(days)
    before, actions = values(module, seen), module.actor(seen["private"], seen["shared"])
    private = seen["private"].clone()
    private[:, 3] += 1.0
    changed = (values(module, {**seen, "private": private}) != before).all(dim=0)
    assert changed.tolist() == [central or agent == 3 for agent in range(AGENTS)]
    acted = module.actor(private, seen["shared"]) != actions
    assert not acted[:, [0, 1, 2, 4, 5]].any()
    if central:
        elsewhere = {**seen, "network": seen["network"] + 1.0}
        assert (values(module, elsewhere) != before).all()


def test_the_parts_are_the_global_state(simulator):
    days = shared_days(simulator, central=True)
    outputs = torch.full((DAYS, AGENTS, 1), 1.0)
    for _ in range(2):
        observation, *_ = days.step(outputs.numpy())
    assert days.observation_space.contains(
        {name: part.astype(np.float32) for name, part in observation.items()}
    )
    parts = [observation["shared"], observation["private"].reshape(DAYS, -1)]
    expected = global_state(simulator, days._state, days._result)
    np.testing.assert_array_equal(np.hstack([*parts, observation["network"]]), expected)


def test_all_pay_for_the_network_alike_or_each_for_its_own(simulator):
    """Each for its own: against central differences of the network's violation, agent by agent.

    Violations are smooth but at their limits, and the step is 1e-5: errors of 1e-8 or so.
    """
    outputs = torch.tensor([1.2, 1.0, -0.8, 0.9, -1.1, 0.1], dtype=torch.float64)
    outputs = outputs.expand(DAYS, AGENTS)[..., None]
    rewards, charged = {}, {}
    for credit in ("equal", "marginal"):
        days = shared_days(simulator, credit=credit)
        days.multipliers["loading"] = 5.0
        state = days._state
        assert state is not None
        rewards[credit] = torch.from_numpy(days.step(outputs.numpy())[4][AGENT_REWARDS])
        assert days._result is not None
        demand = state.day.import_price[:, :1] * 0.5 * state.day.demand[:, 0]  # € a half-hour
        added = (days._result.cost - demand) / price_spread(state.day)[:, None]
        charged[credit] = -added - rewards[credit]

    def priced(action: torch.Tensor) -> torch.Tensor:
        violations = simulator.step(state, action)[1].scaled_violations(simulator.case.limits)
        return sum(
            (PRICE + 5.0 * (kind == "loading")) * x.sum(dim=-1) for kind, x in violations.items()
        )

    action = outputs.sign() * (outputs.abs() - float(np.float32(0.3))).clamp(min=0.0)
    assert (priced(action) > 1.0).any(), "nothing is charged for"
    torch.testing.assert_close(charged["equal"], priced(action)[:, None].expand(-1, AGENTS))
    for agent in range(AGENTS):
        nudge = torch.zeros_like(action)
        nudge[:, agent] = 1e-5
        slope = (priced(action + nudge) - priced(action - nudge)) / 2e-5
        torch.testing.assert_close(
            charged["marginal"][:, agent], slope * action[:, agent, 0], rtol=1e-4, atol=1e-6
        )
    assert not charged["marginal"][:, 5].any(), "who rests is charged nothing"


def test_multipliers_rise_with_violations_and_leak(simulator):
    """By hand: 0.95 x 2 + 0.5 x 3 = 3.4; without violations 0.95 x 2 = 1.9."""
    risen = ascend({"voltage": 2.0}, {"voltage": 3.0, "loading": 0.0}, step=0.5)
    assert risen == pytest.approx({"voltage": 3.4, "loading": 0.0})
    assert ascend({"voltage": 2.0}, {"voltage": 0.0}, step=0.5) == pytest.approx({"voltage": 1.9})
    days = shared_days(simulator)
    total = 0.0
    for _ in range(4):
        days.step(np.full((DAYS, AGENTS, 1), 1.3))
        total += violation_of(days)
    assert sum(days.violations.values()) == pytest.approx(total)
    days.reset()
    days.step(np.full((DAYS, AGENTS, 1), 1.3))
    assert sum(days.violations.values()) == pytest.approx(violation_of(days))


def violation_of(days: SharedDays) -> float:
    """In the step that has ended, mean over days."""
    assert days._result is not None
    return float(days._result.violation.mean())


def test_values_keep_their_meaning_when_their_scale_moves(simulator):
    """Returns of each kind of home come to mean 0 and spread 1, what critics say in € stays."""
    days = shared_days(simulator)
    module, seen = module_of(days, homes_of(simulator), central=False), observed(days)
    generator = torch.Generator().manual_seed(2)
    scale = torch.tensor([1.0, 1.0, 100.0, 100.0, 0.01, 0.01])
    returns = -5.0 * scale + scale * torch.randn(400, AGENTS, generator=generator)
    for batch in (returns, 3.0 * returns):
        before = values(module, seen)
        module.rescale(batch)
        torch.testing.assert_close(values(module, seen), before, rtol=1e-4, atol=1e-4)
    fresh = ValueScale(3)
    fresh.update(returns, module.critic.kind_of_agent)
    normal = fresh.normal(returns, module.critic.kind_of_agent).unflatten(1, (3, 2))
    torch.testing.assert_close(normal.mean(dim=(0, 2)), torch.zeros(3), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(
        normal.std(dim=(0, 2), correction=0), torch.ones(3), rtol=1e-3, atol=0.0
    )


def test_advantages_and_values_by_hand():
    """Kinds are standardised apart. Values: before 0, target 3, clip 0.2, so that the worse counts.

    Huber's loss of an error e is e²/2: a value of 2 moved to 0.2 at most has (2.8²)/2 = 3.92.
    """
    advantages = torch.tensor([[1.0, 3.0, 100.0], [1.0, 3.0, 300.0]])
    scaled = standardise_kinds(advantages, torch.tensor([0, 0, 1]))
    torch.testing.assert_close(scaled, torch.tensor([[-1.0, 1.0, -1.0], [-1.0, 1.0, 1.0]]))
    value = torch.tensor([2.0], requires_grad=True)
    loss = clipped_value_loss(value, torch.zeros(1), torch.tensor([3.0]), 0.2)
    torch.testing.assert_close(loss, torch.tensor([3.92]))
    loss.sum().backward()
    assert value.grad is not None
    assert not value.grad.any(), "beyond the clip nothing more is gained"


def test_what_a_home_is(simulator):
    """Parameters and voltage drops in standard deviations, and its phases."""
    homes = homes_of(simulator)
    assert [rows.tolist() for rows in homes.rows] == [[0, 1], [2, 3], [4, 5]]
    assert [own.shape[1] for own in homes.constants] == [6 + 5, 9 + 5, 3 + 5]
    capacity = simulator.fleet.groups[0].parameters.capacity
    expected = torch.where(capacity == capacity.max(), 1.0, -1.0).float()
    torch.testing.assert_close(homes.constants[0][:, 0], expected)
    for rows, own in zip(homes.rows, homes.constants, strict=True):
        places = [simulator.fleet.places[agent] for agent in rows]
        phases = [
            [float(f".{k}" in place or "." not in place) for k in (1, 2, 3)] for place in places
        ]
        assert own[:, -5:-2].tolist() == phases
    torch.testing.assert_close(
        standardised(torch.tensor([[1.0, 7.0], [3.0, 7.0]])),
        torch.tensor([[-1.0, 0.0], [1.0, 0.0]]),
    )


def test_outputs_correct_the_public_plan():
    """Nothing put out follows it; an output of one half moves a planned action by 0.05."""
    simulator = make_simulator("ieee13", num_agents=30, public_plan=True)
    private, shared = simulator.observe_parts(simulator.reset(days=[200, 20]))
    correction = Correction.of(simulator)
    planned = correction.action(private, 0.0)
    torch.testing.assert_close(planned, PlanFollowing(simulator)(private, shared))
    within = (planned.abs() > 0.05) & (planned.abs() < 0.9)
    moved = correction.action(private, torch.full_like(planned, 0.5)) - planned
    torch.testing.assert_close(moved[within], torch.full_like(moved[within], 0.05))

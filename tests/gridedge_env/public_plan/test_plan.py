"""What agents are told by the public plan, and what becomes of it when they follow it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test

import gridedge_env
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner
from gradmap_trainer.policies import following, to_action
from gridedge_env.case import CaseSettings
from gridedge_env.constraints import Limits
from gridedge_env.day import Window
from gridedge_env.devices.flexibility import Earnings, Outlook, in_arrays, joined
from gridedge_env.devices.heat_pump import HeatPumps
from gridedge_env.devices.kind import DeviceKind
from gridedge_env.devices.kinds import KINDS
from gridedge_env.reference import Idle, PlanFollowing, Policy, PriceFollowing, play
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState
from gridedge_gateway.program import Meters, Network, plan_fleet

MIX = {"battery": 0.3, "heat_pump": 0.2, "generator": 0.2, "ev_charger": 0.2, "pv_inverter": 0.1}
AGENTS, DAYS = 60, [40, 200]


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return gridedge_env.make_simulator("ieee13", AGENTS, mix=MIX, public_plan=True)


@pytest.fixture(scope="module")
def state(simulator: Simulator) -> SimulatorState:
    return simulator.reset(days=DAYS)


def test_agents_are_told(simulator: Simulator) -> None:
    """Each of its own device, of its group of homes; nobody of another's."""
    names = [entry.name for entry in simulator.observation_fields[: simulator.private_size]]
    assert names[3:] == [
        "planned_action",
        "planned_state",
        "congestion_price",
        "planned_draw_around",
    ]


def test_nobody_is_told_without(state: SimulatorState) -> None:
    plain = gridedge_env.make_simulator("ieee13", AGENTS, mix=MIX)
    assert plain.public_plan is None
    assert plain.reset(days=DAYS).day.planned is None
    assert state.day.planned is not None


def test_the_plan_is_the_same_in_both_precisions(
    simulator: Simulator, state: SimulatorState
) -> None:
    """To a rounding of single precision: it is worked out in double."""
    double = gridedge_env.make_simulator(case=simulator.case, dtype=torch.float64)
    other = double.reset(days=DAYS).day.planned
    assert other is not None
    for name, values in vars(state.day.planned).items():
        # Tangents come from power flows of the simulator's precision, 1e-6 pu apart.
        assert torch.allclose(getattr(other, name).float(), values, atol=2e-3), name


def test_a_day_of_a_batch_has_the_plan_of_the_day_alone(
    simulator: Simulator, state: SimulatorState
) -> None:
    alone = simulator.reset(days=DAYS[1:]).day.planned
    assert alone is not None
    for name, values in vars(state.day.planned).items():
        assert torch.allclose(getattr(alone, name)[0], values[1], atol=1e-6), name


def test_following_it_pays_and_keeps_limits(simulator: Simulator, state: SimulatorState) -> None:
    """Against doing least, and against following the price alone."""

    def played(rule: Policy) -> tuple[float, float]:
        """€ and units of violation."""
        results = [result for _, _, result in play(simulator, rule, state)]
        cost = sum(float(result.cost.sum()) for result in results)
        return cost, sum(float(result.violation.sum()) for result in results)

    cost, violation = played(PlanFollowing(simulator))
    assert cost < played(Idle(simulator))[0]
    assert violation < 0.5 * played(PriceFollowing(simulator))[1]


@pytest.mark.parametrize("surcharge", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_devices_do_as_planned(kind: DeviceKind[Any, Any], surcharge: float) -> None:
    """A device that is its own class draws what was planned: the program knows its physics.

    Two days without limits, from where plans begin. The program is 0.5 % from settled, and costs
    that rise by 0.001 €/kWh to the last kW keep a generator 0.2 % from what pays. Also where only
    the first tenth to two fifths of full power earn the import price.
    """
    random = np.random.default_rng(1)
    columns = kind.sample(3, 1.0, random)
    columns |= {name: np.zeros(3) for name in ("hours_spread", "energy_spread") if name in columns}
    parameters = kind.parameters(**{k: torch.from_numpy(np.array(v)) for k, v in columns.items()})
    case = gridedge_env.default_case("ieee13", 3, mix={"pv_inverter": 1.0})
    simulator = gridedge_env.make_simulator(case=case, dtype=torch.float64)
    day = simulator.reset(days=DAYS).day
    outlook = Outlook(
        day.clock,
        day.import_price[..., None],
        day.export_price[..., None] - surcharge,
        torch.full_like(day.export_price[..., None], surcharge),
        day.outdoor_temperature[..., None],
        day.irradiance[..., None],
        day.direct_irradiance,
    )
    own_flexibility = kind.flexibility(parameters, outlook)
    assert own_flexibility is not None
    flexibility = in_arrays(joined([own_flexibility], len(DAYS), day.clock.steps, 1e-3))
    power = kind.full_power(parameters).numpy()
    network = Network(np.diag(power), np.zeros((0, 3)), np.zeros(0))
    base, taken = np.zeros((2, 3, day.clock.steps)), np.zeros((2, 0, day.clock.steps))
    least, most = (np.full((3, 2, day.clock.steps), share) for share in (0.1, 0.4))
    meters = Meters(outlook.surcharge[..., 0].numpy(), least, most)
    plan = plan_fleet(flexibility, meters, network, base, taken, day.clock.hours, 1000)
    flows = (
        torch.from_numpy(x.transpose(1, 2, 3, 0).copy()) for x in (plan.draw, plan.feed, plan.store)
    )
    asked, _ = kind.asked_by_plan(parameters, outlook, *flows)
    own = torch.stack([asked[:, k, :, k] for k in range(3)], dim=-1)
    begin = kind.begin(parameters, len(DAYS), torch.Generator().manual_seed(0), day.clock)
    if isinstance(parameters, HeatPumps):
        middle = 0.5 * (parameters.lowest_temperature + parameters.highest_temperature)
        begin = replace(begin, temperature=middle.expand(len(DAYS), -1))
    drawn, state = [], begin
    for step in range(day.clock.steps):
        window = Window(day, step, 1)
        exported = day.export_price[:, step, None].expand(-1, 3) - surcharge
        rest = [torch.from_numpy(share[:, :, step].T) for share in (least, most)]
        one = torch.ones_like(exported)
        earnings = Earnings(exported, surcharge * one, rest[0], rest[1], one)
        action = kind.follow_plan(parameters, state, own[:, step], earnings, window)
        state, power_drawn, _ = kind.run(parameters, state, action[None], window)
        drawn.append(power_drawn[0])
    planned = np.stack([(plan.draw - plan.feed)[k, :, k] for k in range(3)], axis=-1) * power
    off = np.abs(torch.stack(drawn, dim=1).numpy() - planned) / power
    assert off.mean() < 5e-3
    assert off.max() < 0.1


def test_a_home_alone_is_asked_the_same(simulator: Simulator, state: SimulatorState) -> None:
    """And told the same of its place, by the same numbers."""
    plan, window = simulator.planned_homes, Window(state.day, 30, 1)
    assert plan is not None
    asked, stored = plan.asks(window, state.devices)
    for agent in (0, 17, 30, 42, AGENTS - 1):
        home, own = plan.home(agent), simulator.fleet.of_home(state.devices, agent)
        alone = home.asks(window, own)
        assert torch.equal(home.net(window)[:, 0], plan.net(window)[:, agent])
        for mine, everybody in zip(alone, (asked, stored), strict=True):
            joined_mine = home.fleet.join(mine)
            assert torch.equal(joined_mine[:, 0], simulator.fleet.join(everybody)[:, agent])


def test_policies_correct_it() -> None:
    """Networks that put out nothing follow it; an iteration of GradMAP moves them from there."""
    config = TrainConfig(
        case=CaseSettings("ieee13", AGENTS, public_plan=True, mix=MIX), batch_days=2, minibatches=2
    )
    simulator = config.make_simulator()
    learner = make_learner(config, simulator)
    for weight in (learner.policies.weights[-1], learner.policies.biases[-1]):
        weight.data.zero_()
    private, shared = simulator.observe_parts(simulator.reset(days=DAYS))
    followed = PlanFollowing(simulator)(private, shared)
    assert (followed == 0.0).any()
    assert (followed != 0.0).any()
    with torch.no_grad():
        # Outputs are beyond the band of rest, and come back to a rounding of single precision.
        torch.testing.assert_close(learner.policies(private, shared), followed, rtol=0.0, atol=2e-7)
    moved, row = iterate(config, simulator, learner)
    assert moved.iteration == 1
    assert np.isfinite(row["cost"])
    with torch.no_grad():
        assert not torch.allclose(moved.policies(private, shared), followed, atol=1e-4)


def test_outputs_that_follow(simulator: Simulator) -> None:
    """Whatever is planned comes out as that action; next to nothing as rest."""
    asked = torch.tensor([-1.0, -0.5, -0.019, 0.0, 0.01, 0.021, 1.0])
    wanted = torch.tensor([-1.0, -0.5, 0.0, 0.0, 0.0, 0.021, 1.0])
    assert torch.allclose(to_action(following(asked)), wanted)


def test_the_environment_passes_the_checker() -> None:
    env = gridedge_env.parallel_env(feeder="ieee13", num_agents=6, public_plan=True)
    parallel_api_test(env, num_cycles=50)


def test_episodes_of_two_days() -> None:
    """Stores run through midnight, and the plan with them."""
    case = gridedge_env.default_case("ieee13", 12, public_plan=True)
    longer = replace(case, clock=gridedge_env.clock.Clock.of_minutes(60, 2))
    simulator = gridedge_env.make_simulator(case=longer)
    planned = simulator.reset(days=[3]).day.planned
    assert planned is not None
    assert planned.asked.shape[1] == 48
    battery = planned.stored[0, :, 0]
    assert battery[0] == pytest.approx(0.5)
    assert (battery[24] - 0.5).abs() > 0.01


def test_a_kind_that_tells_nothing_is_not_planned_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its devices are asked for nothing; the others' plan does without them."""
    generator = KINDS["generator"]
    monkeypatch.setattr(type(generator), "flexibility", lambda *arguments: None)
    simulator = gridedge_env.make_simulator("ieee13", 6, public_plan=True)
    private, _ = simulator.observe_parts(simulator.reset(days=DAYS))
    asked = {group.kind.name: private[:, group.agent, 3] for group in simulator.fleet.groups}
    assert not asked["generator"].any()
    assert asked["battery"].any()


def test_roofs_meet_limits_in_the_sun() -> None:
    """Where nothing but panels can move, what they feed in at noon meets the feeder's limits."""
    large = {"mix": {"pv_inverter": 1.0}, "home_scale": 200.0}
    roofs = gridedge_env.make_simulator("ieee13", 9, public_plan=True, **large)
    roofs.reset(days=DAYS)
    assert roofs.public_plan is not None
    assert roofs.public_plan.limit_names


def test_a_fleet_for_which_nothing_can_be_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(KINDS["generator"]), "flexibility", lambda *arguments: None)
    simulator = gridedge_env.make_simulator("ieee13", 3, mix={"generator": 1.0}, public_plan=True)
    with pytest.raises(ValueError, match="public_plan: got no kind that says what it can do"):
        simulator.reset(days=DAYS)


def test_limits_that_its_margins_use_up_are_refused() -> None:
    """By the name of the option, whose margins are not the user's."""
    narrow = Limits(maximum_loading=0.04)
    with pytest.raises(ValueError, match=r"^public_plan: got limits of which 0.0045 pu and 4% of"):
        gridedge_env.make_simulator("ieee13", 3, public_plan=True, limits=narrow)

"""Local response in the simulator: ratings, meters and bills, and what it does to voltages."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gridedge_env import Simulator, default_case, make_simulator
from gridedge_env.local_response import MOST_REACTIVE, fed_in, response_bases
from gridedge_env.reference import lower_bound
from gridedge_env.simulator import Result
from gridedge_env.state import SimulatorState

HOMES = 12
CASE = {"source_voltage": 1.05, "mix": {"generator": 0.5, "battery": 0.25, "heat_pump": 0.25}}


def made(**options: bool | float) -> Simulator:
    case = default_case("ieee13", HOMES, **{**CASE, **options})
    return make_simulator(case=case, dtype=torch.float64)


@pytest.fixture(scope="module")
def plain() -> Simulator:
    return made()


@pytest.fixture(scope="module")
def answering() -> Simulator:
    return made(local_response=True)


def feeding_in(simulator: Simulator) -> tuple[SimulatorState, Tensor]:
    """Two days on which all feed in, ever more in the morning, ever less in the evening."""
    state = simulator.reset(days=[3, 150])
    steps = torch.arange(simulator.clock.steps, dtype=torch.float64)
    level = torch.sin(math.pi * steps / simulator.clock.steps)
    action = torch.zeros(len(steps), 2, HOMES, simulator.action_size, dtype=torch.float64)
    kinds = simulator.fleet.agent_kinds
    for agent, kind in enumerate(kinds):
        if kind != "heat_pump":
            full = -level if kind == "battery" else 2.0 * level - 1.0
            action[..., agent, 0] = full[:, None]
    return state, action


@pytest.fixture(scope="module")
def days(plain: Simulator, answering: Simulator) -> tuple[Result, Result]:
    """The same days without and with it."""
    with torch.no_grad():
        return plain.simulate(*feeding_in(plain)), answering.simulate(*feeding_in(answering))


def test_voltages_come_nearer_their_band() -> None:
    """Fewer places and half-hours outside, and by less."""
    without, with_it = (made(source_voltage=1.03, local_response=on) for on in (False, True))
    with torch.no_grad():
        days = [simulator.simulate(*feeding_in(simulator)) for simulator in (without, with_it)]
    outside = [float((r.voltage_violation > 0.0).double().mean()) for r in days]
    worst = [float(r.voltage_violation.max()) for r in days]
    assert bool(days[1].converged.all())
    assert outside[0] > 0.1
    assert outside[1] < 0.9 * outside[0]
    assert worst[1] < 0.6 * worst[0]


def test_what_is_curtailed_is_missing_at_the_meters(
    plain: Simulator, answering: Simulator, days: tuple[Result, Result]
) -> None:
    """All meters together read what the network delivers, and each bill is its meter's.

    The network's own account: u times the conjugate of i at all branches. Net metering: a kWh that
    is not fed in costs what one that is drawn does.
    """
    without, with_it = days
    solution = with_it.solution
    across, injected = solution.injection_voltage, solution.device_current
    delivered = -(across * injected).sum(dim=-1).reshape(with_it.converged.shape)
    # Sums of a few thousand kW at voltages good to 1e-11 pu.
    assert torch.allclose(with_it.power.sum(dim=-1), delivered, rtol=0.0, atol=1e-6)
    curtailed = with_it.power - without.power
    assert float(curtailed.min()) >= 0.0
    assert float(curtailed.max()) > 10.0
    state, _ = feeding_in(answering)
    price = state.day.import_price.transpose(0, 1)[..., None]
    expected = without.cost + answering.clock.hours * price * curtailed
    assert torch.allclose(with_it.cost, expected, rtol=0.0, atol=1e-9)
    heat_pumps = [k for k, kind in enumerate(plain.fleet.agent_kinds) if kind == "heat_pump"]
    assert not curtailed[..., heat_pumps].any()


def test_neighbours_at_one_connection_curtail_the_same_share() -> None:
    """40 homes at the 15 places of IEEE 13: by what each feeds in, whoever else is there."""
    case = default_case("ieee13", 40, **{**CASE, "source_voltage": 1.08}, local_response=True)
    simulator = make_simulator(case=case, dtype=torch.float64)
    fleet, state = simulator.fleet, simulator.reset(days=[3])
    action = torch.zeros(1, 40, 1, dtype=torch.float64)
    generators = fleet.group("generator").agent
    action[0, generators, 0] = torch.linspace(0.5, 1.0, len(generators), dtype=torch.float64)
    _, output, _ = simulator._operate(state, action[None])
    _, result = simulator.step(state, action)
    asked = state.day.demand[:, 0] + fleet.by_agent(output)[0]
    share = ((result.power - asked) / fed_in(fleet, output)[0])[0, generators]
    assert float(share.max()) > 0.1
    for place in fleet.connection[generators].unique():
        of_place = share[fleet.connection[generators] == place]
        assert torch.allclose(of_place, of_place[0].expand_as(of_place), rtol=0.0, atol=1e-12)


def test_no_inverter_goes_beyond_its_rating(answering: Simulator) -> None:
    """At full power, 1 of a rating of 1.1, √(1.1² - 1) = 0.458 is left, and 0.44 x 1.1 = 0.484 not.

    At half power all of it is.
    """
    fleet = answering.fleet
    full = fleet.inverter_rating / 1.1
    full = torch.where(fleet.inverter_rating > 0.0, full, 5.0)
    for loading, expected in ((1.0, math.sqrt(1.21 - 1.0)), (0.5, 0.44 * 1.1)):
        bases = response_bases(fleet, -loading * full[None, None], None)
        answers = MOST_REACTIVE * bases[0].chunk(2)[1]
        there = fleet.connected(torch.cat((full, full * (fleet.inverter_rating > 0.0)))[None])
        assert torch.allclose(answers, expected * there[0].chunk(2)[1], rtol=1e-9, atol=1e-9)


def test_agents_choose_reactive_power_first() -> None:
    """An inverter that is told to use all that is left of its rating has nothing to answer with."""
    simulator = made(local_response=True, reactive_power=True)
    fleet = simulator.fleet
    output = -0.5 * fleet.inverter_rating[None, None]
    for share, part in ((0.0, 1.0), (1.0, 0.0), (-1.0, 0.0)):
        bases = response_bases(fleet, output, torch.full_like(output, share))
        free = response_bases(fleet, output, None)
        count = len(fleet.connection_names)
        assert torch.equal(bases[:, :count], free[:, :count])
        assert torch.allclose(bases[:, count:], part * free[:, count:], rtol=0.0, atol=1e-9)


def test_a_step_is_a_step_of_the_day(answering: Simulator) -> None:
    """One power flow after the other ends where the batch does: no state remembers responses."""
    state, actions = feeding_in(answering)
    with torch.no_grad():
        day = answering.simulate(state, actions[:4])
        for t in range(4):
            state, result = answering.step(state, actions[t])
            # Power flows stop at changes of 1e-11 pu.
            assert torch.allclose(result.power, day.power[t], rtol=0.0, atol=1e-6)
            assert torch.allclose(result.voltage, day.voltage[t], rtol=0.0, atol=1e-9)


def test_gradients_of_a_step(answering: Simulator) -> None:
    """Costs, by the meter, and violations, against central differences."""
    state, actions = feeding_in(answering)
    state, action = replace(state, step=20), 0.9 * actions[20]

    def loss(action: Tensor) -> Tensor:
        _, result = answering.step(state, action)
        return result.cost.sum() + 10.0 * result.violation.sum()

    action.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(action), action)
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        way = torch.randn(action.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            difference = (loss(action + 1e-5 * way) - loss(action - 1e-5 * way)) / 2e-5
        # Power flows are good to 1e-11 pu: losses of some hundred to 1e-8, over 2e-5.
        assert float((gradient * way).sum()) == pytest.approx(float(difference), rel=1e-4, abs=5e-3)


def test_perfect_foresight_has_no_certificate_there(answering: Simulator) -> None:
    state, plan = feeding_in(answering)
    with pytest.raises(ValueError, match="local_response: got True, expected False"):
        lower_bound(answering, state, plan)


def test_it_is_a_switch() -> None:
    with pytest.raises(ValueError, match="local_response: got 1"):
        default_case("ieee13", 3, local_response=1)

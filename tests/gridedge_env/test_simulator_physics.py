"""The simulator's physics and money: by hand, by conservation, and by finite differences."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gridedge_env import Simulator, make_simulator
from gridedge_env.devices.battery import BatteryState
from gridedge_env.devices.heat_pump import HeatPumpState
from gridedge_env.devices.heated_building import stored_heat_value
from gridedge_env.powerflow import FixedPoint, PowerFlowSolution, reduction
from gridedge_env.powerflow.linear_maps import NodeResponse
from gridedge_env.scenarios import DayAheadFeedIn, Tariff
from gridedge_env.state import SimulatorState
from tests.gridedge_env.device_states import state_of

HOURS = 0.5
# Sums and products of a few numbers below 1e3, in double precision.
ROUNDING = 1e-11


def uniform(*shape: int, low: float = -1.0, high: float = 1.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def power_drawn(solution: PowerFlowSolution) -> Tensor:
    """(batch, connections) complex kVA, from injected currents and voltages."""
    current = torch.complex(*solution.device_current.chunk(2, dim=-1))
    voltage = torch.complex(*solution.device_voltage.chunk(2, dim=-1))
    return -voltage * current.conj()


def priced(
    state: SimulatorState, imported: float, exported: float, demand: float
) -> SimulatorState:
    """The same state with constant prices in €/kWh and demand in kW."""
    day = state.day
    return replace(
        state,
        day=replace(
            day,
            import_price=torch.full_like(day.import_price, imported),
            export_price=torch.full_like(day.export_price, exported),
            demand=torch.full_like(day.demand, demand),
        ),
    )


def test_money_by_hand(simulator: Simulator) -> None:
    """A demand of 2 kW costs 1 kWh at 0.40 €; what is exported in half an hour earns 0.10 €/kWh.

    Each battery and each generator at an end of its range; heat pumps at rest in a warm room.
    """
    state = priced(simulator.reset(), 0.40, 0.10, 2.0)
    fleet = simulator.fleet
    warm = fleet.group("heat_pump").parameters.highest_temperature.expand(1, -1)
    mild = torch.full_like(state.day.outdoor_temperature, 25.0)
    devices = (state.devices[0], HeatPumpState(warm), state.devices[2])
    state = replace(state, devices=devices, day=replace(state.day, outdoor_temperature=mild))
    action = torch.ones(1, 12, 1, dtype=torch.float64)
    action[0, [1, 3]] = -1.0
    _, result = simulator.step(state, action)

    for k in range(4):
        full = fleet.group("battery").parameters.maximum_power[k].item()
        wear = 0.0
        power = 2.0 + full
        if k in (1, 3):
            power = 2.0 - full
            wear = fleet.group("battery").parameters.wear_cost[k].item() * full * HOURS
        expected = power * HOURS * (0.40 if power > 0.0 else 0.10) + wear
        assert result.power[0, k].item() == pytest.approx(power, abs=ROUNDING)
        assert result.cost[0, k].item() == pytest.approx(expected, abs=ROUNDING)
    assert result.power[0, 4:8].tolist() == pytest.approx([2.0] * 4, abs=ROUNDING)
    assert result.cost[0, 4:8].tolist() == pytest.approx([0.40] * 4, abs=ROUNDING)
    for k in range(4):
        full = fleet.group("generator").parameters.maximum_power[k].item()
        rate = (
            fleet.group("generator").parameters.linear_cost[k]
            + fleet.group("generator").parameters.quadratic_cost[k]
        ).item()
        expected = (2.0 - full) * HOURS * 0.10 + rate * full * HOURS
        assert full > 2.0
        assert result.power[0, 8 + k].item() == pytest.approx(2.0 - full, abs=ROUNDING)
        assert result.cost[0, 8 + k].item() == pytest.approx(expected, abs=ROUNDING)


def test_net_metering_buys_and_sells_at_one_price() -> None:
    for tariff in (Tariff(), Tariff(exports=DayAheadFeedIn())):
        simulator = make_simulator(num_agents=3, dtype=torch.float64, tariff=tariff)
        day = simulator.reset(days=[40]).day
        assert torch.equal(day.import_price, day.export_price) == tariff.net_metering


def test_a_day_at_the_meter(simulator: Simulator) -> None:
    """What batteries take is stored or lost; the rooms' heat balance closes; demand is added."""
    start = state = simulator.reset(batch_size=2, days=[15, 200])
    actions = uniform(48, 2, 12, 1)
    states, powers = [state], []
    for action in actions:
        state, result = simulator.step(state, action)
        states.append(state)
        powers.append(result.power)
    power = torch.stack(powers)
    demand = start.day.demand.transpose(0, 1)
    charging, heating, generating = (power - demand).split(simulator.fleet.counts, dim=-1)

    batteries = simulator.fleet.group("battery").parameters
    stored = torch.where(
        charging > 0.0,
        charging * batteries.charge_efficiency,
        charging / batteries.discharge_efficiency,
    )
    energy = torch.stack([state_of(s, BatteryState).energy for s in states])
    torch.testing.assert_close(energy.diff(dim=0), HOURS * stored)
    torch.testing.assert_close(energy[-1], energy[0])
    # Over the day what was drawn is what was lost: nothing is left over.
    lost = (charging - stored).sum(dim=0)
    torch.testing.assert_close(charging.sum(dim=0), lost)
    assert (lost > 0.0).all()

    assert (heating >= -ROUNDING).all()
    assert (heating <= simulator.fleet.group("heat_pump").parameters.maximum_power + ROUNDING).all()
    expected = (
        -0.5
        * (actions[..., 0][..., 8:] + 1.0)
        * simulator.fleet.group("generator").parameters.maximum_power
    )
    torch.testing.assert_close(generating, expected)


def test_homes_draw_their_power_from_the_network(simulator: Simulator) -> None:
    """At each connection kW and kvar: 0.95 lagging for demand and heat pumps, 1 for the others."""
    state = simulator.reset(batch_size=2)
    _, result = simulator.step(state, uniform(2, 12, 1))
    drawn = power_drawn(result.solution)
    device = result.power - state.day.demand[:, 0]
    lagging = state.day.demand[:, 0].clone()
    lagging[:, 4:8] += device[:, 4:8]
    kvar = lagging * math.sqrt(1.0 / 0.95**2 - 1.0)
    expected = torch.zeros_like(drawn)
    for agent, place in enumerate(simulator.fleet.connection.tolist()):
        expected[:, place] += torch.complex(result.power[:, agent], kvar[:, agent])
    # Voltages and currents are of successive iterations, 1e-11 pu apart, times up to 300 kVA.
    torch.testing.assert_close(drawn, expected, rtol=0.0, atol=1e-8)


def test_heat_left_at_midnight_is_credited(simulator: Simulator) -> None:
    """Only in the last step, only to heat pumps, at the day's mean price and temperature."""
    start = simulator.reset(days=[20])
    day = start.day
    action = torch.zeros(1, 12, 1, dtype=torch.float64)
    last = replace(start, step=47)
    following, result = simulator.step(last, action)
    bill = HOURS * day.import_price[:, 47, None] * result.power
    value = stored_heat_value(
        simulator.fleet.group("heat_pump").parameters,
        state_of(following, HeatPumpState).temperature,
        day.outdoor_temperature.mean(dim=1, keepdim=True),
        day.import_price.mean(dim=1, keepdim=True),
    )
    assert day.outdoor_temperature.mean() < 15.0
    assert (value > 0.0).all()
    cold = (
        simulator.fleet.group("heat_pump").parameters.lowest_temperature
        - state_of(following, HeatPumpState).temperature
    )
    discomfort = HOURS * cold.clamp(min=0.0)
    torch.testing.assert_close(result.cost[:, 4:8], bill[:, 4:8] - value + discomfort)


def test_gradients_of_a_trajectory(exact_simulator: Simulator) -> None:
    """Cost, violations and reward with respect to every action of three steps.

    Sums of hundreds of voltages, each exact to 1e-14, over differences of 2e-5: good to 1e-7.
    """
    state = replace(exact_simulator.reset(batch_size=2, days=[15, 200]), step=16)
    actions = uniform(3, 2, 9, 1, low=-0.9, high=0.9, seed=1)
    result = exact_simulator.simulate(state, actions)
    assert result.converged.all()
    assert all(x.any() for x in result.scaled_violations(exact_simulator.case.limits).values())

    def run(actions: Tensor) -> tuple[Tensor, ...]:
        result = exact_simulator.simulate(state, actions)
        return (
            result.cost.sum(dim=(0, 1)),
            result.voltage_violation.sum(dim=(0, 2)),
            result.loading_violation.sum(dim=(0, 2)),
            result.unbalance_violation.sum(dim=(0, 2)),
        )

    assert torch.autograd.gradcheck(run, actions.requires_grad_(), eps=1e-5, atol=1e-6, rtol=1e-5)


def test_gradients_with_respect_to_the_state(exact_simulator: Simulator) -> None:
    """Stored energy and room temperature, through a step into its results and the next state."""
    state = replace(exact_simulator.reset(batch_size=2, days=[15, 60]), step=30)
    capacity = exact_simulator.fleet.group("battery").parameters.capacity
    # Close enough to full and empty that these bound what an action can do.
    energy = capacity * torch.tensor([[0.93, 0.5, 0.12], [0.08, 0.4, 0.95]], dtype=torch.float64)
    temperature = state_of(state, HeatPumpState).temperature
    temperature = temperature + uniform(2, 3, low=-0.4, high=0.4, seed=2)
    action = uniform(2, 9, 1, low=0.3, high=0.9, seed=3) * torch.tensor([[[1.0]], [[-1.0]]])

    def run(energy: Tensor, temperature: Tensor, action: Tensor) -> tuple[Tensor, ...]:
        devices = (BatteryState(energy), HeatPumpState(temperature), state.devices[2])
        begin = replace(state, devices=devices)
        following, result = exact_simulator.step(begin, action)
        observed = exact_simulator.observe(following)
        return (
            state_of(following, BatteryState).energy,
            state_of(following, HeatPumpState).temperature,
            result.cost,
            result.voltage_magnitude.sum(dim=1),
            observed[..., :3].sum(dim=1),  # own voltage among them
        )

    leaves = tuple(x.requires_grad_() for x in (energy, temperature, action))
    assert torch.autograd.gradcheck(run, leaves, eps=1e-5, atol=1e-6, rtol=1e-5)
    # Through two steps too: what is stored in the first is sold in the second.
    stored = (BatteryState(energy.detach()), *state.devices[1:])
    begin, sell = replace(state, devices=stored), torch.full_like(action, -1.0).detach()

    def later_cost(action: Tensor) -> Tensor:
        following, _ = exact_simulator.step(begin, action)
        return exact_simulator.step(following, sell)[1].cost[:, :3].sum()

    leaf = action.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(later_cost(leaf), leaf)
    assert gradient[:, :3].any()
    assert torch.autograd.gradcheck(later_cost, leaf, eps=1e-5, atol=1e-6, rtol=1e-5)


def test_closed_loop_and_open_loop_gradients_agree(simulator: Simulator) -> None:
    """Step by step from state to state, or a batch of known actions: one graph or the other."""
    state = simulator.reset(batch_size=2)
    gradients: list[Tensor] = []
    for together in (True, False):
        actions = uniform(5, 2, 12, 1).requires_grad_()
        if together:
            total = simulator.simulate(state, actions).reward.sum()
        else:
            current, rewards = state, []
            for action in actions:
                current, result = simulator.step(current, action)
                rewards.append(result.reward.sum())
            total = torch.stack(rewards).sum()
        gradients += torch.autograd.grad(total, actions)
    # Both adjoints stop at 1e-11 of the largest.
    scale = gradients[0].abs().max()
    torch.testing.assert_close(*gradients, rtol=0.0, atol=1e-9 * scale.item())


def test_no_gradient_dies_at_rest(simulator: Simulator) -> None:
    """Every device's cost depends on its action at 0, where training begins."""
    state = replace(simulator.reset(days=[20]), step=20)
    action = torch.zeros(1, 12, 1, dtype=torch.float64, requires_grad=True)
    _, result = simulator.step(state, action)
    (gradient,) = torch.autograd.grad(result.cost.sum(), action)
    assert (gradient.abs() > 0.0).all()


@pytest.fixture(scope="module")
def with_reactive_power() -> Simulator:
    """Solved to rounding for finite differences."""
    simulator = make_simulator(num_agents=9, dtype=torch.float64, reactive_power=True)
    simulator.power_flow.settings = FixedPoint(1e-14, 200, check_convergence=True)
    return simulator


def test_reactive_power(with_reactive_power: Simulator) -> None:
    """The second action draws (+) or feeds (-) kvar up to the inverter's rating; kW stay."""
    simulator = with_reactive_power
    assert simulator.action_size == 2
    state = simulator.reset()
    first = uniform(1, 9, 1)
    flows = {}
    for second in (-1.0, 0.0, 0.5, 1.0):
        action = torch.cat((first, torch.full_like(first, second)), dim=-1)
        _, result = simulator.step(state, action)
        flows[second] = power_drawn(result.solution)
        output = result.power - state.day.demand[:, 0]
    room = (simulator.fleet.inverter_rating**2 - output**2).clamp(min=0.0).sqrt()
    assert (room[:, [0, 1, 2, 6, 7, 8]] > 0.0).all()
    at_places = torch.zeros_like(flows[0.0].real).index_add_(1, simulator.fleet.connection, room)
    for second, flow in flows.items():
        torch.testing.assert_close(flow.real, flows[0.0].real, rtol=0.0, atol=1e-8)
        moved = (flow - flows[0.0]).imag
        # Heat pumps move a millionth of a kvar: the price of a root with a finite slope at zero.
        torch.testing.assert_close(moved, second * at_places, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("first", [-1.0, -0.6, 0.0, 0.4, 1.0])
def test_gradients_of_reactive_power(with_reactive_power: Simulator, first: float) -> None:
    """Of voltages and of costs, at the ends of the active power too: against differences.

    With differences over steps h of 1e-5. What they leave out is h²/3 times a third derivative of
    some 2 (at h = 1e-3 it was seen: 6e-7), below 1e-10. Rounding: 278 squares, each to 1e-17, over
    h make 3e-10; costs, each to 1e-14 €, four of them over h, 4e-9. Gradients are from 1e-5 to 0.06
    and from 0.1 to 23; of the second action of heat pumps, a millionth of a kvar, below 1e-9.
    """
    simulator = with_reactive_power
    state = simulator.reset()

    def objectives(action: Tensor) -> Tensor:
        _, result = simulator.step(state, action)
        assert result.converged.all()
        return torch.stack(
            ((result.voltage_magnitude - 0.99).square().sum(), result.cost.sum()),
        )

    action = torch.full((1, 9, 2), first, dtype=torch.float64)
    action[..., 1] = 0.2
    leaf = action.clone().requires_grad_()
    gradients = [torch.autograd.grad(x, leaf, retain_graph=True)[0] for x in objectives(leaf)]
    of_voltage, of_cost = gradients
    assert of_cost[..., 0].abs().min() > 0.1
    assert not of_cost[..., 1].any()
    inverters = of_voltage[0, [0, 1, 2, 6, 7, 8]]
    assert inverters.abs().min() > 1e-5

    # At rest costs have a kink: charging and discharging do not cost the same.
    entries = (0, 1) if first else (1,)
    for agent, entry in itertools.product(range(9), entries):
        step = torch.zeros_like(action)
        step[0, agent, entry] = 1e-5
        if entry == 0 and abs(first) == 1.0:  # beyond the end nothing changes: from inside
            inwards = -first * step
            here, near, far = (objectives(action + k * inwards) for k in (0, 1, 2))
            slope = -first * (4.0 * near - far - 3.0 * here) / 2e-5
        else:
            slope = (objectives(action + step) - objectives(action - step)) / 2e-5
        assert of_voltage[0, agent, entry].item() == pytest.approx(slope[0].item(), abs=1e-9)
        assert of_cost[0, agent, entry].item() == pytest.approx(slope[1].item(), abs=1e-8)


def test_a_network_held_as_a_factor_gives_the_same_days(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As feeders of thousands of nodes are held; both solve to 1e-11 pu in double precision."""
    monkeypatch.setattr(reduction, "LARGEST_DENSE", 0)
    sparse = make_simulator(num_agents=12, dtype=torch.float64)
    assert isinstance(sparse.power_flow.space.response, NodeResponse)
    found = []
    for each in (simulator, sparse):
        actions = torch.full((3, 2, 12, 1), 0.3, dtype=torch.float64, requires_grad=True)
        day = each.simulate(each.reset(batch_size=2), actions)
        (gradient,) = torch.autograd.grad(day.reward.sum(), actions)
        found.append((day.voltage_magnitude, day.loading, day.reward, gradient))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)

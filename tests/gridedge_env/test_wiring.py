"""Loads that take no part, and customers of three phases, in the simulator's power flows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env import PowerFlow, Simulator, make_simulator
from gridedge_env.devices.kind import REACTIVE_SHARE
from gridedge_env.powerflow import FixedPoint
from gridedge_env.reference.network_tangents import FleetNetwork
from gridedge_env.state import SimulatorState
from tests.gridedge_env.other_loads import PLACES, PROFILE, STAY, case_among_loads

# Power flows stop at changes below 1e-11 pu.
SAME_VOLTAGE = 1e-10
ALONE = ("671.1", "671.2", "671.3", *PLACES[1:])


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    made = make_simulator(case=case_among_loads(), dtype=torch.float64)
    made.power_flow.settings = FixedPoint(1e-14, 200, check_convergence=True)
    return made


@pytest.fixture(scope="module")
def state(simulator: Simulator) -> SimulatorState:
    """A Friday, a Saturday."""
    dates = simulator.days("train").dates
    friday = next(row for row, day in enumerate(dates) if day.weekday() == 4)
    return simulator.reset(days=[friday, friday + 1])


def actions_of(simulator: Simulator, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (simulator.clock.steps, batch, 3, 1)
    return 2.0 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1.0


def test_voltages_are_those_of_homes_and_loads_together(
    simulator: Simulator, state: SimulatorState
) -> None:
    """At 10:00 (step 20) the office draws 1.1 times its nominal power on Friday, 0.2 on Saturday.

    A power flow of the same feeder, with a third of the battery's home at each phase of 671.
    """
    assert tuple(load.name for load in simulator.feeder.loads) == STAY
    result = simulator.simulate(state, actions_of(simulator))
    assert result.converged.all()
    demand, power = state.day.demand[:, 20], result.power[20]
    reactive = REACTIVE_SHARE * demand + simulator.fleet.reactive_share * (power - demand)
    homes = torch.complex(power, reactive)
    multiplier = [[1.1 if name else 1.0 for name in PROFILE], [0.2 if n else 1.0 for n in PROFILE]]
    flow = PowerFlow(simulator.feeder, ALONE)
    loads = flow.nominal_power[: len(STAY)] * torch.tensor(multiplier, dtype=torch.float64)
    thirds = homes[:, [0, 0, 0]] / 3.0
    solution = flow.solve(torch.cat((loads, thirds, homes[:, 1:]), dim=1))
    assert (result.voltage[20] - solution.voltage).abs().max() < SAME_VOLTAGE


def test_other_loads_are_no_homes(simulator: Simulator, state: SimulatorState) -> None:
    """Bills and demand are as without them; the network is not."""
    case = simulator.case
    alone = replace(case, feeder=case.feeder.without_loads(), load_profiles=None)
    empty = make_simulator(case=alone, dtype=torch.float64)
    bare = empty.reset(days=state.day.table_row.tolist())
    assert torch.equal(bare.day.demand, state.day.demand)
    one, other = (
        sim.simulate(at, actions_of(sim)) for sim, at in ((empty, bare), (simulator, state))
    )
    assert torch.equal(one.cost, other.cost)
    assert torch.equal(one.power, other.power)
    assert (other.loading.amax(dim=-1) > one.loading.amax(dim=-1)).all()


def test_steps_one_by_one_are_the_simulated_day(
    simulator: Simulator, state: SimulatorState
) -> None:
    actions = actions_of(simulator)
    together = simulator.simulate(state, actions)
    at = state
    for step in range(21):
        at, result = simulator.step(at, actions[step])
        assert (result.voltage - together.voltage[step]).abs().max() < SAME_VOLTAGE


def test_a_meter_of_three_phases_reads_their_mean(
    simulator: Simulator, state: SimulatorState
) -> None:
    following, result = simulator.step(state, actions_of(simulator)[0])
    nodes = [simulator.power_flow.node_names.index(name) for name in ALONE]
    phases = result.voltage_magnitude[:, nodes]
    expected = torch.cat((phases[:, :3].mean(dim=1, keepdim=True), phases[:, 3:]), dim=1)
    read = simulator.wiring.meter_voltage(following.device_voltage)
    assert (read - expected).abs().max() < SAME_VOLTAGE
    names = [field.name for field in simulator.observation_fields]
    observed = simulator.observe(following)[..., names.index("own_voltage")]
    assert torch.allclose(observed, (expected - 1.0) / 0.05)


def test_gradients_pass_the_loads_and_all_phases(
    simulator: Simulator, state: SimulatorState
) -> None:
    """Central differences of 1e-6; power flows are solved to 1e-14, so errors are some 1e-8."""
    first = state.take([0])
    actions = 0.5 * actions_of(simulator, 1)[:4]

    def outside(actions: Tensor) -> Tensor:
        return simulator.simulate(first, actions).voltage_magnitude.square().sum()

    exact = actions.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(outside(exact), exact)
    for agent in range(3):
        nudge = torch.zeros_like(actions)
        nudge[1, 0, agent] = 1e-6
        slope = (outside(actions + nudge) - outside(actions - nudge)) / 2e-6
        assert gradient[1, 0, agent].item() == pytest.approx(slope.item(), rel=1e-5, abs=1e-7)
    assert gradient[1, 0, 0] != 0.0


def test_planners_see_the_same_network(simulator: Simulator, state: SimulatorState) -> None:
    """Tangents' operating points are the simulator's; their slopes those of the power flow."""
    first, plan = state.take([0]), actions_of(simulator, 1)
    network = FleetNetwork(simulator, first)
    point = network.operate(network.output(plan) @ network.connection)
    result = simulator.simulate(first, plan)
    assert (point.solution.voltage - result.voltage[:, 0]).abs().max() < SAME_VOLTAGE
    place = np.array([[20, 0], [3, 5]])
    tangents = network.tangents(point, point, place)
    more = point.drawn.copy()
    more[[20, 3], 0] += 1e-3
    rise = (
        network.operate(more).excess[place[:, 0], place[:, 1]]
        - point.excess[place[:, 0], place[:, 1]]
    )
    np.testing.assert_allclose(tangents.slope[:, 0], rise / 1e-3, rtol=1e-3, atol=1e-12)


def test_an_unknown_number_of_profiles_is_refused() -> None:
    case = case_among_loads()
    with pytest.raises(
        ValueError, match=r"load_profiles.names: got 12, expected one for .* 0 load"
    ):
        replace(case, feeder=case.feeder.without_loads())

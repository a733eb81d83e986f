"""A case on a four-wire feeder from an OpenDSS script: the simulator against OpenDSS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gridedge_env import Simulator, default_case, load_case, load_feeder, make_simulator
from gridedge_env.cli import case as case_command
from gridedge_env.devices.kind import REACTIVE_SHARE
from gridedge_env.feeder import build_network
from gridedge_env.powerflow import FixedPoint
from gridedge_env.rendering import draw_feeder
from gridedge_env.state import Result
from tests.gridedge_env.feeder.opendss.conftest import solve

# 11 to 0.4 kV with a tap 2.5 % up, two stretches of four wires, the neutral earthed by 2 ohm at the
# transformer and by 10 ohm at the end; a regulated source at 1.03 pu.
NETWORK = (
    "new transformer.t windings=2 buses=(s b.1.2.3.4) conns=(delta wye) kvs=(11 0.4) "
    "kvas=(160 160) taps=(1 1.025) xhl=4",
    "new reactor.earth bus1=b.4 bus2=b.0 phases=1 r=2 x=0",
    "new line.one bus1=b.1.2.3.4 bus2=c.1.2.3.4 phases=4 r1=0.4 x1=0.3 r0=0.9 x0=1.1 c1=0 c0=0 "
    "length=0.2",
    "new line.two bus1=c.1.2.3.4 bus2=d.1.2.3.4 phases=4 r1=0.6 x1=0.3 r0=1.2 x0=1.1 c1=0 c0=0 "
    "length=0.15",
    "new reactor.far bus1=d.4 bus2=d.0 phases=1 r=10 x=0",
)
KEPT = (
    "new load.shop bus1=d.1.2.3.4 kv=0.4 kw=24 kvar=6 model=2",
    "new load.pump bus1=d.2.4 phases=1 kv=0.231 kw=3 kvar=1 model=5 vminpu=0.5",
)
# Where homes will stand: (place, kv, terminals of a load there).
HOMES = {
    "c.3.4": (0.231, "c.3.4 phases=1"),
    "c.1.4": (0.231, "c.1.4 phases=1"),
    "b": (0.4, "b.1.2.3.4"),
}
SCRIPT = {
    "circuit": "basekv=11 bus1=s pu=1.03",
    "end": "set voltagebases=[11 0.4]\ncalcvoltagebases\nsolve",
}
Write = Callable[..., Path]


@pytest.fixture
def simulator(write_script: Write, tmp_path: Path) -> Simulator:
    """A new case of the script, as a user would make it; the home at b is put on three phases."""
    pytest.importorskip("dss")
    homes = [
        f"new load.h{k} bus1={terminals} kv={kv} kw=4 kvar=1"
        for k, (kv, terminals) in enumerate(HOMES.values())
    ]
    path = write_script(*NETWORK, *homes, *KEPT, **SCRIPT)
    folder = tmp_path / "case"
    case_command(["new", str(folder), "--feeder", str(path), "--num-agents", "3"])
    agents = (folder / "agents.csv").read_text().splitlines()
    names = [row.partition(",")[0] for row in agents[1:]]
    rows = [f"{name},{place}" for name, place in zip(names, HOMES, strict=True)]
    (folder / "agents.csv").write_text("\n".join(["agent,place", *rows]))
    (folder / "connections.csv").unlink()
    made = make_simulator(case=load_case(folder), dtype=torch.float64)
    made.power_flow.settings = FixedPoint(1e-13, 200, check_convergence=True)
    return made


@pytest.fixture
def stepped(simulator: Simulator) -> tuple[Result, np.ndarray]:
    """The first step of a winter's day at half power, and kW and kvar of every home: (3, 2)."""
    state = simulator.reset(days=[0])
    action = torch.full((1, 3, 1), 0.5, dtype=torch.float64)
    _, result = simulator.step(state, action)
    demand, power = state.day.demand[0, 0], result.power[0]
    reactive = REACTIVE_SHARE * demand + simulator.fleet.reactive_share * (power - demand)
    return result, torch.stack((power, reactive), dim=1).numpy()


def test_what_the_script_models_stays(simulator: Simulator) -> None:
    feeder = simulator.feeder
    assert feeder.source.per_unit == 1.03
    assert [winding.tap for winding in feeder.transformers[0].windings] == [1.0, 1.025]
    assert [(load.name, load.kw, load.model, load.neutral) for load in feeder.loads] == [
        ("shop", 24.0, "constant_impedance", 4),
        ("pump", 3.0, "constant_current", 4),
    ]
    assert simulator.fleet.places == tuple(HOMES)


def test_voltages_are_those_of_opendss(
    simulator: Simulator, stepped: tuple[Result, np.ndarray], write_script: Write
) -> None:
    """Neutral conductors included; OpenDSS stops at 1e-10, see `conftest.assert_same`."""
    result, power = stepped
    assert result.converged.all()
    homes = [
        f"new load.h{k} bus1={terminals} kv={kv} kw={kw!r} kvar={kvar!r} vminpu=0.5 vmaxpu=2"
        for k, ((kv, terminals), (kw, kvar)) in enumerate(
            zip(HOMES.values(), power.tolist(), strict=True)
        )
    ]
    theirs = solve(write_script(*NETWORK, *homes, *KEPT, **SCRIPT)).voltage
    flow = simulator.power_flow
    base = build_network(simulator.feeder).voltage_base
    expected = np.array([theirs[name] for name in flow.node_names]) / base
    assert np.abs(result.voltage[0].numpy() - expected).max() < 1e-8
    neutral = np.abs(expected[flow.node_names.index("d.4")])
    assert neutral > 1e-3  # the comparison is one of a neutral that carries current


def test_supply_is_judged_between_phase_and_neutral(
    simulator: Simulator, stepped: tuple[Result, np.ndarray]
) -> None:
    result, _ = stepped
    flow, voltage = (
        simulator.power_flow,
        dict(zip(simulator.power_flow.node_names, result.voltage[0].tolist(), strict=True)),
    )
    assert [name for name in flow.node_names if name not in flow.phase_names] == [
        "b.4",
        "c.4",
        "d.4",
    ]
    expected = [
        abs(voltage[name] - voltage.get(f"{name.partition('.')[0]}.4", 0.0))
        for name in flow.phase_names
    ]
    assert result.voltage_magnitude[0].tolist() == pytest.approx(expected, abs=1e-12)
    assert result.voltage_violation.shape == (1, len(flow.phase_names))
    drawing = draw_feeder(simulator.feeder, result.voltage_magnitude[0])  # without coordinates
    assert any(axes.has_data() for axes in drawing.axes)


def test_homes_stand_like_the_loads_of_a_four_wire_feeder(write_script: Write) -> None:
    """By default, too: between phase and neutral where the loads are."""
    pytest.importorskip("dss")
    path = write_script(*NETWORK, *KEPT, **SCRIPT)
    simulator = make_simulator(case=default_case(load_feeder(path), num_agents=9))
    assert set(simulator.fleet.places) <= {"d.1.4", "d.2.4", "d.3.4"}
    following, result = simulator.step(simulator.reset(), torch.zeros(1, 9, 1))
    assert result.converged.all()
    assert simulator.observe(following).isfinite().all()

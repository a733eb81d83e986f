"""Regulators in time: what a control sees, and where taps end."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import Feeder
from gridedge_env.powerflow import PowerFlow, settle_taps

LONG = 1e5  # seconds: more than any sequence of taps takes

# Where OpenDSS's controls leave the seven taps, by what the loads draw over their nominal power and
# by the last tap. At nominal load and sixteen taps these are the published feeder's.
POSITIONS = {
    (-1.0, 16): [-9, 2, 0, 1, 0, 2, 1],
    (0.0, 16): [-1, 0, 0, 0, 2, 2, 2],
    (0.5, 16): [2, 0, 1, 0, 5, 2, 4],
    (1.0, 16): [6, 0, 2, 0, 8, 2, 5],
    (1.3, 16): [8, 0, 2, 0, 10, 3, 6],
    (1.0, 4): [4, 0, 4, 2, 4, 4, 4],
    (1.0, 1): [1, 1, 1, 1, 1, 1, 1],
}


@pytest.fixture(scope="module")
def neutral(ieee123: Feeder) -> PowerFlow:
    return PowerFlow(ieee123.with_neutral_taps())


def drawn(flow: PowerFlow, scale: float) -> Tensor:
    """(1, 2 branches): every load at `scale` of its nominal power."""
    power = flow.nominal_power[flow.space.injection] * flow.space.share * scale
    return torch.cat((power.real, power.imag))[None]


def with_limit(flow: PowerFlow, limit: int) -> PowerFlow:
    regulators = tuple(replace(r, tap_limit=limit) for r in flow.feeder.regulators)
    return PowerFlow(replace(flow.feeder, regulators=regulators))


def settled(flow: PowerFlow, scale: float, seconds: float = LONG) -> list[float]:
    taps = flow.tap_position[None]
    taps = settle_taps(flow, drawn(flow, scale), flow.no_load(1), taps, seconds)
    return [float(position) for position in taps[0]]


@pytest.mark.parametrize("positions", [[0] * 7, [3, -16, 15, 5, 0, -4, 2]])
def test_what_a_control_sees(neutral: PowerFlow, ieee123: Feeder, positions: list[int]) -> None:
    """|V / 20 - (r + jx) I / ct| with I towards the loads, for reg2a, single-phase from 9 to 9r.

    I is the current into winding 1 over the turns ratio: there is nothing else in the transformer.
    """
    taps = torch.tensor([positions], dtype=torch.float64)
    solution = neutral.solve(tap_position=taps)
    regulator = ieee123.regulators[1]
    (bus,) = (bus for bus in ieee123.buses if bus.name == "9r")
    at_winding_2 = 1e3 * bus.base_kv * solution.voltage[0, neutral.node_names.index("9r.1")]
    into = solution.branch_current[0, neutral.branch_names.index("transformer.reg2a.1")]
    ratio = 1.0 + 0.00625 * positions[1]
    drop = complex(regulator.r, regulator.x) * into / ratio / regulator.ct_primary
    expected = abs(complex(at_winding_2 / regulator.pt_ratio - drop))
    # The antifloat shunt is 0 here; the current is a difference good to 1e-7 A of some hundred.
    assert solution.control_voltage[0, 1].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("scale", "limit"), POSITIONS)
def test_taps_end_where_opendss_leaves_them(neutral: PowerFlow, scale: float, limit: int) -> None:
    """And every control is in its band, or at its limit and would go on if it could."""
    flow, expected = with_limit(neutral, limit), POSITIONS[scale, limit]
    assert settled(flow, scale) == expected
    taps = torch.tensor([expected], dtype=torch.float64)
    seen = flow.solve(scale * flow.nominal_power[None], tap_position=taps).control_voltage[0]
    for voltage, position, regulator in zip(
        seen.tolist(), expected, flow.feeder.regulators, strict=True
    ):
        error = regulator.target_voltage - voltage
        stuck = abs(position) == limit and error * position > 0.0
        assert abs(error) <= regulator.bandwidth / 2.0 or stuck


@pytest.mark.parametrize(("scale", "limit"), POSITIONS)
def test_the_positions_are_opendsss(
    ieee123: Feeder, opendss_models: Path, scale: float, limit: int
) -> None:
    """From neutral, one tap at a time, with the delays of the model's run script."""
    dss = pytest.importorskip("dss")
    engine, folder = dss.DSS.NewContext(), Path.cwd()
    try:
        engine.Text.Command = f'compile "{opendss_models / "123Bus" / "IEEE123Master.dss"}"'
    finally:
        os.chdir(folder)
    reach = 0.00625 * limit
    for regulator in ieee123.regulators:
        name = regulator.transformer
        for command in (
            f"transformer.{name}.wdg=2 tap=1 mintap={1 - reach} maxtap={1 + reach} "
            f"numtaps={2 * limit}",
            f"regcontrol.c{name}.maxtapchange=1 delay={regulator.delay}",
        ):
            engine.Text.Command = command
    engine.Text.Command = (
        f"solve mode=snapshot loadmult={scale} maxcontroliter=100 tolerance=1e-10 maxiterations=500"
    )
    transformers, found = engine.ActiveCircuit.Transformers, []
    for regulator in ieee123.regulators:
        transformers.Name, transformers.Wdg = regulator.transformer, 2
        found.append((transformers.Tap - 1.0) / 0.00625)
    assert found == pytest.approx(POSITIONS[scale, limit], abs=1e-6)


def test_taps_take_their_time(neutral: PowerFlow) -> None:
    """reg1a has the shortest delay, 15 s, and needs six taps: 44 s are enough for two of them."""
    assert settled(neutral, 1.0, seconds=14.0) == [0.0] * 7
    assert settled(neutral, 1.0, seconds=44.0) == [2.0] + [0.0] * 6


def test_a_band_narrower_than_a_step_does_not_hunt_for_ever(neutral: PowerFlow) -> None:
    """0.01 V of band, a step of 0.75 V, and no delay: all go to and fro, one tap a second."""
    regulators = tuple(replace(r, bandwidth=0.01, delay=0.0) for r in neutral.feeder.regulators)
    hunting = PowerFlow(replace(neutral.feeder, regulators=regulators))
    one, other, again = (settled(hunting, 1.0, seconds) for seconds in (60.0, 61.0, 62.0))
    assert [abs(there - here) for here, there in zip(one, other, strict=True)] == [1.0] * 7
    assert again == one


def test_scenarios_move_apart(neutral: PowerFlow) -> None:
    """In one batch each ends where it ends alone."""
    power = torch.cat([drawn(neutral, scale) for scale in (0.2, 1.0, 1.3)])
    start, taps = neutral.no_load(3), neutral.tap_position.expand(3, -1)
    together = settle_taps(neutral, power, start, taps, LONG)
    assert together.tolist() == [settled(neutral, scale) for scale in (0.2, 1.0, 1.3)]

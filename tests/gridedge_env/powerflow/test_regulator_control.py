"""Regulators in time: what a control sees, and where taps end."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import Feeder
from gridedge_env.powerflow import PowerFlow, settle_taps

LONG = 1e5  # seconds: more than any sequence of taps takes


@pytest.fixture(scope="module")
def neutral(ieee123: Feeder) -> PowerFlow:
    return PowerFlow(ieee123.with_neutral_taps())


def drawn(flow: PowerFlow, scale: float) -> Tensor:
    """(1, 2 branches): every load at `scale` of its nominal power."""
    power = flow.nominal_power[flow.space.injection] * flow.space.share * scale
    return torch.cat((power.real, power.imag))[None]


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


def test_taps_end_where_opendss_leaves_them(neutral: PowerFlow, ieee123: Feeder) -> None:
    """The published feeder's positions are those of OpenDSS's controls, one tap at a time."""
    assert settled(neutral, 1.0) == [r.tap_position for r in ieee123.regulators]


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.3])
def test_every_control_ends_in_its_band(neutral: PowerFlow, scale: float) -> None:
    taps = torch.tensor([settled(neutral, scale)], dtype=torch.float64)
    seen = neutral.solve(scale * neutral.nominal_power[None], tap_position=taps).control_voltage[0]
    for voltage, regulator in zip(seen.tolist(), neutral.feeder.regulators, strict=True):
        assert abs(voltage - regulator.target_voltage) <= regulator.bandwidth / 2.0


def test_taps_take_their_time(neutral: PowerFlow) -> None:
    """reg1a has the shortest delay, 15 s, and needs six taps: 44 s are enough for two of them."""
    assert settled(neutral, 1.0, seconds=14.0) == [0.0] * 7
    assert settled(neutral, 1.0, seconds=44.0) == [2.0] + [0.0] * 6


def test_a_tap_stops_at_its_limit(neutral: PowerFlow) -> None:
    regulators = tuple(replace(r, tap_limit=1) for r in neutral.feeder.regulators)
    limited = PowerFlow(replace(neutral.feeder, regulators=regulators))
    assert max(settled(limited, 1.0)) == 1.0


def test_a_band_narrower_than_a_step_does_not_hunt_for_ever(neutral: PowerFlow) -> None:
    """0.01 V of band, a step of 0.75 V, and no delay: it ends with the time that it has."""
    regulators = tuple(replace(r, bandwidth=0.01, delay=0.0) for r in neutral.feeder.regulators)
    hunting = PowerFlow(replace(neutral.feeder, regulators=regulators))
    assert all(abs(position) <= 16.0 for position in settled(hunting, 1.0, seconds=60.0))


def test_scenarios_move_apart(neutral: PowerFlow) -> None:
    """In one batch each ends where it ends alone."""
    power = torch.cat([drawn(neutral, scale) for scale in (0.2, 1.0, 1.3)])
    start, taps = neutral.no_load(3), neutral.tap_position.expand(3, -1)
    together = settle_taps(neutral, power, start, taps, LONG)
    assert together.tolist() == [settled(neutral, scale) for scale in (0.2, 1.0, 1.3)]

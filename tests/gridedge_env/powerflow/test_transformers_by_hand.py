"""Transformers and regulators worked by hand, with the arithmetic that says what must come out.

Expected values come from closed forms in complex numbers, never from the package.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import replace

import pytest

from gridedge_env.feeder import Feeder
from gridedge_env.feeder.records import (
    Admittance,
    Bus,
    Connection,
    LeadLag,
    Load,
    Regulator,
    Source,
    Transformer,
    Winding,
)
from tests.gridedge_env.powerflow.hand_circuits import ROOT3, SENDING, TURN, same, solve

# Transformers ---

# 150 kVA, 4.16 kV to 480 V: 115.3706... ohm on the high side. The source is 0.01j of it.
OHM = 4.16**2 / 0.150
HIGH, LOW = 4.16 / ROOT3, 0.48 / ROOT3


def behind_a_transformer(
    transformer: Transformer,
    loads: tuple[Load, ...],
    low: Bus,
    regulators: tuple[Regulator, ...] = (),
    grounded: str = "",
) -> Feeder:
    ground = (Admittance("ground", (grounded,), (), ((1.0,),), ((0.0,),)),) if grounded else ()
    return Feeder(
        name="transformer",
        frequency=50.0,
        source=Source("a", (1, 2, 3), 4.16, 1.0, 0.0, 0.0, 0.01 * OHM, 0.0, 0.01 * OHM),
        buses=(Bus("a", (1, 2, 3), HIGH), low),
        transformers=(transformer,),
        regulators=regulators,
        loads=loads,
        admittances=ground,
    )


def three_phase_transformer(
    high: Connection, low: Connection, lead_lag: LeadLag = "lag"
) -> Transformer:
    phases = (1, 2, 3)
    windings = (
        Winding("a", phases, high, kv=4.16, kva=150.0, resistance_percent=1.0),
        Winding("b", phases, low, kv=0.48, kva=150.0, resistance_percent=1.0),
    )
    return Transformer("t", 3, (4.0,), lead_lag, antifloat_ppm=0.0, windings=windings)


@pytest.mark.parametrize(
    ("high", "low", "lead_lag", "degrees"),
    [
        ("wye", "wye", "lag", 0.0),
        ("delta", "delta", "lag", 0.0),
        ("delta", "wye", "lag", -30.0),
        ("delta", "wye", "lead", 30.0),
        ("wye", "delta", "lag", -30.0),
        ("wye", "delta", "lead", 30.0),
    ],
)
def test_ratio_phase_shift_and_drop(
    high: Connection, low: Connection, lead_lag: LeadLag, degrees: float
) -> None:
    """Per unit of 150 kVA: an impedance load of 120 + 90j kVA, y = 0.8 - 0.6j, behind 0.02 + 0.05j.

    z y = (0.02 + 0.05j) (0.8 - 0.6j) = 0.016 + 0.03 + (0.04 - 0.012)j = 0.046 + 0.028j: 1 pu falls
    to 1 / (1.046 + 0.028j), turned by the vector group. With a delta on the low side, its line 2 is
    grounded: line to line nothing changes.
    """
    load = Load("l", "b", (1, 2, 3), "delta", "constant_impedance", 0.48, 120.0, 90.0)
    found = solve(
        behind_a_transformer(
            three_phase_transformer(high, low, lead_lag),
            (load,),
            Bus("b", (1, 2, 3), LOW),
            grounded="b.2" if low == "delta" else "",
        )
    )
    shift = cmath.rect(1.0, math.radians(degrees))
    phase_voltage = [shift * sending / (1.046 + 0.028j) for sending in SENDING]
    for one, other in ((1, 2), (2, 3), (3, 1)):
        expected = phase_voltage[one - 1] - phase_voltage[other - 1]
        assert found.across(f"b.{one}", f"b.{other}") == same(expected)
    if low == "wye":
        assert found.voltage["b.1"] == same(phase_voltage[0])


@pytest.mark.parametrize(("lead_lag", "returning"), [("lag", 3), ("lead", 2)])
def test_one_phase_of_a_wye_is_two_lines_of_a_delta(lead_lag: LeadLag, returning: int) -> None:
    """The coil of phase 1 of the wye lies between lines 1 and 3 of a lagging delta, 1 and 2 of a
    leading one.

    50 kVA a coil. Load: 40 + 30j kVA, y = 0.8 - 0.6j of a coil's 50 kVA. Behind it 0.02 + 0.04j of
    the coil and the source twice, once for each line: on the coil's base of 4160² / 50e3 ohm =
    3 · 115.37 ohm that is 2 · 0.01j / 3.

    The current in the line is that in the load by 480 / √3 / 4160.
    """
    load = Load("l", "b", (1,), "wye", "constant_impedance", LOW, 40.0, 30.0)
    found = solve(
        behind_a_transformer(
            three_phase_transformer("delta", "wye", lead_lag), (load,), Bus("b", (1, 2, 3), LOW)
        )
    )
    z, y = 0.02 + (0.04 + 0.02 / 3) * 1j, 0.8 - 0.6j
    shift = cmath.rect(1.0, math.radians(-30 if lead_lag == "lag" else 30))
    expected = shift / (1 + z * y)
    assert found.voltage["b.1"] == same(expected)
    line = expected * y * 50 / 4.16
    ampere = 1e2  # the rated current of a coil is 12 A for 1 pu
    assert found.current["transformer.t.1"] == same(line, ampere)
    assert found.current[f"transformer.t.{returning}"] == same(-line, ampere)
    assert found.current[f"transformer.t.{5 - returning}"] == same(0.0, ampere)


def test_open_wye_open_delta() -> None:
    """Two coils of 50 kVA: from phases 1 and 2 to neutral, between lines 1-2 and 2-3 of 480 V.

    Per unit they hold V12 = E1 and V23 = E2, and V31 = -E1 - E2 = E3 is what is left. A load across
    3-1 draws its current I through both coils, backwards: V12 = E1 + z I, V23 = E2 + z I,
    V31 = E3 - 2 z I with z = 0.02 + 0.05j (the source's 0.01j is that of one phase).
    For 40 + 30j kVA, y = 0.8 - 0.6j: V31 = E3 / (1 + 2 z y) = E3 / (1.092 + 0.056j).
    Line 2 is grounded.
    """
    windings = (
        Winding("a", (1, 2), "wye", kv=4.16, kva=100.0, resistance_percent=1.0),
        Winding("b", (1, 2, 3), "open_delta", kv=0.48, kva=100.0, resistance_percent=1.0),
    )
    transformer = Transformer("t", 2, (4.0,), "lag", 0.0, windings)
    load = Load("l", "b", (3, 1), "delta", "constant_impedance", 0.48, 40.0, 30.0)
    bus = Bus("b", (1, 2, 3), 0.48)
    found = solve(behind_a_transformer(transformer, (load,), bus, grounded="b.2"))
    across = SENDING[2] / (1.092 + 0.056j)
    drop = (0.046 + 0.028j) * across
    assert found.across("b.3", "b.1") == same(across)
    assert found.across("b.1", "b.2") == same(1.0 + drop)
    assert found.across("b.2", "b.3") == same(TURN + drop)
    entering = -(0.8 - 0.6j) * across * 50 / HIGH
    assert found.current["transformer.t.1"] == same(entering, scale=1e2)
    assert found.current["transformer.t.2"] == same(entering, scale=1e2)


def single_phase_transformer(high: tuple[int, ...], kv: float, low_kv: float) -> Transformer:
    windings = (
        Winding("a", high, "delta" if len(high) == 2 else "wye", kv, 50.0, 1.0),
        Winding("b", (1,), "wye", low_kv, 50.0, 1.0),
    )
    return Transformer("t", 1, (4.0,), "lag", 0.0, windings)


def load_of_a_coil(kv: float) -> Load:
    """40 + 30j kVA: y = 0.8 - 0.6j per unit of 50 kVA."""
    return Load("l", "b", (1,), "wye", "constant_impedance", kv, 40.0, 30.0)


def test_single_phase_transformer_to_neutral() -> None:
    """50 kVA at 2.4 kV: one ohm is as much as on 150 kVA at 4.16 kV, z = 0.02 + 0.05j.

    V = E2 / (1 + z y) = E2 / (1.046 + 0.028j).
    """
    transformer = single_phase_transformer((2,), HIGH, 0.24)
    found = solve(behind_a_transformer(transformer, (load_of_a_coil(0.24),), Bus("b", (1,), 0.24)))
    assert found.voltage["b.1"] == same(TURN / (1.046 + 0.028j))
    assert found.current["transformer.t.2"] == same(
        (0.8 - 0.6j) * TURN / (1.046 + 0.028j) * 50 / HIGH, scale=1e2
    )


def test_single_phase_transformer_between_lines() -> None:
    """50 kVA at 4.16 kV: an ohm counts a third, but the source's 0.01j lies there twice.

    z = 0.02 + (0.04 + 0.02 / 3)j behind E12, which is 1 pu of 4.16 kV at 30 degrees.
    """
    transformer = single_phase_transformer((1, 2), 4.16, 0.24)
    found = solve(behind_a_transformer(transformer, (load_of_a_coil(0.24),), Bus("b", (1,), 0.24)))
    z, y = 0.02 + (0.04 + 0.02 / 3) * 1j, 0.8 - 0.6j
    assert found.voltage["b.1"] == same(cmath.rect(1.0, math.pi / 6) / (1 + z * y))


def test_centre_tapped_transformer() -> None:
    """2.4 kV to 120 / 240 V, 50 kVA: r = 0.6, 1.2, 1.2 %, x12 = x13 = 2 %, x23 = 1.6 %.

    As a star: x1 = (2 + 2 - 1.6) / 2 = 1.2 %, x2 = x3 = 0.8 %, so that (with the source's 1 %)
    z1 = 0.006 + 0.022j, z2 = z3 = 0.012 + 0.008j. Admittances per unit of 50 kVA and 120 V: 20 kW
    on the first leg 0.4, 10 kW on the second 0.2, 10 kW at 240 V between them 0.2 / 4 = 0.05.

        u = 1 - z1 (i + j) - z2 i,  i = 0.40 u + 0.05 (u + v)     first leg, bus b phase 1 at u
        v = 1 - z1 (i + j) - z3 j,  j = 0.20 v + 0.05 (u + v)     second leg, bus b phase 2 at -v

    Two linear equations: (1 + 0.5 z1 + 0.45 z2) u + (0.3 z1 + 0.05 z2) v = 1
                          (0.5 z1 + 0.05 z3) u + (1 + 0.3 z1 + 0.25 z3) v = 1
    """
    windings = (
        Winding("a", (1,), "wye", HIGH, 50.0, 0.6),
        Winding("b", (1,), "wye", 0.12, 50.0, 1.2),
        Winding("b", (0, 2), "wye", 0.12, 50.0, 1.2),
    )
    transformer = Transformer("t", 1, (2.0, 2.0, 1.6), "lag", 0.0, windings)
    loads = (
        Load("first", "b", (1,), "wye", "constant_impedance", 0.12, 20.0, 0.0),
        Load("second", "b", (2,), "wye", "constant_impedance", 0.12, 10.0, 0.0),
        Load("both", "b", (1, 2), "delta", "constant_impedance", 0.24, 10.0, 0.0),
    )
    found = solve(behind_a_transformer(transformer, loads, Bus("b", (1, 2), 0.12)))
    z1, z2 = 0.006 + 0.022j, 0.012 + 0.008j
    a, b = 1 + 0.5 * z1 + 0.45 * z2, 0.3 * z1 + 0.05 * z2
    c, d = 0.5 * z1 + 0.05 * z2, 1 + 0.3 * z1 + 0.25 * z2
    assert found.voltage["b.1"] == same((d - b) / (a * d - b * c))
    assert found.voltage["b.2"] == same(-(a - c) / (a * d - b * c))


@pytest.mark.parametrize("position", [16, -16])
@pytest.mark.parametrize("winding", [1, 2])
def test_regulator_at_the_ends_of_its_range(position: int, winding: int) -> None:
    """t = 1 ± 16 · 0.00625 = 1.1 or 0.9. The source has z_s = 0.01j, the coils z = 0.02 + 0.04j.

    Taps in winding 2: V / t = E - (z + z_s) t I, V = t E / (1 + t² (z + z_s) y): with
    (z + z_s) y = 0.046 + 0.028j that is 1.1 / (1.05566 + 0.03388j) or 0.9 / (1.03726 + 0.02268j).
    Taps in winding 1: V = (E - z_s I / t) / t - z I, V = (E / t) / (1 + (z + z_s / t²) y).
    """
    regulator = Regulator("t", winding, position, 120.0, 2.0, 20.0, 50.0, 0.0, 0.0, 15.0)
    found = solve(
        behind_a_transformer(
            single_phase_transformer((1,), HIGH, HIGH),
            (load_of_a_coil(HIGH),),
            Bus("b", (1,), HIGH),
            regulators=(regulator,),
        )
    )
    t = 1.1 if position == 16 else 0.9
    y = 0.8 - 0.6j
    if winding == 2:
        expected = t / ((1.05566 + 0.03388j) if position == 16 else (1.03726 + 0.02268j))
    else:
        expected = (1 / t) / (1 + (0.02 + 0.04j + 0.01j / t**2) * y)
    assert found.voltage["b.1"] == same(expected)


def test_no_load_current_of_a_transformer() -> None:
    """Core loss 0.4 %, magnetising current 1.2 %: an admittance of 0.004 - 0.012j across winding 2.

    Without a load V = 1 / (1 + (0.02 + 0.05j) (0.004 - 0.012j)) = 1 / (1.00068 - 0.00004j), and
    the core takes 0.004 |V|² · 50 kW, the coils 0.02 · |0.004 - 0.012j|² |V|² · 50 kW more.
    """
    transformer = replace(
        single_phase_transformer((1,), HIGH, 0.24),
        no_load_loss_percent=0.4,
        magnetising_percent=1.2,
    )
    found = solve(behind_a_transformer(transformer, (), Bus("b", (1,), 0.24)))
    expected = 1 / (1.00068 - 0.00004j)
    assert found.voltage["b.1"] == same(expected)
    lost = (0.004 + 0.02 * 0.00016) * abs(expected) ** 2 * 50
    assert found.losses == same(lost, scale=1e2)

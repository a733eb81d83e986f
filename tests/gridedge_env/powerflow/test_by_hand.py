"""Circuits small enough to be worked by hand, with the arithmetic that says what must come out.

Expected values come from closed forms in complex numbers, never from the package.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, replace

import pytest

from gridedge_env.feeder import Feeder
from gridedge_env.feeder.model import (
    Admittance,
    Bus,
    Capacitor,
    Connection,
    LeadLag,
    Line,
    LineCode,
    Load,
    LoadModel,
    Regulator,
    Source,
    Transformer,
    Winding,
)
from gridedge_env.powerflow import PowerFlow

ROOT3 = math.sqrt(3.0)
TURN = cmath.rect(1.0, -2.0 * math.pi / 3.0)

# The last iteration changed voltages by less than 1e-11 pu; these circuits contract faster than by
# a half, so that no more than that remains. Rounding, 1e-16 times a condition number of 1e4, is
# less.
SAME = 2e-11


@dataclass(frozen=True)
class Solved:
    """Voltages in pu of each bus's base by node, currents in A by branch phase."""

    voltage: dict[str, complex]
    current: dict[str, complex]
    losses: float

    def across(self, one: str, other: str) -> complex:
        return self.voltage[one] - self.voltage[other]


def solve(feeder: Feeder) -> Solved:
    flow = PowerFlow(feeder, () if feeder.loads else feeder.node_names[:1])
    solution = flow.solve()
    assert solution.converged.all()
    return Solved(
        dict(zip(flow.node_names, solution.voltage[0].tolist(), strict=True)),
        dict(zip(flow.branch_names, solution.branch_current[0].tolist(), strict=True)),
        solution.losses.item(),
    )


def same(value: complex, scale: float = 1.0) -> object:
    return pytest.approx(value, abs=SAME * scale, rel=0.0)


# One phase ---


def two_buses(load: Load, voltage: complex = 1.0) -> Feeder:
    """A source of `voltage` kV behind 0.1 + 0.2j ohm, 2 km of 0.25 + 0.3j ohm, a load at bus b.

    0.6 + 0.8j ohm altogether, 1 ohm in magnitude; the base is 1 kV.
    """
    phase = (1,)
    return Feeder(
        name="two buses",
        frequency=50.0,
        source=Source(
            "a",
            phase,
            base_kv=1.0,
            per_unit=abs(voltage),
            angle_degrees=math.degrees(cmath.phase(voltage)),
            r1=0.1,
            x1=0.2,
            r0=0.0,
            x0=0.0,
        ),
        buses=(Bus("a", phase, 1.0), Bus("b", phase, 1.0)),
        line_codes=(LineCode("code", 1, ((0.25,),), ((0.3,),), ((0.0,),), None, "km"),),
        lines=(Line("ab", "a", "b", phase, phase, "code", 2.0, "km"),),
        loads=(load,),
    )


def load_at_b(model: LoadModel, kw: float, kvar: float) -> Load:
    return Load("l", "b", (1,), "wye", model, 1.0, kw, kvar, vmin_pu=0.8, vmax_pu=1.2)


def receiving_end(sending: complex, impedance: complex, power: complex) -> complex:
    """Voltage V of a constant power S behind an impedance Z and a voltage E: the upper solution.

    E = V + Z conj(S / V). Times conj(V): E conj(V) = |V|² + Z conj(S) = x + c. Its magnitude
    squared is |E|² x = (x + Re c)² + (Im c)²: a quadratic in x = |V|². Then conj(V) = (x + c) / E.
    """
    c = impedance * power.conjugate()
    b = abs(sending) ** 2 - 2.0 * c.real
    x = (b + math.sqrt(b * b - 4.0 * abs(c) ** 2)) / 2.0
    return ((x + c) / sending).conjugate()


def test_constant_power_behind_an_impedance() -> None:
    """90 + 48j kVA: c = Z conj(S) = (0.6 + 0.8j) (90 - 48j) = 92.4 + 43.2j, in 1e-3 of 1 kV².

    x² - (1 - 0.1848) x + 0.0924² + 0.0432² = x² - 0.8152 x + 0.010404 = 0
    x = (0.8152 + √(0.66455104 - 0.041616)) / 2 = (0.8152 + 0.78926235...) / 2 = 0.80223117...
    |V| = √x = 0.89567358..., at an angle of -atan(0.0432 / (0.80223 + 0.0924)) = -2.765 degrees.
    """
    found = solve(two_buses(load_at_b("constant_power", 90.0, 48.0)))
    x = (0.8152 + math.sqrt(0.8152**2 - 4 * 0.010404)) / 2
    expected = cmath.rect(math.sqrt(x), -math.atan2(0.0432, x + 0.0924))
    assert abs(expected) == pytest.approx(0.89567358, abs=1e-8)
    assert expected == same(receiving_end(1.0, 0.6e-3 + 0.8e-3j, 90 + 48j))
    assert found.voltage["b.1"] == same(expected)
    current = ((90 + 48j) / expected).conjugate()
    assert found.voltage["a.1"] == same(1.0 - (0.1e-3 + 0.2e-3j) * current)
    # A per kV and ohm: 1e3 A for 1 pu.
    assert found.current["line.ab.1"] == same(current, scale=1e3)
    # Lost in the line's 0.5 ohm, kW; 2 |I| 0.5 ohm a pu: 1e2 kW.
    assert found.losses == same(0.5e-3 * abs(current) ** 2, scale=1e2)


def test_constant_current_behind_an_impedance() -> None:
    """60 + 80j kVA at 1 kV: 100 A, lagging as much as 0.6 + 0.8j ohm turns it forward.

    So the drop of 100 A · 1 ohm = 100 V is in phase with the voltage: 1000 - 100 = 900 V, at no
    angle, and a current of 60 - 80j A.
    """
    found = solve(two_buses(load_at_b("constant_current", 60.0, 80.0)))
    assert found.voltage["b.1"] == same(0.9)
    assert found.current["line.ab.1"] == same(60 - 80j, scale=1e3)


def test_constant_impedance_behind_an_impedance() -> None:
    """80 + 60j kVA at 1 kV: 1e6 / (80 - 60j) 1e3 = 8 + 6j ohm.

    A divider: (8 + 6j) / (8.6 + 6.8j) = (109.6 - 2.8j) / 120.2.
    """
    found = solve(two_buses(load_at_b("constant_impedance", 80.0, 60.0)))
    assert found.voltage["b.1"] == same((109.6 - 2.8j) / 120.2)


def test_exponential_load_behind_an_impedance() -> None:
    """50 kW · v^0.8 and 40 kvar · v^2.5, worked backwards from v = 0.96.

    50 · 0.96^0.8 = 48.39350 kW and 40 · 0.96^2.5 = 36.11920 kvar at 960 V: a current of
    50.410 - 37.624j A and a drop of (0.6 + 0.8j) (50.410 - 37.624j) = 60.345 + 17.753j V.
    The source stands at 1020.345 + 17.753j V.
    """
    p, q = 50 * 0.96**0.8, 40 * 0.96**2.5
    current = complex(p, -q) / 0.96
    drop = (0.6 + 0.8j) * current
    assert drop == pytest.approx(60.345 + 17.753j, abs=1e-3)
    load = replace(load_at_b("exponential", 50.0, 40.0), p_exponent=0.8, q_exponent=2.5)
    found = solve(two_buses(load, 0.96 + 1e-3 * drop))
    assert found.voltage["b.1"] == same(0.96)
    assert found.current["line.ab.1"] == same(current, scale=1e3)


def test_a_capacitor_raises_the_voltage() -> None:
    """100 kvar at 1 kV: 0.1j S behind 0.6 + 0.8j ohm.

    V = 1 / (1 + 0.1j (0.6 + 0.8j)) = 1 / (0.92 + 0.06j): |V| = 1 / √0.85 = 1.08465 pu. To first
    order the rise is Q X / V² = 0.08.
    """
    feeder = two_buses(load_at_b("constant_power", 0.0, 0.0))
    feeder = replace(feeder, loads=(), capacitors=(Capacitor("c", "b", (1,), "wye", 100.0, 1.0),))
    found = solve(feeder).voltage["b.1"]
    assert abs(found) == pytest.approx(1.08465, abs=1e-5)
    assert found == same(1 / (0.92 + 0.06j))


def test_a_line_may_return_through_the_ground() -> None:
    """A conductor of 0.5 + 0.6j ohm out and one of 0.4 ohm back, the load between them at bus b.

    80 + 60j kVA at 1 kV are 8 + 6j ohm, and 9 + 6.8j ohm with the wires and the source's
    0.1 + 0.2j. The load's end of the return conductor stands 0.4 / (9 + 6.8j) above ground.
    """
    feeder = two_buses(load_at_b("constant_impedance", 80.0, 60.0))
    feeder = replace(
        feeder,
        buses=(feeder.buses[0], Bus("b", (1, 4), 1.0)),
        line_codes=(
            LineCode(
                "code",
                2,
                ((0.25, 0.0), (0.0, 0.2)),
                ((0.3, 0.0), (0.0, 0.0)),
                ((0.0, 0.0), (0.0, 0.0)),
                None,
                "km",
            ),
        ),
        lines=(Line("ab", "a", "b", (1, 0), (1, 4), "code", 2.0, "km"),),
        loads=(replace(feeder.loads[0], neutral=4),),
    )
    found = solve(feeder)
    assert found.voltage["b.4"] == same(0.4 / (9 + 6.8j))
    assert found.across("b.1", "b.4") == same((8 + 6j) / (9 + 6.8j))


# Three phases ---

Z1, Z0 = 0.1 + 0.2j, 0.25 + 0.65j
SENDING = (1.0, TURN, TURN.conjugate())


def at_the_source(*loads: Load, neutral: bool = False) -> Feeder:
    """1 kV to neutral behind Z1 and Z0, and what is connected there."""
    phases = (1, 2, 3, 4) if neutral else (1, 2, 3)
    source = Source("a", (1, 2, 3), ROOT3, 1.0, 0.0, Z1.real, Z1.imag, Z0.real, Z0.imag)
    return Feeder("source", 50.0, source, (Bus("a", phases, 1.0),), loads=loads)


@pytest.mark.parametrize("connection", ["wye", "delta"])
def test_balanced_load(connection: Connection) -> None:
    """However 300 + 150j kVA are connected, each phase carries 100 + 50j behind Z1.

    Z1 conj(S) = (0.1 + 0.2j) (100 - 50j) = 20 + 15j; in kV²: x² - (1 - 0.04) x + 0.000625 = 0.
    """
    phases = (1, 2, 3)
    load = Load("l", "a", phases, connection, "constant_power", ROOT3, 300.0, 150.0)
    found = solve(at_the_source(load))
    x = (0.96 + math.sqrt(0.96**2 - 4 * 0.000625)) / 2
    expected = (x + 0.02 - 0.015j) / 1.0
    for phase, sending in zip(phases, SENDING, strict=True):
        assert found.voltage[f"a.{phase}"] == same(expected * sending)


def test_wye_load_on_one_phase() -> None:
    """A current I to ground drops I (2 Z1 + Z0) / 3 in its phase, I (Z0 - Z1) / 3 in the others.

    (2 (0.1 + 0.2j) + 0.25 + 0.65j) / 3 = 0.15 + 0.35j and (0.15 + 0.45j) / 3 = 0.05 + 0.15j ohm.
    """
    load = Load("l", "a", (1,), "wye", "constant_power", 1.0, 100.0, 40.0)
    found = solve(at_the_source(load))
    expected = receiving_end(1.0, 0.15e-3 + 0.35e-3j, 100 + 40j)
    current = ((100 + 40j) / expected).conjugate()
    assert found.voltage["a.1"] == same(expected)
    for phase in (2, 3):
        drop = (0.05e-3 + 0.15e-3j) * current
        assert found.voltage[f"a.{phase}"] == same(SENDING[phase - 1] - drop)


def test_delta_load_on_two_phases() -> None:
    """A current from line to line has no zero sequence: it drops I Z1 on its way out and back.

    The load stands behind E12 = √3 at 30 degrees and 2 Z1 = 0.2 + 0.4j ohm.
    """
    load = Load("l", "a", (1, 2), "delta", "constant_power", ROOT3, 200.0, 80.0)
    found = solve(at_the_source(load))
    across = receiving_end(cmath.rect(ROOT3, math.pi / 6), 0.2e-3 + 0.4e-3j, 200 + 80j)
    current = ((200 + 80j) / across).conjugate()
    assert found.across("a.1", "a.2") == same(across)
    assert found.voltage["a.1"] == same(1.0 - 1e-3 * Z1 * current)
    assert found.voltage["a.2"] == same(TURN + 1e-3 * Z1 * current)
    assert found.voltage["a.3"] == same(TURN.conjugate())


def test_wye_load_with_an_isolated_neutral() -> None:
    """Two equal impedances in a star of two lines: the star point lies half-way between the lines.

    600 kW at 1.732 kV, 300 kW at 1 kV a phase: 10 / 3 ohm each, in series 20 / 3 ohm across E12
    and behind 2 Z1 = 0.2 + 0.4j ohm.
    """
    load = Load("l", "a", (1, 2), "wye", "constant_impedance", ROOT3, 600.0, 0.0, neutral=4)
    found = solve(at_the_source(load, neutral=True))
    current = (1.0 - TURN) / (20 / 3 + 2 * Z1)
    one, other = 1.0 - Z1 * current, TURN + Z1 * current
    assert found.voltage["a.1"] == same(one)
    assert found.voltage["a.2"] == same(other)
    assert found.voltage["a.4"] == same((one + other) / 2)


def test_wye_load_whose_neutral_is_earthed_through_a_resistor() -> None:
    """Two equal impedances z in a star of two lines, its star point on a resistor R.

    600 kW at 1.732 kV, 300 kW at 1 kV a phase: z = 10 / 3 ohm. With Z1 = Z0 = 0.1 + 0.2j the lines
    are alike: the sum of the currents, I0 = I1 + I2, sees E1 + E2 = (z + Z1) I0 + 2 R I0, their
    difference E1 - E2 = (z + Z1) (I1 - I2). R = 5 ohm.
    """
    load = Load("l", "a", (1, 2), "wye", "constant_impedance", ROOT3, 600.0, 0.0, neutral=4)
    feeder = at_the_source(load, neutral=True)
    feeder = replace(
        feeder,
        source=replace(feeder.source, r0=Z1.real, x0=Z1.imag),
        admittances=(Admittance("resistor", ("a.4",), (), ((0.2,),), ((0.0,),)),),
    )
    found = solve(feeder)
    own = 10 / 3 + Z1
    total, difference = (1 + TURN) / (own + 10), (1 - TURN) / own
    assert found.voltage["a.4"] == same(5 * total)
    assert found.voltage["a.1"] == same(1 - Z1 * (total + difference) / 2)
    assert found.voltage["a.2"] == same(TURN - Z1 * (total - difference) / 2)


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
    limit = 0.1 if position == 16 else -0.1
    assert abs(expected) - 1 == pytest.approx(limit if winding == 2 else -limit, abs=0.06)


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

"""Lines, loads and capacitors worked by hand, with the arithmetic that says what must come out.

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
    Capacitor,
    Connection,
    Line,
    LineCode,
    Load,
    LoadModelName,
    Source,
)
from tests.gridedge_env.powerflow.hand_circuits import ROOT3, SENDING, TURN, same, solve

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


def load_at_b(model: LoadModelName, kw: float, kvar: float) -> Load:
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

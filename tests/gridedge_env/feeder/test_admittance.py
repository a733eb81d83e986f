"""Admittances against hand calculations and physical invariants."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.sparse.linalg import splu

from gridedge_env.feeder import Feeder, Network, build_network, load_feeder
from gridedge_env.feeder.admittance import at_rest
from gridedge_env.feeder.primitive import coil_difference, leakage_impedance, source_admittance
from gridedge_env.feeder.records import (
    Bus,
    Capacitor,
    Connection,
    LeadLag,
    Line,
    LineCode,
    Regulator,
    Source,
    Switch,
    Transformer,
    Winding,
)

# Each entry is a handful of products and quotients: a few units in the last place.
ROUNDING = 1e-13

SOURCE = Source(
    "a", (1, 2, 3), base_kv=4.16, per_unit=1.0, angle_degrees=0.0, r1=0.0, x1=1e-4, r0=0.0, x0=1e-4
)
CODE = LineCode("overhead", 1, ((0.1,),), ((0.3,),), ((10.0,),), ampacity=200.0, length_unit="km")


def feeder_of(
    phases_of_b: tuple[int, ...] = (1, 2, 3),
    lines: tuple[Line, ...] = (),
    switches: tuple[Switch, ...] = (),
    transformers: tuple[Transformer, ...] = (),
    regulators: tuple[Regulator, ...] = (),
    capacitors: tuple[Capacitor, ...] = (),
) -> Feeder:
    """A source at bus a and whatever joins it to bus b."""
    kv = 4.16 / math.sqrt(3)
    return Feeder(
        name="small",
        frequency=50.0,
        source=SOURCE,
        buses=(Bus("a", (1, 2, 3), kv), Bus("b", phases_of_b, kv)),
        line_codes=(CODE,),
        lines=lines,
        switches=switches,
        transformers=transformers,
        regulators=regulators,
        capacitors=capacitors,
    )


def block(network: Network, rows: tuple[str, ...], columns: tuple[str, ...]) -> np.ndarray:
    index = network.node_names.index
    return network.nodal_admittance.toarray()[
        np.ix_([index(row) for row in rows], [index(column) for column in columns])
    ]


def no_load_voltage(network: Network) -> dict[str, complex]:
    voltage = splu(network.nodal_admittance).solve(network.source_current)
    return dict(zip(network.node_names, voltage, strict=True))


@pytest.fixture(scope="module")
def ieee123() -> Network:
    return build_network(load_feeder("ieee123"))


@pytest.mark.parametrize(("length", "unit"), [(2.0, "km"), (2000.0, "m"), (200000.0, "cm")])
def test_line(length: float, unit: str) -> None:
    """2 km of 0.1 + 0.3j ohm/km: y = 1 / (0.2 + 0.6j) = (0.2 - 0.6j) / 0.4 = 0.5 - 1.5j S.

    Half the charging of 20 nF at 50 Hz: 100 pi · 20e-9 / 2 = pi · 1e-6 S at each end.
    """
    line = Line("l", "a", "b", (2,), (2,), "overhead", length, unit)
    network = build_network(feeder_of(phases_of_b=(2,), lines=(line,)))
    series, shunt = 0.5 - 1.5j, 1e-6j * math.pi
    np.testing.assert_allclose(block(network, ("b.2",), ("b.2",)), series + shunt, rtol=ROUNDING)
    np.testing.assert_allclose(block(network, ("a.2",), ("b.2",)), -series, rtol=ROUNDING)
    np.testing.assert_allclose(block(network, ("a.1",), ("b.2",)), 0)
    assert network.branch_names == ("line.l.2",)
    assert network.branch_rating == [200.0]
    voltage = np.array([0, 2400, 0, 2390 - 5j])
    entering = series * (2400 - (2390 - 5j)) + shunt * 2400
    np.testing.assert_allclose(network.branch_current @ voltage, [entering], rtol=ROUNDING)


def test_a_line_may_change_phases_at_its_far_end() -> None:
    line = Line("l", "a", "b", (3,), (1,), "overhead", 2.0, "km")
    network = build_network(feeder_of(phases_of_b=(1,), lines=(line,)))
    np.testing.assert_allclose(block(network, ("a.3",), ("b.1",)), -0.5 + 1.5j, rtol=ROUNDING)
    assert network.branch_names == ("line.l.3",)
    np.testing.assert_array_equal(network.branch_terminals, [[2, 3]])


def test_switch() -> None:
    """1e-3 ohm: 1000 S. An open one leaves bus b without a path: V = 0 there, `at_rest`."""
    switch = Switch("s", "a", "b", (1, 2, 3), resistance_ohm=1e-3, closed=True)
    network = build_network(feeder_of(switches=(switch,)))
    nodes = ("b.1", "b.2", "b.3")
    np.testing.assert_allclose(block(network, nodes, nodes), 1e3 * np.eye(3), rtol=ROUNDING)
    assert np.isinf(network.branch_rating).all()
    opened = build_network(feeder_of(switches=(replace(switch, closed=False),)))
    assert opened.energised.tolist() == [node not in nodes for node in opened.node_names]
    resting = at_rest(opened.nodal_admittance, opened.source_nodes).toarray()
    dead = ~opened.energised
    np.testing.assert_array_equal(resting[np.ix_(dead, dead)], np.eye(3))
    np.testing.assert_array_equal(resting[np.ix_(dead, ~dead)], np.zeros((3, 3)))
    np.testing.assert_array_equal(
        resting[np.ix_(~dead, ~dead)], block(opened, *[("a.1", "a.2", "a.3")] * 2)
    )


def single_phase_transformer(tap: float = 1.0) -> Transformer:
    return Transformer(
        "t",
        phases=1,
        reactance_percent=(2.0,),
        lead_lag="lag",
        antifloat_ppm=0.0,
        windings=(
            Winding("a", (1,), "wye", kv=2.4, kva=100.0, resistance_percent=0.5),
            Winding("b", (1,), "wye", kv=0.24, kva=100.0, resistance_percent=0.5, tap=tap),
        ),
    )


def test_single_phase_transformer_with_a_tap() -> None:
    """100 kVA, 1 + 2j %: 1e5 / (0.01 + 0.02j) = 2e6 - 4e6j VA.

    Over 2400², 2400 · 252 and 252², with 252 V = 240 V at a tap of 1.05. Rated 100 / 2.4 A.
    """
    transformer = single_phase_transformer(tap=1.05)
    network = build_network(feeder_of(phases_of_b=(1,), transformers=(transformer,)))
    power = 2e6 - 4e6j
    expected = np.array([power / 252**2, -power / (2400 * 252)])
    np.testing.assert_allclose(block(network, ("b.1",), ("b.1", "a.1"))[0], expected, rtol=ROUNDING)
    entering = network.branch_current @ np.array([1.0, 0, 0, 0])
    np.testing.assert_allclose(entering, power / 2400**2, rtol=ROUNDING)
    assert network.branch_rating == pytest.approx([100 / 2.4])


def test_a_regulator_sets_the_tap_of_its_winding() -> None:
    """Position 8 is 1 + 8 · 0.00625 = 1.05."""
    regulator = Regulator("t", 2, 8, 120.0, 2.0, 20.0, 50.0, 0.4, 0.4, 15.0)
    regulated = feeder_of((1,), transformers=(single_phase_transformer(),), regulators=(regulator,))
    tapped = feeder_of((1,), transformers=(single_phase_transformer(tap=1.05),))
    np.testing.assert_allclose(
        build_network(regulated).nodal_admittance.toarray(),
        build_network(tapped).nodal_admittance.toarray(),
        rtol=ROUNDING,
    )


def three_phase_transformer(
    first: Connection, second: Connection, lead_lag: LeadLag = "lag", antifloat_ppm: float = 0.0
) -> Transformer:
    return Transformer(
        "t",
        phases=3,
        reactance_percent=(4.0,),
        lead_lag=lead_lag,
        antifloat_ppm=antifloat_ppm,
        windings=(
            Winding("a", (1, 2, 3), first, kv=4.16, kva=150.0, resistance_percent=1.0),
            Winding("b", (1, 2, 3), second, kv=0.48, kva=150.0, resistance_percent=1.0),
        ),
    )


def test_delta_wye_transformer() -> None:
    """50 kVA a phase, 2 + 4j %: 5e4 / (0.02 + 0.04j) = 5e5 - 1e6j VA.

    Wye: that over (480 / sqrt 3)² on the diagonal. Delta: each line joins two coils of 4160 V, so
    twice that over 4160² on the diagonal and its negative between lines. Lagging, the coil from
    line 1 to line 3 goes with phase 1 of the wye. Rated 150 / (sqrt 3 · 4.16) A.
    """
    transformer = three_phase_transformer("delta", "wye")
    network = build_network(feeder_of(transformers=(transformer,)))
    power = 5e5 - 1e6j
    wye, delta = ("b.1", "b.2", "b.3"), ("a.1", "a.2", "a.3")
    np.testing.assert_allclose(
        block(network, wye, wye), power * 3 / 480**2 * np.eye(3), rtol=ROUNDING, atol=1e-15
    )
    source = source_admittance(1e-4j, 1e-4j)
    np.testing.assert_allclose(  # the source's 1e4 S leaves 1e4 · 2e-16 of rounding
        block(network, delta, delta) - source,
        power / 4160**2 * np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2]]),
        atol=1e-11,
    )
    mutual = power / (4160 * 480 / math.sqrt(3))
    np.testing.assert_allclose(
        block(network, delta, wye),
        mutual * np.array([[-1, 1, 0], [0, -1, 1], [1, 0, -1]]),
        rtol=ROUNDING,
        atol=1e-15,
    )
    assert network.branch_rating == pytest.approx([150 / (math.sqrt(3) * 4.16)] * 3)


@pytest.mark.parametrize(
    ("first", "second", "lead_lag", "degrees"),
    [
        ("wye", "wye", "lag", 0.0),
        ("delta", "delta", "lag", 0.0),
        ("delta", "wye", "lag", -30.0),
        ("delta", "wye", "lead", 30.0),
        ("wye", "delta", "lag", -30.0),
        ("wye", "delta", "lead", 30.0),
    ],
)
def test_phase_shift_of_the_low_voltage_side(
    first: Connection, second: Connection, lead_lag: LeadLag, degrees: float
) -> None:
    """At no load every connection gives 480 V line to line, turned by its vector group.

    A floating delta stands on its antifloat shunt of 1e-6 of the rating, which draws 1e-6 of rated
    current through 4 % of impedance: voltages are off by less than 1e-7.
    """
    transformer = three_phase_transformer(first, second, lead_lag, antifloat_ppm=1.0)
    voltage = no_load_voltage(build_network(feeder_of(transformers=(transformer,))))
    for k, phase in enumerate((1, 2, 3)):
        expected = 480 / math.sqrt(3) * np.exp(1j * np.radians(degrees - 120 * k))
        assert voltage[f"b.{phase}"] == pytest.approx(expected, rel=1e-7)


def test_antifloat_shunt_is_a_reactor_of_its_share_of_the_rating() -> None:
    """All three terminals of the delta together draw ppm · 150 kVA at 480 V to ground."""
    with_shunt, without = (
        block(
            build_network(
                feeder_of(
                    transformers=(three_phase_transformer("wye", "delta", antifloat_ppm=ppm),),
                )
            ),
            *[("b.1", "b.2", "b.3")] * 2,
        )
        for ppm in (1e3, 0.0)
    )
    shunt = -1j * 1e-3 * 150e3 / 3 / 480**2
    np.testing.assert_allclose(with_shunt - without, shunt * np.eye(3), rtol=1e-9, atol=1e-13)


def test_short_circuit_tests_of_a_three_winding_transformer() -> None:
    """Winding i, with j shorted and the third open, shows r_i + r_j + j x_ij as rated."""
    resistance, reactance, power = [0.006, 0.012, 0.011], [0.02, 0.03, 0.016], 25e3
    voltage = [7200.0, 120.0, 240.0]
    difference = coil_difference(voltage)
    admittance = np.linalg.inv(leakage_impedance(resistance, reactance))
    coils = power * difference.T @ admittance @ difference
    for (i, j), x in zip(combinations(range(3), 2), reactance, strict=True):
        (k,) = {0, 1, 2} - {i, j}
        # Winding k carries no current: eliminate its voltage, then read winding i with j at 0 V.
        seen = coils[i, i] - coils[i, k] * coils[k, i] / coils[k, k]
        impedance = complex(resistance[i] + resistance[j], x) * voltage[i] ** 2 / power
        assert 1 / seen == pytest.approx(impedance, rel=1e-10)


def test_wye_capacitor() -> None:
    """600 kvar at 4.16 kV: 0.2 Mvar a phase at 4.16 / sqrt 3 kV = 0.6 / 4.16² S."""
    capacitor = Capacitor("c", "b", (1, 2, 3), "wye", kvar=600.0, kv=4.16)
    np.testing.assert_allclose(
        shunt_at_b(capacitor), 1j * 0.6 / 4.16**2 * np.eye(3), rtol=1e-9, atol=1e-12
    )


def test_delta_capacitor() -> None:
    """600 kvar at 4.16 kV: 0.2 / 4.16² S between each pair of lines."""
    capacitor = Capacitor("c", "b", (1, 2, 3), "delta", kvar=600.0, kv=4.16)
    pattern = np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2]])
    np.testing.assert_allclose(
        shunt_at_b(capacitor), 1j * 0.2 / 4.16**2 * pattern, rtol=1e-9, atol=1e-12
    )


def shunt_at_b(capacitor: Capacitor) -> np.ndarray:
    """What a capacitor adds at bus b; the switch's 1000 S leave about 1e-13 S of rounding."""
    switch = Switch("s", "a", "b", (1, 2, 3), resistance_ohm=1e-3, closed=True)
    nodes = ("b.1", "b.2", "b.3")
    with_it = build_network(feeder_of(switches=(switch,), capacitors=(capacitor,)))
    without = build_network(feeder_of(switches=(switch,)))
    return block(with_it, nodes, nodes) - block(without, nodes, nodes)


def test_source_sequences() -> None:
    """A balanced set of voltages sees 1 / z1, a common voltage 1 / z0."""
    admittance = source_admittance(0.1 + 0.4j, 0.2 + 1.0j)
    turn = np.exp(-2j * np.pi / 3 * np.arange(3))
    np.testing.assert_allclose(admittance @ turn, turn / (0.1 + 0.4j), rtol=1e-12)
    np.testing.assert_allclose(admittance @ np.ones(3), np.ones(3) / (0.2 + 1.0j), rtol=1e-12)


def test_ieee123_is_reciprocal_and_passive(ieee123: Network) -> None:
    """Y = Yᵀ, and no voltages draw negative power: the conductance matrix has no eigenvalue < 0.

    Entries reach 1e6 S, so both hold to about 1e6 · 2e-16 · (a few tens) S.
    """
    admittance = ieee123.nodal_admittance.toarray()
    np.testing.assert_allclose(admittance, admittance.T, atol=1e-9, rtol=0)
    assert np.linalg.eigvalsh(admittance.real).min() > -1e-8


def test_ieee123_branches(ieee123: Network) -> None:
    rating = dict(zip(ieee123.branch_names, ieee123.branch_rating, strict=True))
    assert len(rating) == len(ieee123.branch_names) == ieee123.branch_current.shape[0]
    assert rating["line.l115.1"] == 530.0
    assert rating["line.l1.2"] == 230.0
    assert rating["line.l60.3"] == 530.0
    assert rating["line.l61.3"] == 175.0
    assert math.isinf(rating["switch.sw1.2"])
    assert rating["transformer.reg1a.3"] == pytest.approx(5000 / (math.sqrt(3) * 4.16))
    names = np.array(ieee123.node_names)[ieee123.branch_terminals]
    ends = dict(zip(ieee123.branch_names, map(tuple, names), strict=True))
    assert ends["line.l115.2"] == ("149.2", "1.2")
    assert ends["transformer.reg3c.3"] == ("25.3", "25r.3")
    assert ends["transformer.xfm1.1"] == ("61s.1", "610.1")


def test_ieee123_three_phase_buses(ieee123: Network) -> None:
    assert ieee123.three_phase_buses[:3] == ("150", "150r", "149")
    assert "25r" not in ieee123.three_phase_buses  # phases 1 and 3 alone
    named = np.array(ieee123.node_names)[ieee123.three_phase_nodes]
    expected = [[f"{bus}.{phase}" for phase in (1, 2, 3)] for bus in ieee123.three_phase_buses]
    np.testing.assert_array_equal(named, expected)


def test_kirchhoff_at_a_node_between_two_branches(ieee123: Network) -> None:
    """At bus 149 the switch hands line l115 its current: what leaves one enters the other.

    The switch's 1e6 S amplify the rounding of 2400 V (5e-13) to about 1e-6 A.
    """
    voltage = np.array(list(no_load_voltage(ieee123).values()))
    current = dict(zip(ieee123.branch_names, ieee123.branch_current @ voltage, strict=True))
    for phase in (1, 2, 3):
        through_switch = current[f"switch.sw1.{phase}"]
        assert abs(through_switch) > 1  # the charging and the capacitors of the whole feeder
        assert through_switch == pytest.approx(current[f"line.l115.{phase}"], abs=1e-5)

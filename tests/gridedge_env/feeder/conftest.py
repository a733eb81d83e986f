"""A feeder with rows in every table, and what must come of any feeder when it is solved."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from gridedge_env.feeder import Feeder, Network, build_network
from gridedge_env.feeder.records import (
    Admittance,
    Bus,
    Capacitor,
    Line,
    LineCode,
    Load,
    Regulator,
    Source,
    Switch,
    Transformer,
    Winding,
)
from gridedge_env.powerflow import PowerFlow

ComplexArray = NDArray[np.complex128]

# Converged means that no voltage across a load moved by more than 1e-11 pu in the last iteration:
# currents are right to that part of what a volt drives through each element and load, or of a few
# times that where the iteration contracts slowly.
BALANCE = 1e-10

# pu by which two solutions of the same equations may differ. The weakest hold on a voltage that is
# accepted, 1e-11 of the admittance at its node, settles it to 1e-16 / 1e-11 = 1e-5 and a few times
# that; what nothing holds differs by far more than 1 pu.
DETERMINATE = 1e-4

NAMES_A_NODE = re.compile(r"feeder: nothing holds the voltage of (node '|some node)")


@pytest.fixture(scope="session")
def sound_feeder() -> Feeder:
    """Every table has rows, and all of it converges as it stands."""
    overhead = LineCode(
        "overhead",
        3,
        ((0.3, 0.1, 0.1), (0.1, 0.3, 0.1), (0.1, 0.1, 0.3)),
        ((0.7, 0.3, 0.25), (0.3, 0.7, 0.3), (0.25, 0.3, 0.7)),
        ((12.0, -3.0, -2.0), (-3.0, 12.0, -3.0), (-2.0, -3.0, 12.0)),
        ampacity=300.0,
        length_unit="km",
    )
    cable = LineCode("cable", 1, ((0.8,),), ((0.9,),), ((9.0,),), ampacity=None, length_unit="mi")
    three, kv, across = (1, 2, 3), 2.4, 2.4 * math.sqrt(3.0)
    return Feeder(
        name="sound",
        frequency=50.0,
        source=Source("a", three, across, 1.02, 10.0, r1=0.01, x1=0.05, r0=0.02, x0=0.08),
        buses=(
            Bus("a", three, kv, 0.0, 0.0),
            Bus("b", three, kv, 1.0, 0.5),
            Bus("c", three, kv),
            Bus("d", (2,), kv),
            Bus("e", (3,), kv),
            Bus("low", (1, 2, 3, 4), 0.24),
            Bus("home", (1, 2), 0.12),
            Bus("mill", three, 0.277),
        ),
        line_codes=(overhead, cable),
        lines=(
            Line("ab", "a", "b", three, three, "overhead", 0.5, "km"),
            Line("bd", "b", "d", (2,), (2,), "cable", 1.5, "kft"),
        ),
        switches=(
            Switch("bc", "b", "c", three, 1e-3, closed=True),
            Switch("ac", "a", "c", three, 1e-3, closed=False),
        ),
        transformers=(
            Transformer(
                "substation",
                3,
                (4.0,),
                "lag",
                1.0,
                (
                    Winding("b", three, "delta", across, 150.0, 0.8),
                    Winding("low", three, "wye", 0.416, 150.0, 0.8, neutral=4),
                ),
                no_load_loss_percent=0.2,
                magnetising_percent=0.5,
            ),
            Transformer(
                "regulator",
                1,
                (1.0,),
                "lag",
                0.0,
                (
                    Winding("b", (3,), "wye", kv, 500.0, 0.1),
                    Winding("e", (3,), "wye", kv, 500.0, 0.1),
                ),
            ),
            Transformer(
                "centre_tap",
                1,
                (2.0, 2.0, 1.5),
                "lead",
                1.0,
                (
                    Winding("c", (1, 2), "delta", across, 25.0, 0.6, tap=1.025),
                    Winding("home", (1,), "wye", 0.12, 25.0, 1.2),
                    Winding("home", (0, 2), "wye", 0.12, 25.0, 1.2),
                ),
            ),
            Transformer(
                "open",
                2,
                (3.0,),
                "lag",
                1.0,
                (
                    Winding("b", (1, 2), "wye", across, 60.0, 1.0),
                    Winding("mill", three, "open_delta", 0.48, 60.0, 1.0),
                ),
            ),
        ),
        regulators=(Regulator("regulator", 2, 5, 122.0, 2.0, 20.0, 100.0, 3.0, 7.5, 30.0),),
        capacitors=(
            Capacitor("star", "c", three, "wye", 60.0, across),
            Capacitor("ring", "c", three, "delta", 30.0, across),
        ),
        loads=(
            Load("power", "c", three, "wye", "constant_power", across, 90.0, 30.0),
            Load("ring", "b", three, "delta", "constant_impedance", across, 60.0, 20.0),
            Load("pair", "c", (2, 3), "delta", "constant_power", across, 40.0, -10.0),
            Load("current", "d", (2,), "wye", "constant_current", kv, 40.0, 20.0, 0.9, 1.1, 0.6),
            Load("roof", "low", three, "wye", "constant_power", 0.416, -12.0, 0.0, 0.9, 1.1, 0.0),
            Load("flat", "low", (1,), "wye", "constant_current", 0.24, 9.0, 3.0, neutral=4),
            Load(
                "cvr",
                "e",
                (3,),
                "wye",
                "exponential",
                kv,
                30.0,
                10.0,
                p_exponent=0.8,
                q_exponent=2.5,
            ),
            Load("saw", "mill", three, "delta", "constant_power", 0.48, 24.0, 12.0),
            Load("home", "home", (1,), "wye", "constant_power", 0.12, 4.0, 1.0),
        ),
        admittances=(
            Admittance("earthing", ("low.4",), (), ((10.0,),), ((0.0,),)),
            Admittance(
                "reactor",
                ("b.1", "b.2"),
                (),
                ((0.0, 0.0), (0.0, 0.0)),
                ((-1e-3, 1e-3), (1e-3, -1e-3)),
            ),
            Admittance(
                "tie", ("c.3",), ("e.3",), ((0.1, -0.1), (-0.1, 0.1)), ((0.0, 0.0), (0.0, 0.0))
            ),
        ),
    )


@pytest.fixture(scope="session")
def solved() -> Callable[[Feeder], str]:
    """Solves a feeder: "refused", "not converged", or "converged" if the solution is right."""
    return solve_and_check


def solve_and_check(feeder: Feeder) -> str:
    network = build_network(feeder)
    entries = (network.nodal_admittance.data, network.source_current, network.branch_current.data)
    assert all(np.isfinite(values).all() for values in entries)
    try:
        power_flow = PowerFlow(feeder, () if feeder.loads else feeder.node_names[:1])
    except ValueError as error:
        if NAMES_A_NODE.match(str(error)):
            return "refused"
        raise
    solution = power_flow.solve()
    per_unit = solution.voltage[0].numpy()
    assert np.isfinite(per_unit).all()
    if not solution.converged.item():
        return "not converged"
    voltage = per_unit * network.voltage_base
    drawn, loads = load_currents(feeder, voltage)
    check_kirchhoff(network, voltage, drawn, loads)
    check_determinate(network, voltage, drawn, loads)
    return "converged"


def check_kirchhoff(
    network: Network, voltage: ComplexArray, drawn: ComplexArray, loads: ComplexArray
) -> None:
    missing = network.nodal_admittance @ voltage + drawn - network.source_current
    reach = abs(voltage) + network.voltage_base
    elements = abs(network.nodal_admittance) @ reach + abs(loads) @ reach
    terms = elements + abs(drawn) + abs(network.source_current)
    assert (abs(missing) <= BALANCE * terms).all(), (abs(missing), terms)


def check_determinate(
    network: Network, voltage: ComplexArray, drawn: ComplexArray, loads: ComplexArray
) -> None:
    """The same equations in another order, scaled and dense; ill-conditioned ones would differ.

    The loads' nominal admittance stands on both sides, since there are nodes that only loads reach.
    Parts at rest, which may be singular, are left out: without voltage they need no current.
    """
    order = np.flatnonzero((voltage != 0.0) | (drawn != 0.0))[::-1]
    admittance = (network.nodal_admittance.toarray() + loads)[np.ix_(order, order)]
    scale = 1.0 / np.sqrt(abs(admittance).max(axis=1))
    scaled = scale[:, None] * admittance * scale
    current = network.source_current - drawn + loads @ voltage
    again = scale * np.linalg.solve(scaled, scale * current[order])
    difference = abs(again - voltage[order]) / network.voltage_base[order]
    assert difference.max() < DETERMINATE, difference.max()


def load_currents(feeder: Feeder, voltage: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """What the loads draw at node voltages in V, and their nominal admittance: the law once more.

    Returns:
        (nodes,) A and (nodes, nodes) S.
    """
    index = {name: k for k, name in enumerate(feeder.node_names)}
    drawn = np.zeros(len(index), dtype=complex)
    admittance = np.zeros((len(index), len(index)), dtype=complex)
    for load in feeder.loads:
        pairs = [(phase, load.neutral) for phase in load.phases]
        if load.connection != "wye":
            pairs = list(pairwise(load.phases))
        if load.connection == "delta" and len(load.phases) == 3:
            pairs.append((load.phases[2], load.phases[0]))
        line_to_line = load.connection == "wye" and len(load.phases) > 1
        rated = 1e3 * load.kv / (math.sqrt(3.0) if line_to_line else 1.0)
        for pair in pairs:
            between = np.zeros(len(index))
            for phase, sign in zip(pair, (1.0, -1.0), strict=True):
                if phase:
                    between[index[f"{load.bus}.{phase}"]] = sign
            current = branch_current(load, between @ voltage / rated) / rated / len(pairs)
            drawn += between * current
            nominal = 1e3 * complex(load.kw, -load.kvar) / len(pairs) / rated**2
            admittance += nominal * np.outer(between, between)
    return drawn, admittance


def branch_current(load: Load, u: complex) -> complex:
    """VA per pu, at voltage u in pu, of a load with a single branch."""
    v = abs(u)
    nominal = 1e3 * complex(load.kw, -load.kvar) * u
    exponent = {"constant_power": 2, "constant_current": 1}.get(load.model, 2)
    if load.model == "constant_impedance" or v <= load.vlow_pu:
        return nominal
    if v > load.vmax_pu:
        return nominal / load.vmax_pu**exponent
    if v <= load.vmin_pu:
        top = load.vmin_pu ** (1 - exponent)
        share = (v - load.vlow_pu) / (load.vmin_pu - load.vlow_pu)
        return nominal / v * (load.vlow_pu + (top - load.vlow_pu) * share)
    if load.model == "exponential":
        assert load.p_exponent is not None
        assert load.q_exponent is not None
        kva = complex(load.kw * v**load.p_exponent, -load.kvar * v**load.q_exponent)
        return 1e3 * kva * u / v**2
    return nominal / v**exponent

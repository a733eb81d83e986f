"""Loads, generators, PV systems and storage of an OpenDSS circuit as loads of ours.

The power of each is what OpenDSS has made of its properties: load multiplier, growth, allocation,
irradiance, inverter controls are in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gridedge_env.feeder.opendss.circuit import INJECTING, Circuit, CircuitElement
from gridedge_env.feeder.opendss.elements import connection_of
from gridedge_env.feeder.opendss.verification import (
    LAW_TOLERANCE,
    ROUNDING,
    drawn_current,
    same_injection,
)
from gridedge_env.feeder.records import Load, LoadModelName

LOAD_MODELS: dict[int, LoadModelName] = {
    1: "constant_power",
    2: "constant_impedance",
    4: "exponential",
    5: "constant_current",
}
NARROW, LOWEST = 1e-6, 1e-3
"""pu: width of the step that OpenDSS makes at vlowpu where vminpu is below it; least vmin_pu."""


def loads_of(circuit: Circuit) -> tuple[Load, ...]:
    """Every load, generator, PV system and storage, in this order.

    A name that occurs in two classes gets its class in front the second time.

    Raises:
        ValueError: at the first that `Load` cannot hold; names it.
    """
    loads: dict[str, Load] = {}
    tolerance = LAW_TOLERANCE * circuit.tolerance
    for element in circuit.elements_of(*INJECTING):
        name = (
            element.name if element.name not in loads else f"{element.kind.lower()}_{element.name}"
        )
        law = _law_of_load(element) if element.kind == "Load" else _law_of_generator(element)
        candidates = _loads(name, element, law)
        load = next((c for c in candidates if same_injection(c, element, tolerance)), None)
        if load is None:
            raise element.refused("it does not draw the current that its properties say")
        loads[name] = load
    return tuple(loads.values())


def _law_of_load(element: CircuitElement) -> dict[str, Any]:
    properties = element.properties
    model = properties["Model"]
    if model not in LOAD_MODELS:
        raise element.refused(f"load model {model}, expected 1, 2, 4 or 5")
    low = properties["VLowpu"]
    law = {
        "model": LOAD_MODELS[model],
        "vmin_pu": max(properties["VMinpu"], low + NARROW, LOWEST),
        "vmax_pu": properties["VMaxpu"],
        "vlow_pu": low,
    }
    if model == 4:
        law |= {"p_exponent": properties["CVRWatts"], "q_exponent": properties["CVRVars"]}
    return law


def _law_of_generator(element: CircuitElement) -> dict[str, Any]:
    properties = element.properties
    unusual = {
        "Model": properties["Model"] != 1,
        "Balanced": properties.get("Balanced") and properties["Phases"] > 1,
        "LimitCurrent": properties.get("LimitCurrent"),
        "ControlMode": properties.get("ControlMode", "GFL") != "GFL",
    }
    for name, is_unusual in unusual.items():
        if is_unusual:
            raise element.refused(f"{name.lower()} {properties[name]}")
    return {
        "model": "constant_power",
        "vmin_pu": properties["VMinpu"],
        "vmax_pu": properties["VMaxpu"],
        "vlow_pu": 0.0,
    }


def _loads(name: str, element: CircuitElement, law: dict[str, Any]) -> Iterator[Load]:
    """The load with each of the powers that OpenDSS may mean, the most exact first."""
    properties = element.properties
    nodes = tuple(node for _, node in element.terminals[0])
    connected = connection_of(properties["Phases"], properties["Conn"] == "wye", nodes)
    if connected is None:
        raise element.refused(f"{properties['Phases']} phases at nodes {nodes}")
    phases, connection, neutral = connected
    load = Load(
        name=name,
        bus=element.terminals[0][0][0],
        phases=phases,
        connection=connection,
        kv=properties["kV"],
        kw=0.0,
        kvar=0.0,
        neutral=neutral,
        **law,
    )
    given = complex(properties.get("kW", 0.0), properties.get("kvar", 0.0))
    given = given if element.kind == "Load" else -given
    nominal = _nominal_power(element, load)
    if abs(nominal - given) <= ROUNDING * abs(given):
        nominal = given
    for power in (nominal, given):
        yield _with_power(load, power)
    yield _with_power(load, _drawn_power(element, load))


def _with_power(load: Load, power: complex) -> Load:
    return replace(load, kw=power.real + 0.0, kvar=power.imag + 0.0)  # no negative zeros


def _nominal_power(element: CircuitElement, load: Load) -> complex:
    """kW and kvar behind the primitive, which has OpenDSS's multipliers in it."""
    delta = load.connection != "wye" and len(load.branches) > 1
    admittance = -element.admittance[0, 1] if delta else element.admittance[0, 0]
    return len(load.branches) * 1e3 * load.branch_kv**2 * complex(admittance).conjugate()


def _drawn_power(element: CircuitElement, load: Load) -> complex:
    """kW and kvar behind the current: an inverter's primitive knows nothing of its controls."""
    unit = drawn_current(replace(load, kw=1.0, kvar=0.0), element.nodes, element.voltage)
    size = np.vdot(unit, unit).real
    return complex(np.vdot(unit, element.current) / size).conjugate() if size else 0j

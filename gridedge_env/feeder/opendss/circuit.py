"""A solved circuit as OpenDSS has it: what is read of a model before any of it becomes a record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridedge_env.feeder.primitive import ComplexArray

# Classes by what their elements do: the first ones carry current, those of the last two kinds only
# move or watch others. An element of any other class is refused.
ENERGISING = ("Vsource",)
ADMITTANCES = ("Reactor", "Fault", "AutoTrans", "GICTransformer")
LINEAR = ("Line", "Transformer", "Capacitor", *ADMITTANCES)
INJECTING = ("Load", "Generator", "PVSystem", "Storage")
KINDS = (*ENERGISING, *LINEAR, *INJECTING)
CONTROLS = (
    "CapControl ESPVLControl ExpControl Fuse GenDispatcher InvControl Recloser RegControl Relay "
    "StorageController SwtControl UPFCControl"
)
METERS = "EnergyMeter FMonitor Monitor Sensor"


@dataclass(frozen=True)
class CircuitElement:
    """An enabled element as OpenDSS sees it after its controls have acted.

    Attributes:
        kind: its class, "Line".
        name: in lower case.
        properties: all of them, under OpenDSS's names, defaults included.
        terminals: the conductors of each, (bus, node); node 0 is the ground.
        admittance: (conductors, conductors) S, its primitive.
        voltage: (conductors,) V to ground.
        current: (conductors,) A into the element.
    """

    kind: str
    name: str
    properties: dict[str, Any]
    terminals: tuple[tuple[tuple[str, int], ...], ...]
    admittance: ComplexArray
    voltage: ComplexArray
    current: ComplexArray

    @property
    def nodes(self) -> tuple[str, ...]:
        """The conductors of all terminals as "bus.node"."""
        return tuple(f"{bus}.{node}" for terminal in self.terminals for bus, node in terminal)

    def refused(self, why: str) -> ValueError:
        """The error that says that this element has no place in a feeder."""
        return refused(f"{self.kind}.{self.name}", why)


@dataclass(frozen=True)
class CircuitBus:
    """A bus; `base_kv` is 0 where the script gave none."""

    name: str
    phases: tuple[int, ...]
    base_kv: float
    x: float | None
    y: float | None


@dataclass(frozen=True)
class Circuit:
    """A solved circuit.

    Attributes:
        name: in lower case.
        frequency: Hz.
        version: OpenDSS's.
        tolerance: to which it is solved.
        buses: in OpenDSS's order, as their phases are.
        elements: the enabled ones, by class and in the order of the script.
        voltage: (nodes,) V to ground, in the order of the buses and their phases.
        line_codes: properties by name.
        regulator_controls: properties of the enabled ones.
    """

    name: str
    frequency: float
    version: str
    tolerance: float
    buses: tuple[CircuitBus, ...]
    elements: tuple[CircuitElement, ...]
    voltage: ComplexArray
    line_codes: dict[str, dict[str, Any]]
    regulator_controls: tuple[dict[str, Any], ...]

    def elements_of(self, *kinds: str) -> Iterator[CircuitElement]:
        """The elements of these classes, in order."""
        return (element for element in self.elements if element.kind in kinds)


def refused(name: str, why: str) -> ValueError:
    """The error that says that an object has no place in a feeder."""
    return ValueError(f"{name}: cannot be represented: {why}")


def circuit_of(told: dict[str, Any]) -> Circuit:
    """A circuit from what `engine` tells of it.

    Raises:
        ValueError: it has an element of another class, or one whose nodes are not known.
    """
    for name in told["others"]:
        kind = name.partition(".")[0]
        if kind not in (*CONTROLS.split(), *METERS.split()):
            raise refused(name, f"elements of class {kind} are not supported")
    plain = ("name", "frequency", "version", "tolerance", "line_codes")
    circuit = Circuit(
        **{name: told[name] for name in plain},
        buses=tuple(
            CircuitBus(name, tuple(phases), base_kv, x, y)
            for name, phases, base_kv, x, y in told["buses"]
        ),
        elements=tuple(_element(**element) for element in told["elements"]),
        voltage=_complex(told["voltage"]),
        regulator_controls=tuple(told["regulator_controls"]),
    )
    _check_nodes(circuit)
    return circuit


def _check_nodes(circuit: Circuit) -> None:
    """Elements have the voltages of their nodes, or OpenDSS has told of others."""
    nodes = [f"{bus.name}.{phase}" for bus in circuit.buses for phase in bus.phases]
    voltage = dict(zip(nodes, circuit.voltage.tolist(), strict=True))
    for element in circuit.elements:
        at_nodes = np.array([voltage.get(node, 0.0) for node in element.nodes])
        if np.abs(at_nodes - element.voltage).max() > 1e-6 * np.abs(at_nodes).max():
            raise element.refused("OpenDSS does not say which nodes it is connected to")


def _element(
    kind: str,
    name: str,
    properties: dict[str, Any],
    terminals: list[list[tuple[str, int]]],
    admittance: list[float],
    voltage: list[float],
    current: list[float],
) -> CircuitElement:
    size = len(voltage) // 2
    return CircuitElement(
        kind=kind,
        name=name,
        properties=properties,
        terminals=tuple(tuple((bus, node) for bus, node in ends) for ends in terminals),
        admittance=_complex(admittance).reshape(size, size),
        voltage=_complex(voltage),
        current=_complex(current),
    )


def _complex(parts: list[float]) -> ComplexArray:
    """From real and imaginary parts in turn."""
    return np.array(parts, dtype=np.float64).view(np.complex128)

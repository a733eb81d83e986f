"""Running an OpenDSS script in an engine of its own, and what is read from it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gridedge_env.feeder.primitive import ComplexArray

SNAPSHOT = 0
CONTROLS_OFF = -1
ADMITTANCE_LOADS = 2
TOLERANCE = 1e-8
"""Of the last solution, at which the injections' laws are checked."""
ITERATIONS, CONTROL_ITERATIONS = 1000, 100
"""More than OpenDSS's 15 and 10, which heavy loads and many regulators need."""

# Classes by what their elements do: the first ones carry current, those of the last two kinds only
# move or watch others. An element of any other class is refused.
ENERGISING = ("Vsource",)
ADMITTANCES = ("Reactor", "Fault", "AutoTrans", "GICTransformer")
LINEAR = ("Line", "Transformer", "Capacitor", *ADMITTANCES)
INJECTING = ("Load", "Generator", "PVSystem", "Storage")
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


def solved_circuit(path: Path) -> Circuit:
    """Run a script, let its controls act, and read what it made.

    Raises:
        ImportError: without dss_python.
        ValueError: what OpenDSS said of the script, or that the circuit does not converge.
    """
    script = path.resolve()  # before OpenDSS, which moves the working directory
    try:
        import dss
    except ImportError as error:
        raise ImportError(
            f"{path}: OpenDSS models need dss_python: pip install gridedge[opendss]"
        ) from error
    with TemporaryDirectory() as reports, _new_engine(dss) as engine:
        try:
            # Unlike compile, redirect leaves the script's reports here and not beside the script.
            engine.DataPath = reports
            engine.Text.Command = f'redirect "{script}"'
            if engine.NumCircuits == 0:
                raise ValueError("no circuit in it")
            _solve(engine.ActiveCircuit)
            return _read(engine)
        except dss.DSSException as error:
            raise ValueError(f"OpenDSS: {error}") from error


@contextmanager
def _new_engine(dss: Any) -> Iterator[Any]:
    """An engine of its own that changes nothing of the caller's and leaves nothing behind."""
    folder = Path.cwd()
    engine = dss.DSS.NewContext()
    # These two belong to all engines of the process.
    shared = engine.Error.UseExceptions, engine.AdvancedTypes
    try:
        engine.Error.UseExceptions, engine.AdvancedTypes = True, False
        engine.AllowForms = engine.AllowEditor = engine.AllowChangeDir = False
        yield engine
    finally:
        engine.ClearAll()
        engine.Error.UseExceptions, engine.AdvancedTypes = shared
        os.chdir(folder)


def _solve(circuit: Any) -> None:
    """Solve with the controls if the script did not, and once more without them."""
    solution = circuit.Solution
    if solution.LoadModel == ADMITTANCE_LOADS:
        raise ValueError("its loads are solved as admittances (loadmodel), expected powerflow")
    unsolved = solution.Totaliterations == 0 or not solution.Converged
    solution.MaxIterations = max(solution.MaxIterations, ITERATIONS)
    solution.MaxControlIterations = max(solution.MaxControlIterations, CONTROL_ITERATIONS)
    if unsolved or solution.Mode != SNAPSHOT:
        solution.Mode = SNAPSHOT
        solution.Solve()
    if not solution.Converged:
        raise ValueError(
            f"does not converge in OpenDSS in {solution.MaxIterations} iterations, "
            f"{solution.MaxControlIterations} of its controls"
        )
    solution.ControlMode = CONTROLS_OFF
    usual = solution.Tolerance
    solution.Tolerance = min(usual, TOLERANCE)
    solution.Solve()
    if not solution.Converged:
        solution.Tolerance = usual
        solution.Solve()


def _read(engine: Any) -> Circuit:
    circuit = engine.ActiveCircuit
    _refuse_unknown_classes(circuit)
    buses = tuple(_buses(circuit))
    voltage = circuit.AllBusVolts.view(complex)
    nodes = [f"{bus.name}.{phase}" for bus in buses for phase in bus.phases]
    return Circuit(
        name=circuit.Name.lower(),
        frequency=circuit.Solution.Frequency,
        version=engine.Version.partition(" revision")[0],
        tolerance=circuit.Solution.Tolerance,
        buses=buses,
        elements=tuple(_elements(circuit, dict(zip(nodes, voltage.tolist(), strict=True)))),
        voltage=voltage,
        line_codes={code["Name"].lower(): code for code in _objects(circuit, "LineCode")},
        regulator_controls=tuple(c for c in _objects(circuit, "RegControl") if c["Enabled"]),
    )


def _refuse_unknown_classes(circuit: Any) -> None:
    known = {*ENERGISING, *LINEAR, *INJECTING, *CONTROLS.split(), *METERS.split()}
    for name in circuit.AllElementNames:
        kind = name.partition(".")[0]
        if kind not in known:
            circuit.SetActiveElement(name)
            if circuit.ActiveCktElement.Enabled:
                raise refused(name, f"elements of class {kind} are not supported")


def _buses(circuit: Any) -> Iterator[CircuitBus]:
    phases: dict[str, list[int]] = {}
    for node in circuit.AllNodeNames:
        bus, _, phase = node.lower().rpartition(".")
        phases.setdefault(bus, []).append(int(phase))
    for index, name in enumerate(circuit.AllBusNames):
        if name.lower() in phases:
            circuit.SetActiveBusi(index)
            bus = circuit.ActiveBus
            x, y = (bus.x, bus.y) if bus.Coorddefined else (None, None)
            yield CircuitBus(name.lower(), tuple(phases[name.lower()]), bus.kVBase, x, y)


def _elements(circuit: Any, voltage: dict[str, complex]) -> Iterator[CircuitElement]:
    buses = {node.rpartition(".")[0] for node in voltage}
    for kind in (*ENERGISING, *LINEAR, *INJECTING):
        for properties in _objects(circuit, kind):
            if properties["Enabled"]:
                circuit.SetActiveElement(f"{kind}.{properties['Name']}")
                element = _element(kind, properties, circuit.ActiveCktElement, buses)
                at_nodes = np.array([voltage.get(node, 0.0) for node in element.nodes])
                if np.abs(at_nodes - element.voltage).max() > 1e-6 * np.abs(at_nodes).max():
                    raise element.refused("OpenDSS does not say which nodes it is connected to")
                yield element


def _element(
    kind: str, properties: dict[str, Any], element: Any, buses: set[str]
) -> CircuitElement:
    names = [bus.partition(".")[0].lower() for bus in element.BusNames]
    # A bus that has no nodes but the ground is no bus: its ground is that of the other end.
    known = next((bus for bus in names if bus in buses), "")
    names = [bus if bus in buses else known for bus in names]
    nodes = element.NodeOrder.reshape(len(names), -1).tolist()
    terminals = [[(bus, node) for node in n] for bus, n in zip(names, nodes, strict=True)]
    if kind == "AutoTrans":
        # The series winding ends at the common one, whatever OpenDSS says of it.
        phases = properties["Phases"]
        terminals[0][phases:] = terminals[1][:phases]
    size = sum(map(len, terminals))
    return CircuitElement(
        kind=kind,
        name=properties["Name"].lower(),
        properties=properties,
        terminals=tuple(map(tuple, terminals)),
        admittance=element.Yprim.view(complex).reshape(size, size),
        voltage=element.Voltages.view(complex),
        current=element.Currents.view(complex),
    )


# Arrays that nobody gave, such as a capacitor's matrix, are memory as OpenDSS found it: they may
# hold anything, and what it prints of no number is no JSON.
NO_NUMBER = re.compile(r"(?<=[\[,:])\s*[+-]?(?:nan|inf)\w*", re.IGNORECASE)


def _parsed(text: str) -> Any:
    return json.loads(NO_NUMBER.sub("NaN", text))


def _objects(circuit: Any, kind: str) -> list[dict[str, Any]]:
    """The properties of all objects of a class; an ampacity that nobody gave is None."""
    from dss.enums import DSSJSONFlags

    circuit.SetActiveClass(kind)
    objects = _parsed(circuit.ActiveClass.ToJSON(DSSJSONFlags.Full))
    if kind in ("Line", "LineCode"):
        for properties, given in zip(objects, _parsed(circuit.ActiveClass.ToJSON(0)), strict=True):
            if "NormAmps" not in given:
                properties["NormAmps"] = None
    return list(objects)

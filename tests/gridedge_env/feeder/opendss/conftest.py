"""OpenDSS scripts of the tests, and what OpenDSS itself makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gridedge_env.feeder import Feeder, build_network
from gridedge_env.feeder.opendss import load_opendss
from gridedge_env.powerflow import PowerFlow

LINEAR = ("Vsource", "Line", "Transformer", "Capacitor", "Reactor", "Fault")


@dataclass(frozen=True)
class Solved:
    """A circuit as OpenDSS solves it at a tolerance of 1e-10, its controls frozen.

    Attributes:
        voltage: by node, V.
        admittance: by pair of nodes, S: the sum of the primitives of its linear elements.
    """

    voltage: dict[str, complex]
    admittance: dict[tuple[str, str], complex]


@pytest.fixture
def write_script(tmp_path: Path) -> Callable[..., Path]:
    """Write an OpenDSS script: the circuit, what is given, base voltages, a solution."""

    def write(
        *lines: str,
        frequency: int = 60,
        circuit: str = "basekv=12.47 bus1=s",
        end: str = "set voltagebases=[12.47 4.16 0.48 0.24]\ncalcvoltagebases\nsolve",
    ) -> Path:
        path = tmp_path / "Master.dss"
        start = ("clear", f"set defaultbasefrequency={frequency}", f"new circuit.test {circuit}")
        path.write_text("\n".join((*start, *lines, end)))
        return path

    return write


@pytest.fixture
def import_script(write_script: Callable[..., Path]) -> Callable[..., Feeder]:
    """Write a script and import it."""
    pytest.importorskip("dss")
    return lambda *lines, **options: load_opendss(write_script(*lines, **options))


@pytest.fixture
def same_as_opendss(write_script: Callable[..., Path]) -> Callable[..., Feeder]:
    """Write a script, import it, and compare the feeder with what OpenDSS makes of the script."""
    pytest.importorskip("dss")

    def check(*lines: str, **options: Any) -> Feeder:
        path = write_script(*lines, **options)
        feeder = load_opendss(path)
        assert_same(feeder, solve(path))
        return feeder

    return check


@pytest.fixture
def model_same_as_opendss(opendss_models: Path) -> Callable[[str], Feeder]:
    """Import one of the models and compare it with what OpenDSS makes of it."""
    pytest.importorskip("dss")

    def check(name: str) -> Feeder:
        feeder = load_opendss(opendss_models / name)
        assert_same(feeder, solve(opendss_models / name))
        return feeder

    return check


def assert_same(feeder: Feeder, solved: Solved) -> None:
    """Nodes, admittances between all of them and voltages are OpenDSS's.

    Admittances are compared with sqrt(|Y_ii| |Y_jj|), since a switch of 1e-7 ohm puts 1e7 S beside
    lines of 1 S and carries its own rounding into its neighbours. Voltages: OpenDSS's tolerance is
    1e-10, its source stands 3.4e-10 rad beside its angle, for it takes a radian for 57.29577951
    degrees, and the rounding of 1 S beside a floating delta's shunt of 1e-7 S moves it by up to
    1e-8 of its voltage.
    """
    assert feeder.node_names == list(solved.voltage)
    network = build_network(feeder)
    index = {node: position for position, node in enumerate(feeder.node_names)}
    wanted = np.zeros((len(index), len(index)), dtype=complex)
    for (row, column), admittance in solved.admittance.items():
        wanted[index[row], index[column]] = admittance
    alive = network.energised
    wanted, ours = wanted[alive][:, alive], network.nodal_admittance.toarray()[alive][:, alive]
    size = np.sqrt(np.abs(np.diag(wanted)))
    assert (np.abs(ours - wanted) / np.outer(size, size)).max() < 1e-11
    solution = PowerFlow(feeder).solve()
    assert solution.converged.all()
    voltage = solution.voltage[0].numpy() * network.voltage_base
    difference = np.abs(voltage - np.array(list(solved.voltage.values())))
    assert (difference / network.voltage_base).max() < 1e-8


def solve(path: Path) -> Solved:
    """Run a script in an engine of its own, then freeze its controls."""
    import dss

    engine = dss.DSS.NewContext()
    engine.AllowChangeDir = engine.AllowEditor = engine.AllowForms = False
    engine.Text.Command = f'compile "{path}"'
    circuit = engine.ActiveCircuit
    if circuit.Solution.Totaliterations == 0:
        circuit.Solution.Solve()
    for option in ("controlmode=off", "tolerance=1e-10", "maxiterations=1000"):
        engine.Text.Command = f"set {option}"
    circuit.Solution.Solve()
    assert circuit.Solution.Converged
    nodes = [node.lower() for node in circuit.AllNodeNames]
    voltage = circuit.AllBusVolts.view(complex).tolist()
    admittance: dict[tuple[str, str], complex] = {}
    for name in circuit.AllElementNames:
        circuit.SetActiveElement(name)
        element = circuit.ActiveCktElement
        if element.Enabled and name.partition(".")[0] in LINEAR:
            add_primitive(admittance, element)
    return Solved(dict(zip(nodes, voltage, strict=True)), admittance)


def add_primitive(admittance: dict[tuple[str, str], complex], element: Any) -> None:
    """Add an element's primitive where its conductors end."""
    buses = np.repeat(
        [bus.partition(".")[0].lower() for bus in element.BusNames], element.NumConductors
    )
    nodes = [f"{bus}.{node}" for bus, node in zip(buses, element.NodeOrder, strict=True)]
    primitive: NDArray[np.complex128] = element.Yprim.view(complex).reshape(len(nodes), -1)
    for row, start in enumerate(nodes):
        for column, end in enumerate(nodes):
            if not start.endswith(".0") and not end.endswith(".0"):
                pair = start, end
                admittance[pair] = admittance.get(pair, 0j) + primitive[row, column]

"""OpenDSS, through dss_python."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.opendss import OpenDSSModel
from benchmarks.peers import TOLERANCE, ComplexArray, Solver
from benchmarks.peers.shared_case import FREQUENCY, KV, SHORT_CIRCUIT_MVA, SharedCase


class Timed:
    """A model that is solved scenario by scenario, with the seconds of its `Solve` alone.

    Loads are set one by one. Newer interfaces can set them all at once, which is sooner done; but
    the solution that follows then takes so much longer that nothing is gained.
    """

    def __init__(
        self, model: OpenDSSModel, node_names: list[str], base: NDArray[np.float64]
    ) -> None:
        circuit = model.circuit
        theirs = [name.lower() for name in circuit.AllNodeNames]
        self._order = np.array([theirs.index(name) for name in node_names])
        self._circuit, self._base = circuit, base
        self.alone = 0.0

    def solve(self, power: ComplexArray) -> ComplexArray:
        """(batch, loads) kVA in OpenDSS's order -> (batch, nodes) complex pu."""
        circuit = self._circuit
        loads, solution = circuit.Loads, circuit.Solution
        voltages, self.alone = [], 0.0
        for scenario in power.tolist():
            for position, value in enumerate(scenario, start=1):
                loads.idx = position
                loads.kW = value.real
                loads.kvar = value.imag
            began = time.perf_counter()
            solution.Solve()
            self.alone += time.perf_counter() - began
            voltages.append(circuit.AllBusVolts)
        self.alone /= len(power)
        volts: ComplexArray = np.array(voltages).view(np.complex128)
        return volts[:, self._order] / self._base


def solvers(case: SharedCase) -> list[Solver]:
    """The shared case in OpenDSS."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shared.dss"
        path.write_text(_script(case), encoding="utf-8")
        model = OpenDSSModel(path, TOLERANCE)
    nodes = [f"{bus}.{phase}" for bus in case.buses for phase in (1, 2, 3)]
    timed = Timed(model, nodes, np.array(1e3 * KV / math.sqrt(3.0)))

    def solve(power: ComplexArray) -> ComplexArray:
        return timed.solve(power.reshape(len(power), -1)).reshape(len(power), -1, 3)

    about = f"one at a time, tolerance {TOLERANCE:.0e}, each from the one before"
    return [Solver("OpenDSS", about, 50, solve, lambda: timed.alone)]


def _script(case: SharedCase) -> str:
    source = f"basekv={KV} pu=1 mvasc3={SHORT_CIRCUIT_MVA:g} mvasc1={SHORT_CIRCUIT_MVA:g}"
    lines = [
        "clear",
        f"set defaultbasefrequency={FREQUENCY:g}",
        f"new circuit.shared bus1={case.buses[0]} {source} x1r1=1 x0r0=1",
    ]
    for k, ((near, far), (z1, z0)) in enumerate(
        zip(case.lines, case.impedance.tolist(), strict=True)
    ):
        lines.append(
            f"new line.l{k} bus1={case.buses[near]} bus2={case.buses[far]} r1={z1.real!r} "
            f"x1={z1.imag!r} r0={z0.real!r} x0={z0.imag!r} c1=0 c0=0 length=1"
        )
    for bus, powers in zip(case.loaded, case.nominal_power, strict=True):
        for phase, power in enumerate(powers.tolist(), start=1):
            lines.append(
                f"new load.s{case.buses[bus]}_{phase} bus1={case.buses[bus]}.{phase} phases=1 "
                f"kv={KV / math.sqrt(3.0)!r} kw={power.real!r} kvar={power.imag!r} model=1 "
                "vminpu=0.5 vmaxpu=1.5"
            )
    return "\n".join([*lines, f"set voltagebases=[{KV}]", "calcvoltagebases", "solve", ""])

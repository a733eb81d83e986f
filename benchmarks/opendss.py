"""An OpenDSS model to compare with: solved at given powers, its controls frozen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridedge_env.feeder.opendss.script import read_script
from gridedge_env.feeder.records import Regulator

ComplexArray = NDArray[np.complex128]

CONTROLS_OFF = -1
SNAPSHOT = 0


class OpenDSSModel:
    """A model in an engine of its own, taps where its controls leave them.

    Args:
        path: its master file.
        tolerance: of OpenDSS's iteration.

    Attributes:
        load_names: its loads; generators and PV systems are not among them.
        version: of OpenDSS.
    """

    def __init__(self, path: Path, tolerance: float = 1e-10) -> None:
        import dss

        self._engine = dss.DSS.NewContext()
        self._engine.AllowForms = self._engine.AllowEditor = self._engine.AllowChangeDir = False
        for command in read_script(path).commands:  # without what would write files
            self._engine.Text.Command = command.text
        solution = self.circuit.Solution
        if solution.Mode != SNAPSHOT or not solution.Converged:
            solution.Mode = SNAPSHOT
            solution.Solve()
        solution.ControlMode = CONTROLS_OFF
        solution.Tolerance = tolerance
        solution.MaxIterations = 2000
        solution.LoadMult = 1.0
        self.version: str = self._engine.Version.partition(" revision")[0]
        # Without loads OpenDSS answers "none".
        count = self.circuit.Loads.Count
        self.load_names: list[str] = [name.lower() for name in self.circuit.Loads.AllNames][:count]

    @property
    def circuit(self) -> Any:
        """OpenDSS's own interface to it."""
        return self._engine.ActiveCircuit

    def set_taps(self, regulators: Sequence[Regulator]) -> None:
        """Freeze the taps of regulators at their positions."""
        transformers = self.circuit.Transformers
        for regulator in regulators:
            transformers.Name = regulator.transformer
            transformers.Wdg = regulator.winding
            transformers.Tap = regulator.tap

    def solve(self, load_names: Sequence[str], power: ComplexArray) -> bool:
        """Solve with these loads at these powers, (loads,) kVA; whether it converged.

        What is not one of its loads (a generator's power, which does not change) is left alone.
        """
        values = dict(zip(load_names, power.tolist(), strict=True))
        loads = self.circuit.Loads
        for position, name in enumerate(self.load_names, start=1):
            loads.idx = position
            loads.kW = values[name].real
            loads.kvar = values[name].imag
        self.circuit.Solution.Solve()
        if not np.isfinite(np.asarray(self.circuit.AllBusVolts)).all():
            # It would begin the next solution from there.
            self.circuit.Solution.SolveDirect()
            return False
        return bool(self.circuit.Solution.Converged)

    def voltage(self, node_names: Sequence[str]) -> ComplexArray:
        """(nodes,) V to ground, in the order of `node_names`."""
        volts = np.asarray(self.circuit.AllBusVolts).view(complex)
        by_name = dict(zip(map(str.lower, self.circuit.AllNodeNames), volts.tolist(), strict=True))
        return np.array([by_name[name] for name in node_names])

    def branch_current(self, branch_names: Sequence[str]) -> ComplexArray:
        """(branch phases,) A into the first terminal; NaN for what OpenDSS has not as a branch."""
        currents: dict[str, complex] = {}
        for element in dict.fromkeys(name.rpartition(".")[0] for name in branch_names):
            theirs = element.replace("switch.", "line.", 1)
            if self.circuit.SetActiveElement(theirs) < 0:
                continue
            active = self.circuit.ActiveCktElement
            nodes = np.asarray(active.NodeOrder)[: active.NumConductors]
            amperes = np.asarray(active.Currents).view(complex)[: active.NumConductors]
            for node, ampere in zip(nodes.tolist(), amperes.tolist(), strict=True):
                currents.setdefault(f"{element}.{node}", ampere)
        return np.array([currents.get(name, complex("nan")) for name in branch_names])

    def losses(self) -> float:
        """KW lost in all lines and transformers."""
        return float(np.asarray(self.circuit.Losses).view(complex)[0].real) / 1e3

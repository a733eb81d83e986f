"""Other people's programs on the same problems; imported when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import version
from benchmarks.peers.shared_case import SharedCase
from benchmarks.suite import PEERS

ComplexArray = NDArray[np.complex128]

# Of everybody's iteration: the largest change or mismatch, pu.
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Solver:
    """A power flow of the shared case.

    Attributes:
        name: of the program, and of its method.
        about: what differs from ours: model, tolerance.
        batch: scenarios that it is given at once; one at a time where it knows no batches.
        solve: (batch, loaded buses, 3) complex kVA drawn -> (batch, buses, 3) complex pu.
        alone: seconds of the last `solve` that were the solver's own, a scenario, where setting
            powers and reading voltages one by one would be most of it.
        balanced: whether it knows balanced loads only.
    """

    name: str
    about: str
    batch: int
    solve: Callable[[ComplexArray], ComplexArray]
    alone: Callable[[], float] | None = None
    balanced: bool = False


# Package, and the module with `solvers(case) -> list[Solver]`.
POWER_FLOWS = {
    "dss_python": "benchmarks.peers.open_dss",
    "power-grid-model": "benchmarks.peers.power_grid_model",
    "pandapower": "benchmarks.peers.pandapower",
    "tensorpowerflow": "benchmarks.peers.tensorpowerflow",
}


def power_flow_solvers(case: SharedCase) -> tuple[list[Solver], list[str]]:
    """The peers that are there, and for each that is not a line that says why."""
    found: list[Solver] = []
    missing: list[str] = []
    for package, module in POWER_FLOWS.items():
        try:
            found += importlib.import_module(module).solvers(case)
        except Exception as error:  # whatever else is wrong with it is theirs
            missing.append(why_missing(package, error))
    return found, missing


def why_missing(package: str, error: Exception) -> str:
    """A line on a peer that could not be run."""
    first = str(error).splitlines()[0] if str(error) else ""
    state = f"{version(package)}, extra `{PEERS[package]}`"
    return f"{package} ({state}): {type(error).__name__}: {first}"

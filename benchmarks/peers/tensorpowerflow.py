"""tensorpowerflow: batches of single-phase power flows, hence of balanced three-phase ones."""

from __future__ import annotations

import functools
import importlib.util
import sys
import types

import numba
import numpy as np
import pandas as pd

from benchmarks.peers import TOLERANCE, ComplexArray, Solver
from benchmarks.peers.shared_case import KV, SharedCase

BASE_KVA = 1000
TURN = np.exp(-2j * np.pi / 3.0 * np.arange(3))

# It imports a module that is gone from setuptools, to find its sample networks: not needed here.
_stand_in = "pkg_resources" not in sys.modules and not importlib.util.find_spec("pkg_resources")
if _stand_in:
    sys.modules["pkg_resources"] = types.ModuleType("pkg_resources")
try:
    import tensorpowerflow.grid
finally:
    if _stand_in:
        del sys.modules["pkg_resources"]

# A progress bar at every call.
tensorpowerflow.grid.trange = functools.partial(tensorpowerflow.grid.trange, disable=True)


def solvers(case: SharedCase) -> list[Solver]:
    """Its dense tensor method, compiled by Numba, on one thread."""
    numba.set_num_threads(1)
    count = len(case.buses)
    nodes = pd.DataFrame(
        {
            "NODES": np.arange(1, count + 1),
            "Tb": [1] + [0] * (count - 1),
            "PD": 0.0,
            "QD": 0.0,
            "Pct": 1.0,
            "Ict": 0.0,
            "Zct": 0.0,
        }
    )
    lines = pd.DataFrame(
        {
            "FROM": case.lines[:, 0] + 1,
            "TO": case.lines[:, 1] + 1,
            "R": case.impedance[:, 0].real,
            "X": case.impedance[:, 0].imag,
            "B": 0.0,
            "STATUS": 1,
            "TAP": 1,
        }
    )
    grid = tensorpowerflow.grid.GridTensor(
        node_file_path="",
        lines_file_path="",
        from_file=False,
        nodes_frame=nodes,
        lines_frame=lines,
        s_base=BASE_KVA,
        v_base=KV,
    )

    def solve(power: ComplexArray) -> ComplexArray:
        drawn = np.zeros((len(power), count), dtype=complex)
        drawn[:, case.loaded] = power.sum(axis=-1)
        # The source's bus comes first, and is left out.
        active, reactive = (np.ascontiguousarray(x[:, 1:]) for x in (drawn.real, drawn.imag))
        found = grid.run_pf(active, reactive, tolerance=TOLERANCE, algorithm="tensor")
        voltage = np.concatenate((np.ones((len(power), 1)), found["v"]), axis=1)
        return voltage[:, :, None] * TURN

    about = f"balanced, one phase for three; tolerance {TOLERANCE:.0e}"
    return [Solver("tensorpowerflow, tensor", about, 1024, solve, balanced=True)]

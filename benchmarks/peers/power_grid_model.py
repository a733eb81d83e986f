"""power-grid-model: batches of asymmetric power flows, in C++."""

from __future__ import annotations

import numpy as np
import power_grid_model as pgm

from benchmarks.peers import TOLERANCE, ComplexArray, Solver
from benchmarks.peers.shared_case import FREQUENCY, KV, SHORT_CIRCUIT_MVA, SharedCase

ONE_THREAD = -1
METHODS = {
    "Newton-Raphson": pgm.CalculationMethod.newton_raphson,
    "iterative current": pgm.CalculationMethod.iterative_current,
}


def solvers(case: SharedCase) -> list[Solver]:
    """Its two exact methods, both on one thread."""
    model = pgm.PowerGridModel(_tables(case), system_frequency=FREQUENCY)

    def solver(name: str, method: pgm.CalculationMethod) -> Solver:
        def solve(power: ComplexArray) -> ComplexArray:
            update = pgm.initialize_array("update", "asym_load", power.shape[:2])
            update["id"] = _load_ids(case)
            update["p_specified"] = 1e3 * power.real
            update["q_specified"] = 1e3 * power.imag
            node = model.calculate_power_flow(
                symmetric=False,
                calculation_method=method,
                error_tolerance=TOLERANCE,
                max_iterations=50,
                update_data={"asym_load": update},
                threading=ONE_THREAD,
                output_component_types=["node"],
            )[pgm.ComponentType.node]
            return node["u_pu"] * np.exp(1j * node["u_angle"])

        return Solver(f"power-grid-model, {name}", f"tolerance {TOLERANCE:.0e}", 1024, solve)

    return [solver(name, method) for name, method in METHODS.items()]


def _tables(case: SharedCase) -> dict[str, np.ndarray]:
    buses, lines = len(case.buses), len(case.lines)
    node = pgm.initialize_array("input", "node", buses)
    node["id"] = np.arange(buses)
    node["u_rated"] = 1e3 * KV
    source = pgm.initialize_array("input", "source", 1)
    source["id"], source["node"], source["status"] = buses, 0, 1
    source["u_ref"], source["sk"] = 1.0, 1e6 * SHORT_CIRCUIT_MVA
    source["rx_ratio"], source["z01_ratio"] = 1.0, 1.0
    line = pgm.initialize_array("input", "line", lines)
    line["id"] = buses + 1 + np.arange(lines)
    line["from_node"], line["to_node"] = case.lines.T
    line["from_status"] = line["to_status"] = 1
    line["r1"], line["r0"] = case.impedance.real.T
    line["x1"], line["x0"] = case.impedance.imag.T
    for name in ("c1", "tan1", "c0", "tan0"):
        line[name] = 0.0
    load = pgm.initialize_array("input", "asym_load", len(case.loaded))
    load["id"], load["node"] = _load_ids(case), case.loaded
    load["status"], load["type"] = 1, pgm.LoadGenType.const_power
    load["p_specified"] = 1e3 * case.nominal_power.real
    load["q_specified"] = 1e3 * case.nominal_power.imag
    return {"node": node, "source": source, "line": line, "asym_load": load}


def _load_ids(case: SharedCase) -> np.ndarray:
    return len(case.buses) + 1 + len(case.lines) + np.arange(len(case.loaded))

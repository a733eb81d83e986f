"""pandapower's three-phase power flow, one scenario at a time: it knows no batches."""

from __future__ import annotations

import numpy as np
import pandapower

from benchmarks.peers import ComplexArray, Solver
from benchmarks.peers.shared_case import FREQUENCY, KV, SHORT_CIRCUIT_MVA, SharedCase

TOLERANCE_MVA = 1e-8
COLUMNS = ("p_a_mw", "p_b_mw", "p_c_mw", "q_a_mvar", "q_b_mvar", "q_c_mvar")


def solvers(case: SharedCase) -> list[Solver]:
    """`runpp_3ph`."""
    network = _network(case)

    def solve(power: ComplexArray) -> ComplexArray:
        voltages = []
        for scenario in power:
            columns = np.concatenate((scenario.real, scenario.imag), axis=1) / 1e3
            network.asymmetric_load.loc[:, list(COLUMNS)] = columns
            pandapower.runpp_3ph(network, tolerance_mva=TOLERANCE_MVA)
            found = network.res_bus_3ph
            size = found[["vm_a_pu", "vm_b_pu", "vm_c_pu"]].to_numpy()
            angle = found[["va_a_degree", "va_b_degree", "va_c_degree"]].to_numpy()
            voltages.append(size * np.exp(1j * np.radians(angle)))
        return np.array(voltages)

    solve(case.nominal_power[None])
    about = f"one at a time, tolerance {TOLERANCE_MVA:.0e} MVA, Numba where it uses it"
    return [Solver("pandapower, runpp_3ph", about, 2, solve)]


def _network(case: SharedCase) -> pandapower.pandapowerNet:
    network = pandapower.create_empty_network(sn_mva=1.0, f_hz=FREQUENCY)
    for _ in case.buses:
        pandapower.create_bus(network, vn_kv=KV)
    source = {"rx_max": 1.0, "x0x_max": 1.0, "r0x0_max": 1.0}
    pandapower.create_ext_grid(network, 0, s_sc_max_mva=SHORT_CIRCUIT_MVA, **source)
    for (near, far), (z1, z0) in zip(case.lines.tolist(), case.impedance.tolist(), strict=True):
        pandapower.create_line_from_parameters(
            network,
            near,
            far,
            length_km=1.0,
            max_i_ka=1.0,
            r_ohm_per_km=z1.real,
            x_ohm_per_km=z1.imag,
            c_nf_per_km=0.0,
            r0_ohm_per_km=z0.real,
            x0_ohm_per_km=z0.imag,
            c0_nf_per_km=0.0,
        )
    for bus in case.loaded.tolist():
        pandapower.create_asymmetric_load(network, bus, **dict.fromkeys(COLUMNS, 0.0), type="wye")
    return network

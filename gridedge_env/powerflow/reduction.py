"""From a feeder to what solves its power flows: every node but the devices' is eliminated.

This happens once, in double precision and better. What runs in single precision later never meets
the ill-conditioned entries of the factor (the 1e-6 ohm switches, the floating delta of IEEE 123).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from gridedge_env.checks import check_choice
from gridedge_env.compiled.running import numba_is_there
from gridedge_env.feeder import Feeder, Network
from gridedge_env.feeder.admittance import at_rest, reached
from gridedge_env.powerflow.backend import Backend
from gridedge_env.powerflow.compiled_backend import CompiledBackend
from gridedge_env.powerflow.compiled_nodes import CompiledNodes
from gridedge_env.powerflow.device_space import DeviceSpace, VoltageOperator
from gridedge_env.powerflow.factor import Factor
from gridedge_env.powerflow.injections import DeviceBranch, branch_incidence
from gridedge_env.powerflow.linear_maps import (
    Across,
    DenseMap,
    DirectResponse,
    FactoredNodes,
    LinearMap,
    NodeResponse,
    NodeSolver,
    Response,
    SparseMap,
    as_real,
    real_blocks,
)
from gridedge_env.powerflow.load_models import LoadModel
from gridedge_env.powerflow.packed_network import PackedNetwork
from gridedge_env.powerflow.taps import (
    TappedCoils,
    TapSpace,
    control_rows,
    mode_response,
    tapped_coils,
)
from gridedge_env.powerflow.torch_backend import TorchBackend

# Ways to solve a power flow.
BACKENDS = ("dense", "factored", "compiled")

# Above this many entries dense maps cost more memory and time than substitutions do.
LARGEST_DENSE = 4_000_000

# Loads whose drop is found at once.
CHUNK = 64

# Of the largest admittance: what two halves of a symmetric matrix may differ by.
SKEW = 1e-13


@dataclass(frozen=True)
class _Quantity:
    """Quantities x = constant + matrix V + through j of node voltages V and tap modes j."""

    constant: NDArray[np.complex128]
    matrix: sparse.csr_array
    through: NDArray[np.complex128]


def reduce_network(
    feeder: Feeder,
    network: Network,
    branches: Sequence[DeviceBranch],
    injection_names: Sequence[str],
    device: torch.device,
    dtype: torch.dtype,
    backend: str | None = None,
) -> Backend:
    """Eliminate every node but those of the devices.

    Args:
        feeder: for its regulators.
        network: its equations.
        branches: its loads and devices.
        injection_names: what they are called.
        device: where to compute.
        dtype: in what precision; sparse maps are in torch.float64 whatever it is.
        backend: one of `BACKENDS`; None: compiled where that can be, and otherwise matrices on a
            GPU or where they are small, the factor elsewhere.

    Raises:
        ValueError: the nodal admittance is singular, or the backend cannot be had.
    """
    coils = tapped_coils(feeder, network)
    incidence = branch_incidence(branches, len(network.node_names))
    rows = _quantities(feeder, network, incidence, coils)
    columns = 1e3 * incidence.T  # 1 kVA at 1 pu is 1,000 / rated ampere
    folded, nodal_admittance, factor = _hold(network, branches, incidence)
    no_load = factor.solve_exactly(network.source_current)
    of_modes = mode_response(factor, coils)
    entries = 2 * len(branches) * sum(row.matrix.shape[0] for row in rows.values())
    small = device.type != "cpu" or entries <= LARGEST_DENSE
    compiled = _compiles(backend, device, nodal_admittance)
    dense = small if backend in (None, "compiled") else backend == "dense"
    load_model = LoadModel.of(
        [branch.law for branch in branches],
        folded if folded.any() else None,
        device=device,
        dtype=dtype if dense else torch.float64,
    )
    where: dict[str, Any] = {"device": device, "dtype": dtype if dense else torch.float64}
    packed = None
    if compiled:
        packed = PackedNetwork.of(
            at_rest(nodal_admittance, network.source_nodes),
            incidence,
            network.voltage_base,
            no_load,
            load_model,
        )
    response: Response
    maps: dict[str, LinearMap]
    if dense:
        of_devices = factor.solve_exactly(columns.toarray().astype(complex))
        response = DirectResponse(2 * len(branches), 2 * (len(branches) + of_modes.shape[1]))
        maps = {
            name: DenseMap(
                torch.tensor(as_real(row.constant + row.matrix @ no_load), **where),
                torch.tensor(
                    np.concatenate(
                        (
                            real_blocks(row.matrix @ of_devices),
                            real_blocks(row.matrix @ of_modes + row.through),
                        )
                    ),
                    **where,
                ),
            )
            for name, row in rows.items()
        }
    else:
        solver: NodeSolver = FactoredNodes(factor, sparse.csr_array(columns), no_load)
        if packed is not None:
            solver = CompiledNodes(packed, torch.from_numpy(np.tile(network.voltage_base, 2)))
        response = NodeResponse(solver, torch.from_numpy(real_blocks(of_modes)))
        maps = {
            name: SparseMap.of(row.constant, row.matrix, sparse.csr_array(row.through))
            for name, row in rows.items()
        }
    space = DeviceSpace(
        response=response,
        **maps,
        taps=TapSpace.of(feeder, coils, of_modes, device),
        three_phase_nodes=torch.tensor(
            network.three_phase_nodes.T.ravel(), dtype=torch.long, device=device
        ),
        across=Across.of(incidence, network.voltage_base, device, dtype),
        no_load=torch.tensor(as_real(rows["device_voltage"].matrix @ no_load), **where),
        load_model=load_model,
        injection=torch.tensor([b.injection for b in branches], dtype=torch.long, device=device),
        share=torch.tensor([branch.share for branch in branches], **where),
        injection_name=tuple(injection_names[branch.injection] for branch in branches),
        energised=tuple(reached(nodal_admittance, network.source_nodes).tolist()),
    )
    in_torch = TorchBackend(VoltageOperator(space))
    return in_torch if packed is None else CompiledBackend(packed.to(dtype), in_torch)


def _compiles(
    backend: str | None, device: torch.device, nodal_admittance: sparse.csc_array
) -> bool:
    """Whether kernels are wanted and can be had.

    Raises:
        ValueError: a backend that does not exist, or cannot be had here.
    """
    if backend is not None:
        check_choice(backend, "backend", BACKENDS)
    if backend not in (None, "compiled"):
        if backend == "factored" and device.type != "cpu":
            raise ValueError(f"backend: 'factored' works on the CPU, got device {device}")
        return False
    skew = abs(nodal_admittance - nodal_admittance.T).max()
    lacking = {
        f"device {device}, expected the CPU": device.type != "cpu",
        "no Numba: pip install numba": not numba_is_there(),
        "a nodal admittance that is not symmetric": skew > SKEW * abs(nodal_admittance).max(),
    }
    problems = [problem for problem, there in lacking.items() if there]
    if backend == "compiled" and problems:
        raise ValueError(f"backend: 'compiled' cannot be had with {'; '.join(problems)}")
    return not problems


def _hold(
    network: Network, branches: Sequence[DeviceBranch], incidence: sparse.csr_array
) -> tuple[NDArray[np.complex128], sparse.csc_array, Factor]:
    """Fold the loads that something hangs on, and factorise.

    Those are the loads at nodes that the source does not reach without them, and those whose own
    drop, |y Z|, is more than their voltage: they stand on an antifloat shunt only, as a grounded
    wye does on a delta. No sweep would contract there.

    Returns:
        (branches,) folded admittance in kVA per pu², the nodal admittance with it, its factor.
    """
    nominal = np.array([branch.nominal.conjugate() for branch in branches])
    lost = (abs(incidence) @ ~network.energised) > 0
    folded = np.where(lost, nominal, 0.0)

    def factorised(folded: NDArray[np.complex128]) -> tuple[sparse.csc_array, Factor]:
        matrix = network.exact_admittance
        if folded.any():
            matrix = (matrix + 1e3 * incidence.T @ sparse.diags_array(folded) @ incidence).tocsc()
        return matrix, Factor.of(at_rest(matrix, network.source_nodes), network.node_names)

    matrix, factor = factorised(folded)
    drop = np.zeros(len(branches))
    drawing = np.flatnonzero(nominal)
    for begin in range(0, len(drawing), CHUNK):
        chunk = drawing[begin : begin + CHUNK]
        rows = incidence[chunk]
        answer = factor.solve(1e3 * rows.T.toarray())
        drop[chunk] = np.abs(np.einsum("bn,nb->b", rows.toarray(), answer) * nominal[chunk])
    loose = drop * (folded == 0.0) > 1.0
    if loose.any():
        folded = np.where(loose, nominal, folded)
        matrix, factor = factorised(folded)
    return folded, matrix, factor


def _quantities(
    feeder: Feeder, network: Network, incidence: sparse.csr_array, coils: TappedCoils
) -> dict[str, _Quantity]:
    per_unit = sparse.diags_array(1.0 / network.voltage_base).tocsr()
    source = network.source_nodes
    at_source = sparse.eye_array(len(network.node_names)).tocsr()[source]
    control, control_through = control_rows(feeder, network, coils)
    matrices = {
        "device_voltage": incidence,
        "node_voltage": per_unit,
        "branch_current": network.branch_current,
        "source_voltage": at_source,
        "source_current": -network.source_admittance @ at_source,
        "tap_state": coils.states,
        "control_voltage": control,
    }
    constant = {"source_current": network.source_current[source]}
    through = {"branch_current": coils.through, "control_voltage": control_through}
    quantities = {}
    for name, matrix in matrices.items():
        rows = sparse.csr_array(matrix).astype(complex)
        quantities[name] = _Quantity(
            constant.get(name, np.zeros(rows.shape[0], dtype=complex)),
            rows,
            through.get(name, np.zeros((rows.shape[0], coils.modes.shape[1]), dtype=complex)),
        )
    return quantities

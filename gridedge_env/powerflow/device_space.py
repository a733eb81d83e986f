"""The network as its devices see it: every voltage and current as a linear map of device currents.

Without its loads a feeder is linear. The voltages across the m device branches, the node voltages
and the branch currents then follow from the m currents that the devices inject:

    u = u0 + Z i      V = v0 + K i      I = b0 + M i

There are two ways to hold Z, K and M, with the same results, and a third for sweeps alone:

- dense: as matrices, computed once, in double precision, from a sparse factor of the nodal
  admittance. IEEE 123 has 278 nodes but 95 loaded branches, so that a power flow is a fixed point
  in 95 complex numbers. What runs in single precision later never meets the factor's
  ill-conditioned entries (the 1e-6 ohm switches, the floating delta of IEEE 123).
- sparse: as the factor itself, between sparse matrices, for feeders whose dense matrices would be
  large. Always in double precision, on the CPU.
- compiled: besides one of these, the kernels of `compiled_network`, which do the sweeps on a CPU
  and find node voltages on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from gridedge_env.compiled.running import numba_is_there
from gridedge_env.feeder import Feeder, Network
from gridedge_env.feeder.admittance import at_rest, reached
from gridedge_env.powerflow.compiled_network import CompiledNetwork
from gridedge_env.powerflow.factor import Factor
from gridedge_env.powerflow.injections import DeviceBranch, branch_incidence
from gridedge_env.powerflow.linear_maps import (
    Across,
    DenseMap,
    DirectResponse,
    FactoredResponse,
    LinearMap,
    Response,
    SparseMap,
    as_real,
    real_blocks,
)
from gridedge_env.powerflow.load_models import LoadModel
from gridedge_env.powerflow.taps import (
    TappedCoils,
    TapSpace,
    control_rows,
    mode_response,
    tapped_coils,
)

# Loads whose drop is found at once.
CHUNK = 64

# Above this many entries dense maps cost more memory and time than substitutions do.
LARGEST_DENSE = 4_000_000

# Ways to solve a power flow.
BACKENDS = ("dense", "factored", "compiled")

# Of the largest admittance: what two halves of a symmetric matrix may differ by.
SKEW = 1e-13


@dataclass(frozen=True)
class DeviceSpace:
    """A feeder reduced to its device branches.

    Attributes:
        response: the network's answer to device currents; the maps below are maps of it.
        device_voltage: u, pu of each branch's rated voltage.
        node_voltage: V, pu of each node's base.
        branch_current: I, A into the from terminal of every branch phase.
        source_voltage: V at the nodes of the source.
        source_current: A that the source feeds into them.
        tap_state: voltage and current of every tapped coil, see `taps`.
        control_voltage: what every regulator's control sees, V on its secondary side.
        compiled: kernels that find u and V where taps are as in the feeder; None: there are none.
        taps: the answer to moved taps.
        three_phase_entries: (6 three-phase buses,) entries of V there: real, then imaginary parts
            of phase 1, then those of phase 2, and of phase 3.
        across: u as a map of V.
        no_load: (2 branches,) u without any device current.
        load_model: the voltage dependence of the branches.
        injection: (branches,) index of the injection that each branch is a phase of.
        share: (branches,) part of the injection's power that the branch draws.
        branch_names: name of that injection, of every branch.
        energised: per node, whether a path leads to the source; the voltage is 0 where none does.
    """

    response: Response
    device_voltage: LinearMap
    node_voltage: LinearMap
    branch_current: LinearMap
    source_voltage: LinearMap
    source_current: LinearMap
    tap_state: LinearMap
    control_voltage: LinearMap
    compiled: CompiledNetwork | None
    taps: TapSpace
    three_phase_entries: Tensor
    across: Across
    no_load: Tensor
    load_model: LoadModel
    injection: Tensor
    share: Tensor
    branch_names: tuple[str, ...]
    energised: tuple[bool, ...]


@dataclass(frozen=True)
class VoltageOperator:
    """u = u0 + Z i, where moved taps make Z and u0 differ between scenarios.

    Attributes:
        space: the feeder.
        tap_change: (batch, 2 k, 2 k) complex, of `TapSpace.change`; None: taps as in the feeder.
    """

    space: DeviceSpace
    tap_change: Tensor | None = None

    def __call__(self, current: Tensor) -> Tensor:
        """(batch, 2 branches) currents -> (batch, 2 branches) voltages."""
        return self.space.device_voltage(self._with_taps(self.space.response(current)))

    def response(self, current: Tensor) -> Tensor:
        """The network's answer to device currents, moved taps included, to the last digit."""
        return self._with_taps(self.space.response.exactly(current))

    def _with_taps(self, response: Tensor) -> Tensor:
        if self.tap_change is None:
            return response
        modes = _times(self.tap_change, self.space.tap_state(response))
        return self.space.response.join(response, modes)

    def transpose(self, cotangent: Tensor) -> Tensor:
        """Z^T times a cotangent of the voltages: (batch, 2 branches)."""
        space, response = self.space, self.space.response
        if self.tap_change is None:
            back = space.device_voltage.transpose(cotangent, response.size)
        else:
            both = space.device_voltage.transpose(cotangent, response.size_with_modes)
            back, of_modes = response.part(both)
            of_states = _times(self.tap_change.mH, of_modes)
            back = back + space.tap_state.transpose(of_states, response.size)
        return response.transpose(back)

    def rows(self, index: Tensor) -> VoltageOperator:
        """The same for some of the scenarios."""
        change = None if self.tap_change is None else self.tap_change[index]
        return VoltageOperator(self.space, change)

    @staticmethod
    def join(operators: Sequence[VoltageOperator]) -> VoltageOperator:
        """Of the scenarios of all of them, one feeder's and alike in whether taps move."""
        changes = [o.tap_change for o in operators if o.tap_change is not None]
        return VoltageOperator(operators[0].space, torch.cat(changes) if changes else None)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """(batch, n, n) complex times (batch, 2 n), real parts first."""
    product = (matrix @ torch.complex(*vector.chunk(2, dim=-1))[..., None])[..., 0]
    return torch.cat((product.real, product.imag), dim=-1)


@dataclass(frozen=True)
class _Rows:
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
) -> DeviceSpace:
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
    dense = small if backend in (None, "compiled") else backend == "dense"
    load_model = LoadModel.of(
        [branch.law for branch in branches],
        folded if folded.any() else None,
        device=device,
        dtype=dtype if dense else torch.float64,
    )
    compiled = None
    if _compiles(backend, device, nodal_admittance):
        compiled = CompiledNetwork.of(
            at_rest(nodal_admittance, network.source_nodes),
            incidence,
            network.voltage_base,
            no_load,
            load_model,
            dtype,
        )
    where: dict[str, Any] = {"device": device, "dtype": dtype if dense else torch.float64}
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
        modes = torch.from_numpy(real_blocks(of_modes))
        response = FactoredResponse(factor, sparse.csr_array(columns), no_load, modes)
        maps = {
            name: SparseMap.of(row.constant, row.matrix, sparse.csr_array(row.through))
            for name, row in rows.items()
        }
    return DeviceSpace(
        response=response,
        **maps,
        compiled=compiled,
        taps=TapSpace.of(feeder, coils, of_modes, device),
        three_phase_entries=_entries(network, device),
        across=Across.of(incidence, network.voltage_base, device, dtype),
        no_load=torch.tensor(as_real(rows["device_voltage"].matrix @ no_load), **where),
        load_model=load_model,
        injection=torch.tensor([b.injection for b in branches], dtype=torch.long, device=device),
        share=torch.tensor([branch.share for branch in branches], **where),
        branch_names=tuple(injection_names[branch.injection] for branch in branches),
        energised=tuple(reached(nodal_admittance, network.source_nodes).tolist()),
    )


def _entries(network: Network, device: torch.device) -> Tensor:
    """See `DeviceSpace.three_phase_entries`."""
    nodes = torch.tensor(network.three_phase_nodes, dtype=torch.long, device=device).T
    return torch.stack((nodes, nodes + len(network.node_names)), dim=1).flatten()


def _compiles(
    backend: str | None, device: torch.device, nodal_admittance: sparse.csc_array
) -> bool:
    """Whether kernels are wanted and can be had.

    Raises:
        ValueError: a backend that does not exist, or cannot be had here.
    """
    if backend not in (None, *BACKENDS):
        raise ValueError(f"backend: got {backend!r}, expected one of {', '.join(BACKENDS)}")
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
) -> dict[str, _Rows]:
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
        quantities[name] = _Rows(
            constant.get(name, np.zeros(rows.shape[0], dtype=complex)),
            rows,
            through.get(name, np.zeros((rows.shape[0], coils.modes.shape[1]), dtype=complex)),
        )
    return quantities

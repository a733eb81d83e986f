"""The network as its devices see it: every voltage and current as a linear map of device currents.

Without its loads a feeder is linear. The voltages across the m device branches, the node voltages
and the branch currents then follow from the m currents that the devices inject:

    u = u0 + Z i      V = v0 + K i      I = b0 + M i

IEEE 123 has 278 nodes but 95 loaded branches, so that a power flow is a fixed point in 95 complex
numbers. Z, K and M are computed once, in double precision, from a sparse factor of the nodal
admittance; what runs in single precision later never meets its ill-conditioned entries (the
1e-6 ohm switches, the floating delta of IEEE 123).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
import torch
from scipy.sparse.linalg import splu
from torch import Tensor

from gridedge_env.feeder import Feeder, Network
from gridedge_env.powerflow.load_models import DEVICE_MINIMUM_VOLTAGE, EXPONENT, LoadModel

# Exponent, minimum, maximum and low voltage of an injection that is not one of the feeder's loads.
DEVICE_LAW = (EXPONENT["constant_power"], DEVICE_MINIMUM_VOLTAGE, np.inf, 0.0)


@dataclass(frozen=True)
class DeviceBranch:
    """One phase of one injection: what stands between a node and the neutral or another node.

    Attributes:
        injection: index of the injection that it is a phase of.
        share: part of that injection's power that it draws.
        node: index of the node where its current enters.
        return_node: index of the node where it leaves; -1 for the neutral.
        rated_voltage: V, the base of its per-unit voltage.
        exponent: as in `LoadModel`, like the three below.
    """

    injection: int
    share: float
    node: int
    return_node: int
    rated_voltage: float
    exponent: float
    minimum_voltage: float
    maximum_voltage: float
    low_voltage: float


def load_branches(feeder: Feeder) -> list[DeviceBranch]:
    """The phases of the feeder's own loads; injection k is the feeder's k-th load."""
    node_index = {name: k for k, name in enumerate(feeder.node_names)}
    branches = []
    for injection, load in enumerate(feeder.loads):
        branches += [
            DeviceBranch(
                injection,
                1.0 / len(load.branches),
                node_index[f"{load.bus}.{phase}"],
                node_index.get(f"{load.bus}.{return_phase}", -1),
                load.branch_kv * 1e3,
                EXPONENT[load.model],
                load.vmin_pu,
                load.vmax_pu,
                load.vlow_pu,
            )
            for phase, return_phase in load.branches
        ]
    return branches


def device_branches(
    network: Network, names: Sequence[str], first_injection: int
) -> list[DeviceBranch]:
    """Constant-power devices at "bus.phase" (wye) or "bus.phase.phase" (delta).

    Raises:
        ValueError: a name that is not of that form, or names a node that the feeder does not have.
    """
    node_index = {name: k for k, name in enumerate(network.node_names)}
    branches = []
    for offset, name in enumerate(names):
        bus, *phases = name.rsplit(".", 2) if name.count(".") >= 2 else name.split(".")
        nodes = [node_index.get(f"{bus}.{phase}", -1) for phase in phases]
        if len(nodes) not in (1, 2) or min(nodes) < 0 or len(set(nodes)) < len(nodes):
            raise ValueError(
                f"injections: {name!r} is not at nodes of this feeder; expected 'bus.phase' or "
                f"'bus.phase.phase' with nodes such as {network.node_names[0]!r}"
            )
        base = network.voltage_base[nodes[0]]
        branches.append(
            DeviceBranch(
                first_injection + offset,
                1.0,
                nodes[0],
                nodes[1] if len(nodes) == 2 else -1,
                base * (np.sqrt(3.0) if len(nodes) == 2 else 1.0),
                *DEVICE_LAW,
            )
        )
    return branches


@dataclass(frozen=True)
class LinearMap:
    """A complex affine map of the device currents, x = offset + matrix i, in real arithmetic.

    Attributes:
        offset: (2 rows,), real parts first.
        matrix: (2 branches, 2 rows), so that x = offset + i @ matrix for i (batch, 2 branches).
    """

    offset: Tensor
    matrix: Tensor

    @staticmethod
    def of(offset: np.ndarray, matrix: np.ndarray, **where: Any) -> LinearMap:
        """From complex offset (rows,) and matrix (rows, branches); `where`: device and dtype."""
        blocks = np.block([[matrix.real.T, matrix.imag.T], [-matrix.imag.T, matrix.real.T]])
        parts = np.concatenate((offset.real, offset.imag))
        return LinearMap(torch.tensor(parts, **where), torch.tensor(blocks, **where))

    def __call__(self, current: Tensor) -> Tensor:
        """(batch, 2 branches) -> (batch, 2 rows)."""
        return torch.addmm(self.offset, current, self.matrix)


@dataclass(frozen=True)
class DeviceSpace:
    """A feeder reduced to its device branches.

    Attributes:
        device_voltage: u, pu of each branch's rated voltage.
        node_voltage: V, pu of each node's base.
        branch_current: I, A into the from terminal of every branch phase.
        source_voltage: V at the three nodes of the source.
        source_current: A that the source feeds into them.
        positive_sequence: positive-sequence voltage of every three-phase bus, pu.
        negative_sequence: negative-sequence voltage of every three-phase bus, pu.
        load_model: the voltage dependence of the branches.
        injection: (branches,) index of the injection that each branch is a phase of.
        share: (branches,) part of the injection's power that the branch draws.
    """

    device_voltage: LinearMap
    node_voltage: LinearMap
    branch_current: LinearMap
    source_voltage: LinearMap
    source_current: LinearMap
    positive_sequence: LinearMap
    negative_sequence: LinearMap
    load_model: LoadModel
    injection: Tensor
    share: Tensor


def reduce_network(
    network: Network,
    branches: Sequence[DeviceBranch],
    device: torch.device,
    dtype: torch.dtype,
) -> DeviceSpace:
    """Eliminate every node: one sparse factorisation, one substitution per device branch."""
    nodes, count = len(network.node_names), len(branches)
    rated = np.array([b.rated_voltage for b in branches])
    incidence = sparse.lil_matrix((count, nodes))
    for row, branch in enumerate(branches):
        incidence[row, branch.node] = 1.0
        if branch.return_node >= 0:
            incidence[row, branch.return_node] = -1.0
    incidence = sparse.diags(1.0 / rated) @ incidence.tocsr()

    factor = splu(network.nodal_admittance.tocsc())
    no_load = factor.solve(network.source_current.astype(complex))
    # 1 kVA at 1 pu is 1,000 / rated ampere: currents are per unit of power, so S enters in kVA.
    response = factor.solve((1e3 * incidence.T).toarray().astype(complex))

    to_per_unit = sparse.diags(1.0 / network.voltage_base)
    per_unit, per_unit_response = to_per_unit @ no_load, to_per_unit @ response
    source = network.source_nodes
    fed = network.source_current[source] - network.source_admittance @ no_load[source]
    fed_response = -network.source_admittance @ response[source]
    turn = np.exp(2j * np.pi / 3.0)

    def sequence(a: complex) -> list[np.ndarray]:
        first, second, third = network.three_phase_nodes.T
        return [
            (x[first] + a * x[second] + a * a * x[third]) / 3.0
            for x in (per_unit, per_unit_response)
        ]

    where: dict[str, Any] = {"device": device, "dtype": dtype}

    def vector(field: str) -> Tensor:
        return torch.tensor([getattr(b, field) for b in branches], **where)

    laws = {(b.exponent, b.minimum_voltage, b.maximum_voltage, b.low_voltage) for b in branches}
    load_model = LoadModel(
        vector("exponent"),
        vector("minimum_voltage"),
        vector("maximum_voltage"),
        vector("low_voltage"),
        always_constant_power=laws == {DEVICE_LAW},
    )
    return DeviceSpace(
        LinearMap.of(incidence @ no_load, incidence @ response, **where),
        LinearMap.of(per_unit, per_unit_response, **where),
        LinearMap.of(network.branch_current @ no_load, network.branch_current @ response, **where),
        LinearMap.of(no_load[source], response[source], **where),
        LinearMap.of(fed, fed_response, **where),
        LinearMap.of(*sequence(turn), **where),
        LinearMap.of(*sequence(turn.conjugate()), **where),
        load_model,
        torch.tensor([b.injection for b in branches], dtype=torch.long, device=device),
        vector("share"),
    )

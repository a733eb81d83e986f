"""The network as compiled kernels see it, and calls of these kernels on tensors.

`kernels` does two things: the sweeps u <- u0 + Z i(u, S) with all node voltages at the end, and
those of the adjoint, l <- g + Z^T D^T l, from cotangents of device currents and node voltages. Both
work on the factor of an `Elimination`, in the order of which the nodes that sweeps keep come first
here, those without devices after them.

Scenarios for which plain sweeps do not suffice are reported, and left to PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from gridedge_env.compiled.running import run_blocks
from gridedge_env.powerflow.elimination import eliminate
from gridedge_env.powerflow.iteration import FIRST_LOOK
from gridedge_env.powerflow.load_models import LoadModel

# Most sweeps in a kernel, where they cost little: enough for a contraction of 0.6 in double
# precision. A scenario that shows no such contraction at the first look is left to PyTorch.
MOST_SWEEPS = 50


@dataclass(frozen=True)
class Swept:
    """What the kernel found.

    Attributes:
        voltage: u, (batch, 2 branches) pu.
        current: i(u), (batch, 2 branches).
        node_voltage: (batch, 2 nodes) pu.
        residual: (batch,) last change, pu.
        iterations: (batch,) int32.
        code: (batch,) uint8: UNSETTLED and EXTREME of `kernels.sweeps`, 0 where all is well.
    """

    voltage: Tensor
    current: Tensor
    node_voltage: Tensor
    residual: Tensor
    iterations: Tensor
    code: Tensor


@dataclass(frozen=True)
class CompiledNetwork:
    """A feeder's network and load laws, packed for the kernels.

    Attributes:
        nodes: how many there are.
        branches: how many there are.
        index: int32 sections: begins of the rows, and columns, of four triangles; node of each
            row; begins, and devices, of what enters at each kept row; two nodes of each device (-1:
            ground); kinds of laws; rows of weak pivots. The triangles are L between kept rows, its
            transpose, the rows of L towards the rows left out, and the columns of these.
        ends: where the sections end, from 0.
        number: real sections: entries of the triangles (complex); 1 / pivots (complex); weights of
            what enters; two weights of each device; no-load voltages of devices (complex), laws,
            no-load voltages of nodes (complex), `Elimination.into_weak` (complex).
        marks: where these end, from 0.
        single: `number` in single precision, for drafts; None where it is.
    """

    nodes: int
    branches: int
    index: NDArray[np.int32]
    ends: NDArray[np.int64]
    number: NDArray[Any]
    marks: NDArray[np.int64]
    single: NDArray[np.float32] | None

    @staticmethod
    def of(
        nodal_admittance: sparse.csc_array,
        incidence: sparse.csr_array,
        voltage_base: NDArray[np.float64],
        no_load: NDArray[np.complex128],
        load_model: LoadModel,
        dtype: torch.dtype,
    ) -> CompiledNetwork:
        """Eliminate and pack.

        Args:
            nodal_admittance: (nodes, nodes) S in extended precision, symmetric.
            incidence: (branches, nodes) from node voltages in V to device voltages in pu.
            voltage_base: (nodes,) V.
            no_load: (nodes,) V without any device.
            load_model: of the branches.
            dtype: of the kernels' arithmetic.
        """
        base = sparse.diags_array(voltage_base.astype(np.longdouble))
        across = (incidence @ sparse.diags_array(voltage_base)).tocsr()
        found = eliminate((base @ nodal_admittance @ base / 1e3).tocsr(), across)
        nodes, kept = len(found.node), len(found.node) - found.idle
        kept_first = np.concatenate((np.arange(found.idle, nodes), np.arange(found.idle)))
        order = found.node[kept_first]
        begins, columns, values = _triangles(found.lower[kept_first][:, kept_first], kept)
        entering = across[:, order[:kept]].T.tocsr()
        device, weight = _ends(across)
        sweeping = found.weak >= found.idle
        last = _kinds(load_model), found.weak[sweeping] - found.idle
        index, ends = _packed(
            (begins, order[columns], order, entering.indptr, entering.indices, device, *last),
            np.int32,
        )
        number, marks = _packed(
            (
                _pairs(values),
                _pairs(1.0 / found.pivot[kept_first][:kept]),
                entering.data,
                weight,
                _pairs(incidence @ no_load),
                _laws(load_model),
                _pairs(no_load / voltage_base),
                _pairs(found.into_weak[sweeping]),
            ),
            np.dtype(np.float32 if dtype == torch.float32 else np.float64),
        )
        single = number.astype(np.float32) if dtype == torch.float64 else None
        return CompiledNetwork(nodes, across.shape[0], index, ends, number, marks, single)

    def sweep(self, power: Tensor, start: Tensor, sweeps: int) -> Tensor:
        """u after some sweeps from `start`, all (batch, 2 branches).

        Raises:
            ValueError: shapes that are not these.
        """
        self._check(power, start)
        voltage = self._empty(start.shape)
        rule = np.array((-1.0, sweeps, 0.0, 0.0), self.number.dtype)
        residual, iterations, code = self._records(len(power))
        self._run("solve", rule, power, start, voltage, None, None, residual, iterations, code)
        return voltage

    def solve(
        self, power: Tensor, start: Tensor, tolerance: float, maximum_iterations: int
    ) -> Swept:
        """Sweeps until all scenarios have settled, or show that they will not soon.

        Args:
            power: (batch, 2 branches) kVA drawn.
            start: (batch, 2 branches) first guess of u.
            tolerance: largest change that counts as none, pu.
            maximum_iterations: sweeps after which a scenario counts as not settled.

        Raises:
            ValueError: shapes that are not these.
        """
        self._check(power, start)
        voltage, current = self._empty(power.shape), self._empty(power.shape)
        nodes = self._empty((len(power), 2 * self.nodes))
        records = self._records(len(power))
        rule = self._rule(tolerance, maximum_iterations)
        self._run("solve", rule, power, start, voltage, current, nodes, *records)
        return Swept(voltage, current, nodes, *records)

    def adjoint(
        self,
        power: Tensor,
        voltage: Tensor,
        of_current: Tensor | None,
        of_nodes: Tensor | None,
        fixed: Tensor,
        tolerance: float,
        maximum_iterations: int,
    ) -> tuple[Tensor, Tensor]:
        """Cotangent of the power at a solution.

        Args:
            power: (batch, 2 branches) kVA.
            voltage: (batch, 2 branches) u there, pu.
            of_current: (batch, 2 branches) cotangent of i; None: zero.
            of_nodes: (batch, 2 nodes) cotangent of the node voltages; None: zero.
            fixed: (batch,) uint8, other than 0 where voltages count as fixed.
            tolerance: largest change that counts as none, of the largest cotangent.
            maximum_iterations: as in `solve`.

        Returns:
            (batch, 2 branches) cotangent of S, and (batch,) uint8: 1 where it has not settled.
        """
        of_power, unsettled = (
            self._empty(power.shape),
            power.new_zeros(len(power), dtype=torch.uint8),
        )
        rule, given = self._rule(tolerance, maximum_iterations), (power, voltage)
        self._run("adjoint", rule, *given, of_current, of_nodes, fixed, of_power, unsettled)
        return of_power, unsettled

    def _check(self, power: Tensor, start: Tensor) -> None:
        """Kernels read what they are pointed at, whatever it is."""
        if power.dim() != 2 or power.shape[1] != 2 * self.branches or start.shape != power.shape:
            raise ValueError(
                f"power and start: got shapes {tuple(power.shape)} and {tuple(start.shape)}, "
                f"expected (batch, {2 * self.branches}) of both"
            )

    def _run(self, name: str, rule: NDArray[Any], power: Tensor, *tensors: Tensor | None) -> None:
        """Call a kernel; it writes to tensors that are contiguous already."""
        from gridedge_env.powerflow.kernels import sweeps

        few, batch = sweeps.NARROW // self.number.itemsize, len(power)
        lanes = few if batch <= few else sweeps.WIDE // self.number.itemsize
        width = "narrow" if batch <= few else "wide"
        alive = [None if x is None else x.contiguous() for x in (power, *tensors)]
        run_blocks(
            getattr(sweeps, f"{name}_{width}"),
            -(-batch // lanes),
            self.index,
            self.ends,
            self.number,
            self.marks,
            self.single,
            rule,
            batch,
            *(0 if x is None else x.data_ptr() for x in alive),
        )

    def _rule(self, tolerance: float, maximum_iterations: int) -> NDArray[Any]:
        """When to stop; in the last place the part of the way that is to be done by the first look.

        Nobody looks where no more sweeps are allowed than the kernel does.
        """
        sweeps = min(maximum_iterations, MOST_SWEEPS)
        look = FIRST_LOOK if sweeps < maximum_iterations else 0
        return np.array((tolerance, sweeps, look, FIRST_LOOK / MOST_SWEEPS), self.number.dtype)

    def _empty(self, shape: Sequence[int]) -> Tensor:
        return torch.empty(shape, dtype=self._dtype, device="cpu")

    def _records(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Residual, iterations and code of every scenario."""
        return (
            torch.empty(batch, dtype=self._dtype, device="cpu"),
            torch.empty(batch, dtype=torch.int32, device="cpu"),
            torch.empty(batch, dtype=torch.uint8, device="cpu"),
        )

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float32 if self.number.itemsize == 4 else torch.float64


def _triangles(
    lower: sparse.csr_array, kept: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.complex128]]:
    """One after the other, by rows; see `CompiledNetwork.index`."""
    upper = lower.T.tocsr()
    parts = (lower[:kept, :kept], upper[:kept, :kept], lower[:, kept:], upper[kept:])
    begins, columns, values, entries = [np.zeros(1)], [], [], 0
    for part, first_column in zip(parts, (0, 0, kept, 0), strict=True):
        rows = sparse.csr_array(part)
        rows.sort_indices()
        begins.append(rows.indptr[1:] + entries)
        columns.append(rows.indices + first_column)
        values.append(rows.data)
        entries += rows.nnz
    return np.concatenate(begins), np.concatenate(columns), np.concatenate(values)


def _ends(across: sparse.csr_array) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(2 branches,) nodes of each device, or -1, and their weights."""
    device = np.full((across.shape[0], 2), -1)
    weight = np.zeros((across.shape[0], 2))
    for j, (begin, end) in enumerate(pairwise(across.indptr)):
        device[j, : end - begin] = across.indices[begin:end]
        weight[j, : end - begin] = across.data[begin:end]
    return device.ravel(), weight.ravel()


def _kinds(load_model: LoadModel) -> NDArray[np.int64]:
    from gridedge_env.powerflow.kernels import laws

    same = {0.0: laws.POWER, 1.0: laws.CURRENT, 2.0: laws.IMPEDANCE}
    kinds = []
    for exponents in _columns(load_model, "p_exponent", "q_exponent", "edge_exponent"):
        one, *others = sorted(set(exponents))
        if not others and one in same:
            kinds.append(same[one])
        elif set(exponents[:2]) <= set(same):
            kinds.append(laws.MIXED)
        else:
            kinds.append(laws.EXPONENTIAL)
    return np.array(kinds)


def _laws(load_model: LoadModel) -> NDArray[np.float64]:
    """Of every branch: shares of g_p of exponents 0, 1, 2, likewise of g_q, edges, law outside."""
    laws = []
    edges = _columns(load_model, "minimum_voltage", "maximum_voltage", "low_voltage")
    exponents = _columns(load_model, "p_exponent", "q_exponent", "edge_exponent")
    folded = np.zeros(2 * len(edges)) if load_model.folded is None else load_model.folded.tolist()
    admittance = np.reshape(folded, (2, -1)).T
    for (p, q, edge), (low_edge, high_edge, low), (g, b) in zip(
        exponents, edges, admittance, strict=True
    ):
        shares = [float(exponent == k) for exponent in (p, q) for k in (0.0, 1.0, 2.0)]
        gradient = (low_edge ** (edge - 1.0) - low) / (low_edge - low)
        above = 1.0 if edge == 2.0 else 0.0 if math.isinf(high_edge) else high_edge ** (edge - 2.0)
        laws.append(
            [*shares, low_edge, high_edge, low, gradient, low * (1.0 - gradient), above, g, b, p, q]
        )
    return np.array(laws)


def _columns(load_model: LoadModel, *names: str) -> list[tuple[float, ...]]:
    return list(zip(*(getattr(load_model, name).tolist() for name in names), strict=True))


def _pairs(values: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Real and imaginary parts in turn."""
    return np.ascontiguousarray(values, dtype=complex).view(np.float64)


def _packed(sections: Sequence[NDArray[Any]], dtype: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    flat = [np.ravel(section) for section in sections]
    ends = np.cumsum([0] + [len(section) for section in flat])
    return np.concatenate(flat).astype(dtype), ends

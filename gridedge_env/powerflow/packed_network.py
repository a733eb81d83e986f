"""The network and load laws of a feeder, packed into the arrays that kernels read.

Kernels sweep with the factor of an `Elimination`. In its order the nodes that sweeps keep come
first here, those without devices after them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from gridedge_env.powerflow.curves import VOLT_VAR
from gridedge_env.powerflow.elimination import eliminate
from gridedge_env.powerflow.kernels import layout
from gridedge_env.powerflow.load_models import CURTAILED, LoadModel


@dataclass(frozen=True)
class PackedNetwork:
    """A feeder as its kernels read it, section by section of `kernels.layout`.

    Attributes:
        nodes: how many there are.
        branches: how many there are.
        index: int32 sections.
        ends: where these end, from 0.
        number: real sections.
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

    @property
    def dtype(self) -> torch.dtype:
        """Of the kernels' arithmetic."""
        return torch.float32 if self.number.itemsize == 4 else torch.float64

    @staticmethod
    def of(
        nodal_admittance: sparse.csc_array,
        incidence: sparse.csr_array,
        voltage_base: NDArray[np.float64],
        no_load: NDArray[np.complex128],
        load_model: LoadModel,
    ) -> PackedNetwork:
        """Eliminate and pack, in double precision.

        Args:
            nodal_admittance: (nodes, nodes) S in extended precision, symmetric.
            incidence: (branches, nodes) from node voltages in V to device voltages in pu.
            voltage_base: (nodes,) V.
            no_load: (nodes,) V without any device.
            load_model: of the branches.
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
        index, ends = _packed(
            {
                layout.START: begins,
                layout.COLUMN: order[columns],
                layout.NODE: order,
                layout.ENTER_START: entering.indptr,
                layout.ENTER_DEVICE: entering.indices,
                layout.DEVICE: device,
                layout.KIND: _kinds(load_model),
                layout.WEAK: found.weak[sweeping] - found.idle,
            },
            layout.INDEX,
            np.int32,
        )
        number, marks = _packed(
            {
                layout.VALUE: _pairs(values),
                layout.PIVOT: _pairs(1.0 / found.pivot[kept_first][:kept]),
                layout.ENTER_WEIGHT: entering.data,
                layout.ACROSS: weight,
                layout.NO_LOAD: _pairs(incidence @ no_load),
                layout.LAWS: _laws(load_model),
                layout.REST: _pairs(no_load / voltage_base),
                layout.INTO_WEAK: _pairs(found.into_weak[sweeping]),
                layout.RESPONSE: _response(load_model),
            },
            layout.NUMBER,
            np.float64,
        )
        single = number.astype(np.float32)
        return PackedNetwork(nodes, across.shape[0], index, ends, number, marks, single)

    def to(self, dtype: torch.dtype) -> PackedNetwork:
        """The same in another precision, single or double; from single, single alone."""
        if self.single is None or dtype == self.dtype:
            return self
        return replace(self, number=self.single, single=None)


def _triangles(
    lower: sparse.csr_array, kept: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.complex128]]:
    """One after the other, by rows; see `layout.INDEX`."""
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
    """(branches,) kind of each one's law."""
    same = {0.0: layout.POWER, 1.0: layout.CURRENT, 2.0: layout.IMPEDANCE}
    kinds = []
    columns = "p_exponent", "q_exponent", "edge_exponent", "is_response"
    for *exponents, is_response in _columns(load_model, *columns):
        one, *others = sorted(set(exponents))
        if is_response:
            kinds.append(layout.LOCAL)
        elif not others and one in same:
            kinds.append(same[one])
        elif set(exponents[:2]) <= set(same):
            kinds.append(layout.MIXED)
        else:
            kinds.append(layout.EXPONENTIAL)
    return np.array(kinds)


def _laws(load_model: LoadModel) -> NDArray[np.float64]:
    """(branches, LAW) numbers of each one's law."""
    edges = _columns(load_model, "minimum_voltage", "maximum_voltage", "low_voltage")
    exponents = _columns(load_model, "p_exponent", "q_exponent", "edge_exponent")
    laws = np.zeros((len(edges), layout.LAW))
    for law, (p, q, edge), (lowest, highest, low) in zip(laws, exponents, edges, strict=True):
        law[layout.P_POWER : layout.P_IMPEDANCE + 1] = [p == k for k in (0.0, 1.0, 2.0)]
        law[layout.Q_POWER : layout.Q_IMPEDANCE + 1] = [q == k for k in (0.0, 1.0, 2.0)]
        law[layout.LOWEST], law[layout.HIGHEST], law[layout.NOMINAL_BELOW] = lowest, highest, low
        gradient = (lowest ** (edge - 1.0) - low) / (lowest - low)
        law[layout.GRADIENT], law[layout.INTERCEPT] = gradient, low * (1.0 - gradient)
        if edge == 2.0:
            law[layout.ABOVE] = 1.0
        elif not math.isinf(highest):
            law[layout.ABOVE] = highest ** (edge - 2.0)
        law[layout.P_EXPONENT], law[layout.Q_EXPONENT] = p, q
    if load_model.folded is not None:
        parts = load_model.folded.numpy().reshape(2, -1)
        laws[:, layout.FOLDED_CONDUCTANCE], laws[:, layout.FOLDED_SUSCEPTANCE] = parts
    return laws


def _response(load_model: LoadModel) -> NDArray[np.float64]:
    """See `layout.RESPONSE`."""
    numbers = [load_model.relaxation]
    for curve in (CURTAILED, VOLT_VAR):
        pieces = list(curve.pieces) + [(0.0, 0.0, 0.0)] * (layout.PIECES - len(curve.pieces))
        numbers += [curve.share[0], *(number for piece in pieces for number in piece)]
    return np.array(numbers)


def _columns(load_model: LoadModel, *names: str) -> list[tuple[float, ...]]:
    return list(zip(*(getattr(load_model, name).tolist() for name in names), strict=True))


def _pairs(values: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Real and imaginary parts in turn."""
    return np.ascontiguousarray(values, dtype=complex).view(np.float64)


def _packed(
    sections: Mapping[int, NDArray[Any]], order: range, dtype: Any
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """All sections in one array, and where they end."""
    flat = [np.ravel(sections[number]) for number in order]
    ends = np.cumsum([0] + [len(section) for section in flat])
    return np.concatenate(flat).astype(dtype), ends

"""Complex linear maps in real arithmetic, dense or sparse, and the network's response.

A complex vector of n entries is a real tensor (batch, 2 n) with the real parts first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.autograd.function import once_differentiable

from gridedge_env.powerflow.factor import Factor

ComplexArray = NDArray[np.complex128]


class LinearMap(Protocol):
    """x = offset + L r for a response r of the network."""

    def __call__(self, response: Tensor) -> Tensor:
        """(batch, response) -> (batch, 2 rows)."""

    def transpose(self, cotangent: Tensor, entries: int) -> Tensor:
        """The first entries of L^T times a cotangent: (batch, 2 rows) -> (batch, entries)."""


@dataclass(frozen=True)
class DenseMap:
    """A map whose matrix is stored whole.

    Attributes:
        offset: (2 rows,).
        matrix: (response, 2 rows); a response that is shorter meets its first rows only.
    """

    offset: Tensor
    matrix: Tensor

    def __call__(self, response: Tensor) -> Tensor:
        """See `LinearMap`."""
        # Not addmm: for one row it adds every term to the offset, ten times the rounding.
        return self.offset + response @ self.matrix[: response.shape[-1]]

    def transpose(self, cotangent: Tensor, entries: int) -> Tensor:
        """See `LinearMap`."""
        return cotangent @ self.matrix[:entries].mT


@dataclass(frozen=True)
class SparseMap:
    """A map of few entries, on the CPU.

    Attributes:
        offset: (2 rows,).
        matrix: (2 rows, response). SciPy's: a product takes it a quarter of PyTorch's time.
        transposed: its transpose, by rows as well.
    """

    offset: Tensor
    matrix: sparse.csr_array
    transposed: sparse.csr_array

    @staticmethod
    def of(offset: ComplexArray, *matrices: sparse.sparray) -> SparseMap:
        """From complex offset (rows,) and matrices (rows, n), one for each part of the response."""
        parts = [
            sparse.block_array([[part.real, -part.imag], [part.imag, part.real]])
            for part in matrices
        ]
        matrix = sparse.csr_array(sparse.hstack(parts))
        matrix.eliminate_zeros()
        return SparseMap(torch.from_numpy(as_real(offset)), matrix, sparse.csr_array(matrix.T))

    def __call__(self, response: Tensor) -> Tensor:
        """See `LinearMap`."""
        found: Tensor = _SparseProduct.apply(response, self.matrix, self.transposed)
        return found + self.offset

    def transpose(self, cotangent: Tensor, entries: int) -> Tensor:
        """See `LinearMap`; the response of sparse maps has no other entries."""
        return _times(self.transposed, cotangent)


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, vector: Tensor, matrix: sparse.csr_array, transposed: sparse.csr_array
    ) -> Tensor:
        ctx.transposed = transposed
        return _times(matrix, vector)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None]:
        return _times(ctx.transposed, cotangent), None, None


def _times(matrix: sparse.csr_array, vector: Tensor) -> Tensor:
    """(batch, columns) -> (batch, rows)."""
    return torch.from_numpy(matrix @ vector.detach().mT.contiguous().numpy()).mT.contiguous()


@dataclass(frozen=True)
class Across:
    """Device voltages read off the node voltages at both ends.

    Attributes:
        node: at either end, (2 branches,) entries of V in pairs, real parts first; the second is
            any for a branch to ground.
        weight: likewise, their weights.
        to_ground: whether all branches are.
    """

    node: tuple[Tensor, Tensor]
    weight: tuple[Tensor, Tensor]
    to_ground: bool

    @staticmethod
    def of(
        incidence: sparse.csr_array,
        voltage_base: NDArray[np.float64],
        device: torch.device,
        dtype: torch.dtype,
    ) -> Across:
        """From `branch_incidence` and the bases of the nodes, V."""
        node = np.zeros((2, incidence.shape[0]), dtype=np.int64)
        weight = np.zeros((2, incidence.shape[0]))
        scaled = sparse.csr_array(incidence @ sparse.diags_array(voltage_base))
        for branch, (begin, end) in enumerate(pairwise(scaled.indptr)):
            node[: end - begin, branch] = scaled.indices[begin:end]
            weight[: end - begin, branch] = scaled.data[begin:end]
        both = np.concatenate((2 * node, 2 * node + 1), axis=1)
        first, second = torch.tensor(both, dtype=torch.long, device=device)
        of_first, of_second = torch.tensor(np.tile(weight, 2), device=device, dtype=dtype)
        return Across((first, second), (of_first, of_second), not weight[1].any())

    def __call__(self, node_voltage: Tensor) -> Tensor:
        """(batch, nodes) complex -> (batch, 2 branches), pu."""
        (node, other), (weight, of_other) = self.node, self.weight
        pairs = torch.view_as_real(node_voltage).flatten(1)
        first = pairs.index_select(1, node) * weight
        if self.to_ground:
            return first
        return first.addcmul(pairs.index_select(1, other), of_other)


class Response(Protocol):
    """How the network answers to device currents, so that every quantity is a map of the answer."""

    @property
    def size(self) -> int:
        """Number of its entries that do not come from moved taps."""

    @property
    def size_with_modes(self) -> int:
        """Number of its entries with those that do."""

    def __call__(self, current: Tensor) -> Tensor:
        """(batch, 2 branches) -> (batch, response)."""

    def exactly(self, current: Tensor) -> Tensor:
        """The same to the last digit, where that takes more work."""

    def transpose(self, cotangent: Tensor) -> Tensor:
        """Transpose of its linear part: (batch, response) -> (batch, 2 branches)."""

    def join(self, response: Tensor, modes: Tensor) -> Tensor:
        """Add the answer to the modes of moved taps, (batch, 2 modes)."""

    def part(self, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        """Transpose of `join`: cotangents of the response and of the modes."""


@dataclass(frozen=True)
class DirectResponse:
    """The currents stand for the answer: dense maps hold what the network makes of them."""

    size: int
    size_with_modes: int

    def __call__(self, current: Tensor) -> Tensor:
        """See `Response`."""
        return current

    def exactly(self, current: Tensor) -> Tensor:
        """See `Response`."""
        return current

    def transpose(self, cotangent: Tensor) -> Tensor:
        """See `Response`."""
        return cotangent

    def join(self, response: Tensor, modes: Tensor) -> Tensor:
        """See `Response`."""
        return torch.cat((response, modes), dim=-1)

    def part(self, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        """See `Response`."""
        return cotangent[..., : self.size], cotangent[..., self.size :]


class NodeSolver(Protocol):
    """Node voltages in V of device currents, V = v0 + K i, and the transpose of K."""

    def solve(self, current: Tensor) -> Tensor:
        """(batch, 2 branches) -> (batch, 2 nodes)."""

    def solve_exactly(self, current: Tensor) -> Tensor:
        """The same to the last digit, where that takes more work."""

    def transpose(self, cotangent: Tensor) -> Tensor:
        """K^T: (batch, 2 nodes) -> (batch, 2 branches)."""


@dataclass(frozen=True)
class NodeResponse:
    """The answer is the node voltages in V, as a sparse factor of the nodal admittance gives them.

    The modes of moved taps, or as many zeros, stand behind them. Always in double precision and on
    the CPU: in single precision a 1e-6 ohm switch would leave nothing of a branch's current.

    Attributes:
        solver: finds node voltages.
        modes: (2 modes, 2 nodes) node voltages that the modes of moved taps add.
    """

    solver: NodeSolver
    modes: Tensor

    @property
    def size(self) -> int:
        """See `Response`."""
        return sum(self.modes.shape)

    @property
    def size_with_modes(self) -> int:
        """See `Response`."""
        return self.size

    def __call__(self, current: Tensor) -> Tensor:
        """See `Response`."""
        return self._with_no_modes(current, self.solver.solve)

    def exactly(self, current: Tensor) -> Tensor:
        """See `Response`."""
        return self._with_no_modes(current, self.solver.solve_exactly)

    def transpose(self, cotangent: Tensor) -> Tensor:
        """See `Response`."""
        return self.solver.transpose(cotangent[..., : self.modes.shape[1]])

    def join(self, response: Tensor, modes: Tensor) -> Tensor:
        """See `Response`."""
        nodes = response[..., : self.modes.shape[1]]
        return torch.cat((nodes + modes @ self.modes, modes), dim=-1)

    def part(self, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        """See `Response`."""
        nodes, modes = cotangent.split((self.modes.shape[1], len(self.modes)), dim=-1)
        return cotangent, modes + nodes @ self.modes.mT

    def _with_no_modes(self, current: Tensor, solve: Callable[[Tensor], Tensor]) -> Tensor:
        voltage: Tensor = _NodeVoltage.apply(current, self.solver, solve)
        return (
            torch.nn.functional.pad(voltage, (0, len(self.modes))) if len(self.modes) else voltage
        )


@dataclass(frozen=True)
class FactoredNodes:
    """A `NodeSolver` by substitutions of SciPy's with the factor.

    Attributes:
        factor: of the nodal admittance.
        columns: (nodes, branches) where the device currents enter, A per unit.
        no_load: (nodes,) complex voltages without any device current.
    """

    factor: Factor
    columns: sparse.csr_array
    no_load: ComplexArray

    def solve(self, current: Tensor) -> Tensor:
        """See `NodeSolver`."""
        return self._voltage(self.factor.solve(self._entering(current)))

    def solve_exactly(self, current: Tensor) -> Tensor:
        """See `NodeSolver`."""
        return self._voltage(self.factor.solve_exactly(self._entering(current)))

    def transpose(self, cotangent: Tensor) -> Tensor:
        """See `NodeSolver`."""
        back = self.factor.solve_adjoint(as_complex(cotangent).T)
        return torch.from_numpy(as_real((self.columns.T @ back).T))

    def _entering(self, current: Tensor) -> ComplexArray:
        entering: ComplexArray = self.columns @ as_complex(current).T
        return entering

    def _voltage(self, rise: ComplexArray) -> Tensor:
        return torch.from_numpy(as_real(rise.T + self.no_load))


class _NodeVoltage(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, solver: NodeSolver, solve: Callable[[Tensor], Tensor]
    ) -> Tensor:
        ctx.solver = solver
        return solve(current.detach())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None]:
        return ctx.solver.transpose(cotangent), None, None


def as_real(vector: ComplexArray) -> NDArray[np.float64]:
    """(..., n) complex -> (..., 2 n), real parts first."""
    return np.concatenate((vector.real, vector.imag), axis=-1)


def as_complex(vector: Tensor) -> ComplexArray:
    """(..., 2 n), real parts first -> (..., n) complex."""
    re, im = vector.detach().chunk(2, dim=-1)
    return np.asarray(torch.complex(re, im))


def real_blocks(matrix: ComplexArray) -> NDArray[np.float64]:
    """Complex (rows, columns) -> (2 columns, 2 rows), to be multiplied by row vectors."""
    return np.block([[matrix.real.T, matrix.imag.T], [-matrix.imag.T, matrix.real.T]])

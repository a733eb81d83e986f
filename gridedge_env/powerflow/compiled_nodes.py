"""Node voltages of device currents by compiled kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gridedge_env.compiled.running import run_blocks
from gridedge_env.powerflow.packed_network import PackedNetwork
from gridedge_env.transfer import in_memory


@dataclass(frozen=True)
class CompiledNodes:
    """A `NodeSolver`. An `Elimination` keeps its digits: there is nothing to refine.

    Attributes:
        network: the feeder, packed in double precision.
        base: (2 nodes,) V of 1 pu.
    """

    network: PackedNetwork
    base: Tensor

    def solve(self, current: Tensor) -> Tensor:
        """See `NodeSolver`."""
        from gridedge_env.powerflow.kernels.nodes import node_voltages

        return self._run(node_voltages, current, 2 * self.network.nodes).mul_(self.base)

    def solve_exactly(self, current: Tensor) -> Tensor:
        """See `NodeSolver`."""
        return self.solve(current)

    def transpose(self, cotangent: Tensor) -> Tensor:
        """See `NodeSolver`."""
        from gridedge_env.powerflow.kernels.nodes import currents_of_nodes

        return self._run(currents_of_nodes, cotangent * self.base, 2 * self.network.branches)

    def _run(self, kernel: Callable[..., Any], given: Tensor, columns: int) -> Tensor:
        from gridedge_env.powerflow.kernels.nodes import WIDTH

        network, given = self.network, in_memory(given)
        found = torch.empty(len(given), columns, dtype=torch.float64, device="cpu")
        run_blocks(
            kernel,
            -(-len(given) * network.number.itemsize // WIDTH),
            network.index,
            network.ends,
            network.number,
            network.marks,
            len(given),
            given.data_ptr(),
            found.data_ptr(),
        )
        return found

"""Power flows by compiled kernels, which find node voltages on the way.

Kernels do plain sweeps alone, at the taps of the feeder. Scenarios for which those do not suffice
they report, and PyTorch solves them from their start with all that `iteration` knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridedge_env.compiled.running import run_blocks
from gridedge_env.powerflow.backend import Cotangents, Solved
from gridedge_env.powerflow.device_space import DeviceSpace
from gridedge_env.powerflow.fixed_point import DeviceVoltage, FixedPoint, judged
from gridedge_env.powerflow.iteration import FIRST_LOOK
from gridedge_env.powerflow.kernels.layout import UNSETTLED
from gridedge_env.powerflow.packed_network import PackedNetwork
from gridedge_env.powerflow.torch_backend import TorchBackend
from gridedge_env.transfer import in_memory

# Most sweeps in a kernel, where they cost little: enough for a contraction of 0.6 in double
# precision. A scenario that shows no such contraction at the first look is left to PyTorch.
MOST_SWEEPS = 50


@dataclass(frozen=True)
class CompiledBackend:
    """A `Backend` on the CPU.

    Attributes:
        network: the feeder, packed for the kernels.
        fallback: solves what plain sweeps do not settle, and differentiates sweeps.
    """

    network: PackedNetwork
    fallback: TorchBackend

    @property
    def space(self) -> DeviceSpace:
        """See `Backend`."""
        return self.fallback.space

    @property
    def dtype(self) -> torch.dtype:
        """See `Backend`."""
        return self.network.dtype

    def sweep(self, power: Tensor, start: Tensor, sweeps: int) -> Tensor:
        """See `Backend`.

        Raises:
            ValueError: shapes that are not those of `Backend`.
        """
        self._check(power, start)
        if torch.is_grad_enabled() and (power.requires_grad or start.requires_grad):
            precision = self.fallback.dtype
            return self.fallback.sweep(power.to(precision), start.to(precision), sweeps)
        voltage = self._empty(start.shape)
        rule = np.array((-1.0, sweeps, 0.0, 0.0), self.network.number.dtype)
        self._run("solve", rule, power, start, voltage, None, None, *self._records(len(power)))
        return voltage

    def solve(self, power: Tensor, start: Tensor, settings: FixedPoint) -> Solved:
        """See `Backend`. Stops when it may, whatever `settings.check_convergence`.

        Raises:
            ValueError: shapes that are not those of `Backend`.
        """
        self._check(power, start)
        voltage, current = self._empty(power.shape), self._empty(power.shape)
        nodes = self._empty((len(power), self.network.nodes, 2))
        residual, iterations, code = self._records(len(power))
        status = torch.zeros_like(code, dtype=torch.int8)
        self._run(
            "solve", _rule(settings, voltage.dtype), power, start,
            voltage, current, nodes, residual, iterations, code,
        )  # fmt: skip
        found = DeviceVoltage(voltage, residual, iterations, status)
        if bool(code.any()):
            self._look_again(code, power, start, settings, found, current, nodes)
        return Solved(found, current, torch.view_as_complex(nodes))

    def _look_again(
        self,
        code: Tensor,
        power: Tensor,
        start: Tensor,
        settings: FixedPoint,
        found: DeviceVoltage,
        current: Tensor,
        nodes: Tensor,
    ) -> None:
        """Solve what has not settled, judge extreme voltages; write both to their places."""
        left = (code & UNSETTLED).nonzero()[:, 0]
        if len(left):
            precision = self.fallback.dtype
            again = self.fallback.solve(
                power[left].to(precision), start[left].to(precision), settings
            )
            response = self.fallback.operator.response(again.current)
            for place, value in (
                (found.voltage, again.found.voltage),
                (found.residual, again.found.residual),
                (found.iterations, again.found.iterations),
                (found.status, again.found.status),
                (current, again.current),
                (nodes, self.space.node_voltage(response).unflatten(-1, (2, -1)).mT),
            ):
                place[left] = value.to(place.dtype)
        extreme = (code & ~UNSETTLED).nonzero()[:, 0]
        if len(extreme):
            found.voltage[extreme], found.status[extreme] = judged(
                self.space, power[extreme], found.voltage[extreme], found.status[extreme], settings
            )

    def adjoint(
        self,
        power: Tensor,
        voltage: Tensor,
        status: Tensor,
        of_current: Tensor | None,
        of_nodes: Tensor | None,
        settings: FixedPoint,
        shifted: bool,
    ) -> Cotangents:
        """See `Backend`; nothing shifts voltages at the taps of the feeder."""
        of_power, unsettled = self._empty(power.shape), torch.zeros_like(status, dtype=torch.uint8)
        rule, fixed = _rule(settings, of_power.dtype), status.view(torch.uint8)
        given = (power, voltage, of_current, of_nodes, fixed)
        self._run("adjoint", rule, *given, of_power, unsettled)
        if not bool(unsettled.any()):
            return Cotangents(of_power, None, None)
        left, precision = unsettled.nonzero()[:, 0], self.fallback.dtype
        again = self.fallback.adjoint(
            power[left].to(precision),
            voltage[left].to(precision),
            status[left],
            None if of_current is None else of_current[left].to(precision),
            None if of_nodes is None else of_nodes[left].to(precision.to_complex()),
            settings,
            shifted=False,
        )
        of_power[left] = again.power.to(of_power.dtype)
        if again.inexact is None:
            return Cotangents(of_power, None, None)
        unsettled[left] = again.inexact.byte()
        return Cotangents(of_power, None, unsettled)

    def _check(self, power: Tensor, start: Tensor) -> None:
        """Kernels read what they are pointed at, whatever it is."""
        columns = 2 * self.network.branches
        if power.dim() != 2 or power.shape[1] != columns or start.shape != power.shape:
            raise ValueError(
                f"power and start: got shapes {tuple(power.shape)} and {tuple(start.shape)}, "
                f"expected (batch, {columns}) of both"
            )

    def _run(self, name: str, rule: NDArray[Any], power: Tensor, *tensors: Tensor | None) -> None:
        """Call a kernel; it writes to tensors that are contiguous already."""
        from gridedge_env.powerflow.kernels import sweeps

        network, batch = self.network, len(power)
        few = sweeps.NARROW // network.number.itemsize
        lanes = few if batch <= few else sweeps.WIDE // network.number.itemsize
        width = "narrow" if batch <= few else "wide"
        alive = [None if x is None else in_memory(x) for x in (power, *tensors)]
        run_blocks(
            getattr(sweeps, f"{name}_{width}"),
            -(-batch // lanes),
            network.index,
            network.ends,
            network.number,
            network.marks,
            network.single,
            rule,
            batch,
            *(0 if x is None else x.data_ptr() for x in alive),
        )

    def _empty(self, shape: Sequence[int]) -> Tensor:
        return torch.empty(shape, dtype=self.dtype, device="cpu")

    def _records(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Residual, iterations and code of every scenario."""
        return (
            torch.empty(batch, dtype=self.dtype, device="cpu"),
            torch.empty(batch, dtype=torch.int32, device="cpu"),
            torch.empty(batch, dtype=torch.uint8, device="cpu"),
        )


def _rule(settings: FixedPoint, dtype: torch.dtype) -> NDArray[Any]:
    """When a kernel is to stop, see `kernels.progress.Rule`.

    In the last place the part of the way that is to be done by the first look. Nobody looks where
    no more sweeps are allowed than the kernel does.
    """
    sweeps = min(settings.maximum_iterations, MOST_SWEEPS)
    look = FIRST_LOOK if sweeps < settings.maximum_iterations else 0
    parts = (settings.tolerance, sweeps, look, FIRST_LOOK / MOST_SWEEPS)
    return np.array(parts, np.float32 if dtype == torch.float32 else np.float64)

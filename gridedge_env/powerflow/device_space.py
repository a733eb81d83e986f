"""The network as its devices see it: every voltage and current as a linear map of device currents.

Without its loads a feeder is linear. The voltages across the m device branches, the node voltages
and the branch currents then follow from the m currents that the devices inject:

    u = u0 + Z i      V = v0 + K i      I = b0 + M i

There are two ways to hold Z, K and M, with the same results:

- dense: as matrices. IEEE 123 has 278 nodes but 95 loaded branches, so that a power flow is a
  fixed point in 95 complex numbers.
- sparse: as the factor of the nodal admittance, between sparse matrices, for feeders whose dense
  matrices would be large. Always in double precision, on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gridedge_env.powerflow.linear_maps import Across, LinearMap, Response
from gridedge_env.powerflow.load_models import LoadModel
from gridedge_env.powerflow.taps import TapSpace
from gridedge_env.record import Record, batch


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
        taps: the answer to moved taps.
        three_phase_nodes: (3 three-phase buses,) entries of V there: phase 1 of each, then phase 2,
            and phase 3.
        across: u as a map of V.
        no_load: (2 branches,) u without any device current.
        load_model: the voltage dependence of the branches.
        injection: (branches,) index of the injection that each branch is a phase of.
        share: (branches,) part of the injection's power that the branch draws.
        injection_name: (branches,) what that injection is called.
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
    taps: TapSpace
    three_phase_nodes: Tensor
    across: Across
    no_load: Tensor
    load_model: LoadModel
    injection: Tensor
    share: Tensor
    injection_name: tuple[str, ...]
    energised: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class VoltageOperator(Record):
    """u = u0 + Z i, where moved taps make Z and u0 differ between scenarios.

    Attributes:
        space: the feeder.
        tap_change: (batch, 2 k, 2 k) complex, of `TapSpace.change`; None: taps as in the feeder.
    """

    space: DeviceSpace
    tap_change: Tensor | None = field(default=None, metadata=batch())

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> VoltageOperator:
        """Not to be had.

        Raises:
            ValueError: always.
        """
        raise ValueError("operator: a feeder's maps stay where and what they are")

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
        return self.transpose_of(self.space.device_voltage, cotangent)

    def transpose_of(self, quantity: LinearMap, cotangent: Tensor) -> Tensor:
        """The same of another quantity that follows from the currents: (batch, 2 branches)."""
        space, response = self.space, self.space.response
        if self.tap_change is None:
            return response.transpose(quantity.transpose(cotangent, response.size))
        both = quantity.transpose(cotangent, response.size_with_modes)
        back, of_modes = response.part(both)
        of_states = _times(self.tap_change.mH, of_modes)
        return response.transpose(back + space.tap_state.transpose(of_states, response.size))


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """(batch, n, n) complex times (batch, 2 n), real parts first."""
    product = (matrix @ torch.complex(*vector.chunk(2, dim=-1))[..., None])[..., 0]
    return torch.cat((product.real, product.imag), dim=-1)

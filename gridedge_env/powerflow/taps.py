"""Regulator taps that differ between scenarios, without a new factor of the network.

Let a coil's turns ratio move from 1/a0 to 1/a, e = 1/a - 1/a0. With D the per-unit voltage
differences between the coils of one phase and y their leakage admittance, the phase's admittance
D^T y D changes by

    e m w_t + c e t^T,      m = D0^T y q,      c = q^T y D w

for coil voltages w, tapped coil t, and q the column of D that the tap scales. The tap change is
therefore two injections, its *modes*: -e w_t along m (a voltage in series with the coil) and -e c
at the tapped coil (a current across it); the magnetising branch of winding 2 adds to c. Both are of
ordinary size, where the admittance change itself, 1e4 times that of the lines, would drown single
precision. With E = diag(e) and G the response of x = (w_t, c) to the modes j = -E x of all coils,

    x = (I + G E)^-1 x0(i)

for any device currents i: a small system for every scenario, exact for any change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridedge_env.feeder import Feeder, Network
from gridedge_env.feeder.elements import (
    coil_difference,
    coil_ends,
    coil_incidence,
    coil_leakage,
    coil_magnetising,
    coil_power,
    rated_coil_voltage,
    transformer_element,
)
from gridedge_env.feeder.records import Regulator, Transformer
from gridedge_env.powerflow.factor import Factor


@dataclass(frozen=True)
class TappedCoils:
    """The coils of a feeder that a regulator taps, k of them.

    Attributes:
        regulator: (k,) index of the regulator of each.
        modes: (nodes, 2 k) complex, where the modes inject: A per V, then A per A.
        states: (2 k, nodes) complex, the rows of x on the node voltages.
        own: (k,) complex S, what c gains from w_t by the tap change itself.
        through: (branch phases, 2 k) what the modes add to the currents of their own transformers.
    """

    regulator: NDArray[np.int64]
    modes: NDArray[np.complex128]
    states: NDArray[np.complex128]
    own: NDArray[np.complex128]
    through: NDArray[np.complex128]


def tapped_coils(feeder: Feeder, network: Network) -> TappedCoils:
    """Find the tapped coils and their modes at the feeder's own tap positions."""
    transformers = {transformer.name: transformer for transformer in feeder.transformers}
    node_index = {name: k for k, name in enumerate(network.node_names)}
    taps = {(r.transformer, r.winding): r.tap for r in feeder.regulators}
    owner, series, across, current, own = [], [], [], [], []
    for k, regulator in enumerate(feeder.regulators):
        transformer = transformers[regulator.transformer]
        mode, state, share = _one_phase(transformer, regulator, taps)
        used = sorted(
            {f"{w.bus}.{p}" for w in transformer.windings for p in (*w.phases, w.neutral)}
        )
        nodes = [node for node in used if node in node_index]
        incidence = np.zeros((transformer.phases, len(transformer.windings), len(node_index)))
        incidence[..., [node_index[n] for n in nodes]] = coil_incidence(transformer, nodes)
        for coils in incidence:
            owner.append(k)
            series.append(mode @ coils)
            across.append(coils[regulator.winding - 1])
            current.append(state @ coils)
            own.append(share)
    shape = (len(owner), len(node_index))
    modes = np.concatenate((np.reshape(series, shape), np.reshape(across, shape))).T
    own_transformer = [f"transformer.{feeder.regulators[k].transformer}" for k in owner] * 2
    element = [name.rpartition(".")[0] for name in network.branch_names]
    inside = np.array(element)[:, None] == np.array(own_transformer)[None, :]
    return TappedCoils(
        np.array(owner, dtype=np.int64),
        modes.astype(complex),
        np.concatenate((np.reshape(across, shape), np.reshape(current, shape))).astype(complex),
        np.array(own, dtype=complex),
        np.where(inside, -modes[network.branch_terminals[:, 0]], 0.0),
    )


def _one_phase(
    transformer: Transformer, regulator: Regulator, taps: dict[tuple[str, int], float]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], complex]:
    """(windings,) m, (windings,) the row of c on w, and what c gains per e w_t."""
    tapped = regulator.winding - 1
    ratio = [
        taps.get((transformer.name, number), winding.tap)
        for number, winding in enumerate(transformer.windings, start=1)
    ]
    rated = rated_coil_voltage(transformer)
    leakage = coil_power(transformer) * coil_leakage(transformer)
    column = coil_difference(rated)[:, tapped]
    mode = coil_difference(rated * ratio).T @ leakage @ column
    state, own = mode.copy(), column @ leakage @ column
    if tapped == 1:  # the magnetising branch lies there: y (1/a² - 1/a0²) = y e (2/a0 + e)
        magnetising = coil_power(transformer) * coil_magnetising(transformer) / rated[1] ** 2
        state[1] += 2.0 / ratio[1] * magnetising
        own += magnetising
    return mode, state, complex(own)


def control_rows(
    feeder: Feeder, network: Network, coils: TappedCoils
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """What each regulator's control sees: (regulators, nodes) of V and (regulators, 2 k) of modes.

    That is the voltage of the tapped winding's first coil on its potential transformer's secondary,
    plus the line-drop compensator's r + jx times the current into the winding over the current
    transformer's primary rating (minus that of the current towards the loads), as in OpenDSS.
    """
    transformers = {transformer.name: transformer for transformer in feeder.transformers}
    node_index = {name: k for k, name in enumerate(network.node_names)}
    taps = {(r.transformer, r.winding): r.tap for r in feeder.regulators}
    rows = np.zeros((len(feeder.regulators), len(node_index)), dtype=complex)
    through = np.zeros((len(feeder.regulators), coils.modes.shape[1]), dtype=complex)
    for k, regulator in enumerate(feeder.regulators):
        transformer = transformers[regulator.transformer]
        winding = transformer.windings[regulator.winding - 1]
        start, end = coil_ends(transformer, regulator.winding - 1)[0]
        terminal = f"{winding.bus}.{start or end}"
        for phase, sign in ((start, 1.0), (end, -1.0)):
            if phase:
                rows[k, node_index[f"{winding.bus}.{phase}"]] += sign / regulator.pt_ratio
        element = transformer_element(
            transformer,
            [taps.get((transformer.name, n), w.tap) for n, w in enumerate(transformer.windings, 1)],
        )
        compensator = complex(regulator.r, regulator.x) / regulator.ct_primary
        into = element.admittance[element.nodes.index(terminal)]
        rows[k, [node_index[node] for node in element.nodes]] += compensator * into
        own = [feeder.regulators[r].transformer == regulator.transformer for r in coils.regulator]
        through[k] = np.where(own * 2, -compensator * coils.modes[node_index[terminal]], 0.0)
    return rows, through


@dataclass(frozen=True)
class TapSpace:
    """How the network answers to moved taps.

    Attributes:
        regulator: (k,) index of the regulator of each tapped coil.
        inverse_tap: (k,) 1 / a0.
        step: (k,) tap per position.
        feedback: (2 k, 2 k) complex128, G.
    """

    regulator: Tensor
    inverse_tap: Tensor
    step: Tensor
    feedback: Tensor

    @staticmethod
    def of(
        feeder: Feeder, coils: TappedCoils, response: NDArray[np.complex128], device: torch.device
    ) -> TapSpace:
        """From `response` (nodes, 2 k): the node voltages that each mode causes."""
        count = len(coils.own)
        feedback = coils.states @ response
        feedback[count:, :count] -= np.diag(coils.own)
        regulators = [feeder.regulators[k] for k in coils.regulator]
        where: dict[str, Any] = {"dtype": torch.float64, "device": device}
        return TapSpace(
            torch.tensor(coils.regulator, dtype=torch.long, device=device),
            torch.tensor([1.0 / regulator.tap for regulator in regulators], **where),
            torch.tensor([regulator.tap_step for regulator in regulators], **where),
            torch.tensor(feedback, dtype=torch.complex128, device=device),
        )

    def change(self, tap_position: Tensor) -> Tensor:
        """Modes from undisturbed states, j = H x0: (batch, 2 k, 2 k) complex128.

        Args:
            tap_position: (batch, regulators); need not be whole numbers.
        """
        tap = 1.0 + self.step * tap_position.to(torch.float64)[:, self.regulator]
        moved = (1.0 / tap - self.inverse_tap).repeat(1, 2)
        unit = torch.eye(len(self.feedback), dtype=torch.complex128, device=tap.device)
        inverse = torch.linalg.inv_ex(unit + self.feedback * moved[:, None, :])[0]
        return -moved[:, :, None] * inverse


def mode_response(factor: Factor, coils: TappedCoils) -> NDArray[np.complex128]:
    """(nodes, 2 k) V: the node voltages that each mode causes."""
    if not len(coils.own):
        return np.zeros((coils.modes.shape[0], 0), dtype=complex)
    return factor.solve_exactly(coils.modes)

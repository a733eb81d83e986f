"""Linear programs of devices: the record, what meters bill, and the building blocks of matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from torch import Tensor


@dataclass(frozen=True)
class LinearProgram:
    """Minimise cost @ x + constant over lowest <= x <= highest where equality @ x = target.

    Attributes:
        cost: (variables,) € per unit.
        constant: €.
        lowest: (variables,).
        highest: (variables,).
        equality: (rows, variables).
        target: (rows,).
        output: (steps x devices, variables), from the variables to the kW that each device draws.
    """

    cost: np.ndarray
    constant: float
    lowest: np.ndarray
    highest: np.ndarray
    equality: sparse.csr_array
    target: np.ndarray
    output: sparse.csr_array


@dataclass(frozen=True)
class Meters:
    """What the homes with one kind of device draw without it, and what it is billed at.

    Attributes:
        hours: length of a step.
        demand: (steps, devices) kW.
        imported: (steps, 1) €/kWh.
        exported: (steps, 1) €/kWh, nowhere more.
    """

    hours: float
    demand: np.ndarray
    imported: np.ndarray
    exported: np.ndarray

    @property
    def bill(self) -> float:
        """€ for the demand alone."""
        price = np.where(self.demand >= 0.0, self.imported, self.exported)
        return float(self.hours * (price * self.demand).sum())


def step_before(shape: tuple[int, ...]) -> sparse.csr_array:
    """From the values of all steps to those of the steps before, 0 before the first."""
    return sparse.eye_array(shape[0] * shape[1], k=-shape[1], format="csr")


def diagonal(values: Tensor, shape: tuple[int, ...]) -> sparse.csr_array:
    """Multiplies every step's values, (steps x devices), by (devices,) or (steps, devices)."""
    return sparse.diags_array(np.broadcast_to(values.numpy(), shape).ravel(), format="csr")


def flat(*blocks: np.ndarray) -> np.ndarray:
    """Blocks of (steps, devices) as one vector of variables."""
    return np.concatenate([block.ravel() for block in blocks])


def store_program(
    meters: Meters,
    charge: Tensor,
    discharge: Tensor,
    efficiencies: tuple[Tensor, Tensor],
    wear: Tensor,
    bounds: tuple[Tensor, Tensor],
    midnight: Tensor,
) -> LinearProgram:
    """Stores of energy. Variables: kW drawn, delivered at the import and at the export price; kWh.

    They may charge and discharge in the same step. That pays only where drawing a kilowatt-hour
    earns more than the wear of what comes back over what is lost on the way, 0.15 to 0.6 €.

    Args:
        meters: what else is billed.
        charge: (devices,) or (steps, devices) kW at the meter at most.
        discharge: likewise.
        efficiencies: (devices,) kWh stored per kWh drawn, and delivered per kWh taken out.
        wear: (devices,) € per kWh delivered.
        bounds: (steps, devices) kWh stored after each step, least and most.
        midnight: (devices,) kWh before the first.
    """
    hours, shape, size = meters.hours, meters.demand.shape, meters.demand.size
    draw, feed = (np.broadcast_to(full.numpy(), shape) for full in (charge, discharge))
    none = np.zeros(shape)
    one_price = (meters.imported == meters.exported).all()
    home = feed if one_price else np.minimum(feed, meters.demand)
    into, out_of = efficiencies
    charged, discharged = diagonal(hours * into, shape), diagonal(hours / out_of, shape)
    least, most = (bound.numpy() for bound in bounds)
    first = none.copy()
    first[0] = midnight.numpy()
    one = sparse.eye_array(size)
    return LinearProgram(
        flat(
            hours * meters.imported + none,
            hours * (wear.numpy() - meters.imported),
            hours * (wear.numpy() - meters.exported),
            none,
        ),
        meters.bill,
        flat(none, none, none, least),
        flat(draw, home, none if one_price else feed, most),
        sparse.hstack((-charged, discharged, discharged, one - step_before(shape)), "csr"),
        first.ravel(),
        sparse.hstack((one, -one, -one, sparse.csr_array((size, size))), "csr"),
    )

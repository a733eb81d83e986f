"""Devices that are much alike, in classes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gridedge_env.devices.fleet import DeviceGroup
from gridedge_gateway.program import Array


@dataclass(frozen=True)
class Classes:
    """The classes of a kind's devices.

    Attributes:
        parameters: the kind's record: means of each class, (classes,), in double precision.
        power: (devices,) kW of full power of each device.
        member: (devices,) the class that each is in.
        below: (devices,) the class whose mean is next below a device's own place in their order.
        above: likewise, above.
        between: (devices,) how far it is from the one to the other, 0 to 1.
    """

    parameters: Any
    power: Array
    member: NDArray[np.int64]
    below: NDArray[np.int64]
    above: NDArray[np.int64]
    between: Array

    def __len__(self) -> int:
        return int(self.member.max()) + 1


def classes_of(group: DeviceGroup, most: int) -> Classes:
    """So many classes of equal numbers of devices at most, in the order of the kind's plans."""
    own = group.parameters.to("cpu", torch.float64)
    order = group.kind.plan_order(own).numpy()
    power = group.kind.full_power(own).numpy()
    values = np.unique(order)
    if len(values) <= most:  # a few kinds of their own
        member = np.searchsorted(values, order)
    else:
        rank = np.argsort(np.argsort(order, kind="stable"), kind="stable")
        member = rank * most // len(order)
    count = int(member.max()) + 1
    total = np.bincount(member, power, count)

    def mean(of: Array) -> Array:
        return np.bincount(member, power * of, count) / total

    means = {f.name: torch.from_numpy(mean(getattr(own, f.name).numpy())) for f in fields(own)}
    place = np.interp(order, mean(order), np.arange(count))
    below = np.floor(place).astype(np.int64)
    return Classes(
        type(own)(**means),
        power,
        member,
        below,
        np.minimum(below + 1, count - 1),
        place - below,
    )

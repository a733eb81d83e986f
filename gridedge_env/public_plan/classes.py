"""Devices that are much alike, in classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gridedge_env.devices.fleet import DeviceGroup, Fleet
from gridedge_gateway.alternating import Array


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


@dataclass(frozen=True)
class AtHome:
    """What devices find at home.

    Those that feed in at rest come first, as the sun costs nothing; the others share what is left
    of the home's demand, or of what it feeds in, in proportion to their full power.

    Attributes:
        homes_per_kw: (classes,) homes that a kW of full power has for itself.
        beside: (classes, classes) kW of the second that feed in at rest beside a kW of the first.
        relative: of each kind, (devices,) homes per kW over those of the class; None: no classes.
    """

    homes_per_kw: Array
    beside: Array
    relative: tuple[Array | None, ...]

    @classmethod
    def of(cls, fleet: Fleet, classes: Sequence[Classes | None]) -> AtHome:
        """Devices of each kind in their classes; None: they count for nothing."""
        agents = len(fleet.names)
        owners = [group.agent.cpu().numpy() for group in fleet.groups]
        owned, rests = [np.zeros((0, agents))], list[bool]()
        for group, owner, own in zip(fleet.groups, owners, classes, strict=True):
            if own is not None:
                kw = np.zeros((len(own), agents))
                np.add.at(kw, (own.member, owner), own.power)
                owned.append(kw)
                rests += len(own) * [group.kind.feeds_at_rest]
        kw, first = np.concatenate(owned), np.array(rests, dtype=bool)[:, None]
        alike = np.where(first, (kw * first).sum(axis=0), (kw * ~first).sum(axis=0))
        share, total = kw / np.maximum(alike, 1e-300), kw.sum(axis=1)
        homes_per_kw = share.sum(axis=1) / total
        beside = ~first * (share @ (kw * first).T) / total[:, None]
        relative, begin = list[Array | None](), 0
        for owner, own in zip(owners, classes, strict=True):
            if own is None:
                relative.append(None)
                continue
            member = begin + own.member
            relative.append(1.0 / (alike[member, owner] * homes_per_kw[member]))
            begin += len(own)
        return cls(homes_per_kw, beside, tuple(relative))

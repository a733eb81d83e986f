"""What devices could do on days as forecast: what a plan for the whole fleet is made of."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gridedge_env.clock import Clock

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Outlook:
    """What is public of episodes before they begin; (batch, steps, 1) each, in double precision.

    Attributes:
        clock: of the episodes.
        import_price: €/kWh.
        export_price: €/kWh.
        outdoor_temperature: °C.
        irradiance: W/m².
        direct_irradiance: (days, steps, 3) W/m² from the east, the north and above; None: unknown.
    """

    clock: Clock
    import_price: Tensor
    export_price: Tensor
    outdoor_temperature: Tensor
    irradiance: Tensor
    direct_irradiance: Tensor | None = None

    @property
    def hours(self) -> float:
        """Length of a step."""
        return self.clock.hours


@dataclass(frozen=True)
class Flexibility:
    """What classes of devices can do, per kW of full power.

    A class that draws u and feeds v fills its store by rise · u and empties it by fall · v. All
    arrays but the last three are (classes, days, steps), days or steps 1 where all are alike. A
    store's unit is the kind's own.

    Attributes:
        draw: most that can be drawn, as a share of full power.
        feed: most that can be fed in, likewise.
        draw_cost: €/kWh drawn, the price included.
        feed_cost: €/kWh fed in, less what it earns.
        rise: by how much a step of full draw fills the store.
        fall: by how much a step of full feed empties it.
        lowest: least in the store after each step, less what would be there without draw and feed;
            -inf in classes without a store.
        highest: most, likewise.
        kept: (classes,) share of the store's deviation that is there a step later.
        steepness: (classes,) €/kWh by which the cost rises from the first kW to the last.
        worth: (classes, days) € per unit that is in the store at the end.
    """

    draw: Array
    feed: Array
    draw_cost: Array
    feed_cost: Array
    rise: Array
    fall: Array
    lowest: Array
    highest: Array
    kept: Array
    steepness: Array
    worth: Array

    @classmethod
    def without_store(cls, feed: Array, feed_cost: Array, steepness: Array) -> Flexibility:
        """Of devices that only feed in; shapes as of the fields, days in `feed_cost`."""
        classes, days = feed_cost.shape[:2]
        one = np.ones((classes, 1, 1))
        endless = np.full((classes, 1, 1), np.inf)
        return cls(
            draw=0.0 * one,
            feed=feed,
            draw_cost=0.0 * one,
            feed_cost=feed_cost,
            rise=one,
            fall=one,
            lowest=-endless,
            highest=endless,
            kept=np.ones(classes),
            steepness=steepness,
            worth=np.zeros((classes, days)),
        )


def joined(parts: list[Flexibility], days: int, steps: int, spread: float) -> Flexibility:
    """Of several kinds, one after the other, each steeper by `spread` €/kWh."""

    def joint(name: str) -> Array:
        arrays = [getattr(part, name) for part in parts]
        if arrays[0].ndim == 1:
            return np.concatenate(arrays)
        # What is the same on all days need be looked at but once.
        alike = name in ("rise", "fall") and all(array.shape[1] == 1 for array in arrays)
        shape = (1 if alike else days, steps)[: arrays[0].ndim - 1]
        return np.concatenate([np.broadcast_to(x, (len(x), *shape)) for x in arrays])

    found = {entry.name: joint(entry.name) for entry in fields(Flexibility)}
    return Flexibility(**{**found, "steepness": found["steepness"] + spread})


def by_class(values: Tensor) -> Array:
    """From (days, steps, classes) to (classes, days, steps)."""
    return np.ascontiguousarray(values.permute(2, 0, 1).numpy())

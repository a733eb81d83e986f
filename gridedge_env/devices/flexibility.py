"""What devices could do on days as forecast: what a plan for the whole fleet is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_gateway.alternating import Array
from gridedge_gateway.program import Flexibility


@dataclass(frozen=True)
class Outlook:
    """What is public of episodes before they begin; (batch, steps, 1) each, in double precision.

    Attributes:
        clock: of the episodes.
        import_price: €/kWh.
        export_price: €/kWh, nowhere more.
        surcharge: €/kWh by which the import price is above it.
        outdoor_temperature: °C.
        irradiance: W/m².
        direct_irradiance: (days, steps, 3) W/m² from the east, the north and above; None: unknown.
    """

    clock: Clock
    import_price: Tensor
    export_price: Tensor
    surcharge: Tensor
    outdoor_temperature: Tensor
    irradiance: Tensor
    direct_irradiance: Tensor | None = None

    @property
    def hours(self) -> float:
        """Length of a step."""
        return self.clock.hours


@dataclass(frozen=True)
class Earnings:
    """What is earned by what devices feed in, at their homes' meters; (batch, devices) each.

    Attributes:
        exported: €/kWh, the price of congestion included.
        surcharge: €/kWh more for what the home itself takes.
        least: what the rest of the home draws at least, over the device's full power.
        most: likewise, at most; anything in between is as likely.
        relative: both, over those of the devices' classes; (devices,).
    """

    exported: Tensor
    surcharge: Tensor
    least: Tensor
    most: Tensor
    relative: Tensor

    def worthwhile(self, linear: Tensor, steepness: Tensor) -> Tensor:
        """Share of full power at which the last kWh costs what it earns, whatever is possible.

        Args:
            linear: €/kWh that the first one costs.
            steepness: €/kWh that the last one costs more.
        """
        alone = (self.exported - linear) / steepness
        steep = steepness * (self.most - self.least) + self.surcharge
        pull = self.surcharge / steep.clamp(min=1e-9)
        return alone + torch.minimum(
            torch.relu(self.most - alone) * pull, self.surcharge / steepness
        )


def without_store(feed: Tensor, feed_cost: Tensor, steepness: Tensor) -> Flexibility[Tensor]:
    """Of devices that only feed in; shapes as of the fields, days in `feed_cost`."""
    classes, days = feed_cost.shape[:2]
    one = feed_cost.new_ones(classes, 1, 1)
    endless = torch.full_like(one, torch.inf)
    return Flexibility(
        draw=0.0 * one,
        feed=feed,
        draw_cost=0.0 * one,
        feed_cost=feed_cost,
        rise=one,
        fall=one,
        lowest=-endless,
        highest=endless,
        kept=one[:, 0, 0],
        steepness=steepness,
        worth=feed_cost.new_zeros(classes, days),
    )


def joined(
    parts: Sequence[Flexibility[Tensor]], days: int, steps: int, spread: float
) -> Flexibility[Tensor]:
    """Of several kinds, one after the other, each steeper by `spread` €/kWh."""

    def joint(name: str) -> Tensor:
        tensors = [getattr(part, name) for part in parts]
        if tensors[0].ndim == 1:
            return torch.cat(tensors)
        # What is the same on all days need be looked at but once.
        alike = name in ("rise", "fall") and all(tensor.shape[1] == 1 for tensor in tensors)
        shape = (1 if alike else days, steps)[: tensors[0].ndim - 1]
        return torch.cat([x.expand(len(x), *shape) for x in tensors])

    found = {entry.name: joint(entry.name) for entry in fields(Flexibility)}
    return Flexibility(**{**found, "steepness": found["steepness"] + spread})


def in_arrays(flexibility: Flexibility[Tensor]) -> Flexibility[Array]:
    """The same for NumPy."""
    return Flexibility(**{name: values.numpy() for name, values in vars(flexibility).items()})


def by_class(values: Tensor) -> Tensor:
    """From (days, steps, classes) to (classes, days, steps)."""
    return values.permute(2, 0, 1)

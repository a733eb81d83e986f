"""What all gateways of a run work out alike, as functions of named tensors.

    day           prices and forecasts -> what all customers observe, of every step

And where policies correct the public plan, before and after its program is solved:

    flexibility   the same             -> what the fleet could do
    told          that, and the plan   -> what homes are told of it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradmap_trainer.export.tracing import Named, named, read
from gridedge_env.case import Case
from gridedge_env.devices.flexibility import Outlook, in_arrays
from gridedge_env.observation import ObservationField, shared_observations
from gridedge_env.public_plan import PublicPlan
from gridedge_env.public_plan.plan import outlook_of
from gridedge_env.scenarios import DayTable
from gridedge_env.simulator import Simulator
from gridedge_gateway.program import FleetPlan, Flexibility

# Before the names of what a plan is, and of what homes are told of it.
FLEET, PLAN = "fleet.", "plan."


@dataclass(frozen=True)
class Everybody:
    """The customers of a case.

    Attributes:
        case: theirs.
        fields: of an observation, those that all see alike.
        plan: the public plan; None: there is none.
    """

    case: Case
    fields: tuple[ObservationField, ...]
    plan: PublicPlan | None

    @classmethod
    def of(cls, simulator: Simulator) -> Everybody:
        """Those of a simulator."""
        fields = tuple(entry for entry in simulator.observation_fields if not entry.private)
        return cls(simulator.case, fields, simulator.public_plan)

    def day(self, values: Named) -> Named:
        """What can be read of an episode's days.

        Args:
            values: of `news`.

        Returns:
            shared: (1, steps, shared fields); import_price, export_price: (1, steps).
        """
        tariff, clock, days = self.case.tariff, self.case.clock, _days(values)
        return {
            "shared": shared_observations(self.fields, days, tariff, clock),
            "import_price": tariff.import_price(days, clock.day).reshape(1, clock.steps),
            "export_price": tariff.export_price(days, clock.day).reshape(1, clock.steps),
        }

    def flexibility(self, values: Named) -> Named:
        """The fields of `Flexibility`, of all classes, and the surcharge, as forecast.

        Args:
            values: of `news`.
        """
        outlook = self._outlook(values)
        return vars(self._plan.flexibility(outlook)) | {"surcharge": outlook.surcharge[..., 0]}

    def told(self, values: Named) -> Named:
        """The fields of `Planned`, after "plan.".

        Args:
            values: of `news`, and the fields of `FleetPlan`, after "fleet.".
        """
        plan = read(FleetPlan, FLEET, values)
        return named(self._plan.told(self._outlook(values), **vars(plan)), PLAN)

    def graphs(self) -> dict[str, Callable[[Named], Named]]:
        """The functions that there are, by name."""
        planning = {} if self.plan is None else {"flexibility": self.flexibility, "told": self.told}
        return {"day": self.day, **planning}

    def known(self, days: DayTable) -> dict[str, Tensor]:
        """All that is known when an episode begins: `news` of its days, and what follows."""
        known = self.news(days)
        known |= self.day(known)
        if self.plan is not None:
            able = dict(self.flexibility(known))
            surcharge, flexibility = able.pop("surcharge").numpy(), in_arrays(Flexibility(**able))
            month, weekend = days.month.numpy(), days.weekend.numpy().astype(int)
            plan = named(self.plan.program.plan(flexibility, surcharge, month, weekend), FLEET)
            known |= {name: torch.from_numpy(values) for name, values in plan.items()}
            known |= self.told(known)
        return known

    def news(self, days: DayTable) -> dict[str, Tensor]:
        """What is published of an episode's days.

        Returns:
            (days, steps of a day) each: day_ahead_price, before tax, which counts up to the step
            that begins, price_forecast, which counts after it, temperature_forecast,
            irradiance_forecast; direct_irradiance_forecast: (days, steps, 3), 0 if it is not known.
            month, from 0, and weekend, bool: (days,).
        """
        ahead, sun = days.as_forecast, days.direct_irradiance
        return {
            "day_ahead_price": days.day_ahead_price,
            "price_forecast": ahead.day_ahead_price,
            "temperature_forecast": ahead.outdoor_temperature,
            "irradiance_forecast": days.irradiance,
            "direct_irradiance_forecast": (
                days.irradiance[..., None] * days.irradiance.new_zeros(3) if sun is None else sun
            ),
            "month": days.month,
            "weekend": days.weekend,
        }

    @property
    def _plan(self) -> PublicPlan:
        if self.plan is None:
            raise ValueError("public_plan: got None, expected one that policies correct")
        return self.plan

    def _outlook(self, values: Named) -> Outlook:
        return outlook_of(_days(values).as_forecast, self.case.tariff, self.case.clock)


def _days(values: Named) -> DayTable:
    """Days as published: of their weather there are forecasts alone."""
    return DayTable(
        (),
        torch.zeros_like(values["weekend"], dtype=torch.long),
        values["weekend"],
        values["temperature_forecast"],
        values["irradiance_forecast"],
        values["day_ahead_price"],
        values["direct_irradiance_forecast"],
        values["price_forecast"],
        values["temperature_forecast"],
    )


def days_of(simulator: Simulator, split: str, first: int) -> DayTable:
    """The days of the episode that begins at a row of `simulator.days(split)`."""
    rows = torch.arange(first, first + simulator.clock.days, dtype=torch.long, device="cpu")
    return simulator.days(split).select(rows)

"""J, which training makes small: what days cost, and what their violations are priced at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gridedge_env.constraints import Limits
from gridedge_env.day import Day

# €/kWh: the standard deviation of retail prices within a usual day, and the least share of it that
# a day counts with.
USUAL_PRICE_SPREAD, LEAST_SHARE = 0.04, 0.5


@dataclass(frozen=True)
class Objective:
    """J: cost and priced violations.

    Attributes:
        limits: the tightened ones, of which violations are counted.
        duals: multipliers by kind of limit, (steps, places) each.
        quadratic_penalty: q.
        days: of which J is the mean, other workers' among them.
    """

    limits: Limits
    duals: Mapping[str, Tensor]
    quadratic_penalty: float
    days: int

    def of_days(self, day: Day, cost: Tensor, violations: Mapping[str, Tensor]) -> Tensor:
        """(batch,) € at usual prices.

        Args:
            day: the days.
            cost: (steps, batch, agents) €.
            violations: (steps, batch, places) by kind of limit.
        """
        objective = sum_of_days(cost) / price_spread(day)
        for kind, x in violations.items():
            price = self.duals[kind][:, None, :] + 0.5 * self.quadratic_penalty * x
            objective = objective + sum_of_days(price * x)
        return objective


def sum_of_days(values: Tensor) -> Tensor:
    """(days,) from (steps, days, ...); its rounding does not depend on how many days there are."""
    return values.transpose(0, 1).flatten(1).sum(dim=1)


def price_spread(day: Day) -> Tensor:
    """(batch,) spread of the days' prices, of a usual one's."""
    deviation = day.import_price.std(dim=1, correction=0)
    return (deviation / USUAL_PRICE_SPREAD).clamp(min=LEAST_SHARE)

"""Is it capacity that is missing? Training on ten fixed days alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.learning.study import Study, header, trained
from benchmarks.records import Measurement, Table
from gridedge_env.clock import Clock
from gridedge_env.evaluation import evaluation_days
from gridedge_env.scenarios import DaySource, DayTable
from gridedge_env.simulator import Simulator, make_simulator

DAYS = 10


def few_days(study: Study) -> Measurement:
    """Train on ten days, as observed, and on the whole year; judge on these and on days between."""
    spread = evaluation_days(study.simulator, "train", 2 * DAYS)
    learned, between = (study.exam("train", days) for days in (spread[::2], spread[1::2]))
    few = with_days(study.simulator, spread[::2])
    as_observed = replace(
        study.config,
        batch_days=DAYS,
        price_variation=0.0,
        temperature_variation=0.0,
        demand_variation=0.0,
    )
    policies = {
        f"these {DAYS} days, as observed": trained(as_observed, few),
        "all days of the year, varied": trained(study.config, study.simulator),
    }
    rows = tuple(
        (name, days, *exam.cells(policy))
        for name, policy in policies.items()
        for days, exam in ((f"the {DAYS} days", learned), (f"{DAYS} days between", between))
    )
    return Measurement(
        "few_days",
        "Can such networks, multipliers and simultaneous moves fit days at all?",
        (Table("", ("learned from", "judged on", *header(study.simulator.case.limits)), rows),),
    )


@dataclass(frozen=True)
class FewDays:
    """A `DaySource` whose training year is cut down to some days.

    Attributes:
        source: of all days.
        few: the days that are left.
    """

    source: DaySource
    few: DayTable

    def load(self, split: str, clock: Clock) -> DayTable:
        """See `DaySource`."""
        return self.few if split == "train" else self.source.load(split, clock)


def with_days(simulator: Simulator, rows: list[int]) -> Simulator:
    """The same case with some days for a training year; the public plan knows what it knew."""
    case = simulator.case
    table = case.days.load("train", case.clock.day)
    days = replace(table.take(rows), dates=tuple(table.dates[row] for row in rows))
    few = make_simulator(case=replace(case, days=FewDays(case.days, days)))
    few.public_plan = simulator.public_plan
    return few

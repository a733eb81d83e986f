"""Whether gateways do what the files say, and observe what policies were trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from gradmap_trainer.monitor import figures
from gradmap_trainer.monitor.findings import LEAST_SPREAD, MOST_DRIFT, Findings
from gradmap_trainer.monitor.fleet import MonitoredFleet
from gradmap_trainer.monitor.tables import customers_table, number, or_zero
from gradmap_trainer.monitor.trained import SEASON
from gradmap_trainer.report import page
from gradmap_trainer.report.figures import svg
from gradmap_trainer.report.words import percent

# Of the fields of an observation, those most adrift.
MOST_FIELDS = 12


def parity(fleet: MonitoredFleet) -> list[str]:
    """Whether gateways did what the files say."""
    found = fleet.findings
    return [
        page.paragraph(
            "The logged readings are played through the customer's file again. Compared are steps "
            "in which both follow the policy: the difference of any set-point, in kW or kvar over "
            "the device's full power. A step is missing where the log has a row before it and one "
            "after it, but none of its own; rows of a step that is there already are left out. "
            "A day can be compared if the log has its prices from beginning to end. "
            "A log has of each series the value that held as a step began: where forecasts "
            "were revised within a day, the gateway knew more, and single steps may differ."
        ),
        customers_table(
            [
                "customer",
                "days",
                "steps",
                "missing",
                "repeated",
                "by the policy",
                "compared",
                "largest difference, of full power",
                "differ",
            ],
            sorted(found, key=lambda one: (-or_zero(one.apart_share), -one.missing)),
            _parity_row,
        ),
        *_reasons_table(found),
    ]


def _parity_row(one: Findings) -> list[str]:
    return [
        *(
            page.number(value, f"{value:,}", bad=bad)
            for value, bad in (
                (one.days, False),
                (one.steps, False),
                (one.missing, one.missing > 0),
                (one.repeated, False),
            )
        ),
        number(one.follows_policy, percent),
        page.number(one.compared, f"{one.compared:,}"),
        number(one.apart, percent),
        number(one.apart_share, percent, bad=not one.keeps_parity),
    ]


def _reasons_table(found: Iterable[Findings]) -> list[str]:
    every, fallback, homes = Counter[str](), Counter[str](), Counter[str]()
    for one in found:
        every += one.reasons
        fallback += one.reasons_of_fallback
        homes += Counter(one.reasons.keys())
    if not every:
        return [page.paragraph("Nothing was ever missing or wrong.")]
    return [
        page.paragraph("What was missing or wrong, as gateways said:"),
        page.table(
            ["what", "customers", "steps", "of these by the fallback"],
            [
                page.row(
                    name,
                    [
                        page.number(value, f"{value:,}")
                        for value in (homes[name], count, fallback[name])
                    ],
                )
                for name, count in every.most_common()
            ],
        ),
    ]


def drift(fleet: MonitoredFleet) -> list[str]:
    """Whether what gateways observe is what policies were trained on."""
    trained, fields = fleet.trained, fleet.simulator.observation_fields
    known = [one for one in fleet.findings if np.isfinite(one.drift).all()]
    which = (
        f"of the same time of the year, within {SEASON} days of a logged one's date"
        if trained.of_the_season
        else "of the whole year: it has hardly any of the time of the logged ones"
    )
    about = page.paragraph(
        "For each field of an observation: the mean, over the steps that were compared, of what "
        "the gateway observed less the mean in training of the same field, customer and step of "
        "the day. It is told in standard deviations of the field's daily mean in training, from "
        f"day to day, or in {LEAST_SPREAD:g} of the field's scale, if that is more. Beyond "
        f"±{MOST_DRIFT:g} a field has drifted. Training is {trained.days:,} days of the run's, "
        f"{which}, played by its own policies on the simulator."
    )
    if not known:
        return [about, page.paragraph("No log has steps that could be compared.")]
    drifts = np.array([one.drift for one in known])
    order = np.argsort(-np.abs(drifts).max(axis=0), kind="stable")[:MOST_FIELDS]
    return [
        about,
        page.figure(
            "The fields most adrift",
            "For each field, from the customer with the lowest drift to the one with the highest "
            "(pale), the middle half of the customers (dark) and the median (line). Dashed: the "
            "threshold.",
            "fields all of whose customers have moved, such as prices: those of training are no "
            "longer today's. Where one customer has moved, look at its home.",
            [
                (
                    "drift by field",
                    svg(
                        figures.drift_by_field(
                            {fields[field].name: drifts[:, field] for field in order}, MOST_DRIFT
                        )
                    ),
                )
            ],
        ),
        page.table(
            ["field", "known to", "lowest", "median", "highest", "customers adrift"],
            [
                page.row(
                    fields[field].name,
                    [
                        page.cell("the customer" if fields[field].private else "all"),
                        *(
                            page.number(float(value), f"{value:+.1f}", bad=abs(value) > MOST_DRIFT)
                            for value in np.quantile(drifts[:, field], [0.0, 0.5, 1.0])
                        ),
                        page.number(
                            int(beyond := (np.abs(drifts[:, field]) > MOST_DRIFT).sum()),
                            f"{beyond:,}",
                            bad=beyond > 0,
                        ),
                    ],
                )
                for field in order
            ],
        ),
        customers_table(
            ["customer", "days", "steps compared", "fields adrift", "most", "by"],
            sorted(known, key=lambda one: -np.abs(one.drift).max()),
            lambda one: _drift_row(one, [entry.name for entry in fields]),
        ),
    ]


def _drift_row(one: Findings, fields: list[str]) -> list[str]:
    most = int(np.abs(one.drift).argmax())
    count = len(one.most_adrift())
    return [
        page.number(one.days, f"{one.days:,}"),
        page.number(one.compared, f"{one.compared:,}"),
        page.number(count, f"{count:,}", bad=count > 0),
        page.cell(fields[most]),
        page.number(float(one.drift[most]), f"{one.drift[most]:+.1f}", bad=count > 0),
    ]

"""The section of the report on customers: who has what, moves how much, and pays how much less."""

from __future__ import annotations

import pandas as pd

from gradmap_trainer.report import figures, page
from gradmap_trainer.report.appearance import about, appearance
from gradmap_trainer.report.bills import BILLS_FILE, customer_bills
from gradmap_trainer.report.figures import svg
from gradmap_trainer.report.run import REST, EvaluatedRun
from gradmap_trainer.report.words import money, percent

# Savings within this, in money a day, are none: a tenth of a cent.
NOTHING = 1e-3
# So many of those who pay more are named; all are in the file.
MOST_NAMED = 10


def customers(run: EvaluatedRun) -> list[str]:
    """What customers pay, by the kinds of device that they have, and who pays more."""
    bills = customer_bills(run)
    groups = dict(list(bills.groupby("devices", sort=False)))
    return [
        page.paragraph(
            "What each customer pays a day, mean of the evaluated days, before and after. Before: "
            f"{appearance(REST).name.lower()}; {about(REST, run.kinds)} After: the "
            "policies trained here. The bill is that of the customer's meter, of its demand and "
            "all devices behind it, with their wear, fuel and discomfort: all bills add up to the "
            "cost of the table above."
        ),
        page.link(
            BILLS_FILE,
            f"{BILLS_FILE}: every customer's bill before and after, and what of it is electricity",
        ),
        page.table(
            [
                "customers with",
                "number",
                "kW installed",
                "kWh moved a day, each",
                "before, each",
                "after, each",
                "saving, each",
                "5 % save less than",
                "5 % save more than",
                "pay more than before",
            ],
            [_row(devices, group, run.currency) for devices, group in groups.items()],
        ),
        page.figure(
            "Who saves",
            "What each customer saves a day, by the kinds of device that it has. The taller, the "
            "more customers; the thin line runs from the lowest saving to the highest, the thick "
            "one over the middle nine tenths, and the mark is the median. Energy moved is what a "
            "meter draws more, or less, than before, step by step, whichever is more.",
            "customers left of the line: they pay more than before. A fleet may cost less and some "
            "of its customers more, who are then to be compensated.",
            [
                (
                    "saving of each customer by its devices",
                    svg(
                        figures.savings(
                            {name: g["saving"].to_numpy() for name, g in groups.items()},
                            run.currency,
                        )
                    ),
                )
            ],
        ),
        *_worse_off(bills, run.currency),
    ]


def _row(devices: str, group: pd.DataFrame, currency: str) -> str:
    means = group.mean(numeric_only=True)
    low, high = group["saving"].quantile([0.05, 0.95])
    worse = int((group["saving"] < -NOTHING).sum())
    return page.row(
        devices,
        [
            page.number(len(group), f"{len(group):,}"),
            page.number(group["installed_kw"].sum(), f"{group['installed_kw'].sum():,.0f}"),
            page.number(means["moved_kwh"], f"{means['moved_kwh']:.1f}"),
            *(
                page.number(value, money(value, currency))
                for value in (means["before"], means["after"], means["saving"], low, high)
            ),
            page.number(worse, f"{worse:,}", bad=worse > 0),
        ],
    )


def _worse_off(bills: pd.DataFrame, currency: str) -> list[str]:
    """Those who pay more, the most affected first."""
    worse = bills[bills["saving"] < -NOTHING].sort_values("saving")
    if worse.empty:
        return [page.paragraph("Nobody pays more than before.")]
    told = f"{len(worse):,} of {len(bills):,} customers ({percent(len(worse) / len(bills))})"
    named = worse.head(MOST_NAMED)
    more = "" if len(worse) == len(named) else f" The {len(named)} who lose most:"
    together = money(-worse["saving"].sum(), currency)
    return [
        page.paragraph(f"{told} pay more than before, {together} a day together.{more}"),
        page.table(
            ["customer", "place", "devices", "before", "after", "more"],
            [
                page.row(
                    row.customer,
                    [
                        page.cell(row.place),
                        page.cell(row.devices),
                        *(
                            page.number(value, money(value, currency))
                            for value in (row.before, row.after, -row.saving)
                        ),
                    ],
                )
                for row in named.itertuples()
            ],
        ),
    ]

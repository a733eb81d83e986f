"""The verdict of the monitor's page: who needs retraining, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterator

from gradmap_trainer.monitor.findings import (
    FITTING,
    MOST_APART,
    MOST_DRIFT,
    SAME_POWER,
    Findings,
)
from gradmap_trainer.monitor.fleet import MonitoredFleet
from gradmap_trainer.monitor.tables import (
    UNKNOWN,
    counted,
    mean,
    share_or_unknown,
    together,
)
from gradmap_trainer.report import page
from gradmap_trainer.report.words import money, percent


def summary(fleet: MonitoredFleet) -> Iterator[str]:
    """The verdict, in sentences."""
    found, again = fleet.findings, [one.customer for one in fleet.to_retrain]
    apart = [one.customer for one in found if not one.keeps_parity]
    unknown = [one.customer for one in found if one.compared == 0]
    days = max(one.days for one in found)
    length = "1 day" if days == 1 else f"up to {days:,} days"
    yield f"{len(found):,} of {fleet.simulator.num_agents:,} customers have logged, {length}."
    if unknown:
        yield f"Gateways none of whose steps could be compared: {counted(unknown)}."
    if apart:
        yield f"Gateways that do something else than the run's files say: {counted(apart)}."
    elif len(unknown) < len(found):
        yield f"All {'other ' * bool(unknown)}gateways do what the run's files say."
    if again:
        yield f"Policies that should be trained again: {counted(again)}."
    elif len(unknown) < len(found):
        yield "No policy needs to be trained again."
    if lost := [f"{one.customer}: {name}" for one in found for name in one.lost]:
        yield f"Devices that were often by their fallback: {counted(lost)}."
    if doubted := [one for one in found if not one.meter_follows]:
        set_points, usual = (
            mean(getattr(one, name) for one in doubted)
            for name in ("from_set_points", "from_usual")
        )
        yield (
            "The saving is in doubt. Meters that do not follow the set-points: "
            f"{counted([one.customer for one in doubted])}; they are "
            f"{set_points:,.3g} kW from usual demand and set-points together in the mean, and "
            f"{usual:,.3g} kW from usual demand alone."
        )


def headline(fleet: MonitoredFleet) -> list[str]:
    """The verdict, and key figures."""
    found, currency = fleet.findings, fleet.simulator.case.currency
    count, again = len(found), len(fleet.to_retrain)
    before, after, billed = together(found)
    doubted = sum(not one.meter_follows for one in found)
    steps = sum(findings.steps for findings in found)
    outside = [findings.low + findings.high for findings in found]
    promise = fleet.promise
    return [
        page.heading("The customers' gateways, held against the run"),
        page.paragraph(" ".join(summary(fleet)), "lead"),
        page.tiles(
            [
                (
                    money(before - after, currency) if billed else UNKNOWN,
                    "saved a day, all together",
                    f"in doubt: {doubted:,} of {billed:,} meters do not follow the set-points"
                    if doubted
                    else "the run has no evaluation to hold it against"
                    if promise is None
                    else f"promised: {money(promise.before - promise.after, currency)}",
                ),
                (
                    percent(sum(one.follows_policy * one.steps for one in found) / steps),
                    "of steps by the policy",
                    "the mean of the devices; the others by the fallback",
                ),
                (
                    share_or_unknown(mean(outside)),
                    "of steps outside the voltage limits",
                    "at the meters",
                ),
                (f"{again:,}", "policies to be trained again", f"of {count:,}"),
            ]
        ),
    ]


def retraining(fleet: MonitoredFleet) -> list[str]:
    """Who needs it, and why."""
    low, high = FITTING
    rule = page.bullets(
        [
            (
                "Drift",
                f"the mean of a field of its observation has moved by more than {MOST_DRIFT:g}.",
            ),
            (
                "Parity",
                f"more than {percent(MOST_APART)} of the set-points compared differ from the run's "
                f"by more than {percent(SAME_POWER)} of full power. Its gateway has another file, "
                "or does not log what it reads: export, install, and look again.",
            ),
            (
                "Devices",
                f"one moves by less than {percent(low)} or more than {percent(high)} of what its "
                "parameters say. Correct them in the case first.",
            ),
        ]
    )
    intro = page.paragraph("A customer's policy should be trained again for any of three reasons:")
    if not fleet.to_retrain:
        return [intro, rule, page.paragraph("There is none.")]
    names = [entry.name for entry in fleet.simulator.observation_fields]
    return [
        intro,
        rule,
        page.table(
            ["customer", "days", "reasons"],
            [
                page.row(
                    found.customer,
                    [
                        page.number(found.days, f"{found.days:,}"),
                        page.cell("; ".join(reasons(found, names))),
                    ],
                )
                for found in fleet.to_retrain
            ],
        ),
        page.paragraph(
            "gradmap-train --warm-start begins with what this run has learned, with the case as it "
            "is by then: where drift comes from prices, weather or demand, with newer days."
        ),
    ]


def reasons(found: Findings, fields: list[str]) -> list[str]:
    """Why a policy should be trained again."""
    told = []
    if adrift := found.most_adrift():
        named = [f"{fields[field]} {found.drift[field]:+.1f}" for field in adrift[:3]]
        more = f" and {len(adrift) - 3} more" if len(adrift) > 3 else ""
        told.append(f"drift: {', '.join(named)}{more}")
    if not found.keeps_parity:
        told.append(f"parity: {percent(found.apart_share)} of set-points are others")
    for name in found.misfits:
        told.append(f"devices: {name} moves by {percent(found.moves[name])} of what is expected")
    return told


def unread(fleet: MonitoredFleet) -> list[str]:
    """What is not on the page."""
    silent, told = fleet.silent, [fault.partition(": ") for fault in fleet.faults]
    return [
        *(
            [
                page.paragraph("Tables that could not be read:"),
                page.bullets((table, why) for table, _, why in told),
            ]
            if fleet.faults
            else [page.paragraph("All tables of the folder were read.")]
        ),
        *([page.paragraph(f"Customers without a log: {counted(silent)}.")] if silent else []),
    ]

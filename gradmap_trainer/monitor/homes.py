"""What customers save, the voltage at their meters, and whether their devices fit."""

from __future__ import annotations

import math

import numpy as np

from gradmap_trainer.monitor import figures
from gradmap_trainer.monitor.findings import (
    FEWEST_MOVES,
    FITTING,
    LEAST_MOVE,
    LESS_NEAR,
    MOST_FALLBACK,
    Findings,
)
from gradmap_trainer.monitor.fleet import MonitoredFleet
from gradmap_trainer.monitor.tables import (
    MOST_ROWS,
    amounts,
    customers_table,
    more,
    number,
    or_zero,
    together,
)
from gradmap_trainer.report import page
from gradmap_trainer.report.figures import savings as draw_savings
from gradmap_trainer.report.figures import svg
from gradmap_trainer.report.words import percent


def savings(fleet: MonitoredFleet) -> list[str]:
    """What customers pay, and would have paid."""
    case, promise = fleet.simulator.case, fleet.promise
    found = [one for one in fleet.findings if one.billed_days]
    about = page.paragraph(
        "After: the cost of what the meter says was drawn and fed in. Before: the same of what it "
        "would have said without control: less what the devices were told to do, plus what they "
        "would have done by the file's fallback, each day from where sensors say that they stood "
        "as it began, all else at home alike. That is true as far as devices did what they were "
        f"told. {case.tariff.describe(case.currency)} Only electricity counts, in steps whose "
        "meter and prices are known: fuel, wear and comfort are not metered, nor is what is left "
        "in a store at midnight."
    )
    doubt = page.paragraph(
        "Whether devices did what they were told, the meter can say: here is its mean distance "
        "from what is usual at home, which is the mean of training at the same step of the day, "
        "and the set-points together, and from what is usual alone. A meter that is more than "
        f"{LESS_NEAR:g} times as far from the first as from the second does not follow the "
        "set-points: its customer's saving is in doubt."
    )
    if not found:
        return [about, page.paragraph("No log has the meter and prices of any step.")]
    before, after, _ = together(found)
    lines = [("gateways", before, after)]
    if promise is not None:
        lines.append((f"promised, {promise.days:,} test days", promise.before, promise.after))
    homes = fleet.simulator.fleet
    kinds = dict(zip(homes.names, homes.agent_kinds, strict=True))
    groups: dict[str, list[float]] = {}
    for one in found:
        groups.setdefault(kinds[one.customer].replace("_", " "), []).append(one.saving)
    named = {name: np.array(values) for name, values in groups.items()}
    return [
        about,
        page.table(
            ["all together, a day", "before", "after", "saving"],
            [page.row(name, amounts((b, a, b - a), case.currency)) for name, b, a in lines],
        ),
        *(
            []
            if promise is not None
            else [page.paragraph("What was promised is not known: the run has no evaluation.")]
        ),
        page.figure(
            "Who saves",
            "What each customer saves a day, by the kinds of device that it has; the mark is the "
            "median.",
            "customers left of the line: they pay more than without control.",
            [("saving of each customer", svg(draw_savings(named, case.currency)))],
        ),
        doubt,
        customers_table(
            [
                *("customer", "days billed", "before", "after", "saving"),
                *("meter from usual and set-points, kW", "from usual, kW"),
            ],
            sorted(found, key=lambda one: (one.meter_follows, one.saving)),
            lambda one: [
                page.number(one.billed_days, f"{one.billed_days:.1f}"),
                *amounts((one.before, one.after, one.saving), case.currency),
                number(one.from_set_points, "{:,.3g}".format, bad=not one.meter_follows),
                number(one.from_usual, "{:,.3g}".format),
            ],
        ),
    ]


def limits(fleet: MonitoredFleet) -> list[str]:
    """Voltages at the meters."""
    thresholds = fleet.simulator.case.limits
    band = thresholds.minimum_voltage, thresholds.maximum_voltage
    about = page.paragraph(
        f"Of the steps in which a voltage was read, the share below {band[0]:g} pu and that above "
        f"{band[1]:g} pu, the case's limits, of the nominal voltage in the customer's file."
    )
    if not fleet.voltage.size:
        return [about, page.paragraph("No log has a voltage.")]
    return [
        about,
        page.figure(
            "Voltages",
            "All customers and steps. Dashed: the limits.",
            "steps beyond a limit, and on which side: below it, too much is drawn at a time.",
            [("voltages at the meters", svg(figures.voltages(fleet.voltage, band)))],
        ),
        customers_table(
            ["customer", "too low", "too high"],
            sorted(fleet.findings, key=lambda one: -or_zero(one.low + one.high)),
            lambda one: [
                number(one.low, percent, bad=one.low > 0.0),
                number(one.high, percent, bad=one.high > 0.0),
            ],
        ),
    ]


def devices(fleet: MonitoredFleet) -> list[str]:
    """Whether devices are what their parameters say."""
    low, high = FITTING
    devices = [(one, name) for one in fleet.findings for name in one.by_policy]
    about = page.paragraph(
        "Where a device stands is read by a sensor, and estimated a step ahead from the device's "
        "parameters and from what it is told. Here is by how much of the estimate it really "
        "moves: the slope, through zero, of what was read over what was expected, in steps of "
        f"which {LEAST_MOVE:g} % or °C and more was expected, at least {FEWEST_MOVES} of them. "
        f"Between {percent(low)} and {percent(high)} the parameters fit. A battery that moves "
        "by 125 % holds four fifths of what its parameters say; one that does not move does not "
        "obey, or its sensor is dead. One that was by its fallback in more than "
        f"{percent(MOST_FALLBACK)} of the steps did what is safe instead of what its policy says: "
        "the table above of what was missing or wrong says why. To train it again is of no use."
    )
    devices.sort(key=lambda pair: (-_misfit(*pair), pair[0].by_policy[pair[1]]))
    return [
        about,
        page.table(
            ["customer", "device", "by the policy", "moves by"],
            [
                page.row(
                    one.customer,
                    [
                        page.cell(name),
                        number(one.by_policy[name], percent, bad=name in one.lost),
                        number(one.moves.get(name, math.nan), percent, bad=name in one.misfits),
                    ],
                )
                for one, name in devices[:MOST_ROWS]
            ],
        ),
        *more(len(devices)),
    ]


def _misfit(one: Findings, name: str) -> float:
    """How far a device is from moving as its parameters say; 0: that is not known."""
    return abs(math.log(max(one.moves.get(name, 1.0), 1e-9)))

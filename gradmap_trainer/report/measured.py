"""How the figures of a report came about, so that they can be judged and repeated."""

from __future__ import annotations

import json
import platform
from datetime import date

import numpy as np
import torch

import gridedge_env
from gradmap_trainer.report import page
from gradmap_trainer.report.run import FLOOR, Run
from gradmap_trainer.report.words import SPACE, percent
from gridedge_env.evaluation import TOLERANCE
from gridedge_env.scenarios import GeneratedDemand
from gridedge_env.scenarios.observed import SPLIT_YEARS

SITES = {"train": "Aachen", "validation": "Aachen", "test": "Düsseldorf"}


def tested_on(run: Run) -> str:
    """The evaluated days in a sentence, and whether training has seen them."""
    count, split = len(run.evaluation.dates), evaluated_split(run)
    days = f"{count} days" if count > 1 else "one day"
    days += f" of {SPLIT_YEARS[split]} with the weather of {SITES[split]}"
    if split == "train":
        return (
            f"The fleet was evaluated on {days}, the year and site of training: it may do worse "
            "elsewhere."
        )
    return (
        f"The fleet was tested on {days} and demand of other homes; it had learned on "
        f"{SPLIT_YEARS['train']}, {SITES['train']}."
    )


def evaluated_split(run: Run) -> str:
    """The split whose year the evaluated days are of."""
    year = date.fromisoformat(str(run.evaluation.dates[0])).year
    return next(split for split, of in SPLIT_YEARS.items() if of == year)


def how_this_was_measured(run: Run) -> list[str]:
    """Method, configuration and versions."""
    return [
        page.bullets(
            [
                ("Days", _days(run)),
                ("Homes", _homes(run)),
                (
                    "Same start, same day",
                    "every method begins each day in the same state and meets the same weather, "
                    "prices and demand. Every battery ends the day half full, as it began, and "
                    "heat left in the buildings is credited: nothing is borrowed from tomorrow.",
                ),
                ("Cost", _cost(run)),
                ("Network", _network(run)),
                ("Limits", _limits(run)),
                ("Power flow", _power_flow(run)),
                *([("Perfect foresight", _foresight(run))] if FLOOR in run.table else []),
                (
                    "Versions",
                    f"report by GridEdge {gridedge_env.__version__}, Python "
                    f"{platform.python_version()}, PyTorch {torch.__version__}, NumPy "
                    f"{np.__version__}.",
                ),
            ]
        ),
        "<h3>Configuration of the run</h3>",
        page.pairs((key, _plain(value)) for key, value in run.config.items()),
    ]


# Of the configuration, where not 0: what training departs in from the days as they were.
VARIED = {
    "price_variation": "prices",
    "temperature_variation": "temperatures",
    "demand_variation": "demand",
}


def _days(run: Run) -> str:
    dates, split = run.evaluation.dates, evaluated_split(run)
    drawn = [words for field, words in VARIED.items() if run.config.get(field)]
    varied = (
        f", with the {', '.join(drawn)} of each day varied at random, so that the costs of the "
        "learning curves cannot be held against those of the table"
        if drawn
        else ""
    )
    return (
        f"{len(dates)} of the {len(run.simulator.days(split).dates)} usable days of "
        f"{SPLIT_YEARS[split]} ({dates[0]} to {dates[-1]}), each of {run.simulator.steps} "
        f"half-hours. Weather was measured in {SITES[split]}, prices are those of the Dutch "
        f"day-ahead auction at the same hours. Training drew its days from {SPLIT_YEARS['train']}, "
        f"{SITES['train']}{varied}."
    )


def _homes(run: Run) -> str:
    generated = isinstance(run.simulator.case.demand, GeneratedDemand)
    source = "generated from published statistics" if generated else "metered"
    unseen = evaluated_split(run) != "train"
    return (
        f"household demand is {source}"
        + (", of homes that training has not seen" if unseen else "")
        + ". Devices, buildings and their places on the feeder are those of training."
    )


def _cost(run: Run) -> str:
    tariff = run.simulator.case.tariff
    export = "the same price" if tariff.net_metering else "the day-ahead price less a fee"
    return (
        "energy at every meter, fuel, battery wear and discomfort of rooms colder than agreed. "
        f"Consumption costs {tariff.tax_factor:g} × day-ahead price + {tariff.adder:g} €/kWh, "
        f"what is fed in earns {export}. Penalties that only training has are not in it."
    )


def _network(run: Run) -> str:
    feeder, options = run.simulator.feeder, run.simulator.options
    taps = "at neutral" if options.neutral_taps else "as the feeder has them"
    scale = f"{run.simulator.fleet.scale:.3g}"
    size = "" if scale == "1" else f", each {scale} times as large as an ordinary one"
    return (
        f"{feeder.name}, three-phase and unbalanced: {len(run.simulator.power_flow.node_names)} "
        f"nodes at {len(feeder.buses)} buses. Its loads are replaced by the "
        f"{run.simulator.num_agents:,} homes, in proportion{size}. Source at "
        f"{options.source_voltage:g} pu, regulator taps {taps}."
    )


def _limits(run: Run) -> str:
    limits = run.simulator.case.limits
    loading, unbalance, rounding = (
        f"{100.0 * share:g}{SPACE}%"
        for share in (limits.maximum_loading, limits.maximum_unbalance, TOLERANCE)
    )
    return (
        f"{limits.minimum_voltage:g} to {limits.maximum_voltage:g} pu at every node, "
        f"{loading} of the rating in every phase of every rated line and transformer, {unbalance} "
        "of voltage unbalance at every three-phase bus. A half-hour counts as outside if any one "
        f"of them is exceeded anywhere by more than {rounding} (rounding)."
    )


def _power_flow(run: Run) -> str:
    flow = run.simulator.power_flow
    unsolved = sum(int(row["nonconverged"]) for row in run.table.values())
    total = sum(episode.converged.size for episode in run.evaluation.episodes.values())
    return (
        f"AC, solved in {str(flow.dtype).removeprefix('torch.')} until no voltage changes by more "
        f"than {flow.settings.tolerance:g} pu, at most {flow.settings.maximum_iterations} "
        f"iterations. Of {total:,} power flows {unsolved:,} did not converge; each of those counts "
        "as a voltage violation."
    )


def _foresight(run: Run) -> str:
    shares = [run.table[FLOOR][f"{kind}_steps"] for kind in ("voltage", "loading", "unbalance")]
    text = (
        "the best plan that gradient descent found for each day when everything is known "
        "beforehand; not proven to be the cheapest, so that a longer search may lower it."
    )
    if max(shares) == 0.0:
        return f"{text} It keeps all limits."
    return (
        f"{text} It is itself out of the voltage band in {percent(shares[0])} of half-hours, "
        f"overloaded in {percent(shares[1])} and unbalanced in {percent(shares[2])}, so that its "
        "cost may be a little lower than the limits allow."
    )


def _plain(value: object) -> str:
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

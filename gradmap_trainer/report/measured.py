"""How the figures of a report came about, so that they can be judged and repeated."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

import gridedge_env
from gradmap_trainer.report import page
from gradmap_trainer.report.run import FLOOR, EvaluatedRun
from gradmap_trainer.report.words import SPACE, listed, percent, step_name
from gridedge_env.evaluation import TOLERANCE
from gridedge_env.scenarios import CustomerMeters, GeneratedDemand, ObservedDays, SeriesDays
from gridedge_env.scenarios.observed import SPLIT_SITES


def tested_on(run: EvaluatedRun) -> str:
    """The evaluated days in a sentence, and whether training has seen them."""
    count, site = len(run.evaluation.dates), _site(run, run.split)
    days = f"{count} days" if count > 1 else "one day"
    days += f" of {run.simulator.days(run.split).years}"
    days += f" with the weather of {site}" if site else ""
    if run.split == "train":
        return (
            f"The fleet was evaluated on {days}, from which training drew its own: it may do worse "
            "elsewhere."
        )
    others = "" if _has_own_meters(run) else " and demand of other homes"
    return f"The fleet was tested on {days}{others}; it had learned on {_learned_on(run)}."


def _has_own_meters(run: EvaluatedRun) -> bool:
    """Whether demand is the customers' own, in every split."""
    return isinstance(run.simulator.case.demand, CustomerMeters)


def _site(run: EvaluatedRun, split: str) -> str:
    """Where the weather was measured; empty if the source of the days does not say."""
    return SPLIT_SITES[split] if isinstance(run.simulator.case.days, ObservedDays) else ""


def _learned_on(run: EvaluatedRun) -> str:
    """The days of training: "2023, Aachen"."""
    site, days = _site(run, "train"), run.simulator.days("train")
    when = days.years
    tested = run.simulator.days(run.split)
    if run.split != "train" and when == tested.years:
        when = f"{days.dates[0]} to {days.dates[-1]}"
        among = days.dates[0] < tested.dates[-1] and tested.dates[0] < days.dates[-1]
        if among and set(days.dates).isdisjoint(tested.dates):
            when = f"{len(days.dates)} other days from {when}"
    return when + (f", {site}" if site else "")


def how_this_was_measured(run: EvaluatedRun) -> list[str]:
    """Method, configuration and versions."""
    return [
        page.bullets(
            [
                ("Days", _days(run)),
                ("Homes", _homes(run)),
                ("Observations", _observations(run)),
                (
                    "Same start, same day",
                    "every method begins each day in the same state and meets the same weather, "
                    "prices and demand. Every battery ends as it began, half full, and heat left "
                    "in the buildings is credited: nothing is borrowed from tomorrow.",
                ),
                ("Cost", _cost(run)),
                ("Network", _network(run)),
                ("Limits", _limits(run)),
                ("Power flow", _power_flow(run)),
                *([("Perfect foresight", _foresight(run))] if FLOOR in run.table else []),
                (
                    "Policies",
                    f"those of iteration {run.evaluation.iteration:,}, whose weights have the "
                    f"SHA-256 {run.evaluation.weights}.",
                ),
                (
                    "Versions",
                    f"report by GridEdge {gridedge_env.__version__}, Python "
                    f"{platform.python_version()}, PyTorch {torch.__version__}, NumPy "
                    f"{np.__version__}.",
                ),
            ]
        ),
        "<h3>Configuration of the run</h3>",
        page.pairs(_settings(_with_case(run.config))),
    ]


# Of the configuration, where not 0: what training departs in from the days as they were.
VARIED = {
    "price_variation": "prices",
    "temperature_variation": "temperatures",
    "demand_variation": "demand",
}


def _days(run: EvaluatedRun) -> str:
    dates, table, clock = run.evaluation.dates, run.simulator.days(run.split), run.simulator.clock
    drawn = [words for field, words in VARIED.items() if run.config.get(field)]
    if "prices" in drawn and not run.simulator.case.tariff.follows_market:
        drawn.remove("prices")
    varied = (
        f", with the {listed(drawn)} of each day varied at random, so that the costs of the "
        "learning curves cannot be held against those of the table"
        if drawn
        else ""
    )
    together = "" if clock.days == 1 else f", {clock.days} of them on end in every episode"
    site = _site(run, run.split)
    source = (
        f" Weather was measured in {site}, prices are those of the Dutch day-ahead auction at the "
        "same hours."
        if site
        else _own_series(run)
    )
    return (
        f"{len(dates)} of the {len(table.dates)} usable days of {table.years} ({dates[0]} to "
        f"{dates[-1]}), each of {clock.day.steps} {step_name(clock)}s{together}.{source} Training "
        f"drew its days from {_learned_on(run)}{varied}. {table.describe_forecasts(run.currency)}"
    )


def _own_series(run: EvaluatedRun) -> str:
    """That prices and weather are the case's own, and of where, as far as it says."""
    days = run.simulator.case.days
    if not isinstance(days, SeriesDays):
        return ""
    place = "" if days.site is None else f", of {days.site[0]:g}° north and {days.site[1]:g}° east"
    return f" Prices and weather are the case's own series{place}."


def _homes(run: EvaluatedRun) -> str:
    demand = run.simulator.case.demand
    if isinstance(demand, CustomerMeters):
        without = sum(not name for name in demand.meter)
        told = f" Without one, and so with no demand but their devices': {without:,}."
        return (
            "household demand is what each customer's own meter showed on the very day."
            + told * (without > 0)
        )
    generated = isinstance(run.simulator.case.demand, GeneratedDemand)
    source = "generated from published statistics" if generated else "metered"
    unseen = run.split != "train"
    return (
        f"household demand is {source}"
        + (", of homes that training has not seen" if unseen else "")
        + ". Devices, buildings and their places on the feeder are those of training."
    )


def _observations(run: EvaluatedRun) -> str:
    simulator = run.simulator
    shared = len(simulator.observation_fields) - simulator.private_size
    plan = "with" if simulator.case.public_plan else "without"
    return (
        f"each home decides on {simulator.private_size} numbers of its own and {shared} that all "
        f"homes know, {plan} the public plan."
    )


def _cost(run: EvaluatedRun) -> str:
    case = run.simulator.case
    return (
        "energy at every meter, fuel, battery wear and discomfort of rooms colder than agreed. "
        f"{case.tariff.describe(case.currency)} The bill is that of the meter: of a home's demand "
        "and its devices together. Penalties that only training has are not in it."
    )


def _network(run: EvaluatedRun) -> str:
    feeder, taps = run.simulator.feeder, ", regulator taps as the feeder has them"
    if not feeder.regulators:
        taps = ""
    elif run.simulator.case.regulator_control:
        taps = ", regulator taps following their controls"
    elif all(regulator.tap_position == 0 for regulator in feeder.regulators):
        taps = ", regulator taps at neutral"
    scale = f"{run.simulator.case.demand.scale:.3g}"
    size = "" if scale == "1" else f", each {scale} times as large as an ordinary one"
    share = "" if _has_own_meters(run) else f", in proportion{size}"
    homes = f"{run.simulator.num_agents:,} homes{share}"
    kept = sum(load.kw for load in feeder.loads)
    beside = f"{len(feeder.loads)} other loads of {kept:,.0f} kW nominal"
    loads = (
        f"{homes}, beside {beside}" if feeder.loads else f"Its loads are replaced by the {homes}"
    )
    return (
        f"{feeder.name}, three-phase and unbalanced: {len(run.simulator.power_flow.node_names)} "
        f"nodes at {len(feeder.buses)} buses. {loads}. Source at "
        f"{feeder.source.per_unit:g} pu{taps}."
    )


def _limits(run: EvaluatedRun) -> str:
    rules = ", ".join(kind.rule for kind in run.simulator.case.limits).replace(" %", f"{SPACE}%")
    rounding = f"{100.0 * TOLERANCE:g}{SPACE}%"
    return (
        f"{rules}. A {step_name(run.simulator.clock)} counts as outside if any one of them is "
        f"exceeded anywhere by more than {rounding} (rounding)."
    )


def _power_flow(run: EvaluatedRun) -> str:
    flow = run.simulator.power_flow
    unsolved = sum(int(row["nonconverged"]) for row in run.table.values())
    total = sum(episode.converged.size for episode in run.evaluation.episodes.values())
    return (
        f"AC, solved in {str(flow.dtype).removeprefix('torch.')} until no voltage changes by more "
        f"than {flow.settings.tolerance:g} pu, at most {flow.settings.maximum_iterations} "
        f"iterations. Of {total:,} power flows {unsolved:,} did not converge; each of those counts "
        "as a voltage violation."
    )


def _foresight(run: EvaluatedRun) -> str:
    shares = {k.heading: run.table[FLOOR][f"{k.name}_steps"] for k in run.simulator.case.limits}
    text = (
        "the best plan that gradient descent found for each day when everything is known "
        "beforehand; not proven to be the cheapest, so that a longer search may lower it."
    )
    if max(shares.values()) == 0.0:
        return f"{text} It keeps all limits."
    broken = ", ".join(f"{heading} in {percent(share)}" for heading, share in shares.items())
    return (
        f"{text} It is itself {broken} of {step_name(run.simulator.clock)}s, so that its cost may "
        "be a little lower than the limits allow."
    )


def _with_case(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration, in which a case that was brought is not the same as none."""
    brought = config.get("case", config) is None
    return {**config, "case": "brought, in the run's case/"} if brought else dict(config)


def _settings(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """The configuration as lines; those of tables within it by dotted names."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _settings(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", _plain(value)


def _plain(value: object) -> str:
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""The sections of the report: which figures, and what is said of them.

Each public function returns the parts of a section as markup.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gradmap_trainer.report import figures, page
from gradmap_trainer.report.appearance import about, appearance
from gradmap_trainer.report.figures import svg
from gradmap_trainer.report.measured import tested_on
from gradmap_trainer.report.run import FLOOR, OURS, REST, RIVAL, EvaluatedRun
from gradmap_trainer.report.words import (
    difference,
    duration,
    listed,
    money,
    percent,
    relative,
    signed_percent,
    step_name,
)
from gridedge_env.evaluation import worst_moment
from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.layout import has_coordinates
from gridedge_env.limit import Limit
from gridedge_env.rendering import is_on_map

# Of the days that leave a frame, so many are told in words.
MOST_TOLD = 5
FEEDERS = {
    "ieee13": "IEEE 13-bus test feeder",
    "ieee37": "IEEE 37-bus test feeder",
    "ieee123": "IEEE 123-bus test feeder",
    "european_lv": "IEEE European low-voltage test feeder",
}


def headline(run: EvaluatedRun) -> list[str]:
    """What was trained, on what, how long, and the verdict."""
    ours, rival, rest = (run.table[key] for key in (OURS, RIVAL, REST))
    against = [difference(ours["cost"], rest["cost"], "doing nothing", run.currency)]
    if FLOOR in run.table:
        floor = run.table[FLOOR]["cost"]
        against.insert(0, difference(ours["cost"], floor, "perfect foresight", run.currency))
    over = ("GradMAP training report", run.name, run.simulator.case.name)
    device = run.config.get("device", run.simulator.device)
    return [
        page.paragraph(" · ".join(filter(None, over)), "over"),
        page.heading(
            f"GradMAP costs {', '.join(against)}, and is outside the network's limits in "
            f"{percent(ours['any_steps'])} of {_steps(run)}"
        ),
        page.paragraph(
            f"{run.simulator.num_agents:,} homes on the {_title(run.simulator.feeder)}, "
            f"with {_devices(run)}. Their controllers were trained together for "
            f"{duration(run.metrics['seconds'].iloc[-1])} ({len(run.metrics):,} iterations, "
            f"{device}). Then each acted alone, on what its own home, the clock, the weather and "
            f"the published prices told it. {tested_on(run)}",
            "lead",
        ),
        page.paragraph(
            "Homes that follow the price alone cost "
            f"{difference(rival['cost'], ours['cost'], 'GradMAP', run.currency)} and are outside "
            f"the network's limits in {percent(rival['any_steps'])} of {_steps(run)}.",
            "lead",
        ),
        page.tiles(_key_figures(run)),
    ]


def _title(feeder: Feeder) -> str:
    """A published feeder's title if it is one: a name may be anybody's."""
    published = feeder.name in FEEDERS and load_feeder(feeder.name).lines == feeder.lines
    return FEEDERS[feeder.name] if published else f"feeder {feeder.name}"


def _devices(run: EvaluatedRun) -> str:
    """What the homes own: "334 batteries, 333 heat pumps and 333 generators"."""
    return listed([f"{len(g):,} {g.kind.plural}" for g in run.simulator.fleet.groups])


def _steps(run: EvaluatedRun) -> str:
    """What steps are called: "half-hours"."""
    return f"{step_name(run.simulator.clock)}s"


def _mean_of(run: EvaluatedRun) -> str:
    days = len(run.evaluation.dates)
    return f"mean of {days} days" if days > 1 else "on the one day"


def _key_figures(run: EvaluatedRun) -> Iterable[tuple[str, str, str]]:
    ours, rival, rest = (run.table[key] for key in (OURS, RIVAL, REST))
    yield (
        money(ours["cost"], run.currency),
        f"a day for all homes together, {_mean_of(run)}",
        f"doing nothing: {money(rest['cost'], run.currency)}",
    )
    floor = run.table.get(FLOOR, rest)["cost"]
    if floor < rest["cost"]:
        yield (
            percent((rest["cost"] - ours["cost"]) / (rest["cost"] - floor)),
            "of what perfect foresight saves over doing nothing",
            f"perfect foresight: {money(floor, run.currency)} a day",
        )
    for kind in run.simulator.case.limits:
        yield (
            percent(ours[f"{kind.name}_steps"]),
            f"of {_steps(run)} with {kind.event}",
            f"price-following: {percent(rival[f'{kind.name}_steps'])}",
        )


def out_of_sample(run: EvaluatedRun) -> list[str]:
    """The table, how to read it, and the days behind it."""
    episodes = run.evaluation.episodes
    limits = run.simulator.case.limits
    panels = [
        (
            "violations by day",
            svg(figures.violations_by_day(run.evaluation, limits, step_name(run.simulator.clock))),
        )
    ]
    if FLOOR in episodes:
        costs = figures.cost_by_day(run.evaluation, FLOOR, run.currency)
        panels.insert(0, ("cost by day", svg(costs)))
    return [
        page.table(
            [
                "",
                "cost a day",
                "above perfect foresight",
                *(f"{_steps(run).replace('-', '‑')} {kind.heading}" for kind in limits),
                *(kind.worst_heading for kind in limits),
                "unsolved power flows",
            ],
            [_row(run, key) for key in run.table],
        ),
        page.paragraph(
            "How to read it: all methods played the same days. Look first at whether the network "
            "could bear what the homes did, that is, at the shares of time in which any node "
            "or conductor was outside its limits (red: more than none). Only then look at the "
            "cost. A low cost with violations is no success: the utility would have to reinforce "
            "the network, or to switch the homes off." + _below_floor(run)
        ),
        page.bullets(
            (appearance(key).name, words) for key in run.table if (words := about(key, run.kinds))
        ),
        page.figure(
            "Day by day",
            "Every mark is an evaluated day: what the fleet paid above perfect foresight, and in "
            f"what share of {_steps(run)} any limit was broken.{_beyond_frame(run)}",
            "single days that are much worse than the rest. They tend to be days of extreme "
            "prices, on which all homes want the same at the same time.",
            panels,
            _legend(episodes),
        ),
    ]


def _beyond_frame(run: EvaluatedRun) -> str:
    """What the frame of the costs does not hold, the furthest days first."""
    if FLOOR not in run.table:
        return ""
    days = figures.beyond_frame(run.evaluation, FLOOR)
    told = []
    for date, above in list(days.items())[:MOST_TOLD]:
        costs = ", ".join(
            f"{appearance(key).name} {money(cost, run.currency)}" for key, cost in above.items()
        )
        told.append(f"{date} ({costs})")
    more = f" and {len(days) - len(told)} more" if len(days) > len(told) else ""
    return f" A triangle is a day beyond the frame: {'; '.join(told)}{more}." if told else ""


def _below_floor(run: EvaluatedRun) -> str:
    """Why a method can cost less than perfect foresight, if one does."""
    costs = {key: row["cost"] for key, row in run.table.items()}
    cheaper = [appearance(key).name for key in costs if costs[key] < costs.get(FLOOR, -np.inf)]
    if not cheaper:
        return ""
    return (
        f" Here {' and '.join(cheaper)} cost less than perfect foresight. That can come of limits "
        "broken, or of a search for the plan that ended too early: more iterations may help it."
    )


def _row(run: EvaluatedRun, key: str) -> str:
    row = run.table[key]
    above = None
    if FLOOR in run.table and key != FLOOR:
        above = relative(row["cost"], run.table[FLOOR]["cost"])
    limits = run.simulator.case.limits
    shares = [row[f"{kind.name}_steps"] for kind in limits]
    cells = [
        page.number(row["cost"], money(row["cost"], run.currency)),
        page.cell("–") if above is None else page.number(above, signed_percent(above)),
        *(page.number(share, percent(share), bad=share > 0.0) for share in shares),
        *(_worst(kind, row[kind.worst_name]) for kind in limits),
        page.number(
            row["nonconverged"], f"{row['nonconverged']:,.0f}", bad=row["nonconverged"] > 0
        ),
    ]
    return page.row(appearance(key).name, cells, appearance(key).colour, key == OURS)


def _worst(kind: Limit, value: float) -> str:
    return page.number(value, percent(value) if kind.in_percent else f"{value:.4f}")


def distributions(run: EvaluatedRun) -> list[str]:
    """What is limited, by kind of limit and method."""
    step = step_name(run.simulator.clock)
    return [
        page.figure(
            "How near its limits the network came",
            f"A band has a shape for each method: all nodes in all {step}s; the taller, the more "
            "often. The thin line under it runs from the lowest to the highest value that ever "
            f"occurred. Of a single limit there is a line: the worst place in each {step}, sorted "
            f"from the worst, so that it shows in what share of {step}s a value was reached.",
            "thin lines that enter the red areas beyond a band; and where a line crosses the "
            "dashed one: left of the crossing, the limit was exceeded.",
            [
                (f"{kind.name} by method", svg(figures.spread(run.evaluation, kind, step)))
                for kind in _drawn(run)
            ],
            _legend(run.evaluation.episodes),
        )
    ]


def _drawn(run: EvaluatedRun) -> list[Limit]:
    """The kinds of limit that hold somewhere on the feeder."""
    flow = run.simulator.power_flow
    return [kind for kind in run.simulator.case.limits if len(kind.places(flow)) > 0]


def one_day(run: EvaluatedRun) -> list[str]:
    """Single homes, then the whole feeder, on the day with the widest price spread."""
    evaluation = run.evaluation
    day = figures.widest_price_day(evaluation)
    prices = evaluation.import_price[day]
    fleet = run.simulator.fleet
    owners = [int(group.agent[0]) for group in fleet.groups]
    homes, places = ([names[agent] for agent in owners] for names in (fleet.names, fleet.places))
    compared = [OURS, RIVAL]
    whole = figures.fleet_day(evaluation, _drawn(run), day, run.currency)
    low, high = (f"{price:.2f}" for price in (prices.min(), prices.max()))
    which = (
        "one of the evaluated days. The price is the same at all times"
        if np.ptp(evaluation.import_price) == 0.0
        else "of the evaluated days the one on which prices differ most"
    )
    span = f"from {low} to {high}" if low != high else low
    return [
        page.paragraph(f"{evaluation.dates[day]}: {which}, {span} {run.currency} per kWh."),
        page.figure(
            "One home of each kind",
            f"{', '.join(f'{name} at {place}' for name, place in zip(homes, places, strict=True))} "
            "(bus.phase). From above: the price; the power at the home's meter, device and "
            "household together, positive when it consumes; the state of the device. Sun and "
            "people can warm a room above its comfort band.",
            "how far GradMAP follows the price, and where it holds back. Price-following charges "
            "and discharges at full power in the cheapest and dearest hours, as do all its other "
            "homes at that moment.",
            [
                (name, svg(figures.device_day(run.simulator, evaluation, day, k, compared)))
                for k, name in enumerate(homes)
            ],
            _legend(compared),
            across=3,
        ),
        page.figure(
            "The whole feeder",
            "The same day, all homes together, and what they do to the network. Dashed: the "
            "limits. Within a band each method has two lines, the lowest and the highest.",
            "peaks of power in the cheapest and dearest hours, and limits that are crossed at the "
            "same time. A fleet that knows its network spreads its power over the hours around.",
            [(words, svg(panel)) for words, panel in whole.items()],
            _legend(evaluation.episodes),
        ),
    ]


def worst_moments(run: EvaluatedRun) -> list[str]:
    """The feeder's map when each kind of limit was worst, ours and the rival's."""
    feeder, flow = run.simulator.feeder, run.simulator.power_flow
    drawn = [
        _worst_moment(run, kind)
        for kind in run.simulator.case.limits
        if kind.name != "loading" and is_on_map(feeder, kind.places(flow))
    ]
    if has_coordinates(feeder):
        return drawn
    tree = (
        "The feeder has no coordinates. It is drawn as a tree, the source on the left: a bus is as "
        "far to the right as there are lines, switches and transformers between them."
    )
    return [page.paragraph(tree), *drawn]


def _worst_moment(run: EvaluatedRun, kind: Limit) -> str:
    """The map of one kind of limit; the loadings are on that of the voltages."""
    panels, moments, length = [], [], step_name(run.simulator.clock)
    for key in (OURS, RIVAL):
        episode, name = run.evaluation.episodes[key], appearance(key).name
        day, step = moment = worst_moment(episode, kind)
        time = run.simulator.clock.time(step)
        moments.append(f"{name} on {run.evaluation.dates[day]} at {time}")
        picture = svg(figures.feeder_at(run.simulator, episode, moment, kind, key))
        panels.append((f"map of the {kind.name} under {name}", picture))
    if kind.name == "voltage":
        marks = (
            "A dot is a bus in the colour of its worst phase, on one scale for both, and large "
            "when it is out of band. A line is as wide as it is loaded, and red when overloaded."
        )
    else:
        marks = (
            "Where it is limited, a bus has its colour, or a line its width, on one scale for "
            "both; where it is outside, the bus is large, or the line red."
        )
    return page.figure(
        f"The feeder when its {kind.name} was worst",
        f"{'; '.join(moments)}: for each the {length} in which the {kind.name} was furthest "
        f"outside its limits somewhere or, if it never was, closest to leaving them. {marks} The "
        "square is the source, diamonds are transformers and regulators.",
        "where the trouble is: everywhere, or in one corner.",
        panels,
    )


def _legend(keys: Iterable[str]) -> str:
    return page.legend({appearance(key).name: appearance(key).colour for key in keys})

"""The sections of the report: which figures, and what is said of them.

Each public function returns the parts of a section as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from gradmap_trainer.report import figures, page
from gradmap_trainer.report.appearance import appearance
from gradmap_trainer.report.figures import Scale, svg
from gradmap_trainer.report.measured import tested_on
from gradmap_trainer.report.run import FLOOR, OURS, REST, RIVAL, EvaluatedRun
from gradmap_trainer.report.words import (
    difference,
    duration,
    money,
    percent,
    relative,
    signed_percent,
    step_name,
)
from gridedge_env.evaluation import worst_moment
from gridedge_env.limit import Limit
from gridedge_env.rendering import is_on_map

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
    feeder = run.simulator.feeder.name
    over = ("GradMAP training report", run.name, run.simulator.case.name)
    device = run.config.get("device", run.simulator.device)
    return [
        page.paragraph(" · ".join(filter(None, over)), "over"),
        page.heading(
            f"GradMAP costs {', '.join(against)}, and is outside the network's limits in "
            f"{percent(ours['any_steps'])} of {_steps(run)}"
        ),
        page.paragraph(
            f"{run.simulator.num_agents:,} homes on the {FEEDERS.get(feeder, f'feeder {feeder}')}, "
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


def _devices(run: EvaluatedRun) -> str:
    """What the homes own: "334 batteries, 333 heat pumps and 333 generators"."""
    *most, last = [f"{len(g):,} {g.kind.plural}" for g in run.simulator.fleet.groups]
    return f"{', '.join(most)} and {last}" if most else last


def _steps(run: EvaluatedRun) -> str:
    """What steps are called: "half-hours"."""
    return f"{step_name(run.simulator.clock)}s"


def _key_figures(run: EvaluatedRun) -> Iterable[tuple[str, str, str]]:
    ours, rival, rest = (run.table[key] for key in (OURS, RIVAL, REST))
    yield (
        money(ours["cost"], run.currency),
        f"a day for all homes together, mean of {len(run.evaluation.dates)} days",
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
            (appearance(key).name, appearance(key).about)
            for key in run.table
            if appearance(key).about
        ),
        page.figure(
            "Day by day",
            "Every mark is an evaluated day: what the fleet paid above perfect foresight, and in "
            f"what share of {_steps(run)} any limit was broken.",
            "single days that are much worse than the rest. They tend to be days of extreme "
            "prices, on which all homes want the same at the same time.",
            panels,
            _legend(episodes),
        ),
    ]


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
        "<td>–</td>" if above is None else page.number(above, signed_percent(above)),
        *(page.number(share, percent(share), bad=share > 0.0) for share in shares),
        *(_worst(kind, row[kind.worst_name]) for kind in limits),
        page.number(
            row["nonconverged"], f"{row['nonconverged']:,.0f}", bad=row["nonconverged"] > 0
        ),
    ]
    return page.row(appearance(key).name, appearance(key).colour, cells, key == OURS)


def _worst(kind: Limit, value: float) -> str:
    return page.number(value, percent(value) if kind.in_percent else f"{value:.4f}")


def learning(run: EvaluatedRun) -> list[str]:
    """Cost, violations and duals against training time."""
    cost = f"Cost on training days, {run.currency} a day"
    curves = [
        Curve(cost, {"cost": ("cost", appearance(OURS).colour)}),
        Curve(
            f"{_steps(run).capitalize()} outside limits",
            {f"{k.name}_steps": (k.name, k.colour) for k in run.simulator.case.limits},
            "percent",
        ),
        Curve("Price of the limits", {"dual_norm": ("multipliers", "#333333")}),
    ]
    return [
        page.figure(
            "While it learned",
            "Faint: single iterations. Each draws other days of the training year, so that they "
            "scatter, and some leave the frame. Bold: the running median. The price of the limits "
            "is the norm of the multipliers with which training makes violations dear; it rises "
            "while limits are broken, and falls when they are kept.",
            "a cost that no longer falls, violations near zero, a price that has settled. If a "
            "curve still moves at the end, longer training would help.",
            _draw(run, curves),
            across=3,
        )
    ]


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
    homes = [str(name) for name in evaluation.examples]
    places = [fleet.places[fleet.names.index(name)] for name in homes]
    compared = [OURS, RIVAL]
    whole = figures.fleet_day(evaluation, _drawn(run), day, run.currency)
    return [
        page.paragraph(
            f"{evaluation.dates[day]}: of the evaluated days the one on which prices differ most, "
            f"from {prices.min():.2f} to {prices.max():.2f} {run.currency} per kWh."
        ),
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
    if all(bus.x is None or bus.y is None for bus in feeder.buses):
        return [page.paragraph("The feeder has no coordinates, so that it cannot be drawn.")]
    return [
        _worst_moment(run, kind)
        for kind in run.simulator.case.limits
        if kind.name != "loading" and is_on_map(feeder, kind.places(flow))
    ]


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


def diagnostics(run: EvaluatedRun) -> list[str]:
    """Whether training itself was healthy; only what the log holds."""
    blue, orange = "#4d6d9a", "#c07830"
    curves = [
        Curve("Samples beyond the trust region", {"clip_fraction": ("share", blue)}, "percent"),
        Curve(
            f"Improvement of the objective, {run.currency}",
            {
                "predicted_improvement": ("predicted", blue),
                "realised_improvement": ("realised", orange),
            },
        ),
        Curve("Norm of the gradient", {"gradient_norm": ("norm", blue)}, "logarithmic"),
        Curve(
            "Annealing",
            {"trust_region": ("trust region", blue), "learning_rate": ("learning rate", orange)},
            "logarithmic",
        ),
        Curve("Power-flow residual, pu", {"powerflow_residual": ("largest", blue)}, "logarithmic"),
    ]
    panels = _draw(run, curves)
    parts = {
        "seconds_rollout": "rollout",
        "seconds_gradient": "gradient",
        "seconds_update": "updates",
    }
    if set(parts) <= set(run.metrics):
        panels.append(("time split", svg(figures.time_split(run.metrics, parts))))
    if not panels:
        return [page.paragraph("The log holds no diagnostics.")]
    return [
        page.figure(
            "Was training healthy?",
            "The trust region is how far an action may move per iteration before the surrogate "
            "stops rewarding it. The improvement is that of the objective, cost and priced "
            "violations: as the gradient predicts it, and as simulation finds it. The residual is "
            "the largest of the iteration's power flows. Time goes to rollouts, to simulation with "
            "its gradient, and to updates of the policies.",
            "realised improvement far below the predicted: the trust region is too wide, because "
            "all homes move at once and the gradient does not see their joint effect. Nearly all "
            "samples beyond the trust region: it is too narrow for the learning rate. A residual "
            "that jumps: operating points near voltage collapse.",
            panels,
            across=3,
        )
    ]


@dataclass(frozen=True)
class Curve:
    """A panel of columns of the log; arguments of `figures.training_curves`."""

    title: str
    columns: Mapping[str, tuple[str, str]]
    scale: Scale = "linear"


def _draw(run: EvaluatedRun, curves: Iterable[Curve]) -> list[tuple[str, bytes]]:
    """Those panels all of whose columns the log has."""
    return [
        (c.title, svg(figures.training_curves(run.metrics, c.title, c.columns, c.scale)))
        for c in curves
        if set(c.columns) <= set(run.metrics)
    ]


def _legend(keys: Iterable[str]) -> str:
    return page.legend({appearance(key).name: appearance(key).colour for key in keys})

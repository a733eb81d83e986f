"""The command gridedge-case: write the folder of a case, or check one.

Exit codes: 0 done; 1 there is no memory for it; 2 what the user gave is wrong, with file, row and
column.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from matplotlib.figure import Figure
from rich.table import Table

from gridedge_env.case import Case, default_case
from gridedge_env.case_files import leave_loads_to_customers, read_case
from gridedge_env.checks import check_links
from gridedge_env.evaluation import Evaluation, evaluate, evaluation_days, summarise
from gridedge_env.feeder import load_feeder
from gridedge_env.feeder.loading import built_in_feeders
from gridedge_env.feeder.places import place_at
from gridedge_env.layout import bus_positions
from gridedge_env.rendering import draw_feeder
from gridedge_env.scenarios import SPLITS, CustomerMeters
from gridedge_env.scenarios.demand import HOURS_PER_YEAR
from gridedge_env.scenarios.series.faults import in_lines
from gridedge_env.simulator import Simulator, make_simulator
from gridedge_env.terminal import RULES, Terminal, complain
from gridedge_gateway.mistakes import regular_file
from gridedge_gateway.names import printable

EXIT_FAILED, EXIT_MISTAKE = 1, 2
PICTURE = "case.svg"
# Days on which homes are tried that do least, and that follow the price.
DAYS_TRIED = 10
# Of a picture: with more there is no room for their names.
BUSES_NAMED = 60

Folder = Annotated[Path, tyro.conf.Positional]


def case(arguments: Sequence[str] | None = None) -> None:
    """gridedge-case: cases as folders."""
    try:
        with RULES:
            tyro.extras.subcommand_cli_from_dict(
                {"new": new, "check": check}, prog="gridedge-case", args=arguments
            )
    except (ValueError, OSError, ImportError) as error:
        complain("gridedge-case", f"error: {in_lines(error)}")
        sys.exit(EXIT_MISTAKE)
    except MemoryError:
        complain("gridedge-case", "error: out of memory, expected a smaller case")
        sys.exit(EXIT_FAILED)


def new(folder: Folder, feeder: str = "ieee123", num_agents: int = 1000, seed: int = 0) -> None:
    """Write the default case as a folder to edit, with the public plan for policies to correct.

    Args:
        folder: a new one.
        feeder: a built-in feeder's name, a folder of tables, or an OpenDSS script. Source voltage,
            taps, and loads that no home replaces, of one that is not built in stay as modelled.
        num_agents: number of homes, a third with each kind of device, in the place of its loads.
        seed: chooses homes and devices.
    """
    network = load_feeder(feeder)
    own = feeder not in built_in_feeders()
    made = default_case(
        network,
        num_agents,
        seed,
        source_voltage=network.source.per_unit if own else 1.0,
        neutral_taps=not own,
        keep_loads=own,
        public_plan=True,
    )
    made.save(folder)
    if own:
        leave_loads_to_customers(made.feeder.with_loads(network.loads), folder)
    print(printable(f"Wrote {folder}. Edit its tables, then: gridedge-case check {folder}"))


def check(folder: Folder) -> None:
    """Read a case, say what was found and assumed, and try it.

    Args:
        folder: of the case. Its feeder with its customers is drawn to case.svg there.
    """
    check_links(folder, "folder")
    fields, notes = read_case(folder)
    simulator, console = make_simulator(case=Case(**fields)), Terminal()
    case = simulator.case
    if case.name:
        console.print(case.name, style="bold", highlight=False)
    for table in (_customers(simulator), _devices(simulator), _days(simulator)):
        console.print(table)
    console.print(case.tariff.describe(case.currency))
    console.print(simulator.days("train").describe_forecasts(case.currency))
    console.print(f"Limits: {', '.join(kind.rule for kind in case.limits)}.")
    console.print("Repaired, left out or assumed:" if notes else "Nothing was assumed.")
    for note in notes:
        console.print(f"- {note}", highlight=False)
    console.print(_tried(simulator))
    _draw(case).savefig(regular_file(folder / PICTURE))
    console.print(f"Picture: {folder / PICTURE}")
    run = f"runs/{folder.resolve().name}"
    console.print(f"Nothing is wrong. Train: gradmap-train --case {folder} --run {run}")


def _customers(simulator: Simulator) -> Table:
    fleet = simulator.fleet
    table = Table(title=f"{len(fleet.names):,} customers on {simulator.feeder.name}")
    table.add_column("customers with")
    for column in ("", "other demand, MWh a year", "kWh each"):
        table.add_column(column, justify="right")
    energy = _annual_energy(simulator)
    for kind in dict.fromkeys(fleet.agent_kinds):
        own = energy[[agent for agent, kinds in enumerate(fleet.agent_kinds) if kinds == kind]]
        words = kind.replace("_", " ")
        table.add_row(words, f"{len(own):,}", f"{own.sum() / 1e3:,.1f}", _range(own, ",.0f"))
    return table


def _annual_energy(simulator: Simulator) -> np.ndarray:
    """(customers,) kWh, besides what devices draw."""
    demand = simulator.case.demand
    if isinstance(demand, CustomerMeters):
        return demand.annual_energy
    return HOURS_PER_YEAR * simulator.reset(days=[0]).day.mean_demand.double().numpy()


def _devices(simulator: Simulator) -> Table:
    table = Table(title="Their devices")
    table.add_column("kind")
    for column in ("", "kW", "kW each", "kWh", "kWh each"):
        table.add_column(column, justify="right")
    for group in simulator.case.fleet.groups:
        power = group.kind.full_power(group.parameters).numpy()
        storage = group.kind.storage(group.parameters).numpy()
        stored = (f"{storage.sum():,.0f}", _range(storage, ",.1f")) if storage.any() else ()
        words = group.kind.plural, f"{len(group):,}"
        table.add_row(*words, f"{power.sum():,.0f}", _range(power, ",.1f"), *stored)
    return table


def _range(values: np.ndarray, form: str) -> str:
    return f"{values.min():{form}} to {values.max():{form}}"


def _days(simulator: Simulator) -> Table:
    splits = {split: simulator.days(split) for split in SPLITS}
    table = Table("", *splits, title=f"Days in steps of {simulator.clock.minutes} minutes")
    table.add_row("days", *(f"{len(days.dates)}" for days in splits.values()))
    if simulator.clock.days > 1:
        starts = (f"{len(simulator.starts(split))}" for split in SPLITS)
        table.add_row(f"episodes of {simulator.clock.days} days", *starts)
    table.add_row("first", *(f"{days.dates[0]}" for days in splits.values()))
    table.add_row("last", *(f"{days.dates[-1]}" for days in splits.values()))
    for title, name, form in (
        (f"day-ahead price, {simulator.case.currency}/kWh", "day_ahead_price", ".3f"),
        ("outdoors, °C", "outdoor_temperature", ".0f"),
        ("irradiance, W/m²", "irradiance", ".0f"),
    ):
        values = [getattr(days, name) for days in splits.values()]
        table.add_row(title, *(_range(each.cpu().numpy(), form) for each in values))
    return table


def _draw(case: Case) -> Figure:
    """The feeder, a dot at each bus that is the larger the more customers stand there.

    Buses of other loads have a square. Where there are few buses, they have their names.
    """
    figure = draw_feeder(case.feeder)
    axes, places = figure.axes[0], bus_positions(case.feeder)
    others = {load.bus: places[load.bus] for load in case.feeder.loads if load.bus in places}
    if others:
        x, y = np.array(list(others.values())).T
        axes.scatter(x, y, 90.0, marker="s", color="tab:blue", alpha=0.6)
    fleet, buses = case.fleet, {bus.name: bus for bus in case.feeder.buses}
    customers = Counter(place_at(place, buses).bus for place in fleet.places)
    at = [(x, y, customers[bus]) for bus, (x, y) in places.items()]
    x, y, count = np.array(at, dtype=float).T
    area = 60.0 * (count > 0) + 300.0 * count / count.max()
    axes.scatter(x, y, area, color="tab:orange", alpha=0.6, clip_on=False)
    if len(places) <= BUSES_NAMED:
        for bus, (x, y) in places.items():
            look: dict[str, Any] = {"fontsize": 6, "rotation": 30, "parse_math": False}
            axes.annotate(bus, (x, y), (5, 5), textcoords="offset points", **look)
    title = f"{case.name or case.feeder.name}: {len(fleet.names):,} customers"
    if count.max() > 1:
        title += f", {count.max():.0f} at the largest dot"
    if others:
        title += f"; other loads at squares: {len(case.feeder.loads)}"
    axes.set_title(title, pad=24.0, parse_math=False)  # above the names
    return figure


def _tried(simulator: Simulator) -> Table:
    """Homes that need no training, on days of the first split."""
    count = min(DAYS_TRIED, len(simulator.starts("train")))
    days = evaluation_days(simulator, "train", count)
    limits = simulator.case.limits
    played = evaluate(simulator, {}, days, "train", foresight_iterations=0)
    _check_finite(simulator, played)
    table = Table(title=f"{simulator.clock.episodes(count)} of training, steps outside limits")
    table.add_column("all homes")
    cost = f"{simulator.case.currency}/day"
    for column in (cost, *(kind.name for kind in limits), "not converged"):
        table.add_column(column, justify="right")
    for name, episode in played.episodes.items():
        row = summarise(episode, limits)
        shares = (f"{row[f'{kind.name}_steps']:.1%}" for kind in limits)
        words = name.replace("_", " ")
        table.add_row(words, f"{row['cost']:,.0f}", *shares, f"{row['nonconverged']}")
    return table


def _check_finite(simulator: Simulator, played: Evaluation) -> None:
    """Refuse a case of which days cannot be told in numbers.

    Raises:
        ValueError: names what is no finite number, whose, when and by which rule.
    """
    fleet, clock = simulator.fleet, simulator.clock.day
    owners = [fleet.names[agent] for group in fleet.groups for agent in group.agent.tolist()]
    for method, episode in played.episodes.items():
        told: list[tuple[str, np.ndarray, Sequence[str]]] = [
            ("state of a device", episode.store, owners),
            ("kW at the meter", episode.power, fleet.names),
            ("cost of the day", episode.agent_cost[:, None], fleet.names),
        ]
        for kind in simulator.case.limits:  # what was not solved is counted, and not to be believed
            solved = np.where(episode.converged[..., None], episode.quantities[kind.name], 0.0)
            told.append((kind.name, solved, kind.places(simulator.power_flow)))
        for what, values, names in told:
            for day, step, place in np.argwhere(~np.isfinite(values)):
                when = f"on {played.dates[day]} from {clock.time(step)}"
                raise ValueError(
                    f"case: got {values[day, step, place]} as {what} of {names[place]!r} {when} "
                    f"under {method}, expected finite numbers"
                )

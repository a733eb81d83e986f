"""What the explorer shows of a run: who and what there is, and the numbers of every day."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradmap_trainer.report.appearance import about, appearance
from gradmap_trainer.report.explorer.packing import (
    LIMITED,
    POWER,
    Stores,
    day_block,
    differences,
    limited,
    multiples,
    resolution,
)
from gradmap_trainer.report.run import REST, EvaluatedRun
from gradmap_trainer.report.words import step_name
from gridedge_env.constraints import Limits
from gridedge_env.evaluation import Episode, outside_any
from gridedge_env.feeder import build_network
from gridedge_env.feeder.places import FIRST_NEUTRAL, place_at
from gridedge_env.layout import bus_positions

# Of all methods together, that one page may hold: 28 days of six methods, 1,000 agents and their
# devices on IEEE 123 are 21 million, and 8 MB.
MOST_NUMBERS = 22_000_000


class Contents:
    """Of one page; the rule that does least comes first among the methods.

    Args:
        run: evaluated. Days are left out, evenly, where all are more than a page may hold.
    """

    def __init__(self, run: EvaluatedRun) -> None:
        evaluation = run.evaluation
        count, steps = evaluation.import_price.shape
        episodes = evaluation.episodes
        of_day = steps * sum(_places(episode) for episode in episodes.values())
        shown = min(count, max(1, MOST_NUMBERS // of_day))
        self._days = ((np.arange(shown) + 0.5) * count / shown).astype(int)
        order = [REST, *(key for key in episodes if key != REST)]
        self._run = run
        self._episodes = {key: episodes[key].take(self._days.tolist()) for key in order}
        played = self._episodes.values()
        self._units = {
            kind.name: resolution(
                LIMITED * kind.scale, [e.quantities[kind.name][e.converged] for e in played]
            )
            for kind in run.simulator.case.limits
        }
        self._power_unit = resolution(POWER, [e.power for e in played])
        owner = np.concatenate([g.agent.cpu().numpy() for g in run.simulator.fleet.groups])
        self._stores = Stores(self._episodes, REST, owner)

    def day_blocks(self) -> Iterator[str]:
        """The numbers of each day, in the order in which `data.js` reads them."""
        rest = self._episodes[REST]
        unit, store_unit = self._power_unit, self._stores.unit
        drawn = {k: multiples(e.power - rest.power, unit) for k, e in self._episodes.items()}
        at_rest = multiples(rest.store, store_unit)
        arrays = [e.converged[:, None].astype(np.int64) for e in self._episodes.values()]
        for kind in self._run.simulator.case.limits:
            found = (limited(kind, e, self._units[kind.name]) for e in self._episodes.values())
            arrays += map(differences, found)
        arrays += [differences(multiples(rest.power, unit)), differences(at_rest)]
        for key, episode in list(self._episodes.items())[1:]:
            beyond = episode.store - store_unit * at_rest
            arrays.append(differences(drawn[key]))
            arrays.append(self._stores.corrections(beyond, unit * drawn[key]))
        for day in range(len(self._days)):
            yield day_block([array[day] for array in arrays])

    def about(self) -> bytes:
        """All else, as JSON."""
        run = self._run
        evaluation, case, clock = run.evaluation, run.simulator.case, run.simulator.clock
        told = {
            "name": run.name,
            "case": case.title,
            "currency": run.currency,
            "step": step_name(clock),
            "times": [clock.time(step) for step in range(clock.day.steps)],
            "dates": evaluation.dates[self._days].tolist(),
            "evaluated": len(evaluation.dates),
            "price": evaluation.import_price[self._days].round(4).tolist(),
            "outdoor": evaluation.outdoor_temperature[self._days].round(1).tolist(),
            "methods": [
                {
                    "name": appearance(key).name,
                    "colour": appearance(key).colour,
                    "about": about(key, run.kinds),
                    "cost": episode.cost.round(2).tolist(),
                    "nearest": _nearest(episode, case.limits).tolist(),
                }
                for key, episode in self._episodes.items()
            ],
            "power": {"unit": self._power_unit},
            "store": {"unit": self._stores.unit, "factors": self._stores.factors.tolist()},
            **self._network(),
            **self._homes(),
        }
        return json.dumps(told, separators=(",", ":"), allow_nan=False).encode()

    def _network(self) -> dict[str, Any]:
        """Buses, what lies between them, and where which limits hold."""
        simulator = self._run.simulator
        feeder, network = simulator.feeder, build_network(simulator.feeder)
        positions = bus_positions(feeder)
        buses = {bus.name: row for row, bus in enumerate(feeder.buses)}
        bus_of = {name: name.rpartition(".")[0] for name in network.node_names}
        links: dict[str, dict[str, Any]] = {}
        element_of: dict[str, str] = {}
        for name, ends in zip(network.branch_names, network.branch_terminals, strict=True):
            if (ends >= 0).all():
                element_of[name] = element = name.rpartition(".")[0]
                first, last = (buses[bus_of[network.node_names[end]]] for end in ends)
                links.setdefault(element, {"from": first, "to": last})
        rows = {name: row for row, name in enumerate(links)}
        return {
            "buses": [{"name": bus, "at": positions.get(bus)} for bus in buses],
            "source": buses[feeder.source.bus],
            "links": [{"name": name, **ends} for name, ends in links.items()],
            "limits": [
                {
                    "name": kind.name,
                    "title": kind.axis_title,
                    "rule": kind.rule,
                    "bounds": [edge if math.isfinite(edge) else None for edge in kind.bounds],
                    "middle": kind.middle,
                    "half": kind.half_width,
                    "percent": kind.in_percent,
                    "unit": self._units[kind.name],
                    "places": list(places),
                    "bus": [buses.get(bus_of.get(name, name), -1) for name in places],
                    "link": [rows.get(element_of.get(name, ""), -1) for name in places],
                }
                for kind in simulator.case.limits
                for places in [kind.places(simulator.power_flow)]
            ],
        }

    def _homes(self) -> dict[str, Any]:
        """Agents in the order of the meters, and devices in that of their stores."""
        fleet, feeder = self._run.simulator.fleet, self._run.simulator.feeder
        buses = {bus.name: bus for bus in feeder.buses}
        rows = {name: row for row, name in enumerate(buses)}
        agents = []
        for name, place in zip(fleet.names, fleet.places, strict=True):
            found = place_at(place, buses)
            phases = sorted({phase for branch in found.branches for phase in branch})
            nodes = [f"{found.bus}.{phase}" for phase in phases if 0 < phase < FIRST_NEUTRAL]
            agents.append({"name": name, "place": place, "bus": rows[found.bus], "nodes": nodes})
        devices = []
        for group in fleet.groups:
            for device, agent in enumerate(group.agent.tolist()):
                drawn = group.kind.store_axis(group.parameters, device)
                devices.append(
                    {
                        "agent": agent,
                        "kind": group.kind.name.replace("_", " "),
                        "title": drawn.title,
                        "offset": drawn.offset,
                        "scale": drawn.scale,
                        "percent": drawn.percent,
                        "band": drawn.band,
                        "ended": drawn.ended,
                    }
                )
        return {"agents": agents, "devices": devices}


def _places(episode: Episode) -> int:
    """How many numbers an episode has in a step."""
    limited = sum(values.shape[-1] for values in episode.quantities.values())
    return limited + episode.power.shape[-1] + episode.store.shape[-1]


def _nearest(episode: Episode, limits: Limits) -> np.ndarray:
    """(days, steps) how near the network is to its limits, in percent; above 100 is outside.

    0 is in the middle of all bands. A power flow without a solution is at 200.
    """
    shares = np.zeros(episode.converged.shape)
    for kind in limits:
        excess = kind.excess(episode.quantities[kind.name]).max(axis=-1, initial=-np.inf)
        shares = np.maximum(shares, 1.0 + excess / kind.half_width)
    solved = np.where(episode.converged, shares, 2.0).clip(max=9.99)
    percent = np.rint(100.0 * solved).astype(np.int64)
    outside = outside_any(episode, limits)
    return np.where(outside, np.maximum(percent, 101), np.minimum(percent, 100))

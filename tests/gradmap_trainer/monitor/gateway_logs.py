"""What gateways log whose homes do as the simulator says, on days of training."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from gradmap_trainer.export import policy_file
from gradmap_trainer.export.replay import Home, Played, as_known, published
from gradmap_trainer.policies import Policies
from gridedge_env import Simulator
from gridedge_env.reference import play
from gridedge_gateway import Controller, Readings
from gridedge_gateway.names import fit
from gridedge_gateway.record import Log

Row = dict[str, str]


def log_episodes(
    simulator: Simulator, policies: Policies, files: Path, logs: Path, starts: Iterable[int]
) -> None:
    """A table for each customer of a run, of episodes of training that begin at some days."""
    homes = [
        Home.of(simulator, agent, Controller.load(files / policy_file(name)))
        for agent, name in enumerate(simulator.fleet.names)
    ]
    tables = [
        Log(logs / f"{fit(name)}.csv", home.controller.file)
        for name, home in zip(simulator.fleet.names, homes, strict=True)
    ]
    for first in starts:
        state = as_known(simulator, simulator.reset(split="train", days=[first]))
        times, series = published(simulator, "train", first)
        powers: list[dict[str, float]] = [{} for _ in homes]
        played = play(simulator, lambda *parts: policies(*(part.float() for part in parts)), state)
        for time, (before, action, _) in zip(times, played, strict=True):
            then = Played.of(simulator, before, action)
            for agent, (home, table) in enumerate(zip(homes, tables, strict=True)):
                values = home.readings(then, powers[agent], sensors=True)
                readings = Readings(time, values, series if time == times[0] else {})
                set_point = home.controller.step(readings)
                table.add(readings, home.controller.published.at(time), set_point)
                powers[agent] = dict(set_point.power)


def read(table: Path) -> list[Row]:
    """Its rows."""
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(table: Path, rows: list[Row]) -> Path:
    """A table of rows."""
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table

"""What gateways log whose homes do as the simulator says, on days of training."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

from gradmap_trainer.export.everybody import Everybody, days_of
from gradmap_trainer.export.replay import PUBLISHED, _as_known, _Home, _Played
from gradmap_trainer.policies import Policies
from gridedge_env import Simulator
from gridedge_env.reference import play
from gridedge_gateway import Controller, Readings
from gridedge_gateway.record import Log

Row = dict[str, str]


def log_days(
    simulator: Simulator, policies: Policies, files: Path, logs: Path, first: int, days: int
) -> None:
    """A table for each customer of a run, of some days of training in a row from a first."""
    homes = [
        _Home.of(simulator, agent, Controller.load(files / f"{name}.onnx"))
        for agent, name in enumerate(simulator.fleet.names)
    ]
    tables = [
        Log(logs / f"{name}.csv", home.controller.file)
        for name, home in zip(simulator.fleet.names, homes, strict=True)
    ]
    zone, step = ZoneInfo(simulator.case.time_zone), timedelta(minutes=simulator.clock.minutes)
    for day in range(first, first + days):
        state = _as_known(simulator, simulator.reset(split="train", days=[day]))
        news = Everybody.of(simulator).news(days_of(simulator, "train", day))
        date = simulator.days("train").dates[day]
        midnight = datetime(date.year, date.month, date.day, tzinfo=zone).astimezone(timezone.utc)
        times = [midnight + step * number for number in range(simulator.clock.steps)]
        series = {
            name: dict(zip(times, (news[name].flatten() * unit).tolist(), strict=True))
            for name, unit in PUBLISHED.items()
        }
        powers: list[dict[str, float]] = [{} for _ in homes]
        played = play(simulator, lambda *parts: policies(*(part.float() for part in parts)), state)
        for time, (before, action, _) in zip(times, played, strict=True):
            then = _Played.of(simulator, before, action)
            for agent, (home, table) in enumerate(zip(homes, tables, strict=True)):
                values = home.readings(then, powers[agent], sensors=True)
                readings = Readings(time, values, series if time == midnight else {})
                set_point = home.controller.step(readings)
                table.add(readings, set_point)
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

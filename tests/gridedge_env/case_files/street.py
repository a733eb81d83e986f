"""A street of one's own in a folder, small: six homes on IEEE 13, nine weeks of series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gridedge_env.case import default_case

NAMES = ("ann", "bob", "cleo", "dan", "eve", "flo")
DESCRIPTION = """\
time_zone = "Europe/Berlin"
step_minutes = 15
seed = 4
name = "Elm Street"
currency = "CHF"

[limits]
minimum_voltage = 0.9
maximum_voltage = 1.1

[tariff.imports]
kind = "time_of_use"
otherwise = 0.22
periods = [{ days = "working", begin = "07:00", end = "23:00", price = 0.32 }]

[tariff.exports]
kind = "fixed"
price = 0.08

[days]
train = [2024-03-02, 2024-04-10]
validation = [2024-04-11, 2024-04-20]
test = [2024-04-21, 2024-04-30]
"""


def write_street(folder: Path) -> None:
    """Quarter-hour prices and meters, hourly weather, a spring with its change of clocks."""
    default_case("ieee13", num_agents=len(NAMES)).save(folder)
    random = np.random.default_rng(0)
    quarters, hours = (
        pd.date_range("2024-03-01", "2024-05-02", freq=step, tz="Europe/Berlin", inclusive="left")
        for step in ("15min", "h")
    )
    hour = quarters.hour.to_numpy()
    price = 80.0 - 60.0 * np.exp(-(((hour - 13.0) / 3.0) ** 2)) + random.normal(0.0, 5.0, len(hour))
    _write(folder / "prices.csv", quarters, {"price": price})
    sun = np.maximum(0.0, 600.0 * np.sin((hours.hour.to_numpy() - 6.0) / 12.0 * np.pi))
    warmth = 8.0 + 5.0 * np.sin(np.arange(len(hours)) / 24.0 * 2.0 * np.pi)
    _write(folder / "weather.csv", hours, {"temperature": warmth, "irradiance": sun})
    load = random.gamma(1.5, 0.4, (len(quarters), len(NAMES) - 1)) - 0.1
    _write(
        folder / "meters.csv", quarters, {f"meter {k}": load[:, k] for k in range(load.shape[1])}
    )
    rename(folder)
    (folder / "case.toml").write_text(DESCRIPTION, encoding="utf-8")


def rename(folder: Path) -> None:
    """Give agents names of their own, and all but the last a meter."""
    agents = pd.read_csv(folder / "agents.csv")
    new = dict(zip(agents["agent"], NAMES, strict=True))
    agents["agent"] = NAMES
    agents["meter"] = [f"meter {k}" for k in range(len(NAMES) - 1)] + [""]
    agents.to_csv(folder / "agents.csv", index=False)
    for kind in ("batteries", "heat_pumps", "generators"):
        table = pd.read_csv(folder / f"{kind}.csv", dtype=str)
        table["agent"] = table["agent"].map(new)
        table.to_csv(folder / f"{kind}.csv", index=False)


def _write(path: Path, stamps: pd.DatetimeIndex, columns: dict[str, np.ndarray]) -> None:
    table = pd.DataFrame({name: values.round(4) for name, values in columns.items()})
    table.insert(0, "timestamp", stamps.strftime("%Y-%m-%dT%H:%M%z"))
    table.to_csv(path, index=False)

"""Make up the street in this folder: network, customers, devices, meters, prices and weather.

    python examples/street/make.py [folder]

Nothing in it was measured. Cables and the transformer have usual data, everything else is drawn
from the distributions below by one seed, so that the same numbers come out each time.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gridedge_gateway.sun import extraterrestrial_irradiance, sun_position

SITE = (51.3, 9.5)
TIME_ZONE = "Europe/Berlin"
FIRST, END = "2025-03-01", "2025-06-16"

CUSTOMERS = {
    "Rose Lane 1": "battery ev_charger",
    "Rose Lane 2": "heat_pump",
    "Rose Lane 3": "battery pv_inverter",
    "Rose Lane 4": "ev_charger",
    "Rose Lane 5": "heat_pump",
    "Rose Lane 6": "battery",
    "Rose Lane 7": "ev_charger pv_inverter",
    "Rose Lane 8": "heat_pump",
    "Rose Lane 9": "battery",
    "Rose Lane 10": "heat_pump ev_charger",
    "Rose Lane 11": "pv_inverter",
    "Rose Lane 12": "battery",
    "Rose Lane 13": "heat_pump",
    "Rose Lane 14": "ev_charger",
    "Rose Lane 15": "battery heat_pump",
    "Rose Lane 16": "ev_charger",
    "Rose Lane 17": "heat_pump",
    "Rose Lane 18": "pv_inverter",
    "Mill Street 2": "battery",
    "Mill Street 4": "heat_pump",
    "Mill Street 6": "ev_charger",
    "Mill Street 8": "battery pv_inverter",
    "Mill Street 10": "heat_pump",
    "Mill Street 12": "ev_charger",
    "Mill Street 14": "battery",
    "Mill Street 16": "heat_pump",
    "Mill Street 18": "ev_charger pv_inverter",
    "Mill Street 20": "battery heat_pump",
    "Bakery Hansen": "generator battery",
    "Kindergarten": "pv_inverter",
}
"""Who lives there, and the devices to be controlled."""

OWN_PV = {"Rose Lane 6": 5.0, "Rose Lane 12": 7.5, "Mill Street 2": 4.0}
"""kWp behind the meter of some, which nobody controls: their meters go below zero."""

SERVICE = 15
"""m of cable from the street to a house."""

STREETS = {"rose": 18, "mill": 12}
"""Customers along each of two cables, three at every joint."""


def main(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(2025)
    (folder / "network.dss").write_text(network(), encoding="utf-8")
    write_tables(folder, random)
    temperature, irradiance = weather(random)
    write_series(
        folder / "weather.csv.gz",
        ("time (UTC)", "temperature", "ghi"),
        weather_rows(temperature, irradiance),
    )
    write_series(
        folder / "prices.csv.gz", ("begin", "price [EUR/MWh]"), price_rows(irradiance, random)
    )
    write_series(
        folder / "meters.csv.gz",
        ("time", *map(meter_of, CUSTOMERS)),
        meter_rows(irradiance, random),
        separator=";",
        decimal=",",
    )


def bus_of(number: int) -> str:
    """Where the customer of a number stands: "rose_1"."""
    first = STREETS["rose"]
    return f"rose_{number + 1}" if number < first else f"mill_{number - first + 1}"


def meter_of(customer: str) -> str:
    """The name of a customer's meter."""
    return f"M-{1001 + 7 * list(CUSTOMERS).index(customer)}"


def network() -> str:
    """The model as an OpenDSS script: a substation, two streets, a cable to every house."""
    lines = [
        "! A made-up low-voltage feeder: 100 kVA, two streets of NAYY cable. Written by make.py.",
        "clear",
        "set defaultbasefrequency=50",
        "new circuit.street basekv=10 pu=1.02 mvasc3=150 mvasc1=150",
        "new transformer.substation phases=3 windings=2 buses=[sourcebus busbar]",
        "~ conns=[delta wye] kvs=[10 0.4] kvas=[100 100] %rs=[0.75 0.75] xhl=3.7",
        "new linecode.nayy_150 nphases=3 units=km normamps=270",
        "~ r1=0.208 x1=0.080 r0=0.832 x0=0.296 c1=0 c0=0",
        "new linecode.nayy_50 nphases=3 units=km normamps=142",
        "~ r1=0.642 x1=0.083 r0=2.568 x0=0.307 c1=0 c0=0",
    ]
    positions = {"sourcebus": (-45.0, 0.0), "busbar": (0.0, 0.0)}
    number = 0
    for street, count in STREETS.items():
        before, side = "busbar", 1.0 if street == "rose" else -1.0
        for joint in range(1, count // 3 + 1):
            here = f"{street}_joint_{joint}"
            positions[here] = (45.0 * joint, 25.0 * side)
            lines.append(cable(here, before, here, "nayy_150", 45))
            for place in range(3):
                home = bus_of(number)
                shift = SERVICE * (place - 1)
                positions[home] = (45.0 * joint + shift, 25.0 * side + SERVICE * side)
                lines.append(cable(home, here, home, "nayy_50", SERVICE))
                lines.append(
                    f"new load.{home} bus1={home}.{number % 3 + 1} phases=1 kv=0.231 kw=2 pf=0.97"
                )
                number += 1
            before = here
    lines += ["set voltagebases=[10 0.4]", "calcvoltagebases", "solve"]
    lines += [f"setbusxy bus={bus} x={x:g} y={y:g}" for bus, (x, y) in positions.items()]
    return "\n".join(lines) + "\n"


def cable(name: str, begin: str, end: str, code: str, metres: int) -> str:
    """A line of the script."""
    return f"new line.{name} bus1={begin} bus2={end} linecode={code} length={metres} units=m"


def write_tables(folder: Path, random: np.random.Generator) -> None:
    """Customers, and a table for each kind of device."""
    write_table(
        folder / "agents.csv",
        ("agent", "place", "meter"),
        (
            (name, f"{bus_of(number)}.{number % 3 + 1}", meter_of(name))
            for number, name in enumerate(CUSTOMERS)
        ),
    )
    for kind, (file, draw) in DEVICES.items():
        owners = [name for name, devices in CUSTOMERS.items() if kind in devices.split()]
        rows = [{"agent": owner, **draw(random)} for owner in owners]
        write_table(folder / file, tuple(rows[0]), (row.values() for row in rows))


def battery(random: np.random.Generator) -> Mapping[str, float]:
    """A home battery of 5 to 12 kWh, on one phase."""
    capacity = round(random.uniform(5.0, 12.0), 1)
    return {
        "capacity": capacity,
        "maximum_power": min(4.6, round(0.5 * capacity, 1)),
        "charge_efficiency": 0.95,
        "discharge_efficiency": 0.95,
        "minimum_energy": round(0.1 * capacity, 2),
        "wear_cost": round(random.uniform(0.02, 0.05), 3),
    }


def heat_pump(random: np.random.Generator) -> Mapping[str, float]:
    """A heat pump in an old or a newer house."""
    return {
        "maximum_power": round(random.uniform(2.5, 4.0), 1),
        "supply_temperature": random.choice([35.0, 45.0, 55.0]),
        "performance": round(random.uniform(0.9, 1.1), 2),
        "resistance": round(random.uniform(4.0, 7.0), 1),
        "capacity": round(random.uniform(8.0, 16.0), 1),
        "lowest_temperature": 20.0,
        "highest_temperature": round(random.uniform(21.5, 23.0), 1),
        "internal_gain": round(random.uniform(0.3, 0.6), 2),
        "solar_aperture": round(random.uniform(2.0, 5.0), 1),
    }


def ev_charger(random: np.random.Generator) -> Mapping[str, float]:
    """A wall box of 7.4 kW; every third car can feed back."""
    capacity = round(random.uniform(40.0, 75.0))
    return {
        "maximum_power": 7.4,
        "maximum_discharge_power": random.choice([0.0, 0.0, 7.4]),
        "capacity": capacity,
        "charge_efficiency": 0.92,
        "discharge_efficiency": 0.92,
        "minimum_energy": round(0.35 * capacity, 1),
        "wear_cost": 0.04,
        "departure": round(random.uniform(7.0, 9.0), 2),
        "arrival": round(random.uniform(16.0, 19.0), 2),
        "trip_energy": round(random.uniform(4.0, 11.0), 1),
        "hours_spread": 0.5,
        "energy_spread": 0.3,
    }


def pv_inverter(random: np.random.Generator) -> Mapping[str, float]:
    """A roof of 3 to 5 kWp."""
    peak = round(random.uniform(3.0, 5.0), 1)
    return {
        "maximum_power": round(0.9 * peak, 1),
        "peak_power": peak,
        "tilt": round(random.uniform(25.0, 45.0)),
        "azimuth": round(random.uniform(120.0, 240.0)),
        "performance_ratio": 0.85,
    }


def generator(random: np.random.Generator) -> Mapping[str, float]:
    """A small engine that also heats the oven."""
    return {"maximum_power": 4.5, "linear_cost": 0.2, "quadratic_cost": 0.05}


DEVICES = {
    "battery": ("batteries.csv", battery),
    "heat_pump": ("heat_pumps.csv", heat_pump),
    "ev_charger": ("ev_chargers.csv", ev_charger),
    "pv_inverter": ("pv_inverters.csv", pv_inverter),
    "generator": ("generators.csv", generator),
}


def times(step: str) -> pd.DatetimeIndex:
    """Beginnings of steps, in local time."""
    return pd.date_range(FIRST, END, freq=step, tz=TIME_ZONE, inclusive="left")


def persistent(count: int, kept: float, random: np.random.Generator) -> np.ndarray:
    """Standard normal numbers of which each keeps a share of the one before."""
    shocks = np.sqrt(1.0 - kept**2) * random.standard_normal(count)
    values = [random.standard_normal()]
    for shock in shocks[1:]:
        values.append(kept * values[-1] + shock)
    return np.array(values)


def weather(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """°C and W/m² by the hour: spring becomes summer, clouds come and go."""
    local = times("h")
    middle = (local.tz_convert("UTC") + pd.Timedelta("30min")).tz_localize(None).to_numpy()
    height = sun_position(middle, *SITE)[..., 2].clip(0.0)
    cloud = 1.0 / (1.0 + np.exp(-1.3 * persistent(len(local), 0.96, random)))
    clear = 0.75 * extraterrestrial_irradiance(middle) * height
    season = 6.0 + 12.0 * np.arange(len(local)) / len(local)
    swing = 4.0 * np.sin((local.hour.to_numpy() - 9.0) / 24.0 * 2.0 * np.pi)
    temperature = season + swing + 3.0 * persistent(len(local), 0.985, random)
    return temperature.round(1), (clear * (1.0 - 0.75 * cloud)).round()


def weather_rows(temperature: np.ndarray, irradiance: np.ndarray) -> Iterable[Sequence[str]]:
    """By the hour, in UTC."""
    for at, warmth, sun in zip(times("h").tz_convert("UTC"), temperature, irradiance, strict=True):
        yield f"{at:%Y-%m-%dT%H:%MZ}", f"{warmth:.1f}", f"{sun:.0f}"


def price_rows(irradiance: np.ndarray, random: np.random.Generator) -> Iterable[Sequence[str]]:
    """By the quarter of an hour: peaks at breakfast and supper, a dip where the sun shines."""
    local = times("15min")
    hour = local.hour.to_numpy() + local.minute.to_numpy() / 60.0
    level = 85.0 + 20.0 * np.repeat(persistent(len(local) // 96 + 1, 0.8, random), 96)[: len(local)]
    peaks = 35.0 * np.exp(-(((hour - 7.5) / 1.5) ** 2)) + 60.0 * np.exp(
        -(((hour - 19.5) / 2.0) ** 2)
    )
    rest = np.where(local.day_of_week.to_numpy() >= 5, -20.0, 0.0)
    sun = -0.14 * np.repeat(irradiance, 4)
    price = level + peaks + rest + sun + 4.0 * random.standard_normal(len(local))
    for at, each in zip(local, price, strict=True):
        yield f"{at:%Y-%m-%dT%H:%M%z}", f"{each:.2f}"


def meter_rows(irradiance: np.ndarray, random: np.random.Generator) -> Iterable[Sequence[str]]:
    """kWh of every quarter of an hour, in local time without an offset, as meters export them.

    One customer moved in late, and one meter was silent for three quarters of an hour.
    """
    local = times("15min")
    sun = np.repeat(irradiance, 4)
    columns = {}
    for name in CUSTOMERS:
        demand = DEMANDS.get(name, household)(local, random) - OWN_PV.get(name, 0.0) * 0.8e-3 * sun
        columns[name] = [f"{energy:.3f}" for energy in demand / 4.0]
    moved_in = int(np.flatnonzero(local >= pd.Timestamp("2025-03-12", tz=TIME_ZONE))[0])
    columns["Rose Lane 13"][:moved_in] = [""] * moved_in
    columns["Mill Street 10"][4030:4033] = [""] * 3
    for at, *energies in zip(local, *columns.values(), strict=True):
        yield (f"{at:%Y-%m-%d %H:%M}", *energies)


def household(local: pd.DatetimeIndex, random: np.random.Generator) -> np.ndarray:
    """kW: what is always on, mornings and evenings, and now and then a kettle, an oven, a wash."""
    hour = local.hour.to_numpy() + local.minute.to_numpy() / 60.0
    size = random.uniform(0.8, 2.0)
    supper = random.uniform(17.5, 20.0)
    awake = (
        0.12
        + 0.25 * np.exp(-(((hour - random.uniform(6.5, 8.5)) / 1.0) ** 2))
        + 0.45 * np.exp(-(((hour - supper) / 2.0) ** 2))
        + 0.15 * (local.day_of_week.to_numpy() >= 5) * np.exp(-(((hour - 12.5) / 2.5) ** 2))
    )
    kettle = random.uniform(1.0, 3.0, len(hour)) * (random.uniform(size=len(hour)) < 0.12 * awake)
    return size * (awake * np.exp(0.25 * random.standard_normal(len(hour))) + kettle)


def bakery(local: pd.DatetimeIndex, random: np.random.Generator) -> np.ndarray:
    """kW: an oven from three to nine in the morning but for Sundays, a shop by day."""
    hour, sunday = local.hour.to_numpy(), local.day_of_week.to_numpy() == 6
    oven = 5.0 * ((hour >= 3) & (hour < 9) & ~sunday)
    shop = 0.8 * ((hour >= 6) & (hour < 18) & ~sunday)
    return (0.6 + oven + shop) * np.exp(0.1 * random.standard_normal(len(hour)))


def kindergarten(local: pd.DatetimeIndex, random: np.random.Generator) -> np.ndarray:
    """kW: light and a kitchen on working days."""
    hour, works = local.hour.to_numpy(), local.day_of_week.to_numpy() < 5
    day = 1.8 * ((hour >= 7) & (hour < 17) & works)
    kitchen = 1.5 * ((hour >= 10) & (hour < 12) & works)
    return (0.2 + day + kitchen) * np.exp(0.15 * random.standard_normal(len(hour)))


DEMANDS = {"Bakery Hansen": bakery, "Kindergarten": kindergarten}


def write_table(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """A small table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_series(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    separator: str = ",",
    decimal: str = ".",
) -> None:
    """A compressed series, the same to the byte each time."""
    text = io.StringIO()
    print(separator.join(header), file=text)
    for stamp, *cells in rows:
        print(separator.join([stamp, *(cell.replace(".", decimal) for cell in cells)]), file=text)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    main(parser.parse_args().folder)

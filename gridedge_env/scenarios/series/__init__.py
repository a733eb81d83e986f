"""A user's own series, as they come: prices, weather, meters and profiles, read and checked.

All faults of a file are collected, each with its row and column (`Faults`); what was repaired,
left out or assumed is in a series' notes.
"""

from gridedge_env.scenarios.series.faults import Fault, Faults
from gridedge_env.scenarios.series.meters import read_meters
from gridedge_env.scenarios.series.prices import read_prices
from gridedge_env.scenarios.series.profiles import read_profiles
from gridedge_env.scenarios.series.steps import Series, by_local_day, notes_of_days
from gridedge_env.scenarios.series.weather import read_weather

__all__ = [
    "Fault",
    "Faults",
    "Series",
    "by_local_day",
    "notes_of_days",
    "read_meters",
    "read_prices",
    "read_profiles",
    "read_weather",
]

"""Scenarios: observed weather and prices, generated or metered household demand, tariffs."""

from gridedge_env.scenarios.demand import DemandSource, GeneratedDemand, Homes
from gridedge_env.scenarios.metered import MeteredDemand, load_metered_demand
from gridedge_env.scenarios.observed import SPLITS, DayTable, Variation, load_days
from gridedge_env.scenarios.tariff import Tariff

__all__ = [
    "SPLITS",
    "DayTable",
    "DemandSource",
    "GeneratedDemand",
    "Homes",
    "MeteredDemand",
    "Tariff",
    "Variation",
    "load_days",
    "load_metered_demand",
]

from gridedge_env.scenarios.observed import DaySource, ObservedDays

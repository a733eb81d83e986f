"""Scenarios: observed weather and prices, generated or metered household demand, tariffs."""

from gridedge_env.scenarios.demand import DemandSource, GeneratedDemand, Homes
from gridedge_env.scenarios.metered import MeteredDemand, load_metered_demand
from gridedge_env.scenarios.observed import (
    SPLITS,
    Calendar,
    DaySource,
    DayTable,
    ObservedDays,
    Variation,
)
from gridedge_env.scenarios.tariff import Tariff

__all__ = [
    "SPLITS",
    "Calendar",
    "DaySource",
    "DayTable",
    "DemandSource",
    "GeneratedDemand",
    "Homes",
    "MeteredDemand",
    "ObservedDays",
    "Tariff",
    "Variation",
    "load_metered_demand",
]

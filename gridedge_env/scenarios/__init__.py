"""Scenarios: observed weather and prices, generated or metered household demand, tariffs."""

from gridedge_env.scenarios.demand import DemandSource, GeneratedDemand, Homes
from gridedge_env.scenarios.export_prices import (
    EXPORT_KINDS,
    DayAheadFeedIn,
    Fixed,
    NetMetering,
    Nothing,
)
from gridedge_env.scenarios.forecast_errors import ForecastErrors
from gridedge_env.scenarios.import_prices import (
    IMPORT_KINDS,
    DayAhead,
    Flat,
    Period,
    TimeOfUse,
)
from gridedge_env.scenarios.load_profiles import LoadProfiles
from gridedge_env.scenarios.metered import MeteredDemand, load_metered_demand
from gridedge_env.scenarios.observed import (
    SPLITS,
    Calendar,
    DaySource,
    DayTable,
    ObservedDays,
    Variation,
)
from gridedge_env.scenarios.own_series import CustomerMeters, SeriesDays
from gridedge_env.scenarios.price_kind import ExportPrice, ImportPrice
from gridedge_env.scenarios.tariff import Tariff, tariff_from_record

__all__ = [
    "EXPORT_KINDS",
    "IMPORT_KINDS",
    "SPLITS",
    "Calendar",
    "CustomerMeters",
    "DayAhead",
    "DayAheadFeedIn",
    "DaySource",
    "DayTable",
    "DemandSource",
    "ExportPrice",
    "Fixed",
    "Flat",
    "ForecastErrors",
    "GeneratedDemand",
    "Homes",
    "ImportPrice",
    "LoadProfiles",
    "MeteredDemand",
    "NetMetering",
    "Nothing",
    "ObservedDays",
    "Period",
    "SeriesDays",
    "Tariff",
    "TimeOfUse",
    "Variation",
    "load_metered_demand",
    "tariff_from_record",
]

"""Three homes on IEEE 13, one of them on three phases, among loads that take no part."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import torch

from gridedge_env import Case, Limits, default_case, load_feeder
from gridedge_env.feeder.places import loads_beside
from gridedge_env.scenarios import LoadProfiles
from gridedge_env.scenarios.series import Series

PLACES = ("671", "634.1", "645.2")
# The feeder's loads but those of 671 and 634.1; the one at 645.2 is replaced, too.
STAY = ("634b", "634c", "646", "692", "675a", "675b", "675c", "611", "652", "670a", "670b", "670c")
PROFILE = tuple("office" if name.startswith("675") else "" for name in STAY)
TIME_ZONE = "Europe/Amsterdam"


def office() -> Series:
    """Monday to Sunday in hours, 5 June 2023 on: 0.2, and 1.1 on working days from 8 to 18."""
    hour = np.arange(7 * 24)
    open_ = (hour % 24 >= 8) & (hour % 24 < 18) & (hour < 5 * 24)
    begin = datetime(2023, 6, 4, 22, tzinfo=timezone.utc)  # midnight in Amsterdam
    return Series(begin, 60, ("office",), np.where(open_, 1.1, 0.2)[:, None], ())


def case_among_loads() -> Case:
    """A battery at all of 671, a heat pump at 634.1, a generator at 645.2."""
    case = default_case("ieee13", num_agents=3, home_scale=20.0, limits=Limits(0.97, 1.03))
    fleet = replace(case.fleet, connection_names=PLACES, connection=torch.arange(3))
    feeder = load_feeder("ieee13")
    feeder = feeder.with_loads(loads_beside(feeder, PLACES)).with_source_voltage(1.02)
    profiles = LoadProfiles(office(), PROFILE, TIME_ZONE)
    return replace(case, feeder=feeder, fleet=fleet, load_profiles=profiles)

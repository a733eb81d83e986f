"""The folder of a case, read and written whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from gridedge_env.case_files.customers import (
    AGENTS_FILE,
    Customers,
    read_customers,
    write_customers,
)
from gridedge_env.case_files.description import (
    TAPS,
    collected,
    read_description,
    write_description,
)
from gridedge_env.case_files.series import read_series, write_series
from gridedge_env.checks import check_known, check_positive
from gridedge_env.clock import Clock
from gridedge_env.constraints import Limits
from gridedge_env.devices import Fleet
from gridedge_env.feeder import Feeder, build_network, load_feeder
from gridedge_env.scenarios import (
    SPLITS,
    CustomerMeters,
    GeneratedDemand,
    ObservedDays,
    SeriesDays,
    tariff_from_record,
)
from gridedge_env.scenarios.series import Fault, Faults
from gridedge_env.scenarios.series.faults import Findings

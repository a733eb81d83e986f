"""What every customer pays, before and after: a table with a row each, kept as a file of the run.

*Before* is the rule that does least (`REST`), *after* are the trained policies. All amounts are per
day, the mean of the evaluated days.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gradmap_trainer.report.run import OURS, REST, EvaluatedRun
from gridedge_env.writing import write_whole
from gridedge_gateway.names import cell

BILLS_FILE = "bills.csv"
# Of a cent: amounts in the file are rounded to it, so that a column adds up to far below a cent.
DECIMALS = 6


def customer_bills(run: EvaluatedRun) -> pd.DataFrame:
    """One row per customer, in the order of the fleet.

    Returns:
        `customer`, `place` and `devices` (the kinds that it has); `installed_kw`; `before`, `after`
        and `saving`, all that the table of the report counts as cost, at the customer's own meter;
        `electricity_before` and `electricity_after`, what of it the meter is billed; `moved_kwh`,
        what the meter draws more, or less, than before, step by step, the larger of the two.
    """
    fleet = run.simulator.fleet
    ours, rest = (run.evaluation.episodes[key] for key in (OURS, REST))
    before, after = (_mean(episode.agent_cost) for episode in (rest, ours))
    rated = fleet.join([group.kind.full_power(group.parameters) for group in fleet.groups])
    return pd.DataFrame(
        {
            "customer": fleet.names,
            "place": fleet.places,
            "devices": [kinds.replace("_", " ") for kinds in fleet.agent_kinds],
            "installed_kw": fleet.by_agent(rated).cpu().numpy(),
            "before": before,
            "after": after,
            "saving": before - after,
            "electricity_before": _mean(rest.agent_electricity),
            "electricity_after": _mean(ours.agent_electricity),
            "moved_kwh": _mean(ours.agent_moved),
        }
    )


def write_bills(bills: pd.DataFrame, folder: Path) -> Path:
    """Write `bills.csv`."""
    path, names = folder / BILLS_FILE, ["customer", "place"]
    written = bills.round(DECIMALS).assign(**{name: bills[name].map(cell) for name in names})
    write_whole(path, written.to_csv(index=False, lineterminator="\n"))
    return path


def _mean(by_day: np.ndarray) -> np.ndarray:
    """(agents,) of (days, agents), added up in double precision."""
    return by_day.mean(axis=0, dtype=np.float64)

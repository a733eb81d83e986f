"""The monitor: what gateways logged, held against what the run promised, as an HTML page.

Its statistics are plain, and each is defined where it stands; `findings` has them and the rule by
which policies are to be trained again.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gradmap_trainer.monitor import homes, policies, verdict
from gradmap_trainer.monitor.findings import Findings
from gradmap_trainer.monitor.fleet import MonitoredFleet, logged_tables, read_fleet
from gradmap_trainer.monitor.tables import FINDINGS_FILE
from gradmap_trainer.monitor.verdict import summary
from gradmap_trainer.report import page
from gradmap_trainer.report.figures import style
from gridedge_env.writing import write_whole
from gridedge_gateway.names import cell

MONITOR_FILE = "monitor.html"
"""The page that `write_monitor` writes."""
DECIMALS = 6

SECTIONS = {
    "Who needs retraining": verdict.retraining,
    "Parity": policies.parity,
    "Drift": policies.drift,
    "Savings": homes.savings,
    "Limits at the meter": homes.limits,
    "Devices": homes.devices,
    "What was read": verdict.unread,
}


def write_monitor(fleet: MonitoredFleet, folder: Path) -> Path:
    """Write `monitor.html`, and `monitor.csv` with a row for each customer; the page."""
    with style():
        parts = [page.section(title, *said(fleet)) for title, said in SECTIONS.items()]
    text = page.page(
        "GradMAP at the customers", *verdict.headline(fleet), page.contents(SECTIONS), *parts
    )
    folder.mkdir(parents=True, exist_ok=True)
    fields = [entry.name for entry in fleet.simulator.observation_fields]
    table = pd.DataFrame([_row(one, fields) for one in fleet.findings])
    rows = table.round(DECIMALS).to_csv(index=False, lineterminator="\n")
    write_whole(folder / FINDINGS_FILE, rows)
    path = folder / MONITOR_FILE
    write_whole(path, text)
    return path


def _row(one: Findings, fields: list[str]) -> dict[str, object]:
    """A customer's findings: one each, and those by the name of a field or device."""
    plain = ("customer", "days", "steps", "missing", "repeated", "follows_policy", "compared")
    more = ("apart", "apart_share", "before", "after", "saving", "billed_days")
    meter = ("from_set_points", "from_usual", "low", "high")
    return {
        **{name: getattr(one, name) for name in (*plain, *more, *meter)},
        "customer": cell(one.customer),
        "retrain": "; ".join(verdict.reasons(one, fields)),
        **{f"drift.{name}": value for name, value in zip(fields, one.drift, strict=True)},
        **{f"by_policy.{name}": share for name, share in one.by_policy.items()},
        **{f"moves.{name}": share for name, share in one.moves.items()},
    }


__all__ = [
    "MONITOR_FILE",
    "MonitoredFleet",
    "logged_tables",
    "read_fleet",
    "summary",
    "write_monitor",
]

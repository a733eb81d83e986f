"""The report of a run: one HTML file that a stranger can read, print and pass on, and the bills.

It opens with the verdict in plain words; every figure says what it shows and what to look for.
"""

from __future__ import annotations

from pathlib import Path

from gradmap_trainer.report import page
from gradmap_trainer.report.bills import customer_bills, write_bills
from gradmap_trainer.report.customers import customers
from gradmap_trainer.report.figures import style
from gradmap_trainer.report.measured import how_this_was_measured
from gradmap_trainer.report.run import read_run
from gradmap_trainer.report.sections import (
    distributions,
    headline,
    one_day,
    out_of_sample,
    worst_moments,
)
from gradmap_trainer.report.training import diagnostics, learning
from gridedge_env.simulator import Simulator
from gridedge_env.writing import write_whole

REPORT_FILE = "report.html"

SECTIONS = {
    "Out of sample": out_of_sample,
    "Customers": customers,
    "Learning": learning,
    "The network's limits": distributions,
    "One day": one_day,
    "The worst moments": worst_moments,
    "How this was measured": how_this_was_measured,
    "Diagnostics": diagnostics,
}


def write_report(folder: Path, simulator: Simulator) -> Path:
    """Write `report.html` and `bills.csv` into the folder of a run.

    Args:
        folder: of a run that was trained and evaluated.
        simulator: its case: names, coordinates, limits.

    Returns:
        The page written.

    Raises:
        FileNotFoundError: the run lacks its configuration, log or evaluation.
        ValueError: one of them is damaged, or belongs to another case.
    """
    run = read_run(folder, simulator)
    with style():
        sections = [page.section(title, *parts(run)) for title, parts in SECTIONS.items()]
    text = page.page(f"GradMAP: {run.name}", *headline(run), page.contents(SECTIONS), *sections)
    write_bills(customer_bills(run), folder)
    path = folder / REPORT_FILE
    write_whole(path, text)
    return path

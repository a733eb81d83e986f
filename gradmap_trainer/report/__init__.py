"""The report of a run: a page that a stranger can read and print, and one that answers back.

It opens with the verdict in plain words; every figure says what it shows and what to look for.
"""

from __future__ import annotations

from pathlib import Path

from gradmap_trainer.report import page
from gradmap_trainer.report.bills import customer_bills, write_bills
from gradmap_trainer.report.customers import customers
from gradmap_trainer.report.explorer import explorer_page
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
EXPLORER_FILE = "explorer.html"

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
    """Write `report.html`, `explorer.html` and `bills.csv` into the folder of a run.

    Args:
        folder: of a run that was trained and evaluated.
        simulator: its case: names, coordinates, limits.

    Returns:
        The report.

    Raises:
        FileNotFoundError: the run lacks its configuration, log or evaluation.
        ValueError: one of them is damaged, or belongs to another case.
    """
    run = read_run(folder, simulator)
    with style():
        sections = [page.section(title, *parts(run)) for title, parts in SECTIONS.items()]
    other = page.link(EXPLORER_FILE, f"{EXPLORER_FILE}: every day, every home, every bus")
    opening = (*headline(run), other, page.contents(SECTIONS))
    text = page.page(f"GradMAP: {run.name}", *opening, *sections)
    write_bills(customer_bills(run), folder)
    write_whole(folder / EXPLORER_FILE, explorer_page(run))
    path = folder / REPORT_FILE
    write_whole(path, text)
    return path

"""How far exported files are from the simulator over days of the test year, in closed loop."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.gateway.homes import CONFIG, FEW, Variant, homes, lively_policies
from benchmarks.records import Cell, Measurement, Spread, Table, Target
from benchmarks.suite import Settings
from gradmap_trainer.export import Parting, export_run, gateway_starts, replay
from gridedge_env import Simulator
from gridedge_env.devices import KINDS

DAYS = 121  # every third of the test year
MOST_POWER, MOST_OBSERVATION = 1e-5, 1e-6
VARIANTS = [Variant(plan, reactive) for plan in (False, True) for reactive in (False, True)]


def measure(settings: Settings) -> Measurement:
    """Every kind of device, with and without public plan and reactive power."""
    days = settings.days or (1 if settings.quick else DAYS)
    kinds, variants = (FEW, VARIANTS[:1]) if settings.quick else (KINDS, VARIANTS)
    found = {str(variant): _farthest(homes(variant, kinds), days) for variant in variants}
    tables, targets = [], []
    for words, of, bound in (
        ("Set-points, over full power", "power", MOST_POWER),
        ("Entries of the observation", "observation", MOST_OBSERVATION),
    ):
        rows = [
            (same[0].agent, [getattr(home, of) for home in same])
            for same in zip(*found.values(), strict=True)
        ]
        cells: tuple[tuple[Cell, ...], ...] = tuple(
            (name, *(Spread.of([value]) for value in values)) for name, values in rows
        )
        tables.append(Table(f"{words}.", ("home", *found), cells))
        most = max(max(values) for _, values in rows)
        targets.append(Target(f"file against simulator: {words.lower()}", most, bound, False, ""))
    return Measurement(
        "parity",
        f"{days} days of the test year on ieee13 in half-hours; a home with a device of each kind, "
        "and one with all five. Each day is played on the simulator in double precision, and from "
        "midnight on through the files by `gridedge_gateway.Controller`, in a gateway's units and "
        "by its own estimates of where devices stand. Policies have random weights that use the "
        "whole range of actions. Told is the largest difference of any step.",
        tuple(tables),
        tuple(targets),
    )


def _farthest(simulator: Simulator, days: int) -> list[Parting]:
    """Of each home, the largest differences of all days."""
    policies, starts = lively_policies(simulator), gateway_starts(simulator)
    chosen = np.linspace(0, len(starts), days, endpoint=False).astype(int)
    with tempfile.TemporaryDirectory() as folder:
        export_run(CONFIG, simulator, policies, Path(folder))
        of_days = [replay(simulator, policies, Path(folder), starts[row]) for row in chosen]
    return [
        Parting(
            of_home[0].agent,
            max(parting.observation for parting in of_home),
            max(parting.power for parting in of_home),
        )
        for of_home in zip(*of_days, strict=True)
    ]

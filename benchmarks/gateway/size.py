"""What a gateway costs: time a step, memory, and whether that grows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gateway.alone import TOLD
from benchmarks.gateway.homes import ALL_FIVE, FEW, Variant, write_files
from benchmarks.records import Cell, Measurement, Spread, Table, Target
from benchmarks.suite import Settings

MOST_MILLISECONDS, MOST_MEGABYTES = 10.0, 50.0
# After 6,000 steps: a gateway keeps 3,000 values of what is published, here by the hour.
MOST_GROWTH = 1.0
STEPS, FILES = 1_000, 300
# What memory is made of: what is imported, after all before it.
PARTS = {
    "Python": "json",
    "NumPy": "numpy",
    "gridedge_gateway": "gridedge_gateway",
    "its command and paho-mqtt": "gridedge_gateway.cli, gridedge_gateway.mqtt",
}
TELL = """
import json, {imported}
text = open("/proc/self/status").read()
print(json.dumps(int(text.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6))
"""


def measure(settings: Settings) -> Measurement:
    """Of a home with a battery, one with all five devices, and hundreds."""
    steps, long, many = (60, 60, 3) if settings.quick else (STEPS, max(TOLD), FILES)
    with tempfile.TemporaryDirectory() as folder:
        plain = write_files(Variant(False, False), Path(folder) / "plain", FEW)
        _alone(plain["battery"], 1, folder)  # compiles what is imported
        alone = {
            "battery": _alone(plain["battery"], long, folder),
            ALL_FIVE: _alone(plain[ALL_FIVE], steps, folder),
        }
        if not settings.quick:
            planned = write_files(Variant(True, True), Path(folder) / "planned", FEW)
            alone[f"{ALL_FIVE}, public plan"] = _alone(planned[ALL_FIVE], steps, folder)
        fleet = _alone(plain["battery"], 60, folder, many)
        parts: list[tuple[Cell, ...]] = [
            (name, _one(_told(folder, "-c", TELL.format(imported=imported))))
            for name, imported in PARTS.items()
        ]
    grown = alone["battery"]["memory"]
    *_, begun, ended = [*grown.values()] * 2 if settings.quick else grown.values()
    slowest = max(Spread.of(told["others"], 1e3).median for told in alone.values())
    return Measurement(
        "gateway",
        "Processes with nothing but Python, NumPy, paho-mqtt and `gridedge_gateway`, on one core: "
        "days of ordinary readings in half-hours, prices and weather with the first step of each. "
        f"Time is that of the processor, memory what is resident after {steps:,} steps.",
        (
            Table(
                "One customer.",
                ("home", "loading its file, ms", "first step of a day, ms", "a step, ms", "MB"),
                tuple(_row(name, told) for name, told in alone.items()),
            ),
            Table(
                "What memory is made of, MB.",
                ("imported, each with those above", "MB"),
                tuple(parts),
            ),
            Table(
                "Memory of a home with a battery, MB.",
                ("after steps", "MB"),
                tuple((f"{int(number):,}", _one(value)) for number, value in grown.items()),
            ),
            Table(
                f"{many} customers with a battery in one process.",
                ("", ""),
                (
                    ("MB", _one(fleet["peak"])),
                    ("a step of all, ms", Spread.of(fleet["others"], 1e3)),
                ),
            ),
        ),
        (
            Target("a gateway's step, one core", slowest, MOST_MILLISECONDS, False, "ms"),
            Target(
                "memory of a gateway with one file",
                max(told["peak"] for told in alone.values()),
                MOST_MEGABYTES,
                False,
                "MB",
            ),
            Target(
                f"growth of it after {TOLD[1]:,} steps", ended - begun, MOST_GROWTH, False, "MB"
            ),
        ),
    )


def _alone(file: Path, steps: int, compiled: str, files: int = 1) -> dict[str, Any]:
    """What `benchmarks.gateway.alone` tells."""
    told: dict[str, Any] = _told(
        compiled, "-m", "benchmarks.gateway.alone", str(file), str(steps), str(files)
    )
    if told["by_policy"] < steps * files:
        raise ValueError(f"{file.name}: {told['by_policy']} steps by the policy, expected all")
    return told


def _told(compiled: str, *arguments: str) -> Any:
    """What a fresh process prints as JSON.

    Modules come compiled, from a folder, as pip installs them: to compile one takes megabytes.
    """
    own = {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _row(name: str, told: dict[str, Any]) -> tuple[Cell, ...]:
    """The first day's first step is no part of it: what only a first one does."""
    return (
        name,
        _one(1e3 * told["loading"]),
        Spread.of(told["first"][1:], 1e3),
        Spread.of(told["others"], 1e3),
        _one(told["peak"]),
    )


def _one(value: float) -> Spread:
    return Spread.of([value])

"""How long it takes until something happens: imports, --help, the first power flow."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.records import Cell, Measurement, Spread, Table, Target
from benchmarks.suite import Settings
from benchmarks.timing import Sampler, once, take_turns

MOST_IMPORT, MOST_HELP = 2.0, 3.0  # seconds

HELP = "gradmap-train --help"
PROGRAMS = {
    "import torch": "import torch",
    "import gridedge_env": "import gridedge_env",
    HELP: (
        "import sys; sys.argv = ['gradmap-train', '--help']\n"
        "from gridedge_commands import train; train()"
    ),
}
FIRST = """
import time
import gridedge_env
feeder = gridedge_env.load_feeder("ieee123")
began = time.perf_counter()
gridedge_env.PowerFlow(feeder).solve()
print(time.perf_counter() - began)
"""


def measure(settings: Settings) -> Measurement:
    """Whole processes in turns; the first power flow within one."""
    samplers: dict[str, Sampler] = {}
    notes = []
    for name, program in PROGRAMS.items():
        try:
            _run(program)  # from now on its files are in the system's memory
            samplers[name] = partial(once, partial(_run, program))
        except RuntimeError as error:
            notes.append(f"{name}: {error}")
    samples = take_turns(samplers, settings.either(15.0, 0.0), least=1 if settings.quick else 5)
    beyond = [
        ours - theirs
        for ours, theirs in zip(
            samples["import gridedge_env"], samples["import torch"], strict=True
        )
    ]
    cold, warm = _first_power_flow(1 if settings.quick else 3)
    rows: list[tuple[Cell, ...]] = [(name, Spread.of(found)) for name, found in samples.items()]
    rows.insert(2, ("import gridedge_env beyond torch's own", Spread.of(beyond)))
    rows.append(("first power flow, its compiled code not yet on disk", Spread.of([cold])))
    rows.append(("first power flow, compiled code on disk", Spread.of(warm)))
    targets = [_target("import gridedge_env beyond torch's own", beyond, MOST_IMPORT)]
    if HELP in samples:
        targets.append(_target(HELP, samples[HELP], MOST_HELP))
    return Measurement(
        "start",
        "Fresh processes, from their start to their end, files in the system's memory. The first "
        "power flow: making the solver of IEEE 123 and solving its base case, in a fresh process "
        "that has imported everything; compiled code in a folder of its own, first empty.",
        (Table("", ("what", "s"), tuple(rows)),),
        tuple(targets),
        tuple(notes),
    )


def _target(what: str, seconds: list[float], most: float) -> Target:
    return Target(what, Spread.of(seconds).median, most, False, "s")


def _first_power_flow(repeats: int) -> tuple[float, list[float]]:
    """Seconds with an empty cache of compiled code, and with the one that this leaves."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = [float(_run(FIRST, {"NUMBA_CACHE_DIR": folder})) for _ in range(1 + repeats)]
    return seconds[0], seconds[1:]


def _run(program: str, variables: Mapping[str, str] | None = None) -> str:
    """What a fresh process prints.

    Raises:
        RuntimeError: it failed; with the last line that it said.
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout

"""Hand over what nobody would, for as long as there is time: `make fuzz SECONDS=3600`.

Targets take turns, files and values alike; what each of them came to is counted. A fault is
printed with what led to it, and the exit code is 1. A turn that hangs ends the process after two
minutes, with where it hangs.
"""

from __future__ import annotations

import faulthandler
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gridedge_env.feeder.opendss.script import read_script
from tests.gridedge_env.case_files import test_mutations as cases
from tests.gridedge_env.feeder.opendss import test_script as scripts
from tests.gridedge_env.scenarios.series import test_mutations as series
from tests.robustness import damaged_runs as runs
from tests.robustness.hostile import TARGETS, outcome
from tests.robustness.test_hostile import QUICK

EXAMPLES = 20  # a turn
# Of those that draw, trace or play whole days.
SLOW = dict.fromkeys(runs.READ, 2)
PATIENCE = 120  # seconds for a turn


def of_cases(folder: Path, draw: Callable[[Any], Any]) -> str:
    """A folder of a case with damaged files."""
    files = cases.files_of(folder)
    names = draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=2, unique=True))
    changed = {name: draw(cases.damaged(name, files)) for name in names}
    try:
        for name, content in changed.items():
            (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        return "taken" if cases.check(folder) else "refused"
    finally:
        for name in names:
            (folder / name).write_bytes(files[name])


def of_series(folder: Path, draw: Callable[[Any], Any]) -> str:
    """A damaged table of meters, prices or weather."""
    kind = draw(st.sampled_from(sorted(series.LINES)))
    path = folder / "series.csv"
    path.write_bytes(draw(series.damage(series.LINES[kind])))
    series.check(path, series.READERS[kind])
    return "read, or its faults named"


def of_scripts(folder: Path, draw: Callable[[Any], Any]) -> str:
    """An OpenDSS script with lines of any words; it is read, and not solved."""
    path = folder / "script.dss"
    line = st.sampled_from(scripts.ODD) | st.text(scripts.SIGNS, max_size=30) | st.text(max_size=9)
    lines = draw(st.lists(line, max_size=6))
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    return outcome(lambda: read_script(path), (ValueError, OSError))


def main(seconds: float) -> int:
    """Take turns until the time is up; the number of faults."""
    folder = Path(mkdtemp())
    cases.write_hamlet(folder / "hamlet")
    runs.write_run(folder / "whole")
    targets = {
        **TARGETS,
        "cases": partial(of_cases, folder / "hamlet"),
        "series": partial(of_series, folder),
        "scripts": partial(of_scripts, folder),
        **{command: partial(runs.of_runs, folder / "whole", command) for command in runs.READ},
    }
    counts, faults, end = Counter[tuple[str, str]](), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for name, target in targets.items():
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            try:
                _turn(target, name, counts)
            except Exception:
                faults += 1
                print(f"--- {name}\n{traceback.format_exc()}", flush=True)
            faulthandler.cancel_dump_traceback_later()
    shutil.rmtree(folder)
    for (name, what), count in sorted(counts.items()):
        print(f"{name}: {count:,} {what}")
    print(f"{counts.total():,} in all, {faults} turns ended in a fault")
    return faults


def _turn(
    target: Callable[[Callable[[Any], Any]], str], name: str, counts: Counter[tuple[str, str]]
) -> None:
    @settings(QUICK, max_examples=SLOW.get(name, EXAMPLES), derandomize=False)
    @given(data=st.data())
    def some(data: Any) -> None:
        counts[name, target(data.draw)] += 1

    some()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])) > 0)

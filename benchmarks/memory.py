"""Memory of this process; Python's own library alone, so that it can be asked of any program."""

from __future__ import annotations

import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def most_held() -> int:
    """Bytes that it has held at most.

    What `resource` tells on Linux counts what its parent held, too.
    """
    if STATUS.exists():
        return _told("VmHWM")
    import resource

    unit = 1 if sys.platform == "darwin" else 2**10
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def held() -> int:
    """Bytes that it holds now; Linux alone."""
    return _told("VmRSS")


def _told(entry: str) -> int:
    return 2**10 * int(STATUS.read_text(encoding="ascii").partition(f"{entry}:")[2].split()[0])

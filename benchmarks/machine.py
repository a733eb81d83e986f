"""What the suite ran on: processor, memory, versions, commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

NOT_INSTALLED = "not installed"
PACKAGES = ("torch", "numpy", "scipy", "numba", "gymnasium", "pettingzoo", "pandas")


def describe(device: torch.device, threads: int) -> str:
    """One line on the machine."""
    parts = [
        _processor(),
        f"{os.cpu_count()} cores, {threads} of them used",
        f"{_memory_gib():.0f} GiB",
        f"{platform.system()} {platform.release()} {platform.machine()}",
    ]
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        parts.append(f"{about.name} ({about.total_memory / 2**30:.0f} GiB)")
    return ", ".join(parts)


def versions(peers: tuple[str, ...]) -> dict[str, str]:
    """Of Python, of what GridEdge stands on, and of the peers."""
    found = {"Python": platform.python_version()}
    return found | {name: version(name) for name in (*PACKAGES, *peers)}


def version(package: str) -> str:
    """Of an installed package; `NOT_INSTALLED` if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return NOT_INSTALLED


def commit() -> str:
    """Of the source; with a word on changes since; "" where there is no repository."""
    root = Path(__file__).parents[1]
    head = _git(root, "rev-parse", "--short", "HEAD")
    if not head:
        return ""
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{head} and changes since" if changed else head


def load_average() -> float:
    """Busy processes over the last minute; NaN where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return float("nan")


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return float("nan")

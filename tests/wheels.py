"""The wheels, built from copies of the repository without a network, and what they need."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
INSTALLED = ["gridedge_gateway", "gridedge_env", "gradmap_trainer", "gridedge_commands"]
# What Python and Numba keep of sources.
COMPILED = {".nbc", ".nbi", ".pyc"}

LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")


def wheel_of_the_whole(folder: Path) -> Path:
    """Of a copy that has the folders beside the packages, too."""
    copy = folder / "whole"
    copy.mkdir()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for package in (*INSTALLED, "baselines", "benchmarks"):
        shutil.copytree(ROOT / package, copy / package, ignore=LEFT_BEHIND)
    return _wheel_of(copy, folder / "whole_wheel")


def wheel_of_the_gateway(folder: Path) -> Path:
    """Of the gateway alone, as a project of its own."""
    copy = folder / "gateway"
    shutil.copytree(ROOT / "gridedge_gateway", copy, ignore=LEFT_BEHIND)
    return _wheel_of(copy, folder / "gateway_wheel")


def _wheel_of(project: Path, folder: Path) -> Path:
    program = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    folder.mkdir()
    built = subprocess.run(
        [sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def closure(requirements: Iterable[str]) -> list[Distribution]:
    """Whatever is required on this machine, and required by that, with the extras asked for."""
    found: dict[tuple[str, frozenset[str]], Distribution] = {}
    waiting = _applying(requirements, ())
    while waiting:
        one = waiting.pop()
        wanted = one.name, frozenset(one.extras)
        if wanted not in found:
            found[wanted] = distribution(one.name)
            waiting += _applying(found[wanted].requires or (), one.extras)
    return list(found.values())


def _applying(requirements: Iterable[str], extras: Iterable[str]) -> list[Requirement]:
    return [
        one
        for one in map(Requirement, requirements)
        if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in ("", *extras))
    ]

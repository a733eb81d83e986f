"""Imports point one way, the environment imports lightly, and there is one version."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gridedge_env

ROOT = Path(__file__).parents[1]

# Lowest first: a package imports those before it, a room of gridedge_env those on lower floors.
PACKAGES = ["gridedge_env", "gradmap_trainer", "baselines"]
FLOORS = {
    "feeder": 0,
    "powerflow": 1,
    "devices": 1,
    "scenarios": 1,
    "simulator": 2,
    "parallel": 3,
    "reference": 3,
}


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the absolute names of all that a file imports, `from` parts included."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", PACKAGES[:-1])
def test_no_package_imports_one_that_builds_on_it(package):
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    files = list((ROOT / package).rglob("*.py"))
    assert files
    found = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files
        for module in imported_modules(path)
        if module.split(".")[0] in above
    ]
    assert not found


def test_rooms_of_the_environment_import_downwards():
    """Nor does a room reach one on its own floor or above through rooms without a floor."""
    imports = room_imports(ROOT / "gridedge_env")
    assert imports.keys() >= FLOORS.keys()
    for room, floor in FLOORS.items():
        reached: set[str] = set()
        unexplored = {room}
        while unexplored:
            found = imports.get(unexplored.pop(), set()) - reached
            reached |= found
            unexplored |= found
        assert not {other for other in reached if FLOORS.get(other, -1) >= floor}, room


def room_imports(package: Path) -> dict[str, set[str]]:
    """Return which other rooms (files and folders of a package) each room imports."""
    imports: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        modules = [module.split(".") for module in imported_modules(path)]
        rooms = {parts[1] for parts in modules if parts[0] == package.name and len(parts) > 1}
        imports.setdefault(room, set()).update(rooms - {room})
    return imports


# What takes long to import, and what only some of the commands need.
HEAVY = {
    *("dss", "llvmlite", "matplotlib", "numba", "onnx", "onnxruntime", "pandas", "pyarrow", "ray"),
    *("safetensors", "supersuit", "tensorboard"),
}
# What a command line needs besides. A bare GPU machine has none of both.
COMMAND_LINE = {"rich", "tyro"}


def run(program: str) -> str:
    """What a program prints in a process of its own."""
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_importing_the_environment_leaves_heavy_libraries_alone():
    loaded = set(run("import sys, gridedge_env; print(*sys.modules)").split())
    assert "gridedge_env" in loaded
    assert not loaded & (HEAVY | COMMAND_LINE)


def test_help_leaves_heavy_libraries_alone():
    program = """
import contextlib, io, sys
from gradmap_trainer.cli import train
sys.argv = ["gradmap-train", "--help"]
with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
    train()
assert "--num-agents" in printed.getvalue()
print(*sys.modules)
"""
    loaded = set(run(program).split())
    assert "gradmap_trainer" in loaded
    assert not loaded & (HEAVY | {"scipy.optimize"})


def test_environment_and_training_run_on_a_bare_machine():
    """Where there are torch, numpy, scipy, gymnasium and pettingzoo, and nothing else of ours."""
    program = f"""
import sys
for name in {sorted(HEAVY | COMMAND_LINE)}:
    sys.modules[name] = None  # importing it is an ImportError
import gridedge_env
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner

env = gridedge_env.parallel_env("ieee13", 3)
env.reset(seed=0)
env.step({{agent: env.action_space(agent).sample() for agent in env.agents}})
from gridedge_env.case import CaseSettings
config = TrainConfig(case=CaseSettings(feeder="ieee13", num_agents=3), batch_days=1, minibatches=2)
simulator = config.make_simulator()
_, row = iterate(config, simulator, make_learner(config, simulator))
print(row["nonconverged"])
"""
    assert run(program).split() == ["0.0"]


def test_the_version_is_the_installed_one_and_heads_the_changelog():
    assert importlib.metadata.version("gridedge") == gridedge_env.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] == gridedge_env.__version__

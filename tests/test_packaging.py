"""What is installed is four whole packages, the environment imports lightly, one version."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import gridedge_env
import gridedge_gateway

ROOT = Path(__file__).parents[1]

INSTALLED = ["gridedge_gateway", "gridedge_env", "gradmap_trainer", "gridedge_commands"]

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
from gradmap_trainer.commands.train import train
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


def test_the_wheel_holds_its_packages_whole(tmp_path: Path) -> None:
    """Every table and note of theirs, too; not the folders beside them, with names of anybody's."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for package in (*INSTALLED, "baselines", "benchmarks"):
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, copy / package, ignore=caches)
    held = set(wheel_of(copy, tmp_path).namelist())
    about = f"gridedge-{gridedge_env.__version__}.dist-info"
    assert {name.partition("/")[0] for name in held} == {*INSTALLED, about}
    wanted = {
        path.relative_to(copy).as_posix()
        for package in INSTALLED
        for path in (copy / package).rglob("*")
        if path.is_file() and path.name != "pyproject.toml"
    }
    assert {name for name in held if not name.startswith(about)} == wanted


def test_the_wheel_of_the_gateway_holds_it_alone(tmp_path: Path) -> None:
    """With its command, and needing nothing of what trains."""
    copy = tmp_path / "copy"
    caches = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(ROOT / "gridedge_gateway", copy, ignore=caches)
    wheel = wheel_of(copy, tmp_path)
    about = f"gridedge_gateway-{gridedge_env.__version__}.dist-info"
    held = {name for name in wheel.namelist() if not name.startswith(about)}
    sources = {path.name for path in copy.iterdir() if path.suffix == ".py"} | {"py.typed"}
    assert held == {f"gridedge_gateway/{name}" for name in sources}
    told = wheel.read(f"{about}/METADATA").decode()
    needed = set(re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra)", told, flags=re.MULTILINE))
    assert needed == {"numpy", "paho-mqtt", "tzdata"}
    command = "gridedge-gateway = gridedge_gateway.cli:command"
    assert command in wheel.read(f"{about}/entry_points.txt").decode()


def wheel_of(project: Path, folder: Path) -> ZipFile:
    """Built without a network, in the folder."""
    program = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    built = subprocess.run(
        [sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    return ZipFile(wheel)


def test_the_version_is_the_installed_one_and_heads_the_changelog():
    assert importlib.metadata.version("gridedge") == gridedge_env.__version__
    assert gridedge_gateway.__version__ == gridedge_env.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] == gridedge_env.__version__

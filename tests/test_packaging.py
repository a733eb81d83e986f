"""What is installed is four whole packages, the environment imports lightly, one version."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import tomlkit

import gridedge_env
import gridedge_gateway
from tests.wheels import COMPILED, INSTALLED, closure, wheel_of_the_gateway, wheel_of_the_whole

ROOT = Path(__file__).parents[1]
GATEWAY = ROOT / "gridedge_gateway"
PROJECT = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()["project"]

# What takes long to import, and what only some of the commands need.
HEAVY = {
    *("dss", "llvmlite", "matplotlib", "numba", "onnx", "onnxruntime", "pandas", "pyarrow", "ray"),
    *("safetensors", "supersuit", "tensorboard", "torchrl"),
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
    held = set(ZipFile(wheel_of_the_whole(tmp_path)).namelist())
    about = f"gridedge-{gridedge_env.__version__}.dist-info"
    assert {name.partition("/")[0] for name in held} == {*INSTALLED, about}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in INSTALLED
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in COMPILED and ".egg-info" not in str(path)
    } - {*("gridedge_gateway/LICENSE", "gridedge_gateway/pyproject.toml")}
    assert {name for name in held if not name.startswith(about)} == wanted


def test_the_wheel_of_the_gateway_holds_it_alone(tmp_path: Path) -> None:
    """With its command, and needing nothing of what trains."""
    wheel = ZipFile(wheel_of_the_gateway(tmp_path))
    about = f"gridedge_gateway-{gridedge_env.__version__}.dist-info"
    held = {name for name in wheel.namelist() if not name.startswith(about)}
    sources = {path.name for path in GATEWAY.glob("*.py")} | {"py.typed"}
    assert held == {f"gridedge_gateway/{name}" for name in sources}
    told = wheel.read(f"{about}/METADATA").decode()
    needed = set(re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra)", told, flags=re.MULTILINE))
    assert needed == {"numpy", "paho-mqtt", "tzdata"}
    command = "gridedge-gateway = gridedge_gateway.cli:command"
    assert command in wheel.read(f"{about}/entry_points.txt").decode()


def test_all_that_the_tests_install_is_pinned():
    """But for certificates, which are the newest, and what PyTorch brings for GPUs."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([\w.-]+)==", text, flags=re.MULTILINE))
    names = {
        re.sub(r"[._-]+", "-", one.name).lower()
        for one in closure(asked_for("benchmarks", "docs", "release"))
    }
    free = {name for name in names if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert names - pinned - free == {"certifi"}


def test_every_extra_is_one_that_somebody_is_told_of():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "Makefile"]
    told = " ".join(path.read_text(encoding="utf-8") for path in pages)
    for extra in PROJECT["optional-dependencies"]:
        assert re.search(rf"\[([a-z]+,)*{extra}(,[a-z]+)*\]", told), extra


def test_every_file_of_data_has_its_licence_told():
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    told = re.findall(r"`([\w/.]+)`", page)
    suffixes = {".csv", ".dss", ".gz", ".json", ".npz", ".parquet"}
    folders = [*INSTALLED, "baselines", "benchmarks", "examples", "tests"]
    data = [
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and "__pycache__" not in path.parts
    ]
    assert len(data) > 50
    assert not [name for name in data if not name.startswith(tuple(told))]


def test_every_package_that_is_asked_for_has_its_licence_told():
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8").lower()
    names = {re.split(r"[^\w-]", one)[0].lower() for one in asked_for()}
    assert not [name for name in sorted(names) if name not in page]


def asked_for(*but: str) -> list[str]:
    """What the project and its extras require, but for some extras."""
    extras = PROJECT["optional-dependencies"]
    told = [*PROJECT["dependencies"], *(one for e in extras if e not in but for one in extras[e])]
    return [one for one in told if not one.startswith("gridedge[")]


def test_the_version_is_the_installed_one_and_heads_the_changelog():
    assert importlib.metadata.version("gridedge") == gridedge_env.__version__
    assert gridedge_gateway.__version__ == gridedge_env.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] == gridedge_env.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {gridedge_env.__version__}\n" in citation


def test_the_gateway_has_the_same_licence():
    assert (GATEWAY / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()

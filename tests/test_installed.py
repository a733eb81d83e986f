"""What the wheels install runs with what they ask for, and nothing else.

An environment is made for each wheel. Packages that it needs are linked from the one that the tests
run in, and theirs, as their metadata say; so nothing is downloaded, and whatever they do not name
is missing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import Distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

from gradmap_trainer.commands.export import export
from tests.wheels import ROOT, closure, wheel_of_the_gateway, wheel_of_the_whole

TRAIN = {
    "--feeder": "ieee13",
    "--num-agents": "10",
    "--iterations": "2",
    "--batch-days": "1",
    "--minibatches": "2",
    "--evaluation-days": "1",
    "--foresight-iterations": "2",
}


class Environment:
    """An environment with a wheel, what it needs, and no more."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder, with_pip=False)
        self.folder = folder
        self.site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
        with ZipFile(wheel) as held:
            (name,) = (name for name in held.namelist() if name.endswith("/METADATA"))
            told = held.read(name).decode()
        for needed in closure(re.findall(r"^Requires-Dist: (.+)$", told, flags=re.MULTILINE)):
            self.link(needed)
        self.pip("install", "--quiet", "--no-deps", "--no-index", str(wheel))

    def link(self, needed: Distribution) -> None:
        """Have what a distribution consists of, but for its commands."""
        for name in {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}:
            if not (self.site / name).exists():
                (self.site / name).symlink_to(needed.locate_file(name))

    def pip(self, *arguments: str) -> None:
        python = self.folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        run([sys.executable, "-m", "pip", "--python", str(python), *arguments], self.folder)

    def run(self, command: str, *arguments: str, cwd: Path) -> str:
        """What a command of the environment prints."""
        scripts = self.folder / ("Scripts" if os.name == "nt" else "bin")
        return run([str(scripts / command), *arguments], cwd)


def run(command: list[str], cwd: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("whole")
    return Environment(folder / "environment", wheel_of_the_whole(folder))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("gateway")
    return Environment(folder / "environment", wheel_of_the_gateway(folder))


@pytest.fixture(scope="module")
def trained(whole: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten agents."""
    folder = tmp_path_factory.mktemp("trained")
    options = (word for option in TRAIN.items() for word in option)
    whole.run("gradmap-train", "--run", "ten", *options, cwd=folder)
    return folder / "ten"


def test_what_is_needed_is_there_in_versions_that_fit(whole, gateway):
    for environment in (whole, gateway):
        environment.pip("check")


def test_ten_agents_are_trained(trained):
    assert "price_following" in (trained / "evaluation.json").read_text(encoding="utf-8")
    assert (trained / "report.html").is_file()


def test_the_examples_of_the_readme_run(whole, tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "readme.py").write_text(
        "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)),
        encoding="utf-8",
    )
    whole.run("python", "readme.py", cwd=tmp_path)


def test_a_gateway_needs_no_pytorch(gateway, trained, tmp_path, monkeypatch):
    """A customer's file, exported here, makes set-points there."""
    monkeypatch.setattr(sys, "argv", ["gradmap-export", str(trained), "--to", str(tmp_path)])
    export()
    readings = tmp_path / "readings.csv"
    readings.write_text("time,meter_power\n2026-01-15T00:00:00+01:00,4.8\n", encoding="utf-8")
    words = ("battery_0.onnx", "--readings", readings.name, "--out", "steps.csv")
    gateway.run("gridedge-gateway", "replay", *words, cwd=tmp_path)
    assert "battery.set_point" in (tmp_path / "steps.csv").read_text(encoding="utf-8")
    with pytest.raises(AssertionError, match="No module named 'torch'"):
        gateway.run("python", "-c", "import torch", cwd=tmp_path)

"""The walk of docs/deployment.md, from a case to set-points and on, as it is written there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest

from gridedge_env.cli import case as case_command
from gridedge_gateway.cli import main as gateway_command
from tests.gradmap_trainer.test_own_case import SMALL, call
from tests.gridedge_gateway.test_commands import not_served

ROOT = Path(__file__).parents[2]
# The guide trains for minutes.
QUICK = (*SMALL, "--evaluation-days", "0", "--seconds", "1")


def walks() -> list[list[str]]:
    """The commands of each block of the guide."""
    guide = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", guide, flags=re.DOTALL)
    return [block.splitlines() for block in blocks]


def walk(steps: list[str]) -> None:
    """Take them, at a small size."""
    for step in steps:
        command, *arguments = shlex.split(step, comments=True)
        if command == "gridedge-case":
            case_command(arguments)
        elif command == "gridedge-gateway":
            gateway_command(arguments)
        else:
            more = QUICK if command == "gradmap-train" else ()
            assert call(command, *arguments, *more) == 0, step


def without_plan(folder: Path) -> None:
    """It takes longer to export than all else."""
    path = folder / "case.toml"
    text = path.read_text(encoding="utf-8")
    assert "public_plan = true" in text
    path.write_text(text.replace("public_plan = true", "public_plan = false"), encoding="utf-8")


def customers_change(case: Path) -> None:
    """One leaves, one with a battery comes at a new place, one gets a larger battery."""
    agents = pd.read_csv(case / "agents.csv")
    batteries = pd.read_csv(case / "batteries.csv")
    leaves = pd.read_csv(case / "generators.csv")["agent"][0]
    (case / "generators.csv").unlink()
    comes = {"agent": "newcomer", "place": "633.1"}
    assert comes["place"] not in (case / "connections.csv").read_text(encoding="utf-8")
    agents = agents[agents["agent"] != leaves]
    pd.concat([agents, pd.DataFrame([comes])]).to_csv(case / "agents.csv", index=False)
    own = batteries.iloc[:1].assign(agent="newcomer")
    batteries["capacity"] *= 2.0
    pd.concat([batteries, own]).to_csv(case / "batteries.csv", index=False)


def test_every_step_of_the_walk_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    served = not_served(monkeypatch)  # the broker of the guide is nobody's
    (tmp_path / "password.txt").write_text("secret\n")
    (new, *first), monitor, second, _ = walks()  # and how to measure
    walk([new])
    without_plan(tmp_path / "town")
    walk(first)
    assert len(served) == 1
    assert (tmp_path / "days.png").stat().st_size > 10_000
    shutil.copy(tmp_path / "set_points.csv", tmp_path / "logs" / "battery_0.csv")
    walk(monitor)
    page = (tmp_path / "runs" / "first" / "monitor.html").read_text(encoding="utf-8")
    assert "1 of 3 customers have logged, 1 day" in page
    customers_change(tmp_path / "town")
    walk(second)
    told = " ".join(capsys.readouterr().out.split())
    assert "48 steps to set_points.csv, of them by the fallback: battery 0" in told
    assert told.count("they do as the simulator does") == 2
    before, after = (
        {path.stem for path in (tmp_path / name).iterdir()}
        for name in ("policies", "policies_of_second")
    )
    assert "battery_0" in before & after
    assert after - before == {"newcomer"}
    assert len(before - after) == 1

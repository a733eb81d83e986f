"""The walk of docs/your_case.md, from a user's files to a report, as it is written there."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from gridedge_env.cli import case as case_command
from tests.gradmap_trainer.test_own_case import SMALL, call

ROOT = Path(__file__).parents[2]


def steps() -> list[str]:
    """The commands of the walk."""
    guide = (ROOT / "docs" / "your_case.md").read_text(encoding="utf-8")
    walk = guide.partition("## From nothing to a report\n")[2].partition("\n## ")[0]
    block = re.search(r"```bash\n(.*?)```", walk, flags=re.DOTALL)
    assert block
    return block[1].splitlines()


def test_every_step_of_the_walk_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a small size: a second of training, a day of evaluation."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = []
    for step in steps():
        command, *arguments = shlex.split(step, comments=True)
        done.append(command)
        if command == "gridedge-case":
            case_command(arguments)
        elif command == "gradmap-train":
            assert call(command, *arguments, *SMALL, "--seconds", "1") == 0
        elif command.startswith("gradmap-"):
            assert call(command, *arguments) == 0
        elif command != "pip":  # what it installs is needed to run the tests
            subprocess.run(step, shell=True, check=True)
    assert done == [
        *("pip", "gridedge-case", "rm", "cp", "gridedge-case", "gradmap-train", "gradmap-export")
    ]
    told = capsys.readouterr().out
    late = "- meters.csv.gz: 'M-1085' begins late"
    replaced = "Loads of the feeder that customers replace: 30, of 60.0 kW"
    for words in ("30 customers on street", "clocks change: 2025-03-30", late, replaced):
        assert words in told
    picture = (tmp_path / "my_street" / "case.svg").read_text(encoding="utf-8")
    for words in ("street: 30 customers", "rose_18"):  # as paths, after a comment of the text
        assert f"<!-- {words} -->" in picture
    report = (tmp_path / "runs" / "street" / "report.html").read_text(encoding="utf-8")
    assert "0.33 €/kWh from 06:00 to 22:00 on working days" in report
    assert "it had learned on 64 other days from 2025-03-01 to 2025-06-08" in report
    assert "regulator taps" not in report  # it has none
    with (ROOT / "examples" / "street" / "agents.csv").open(encoding="utf-8") as file:
        names = {row["agent"] for row in csv.DictReader(file)}
    assert {path.stem for path in (tmp_path / "policies").iterdir()} == names

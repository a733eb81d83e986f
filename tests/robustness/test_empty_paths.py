"""A path of no name is refused: Python takes it for the current folder, full of others' files."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

COMMANDS = [
    ("gridedge_env.cli:case", "new", ""),
    ("gridedge_env.cli:case", "check", ""),
    ("gradmap_trainer.commands.train:train", "--run", ""),
    ("gradmap_trainer.commands.train:train", "--run", "", "--resume"),
    ("gradmap_trainer.commands.train:train", "--case", ""),
    ("gradmap_trainer.commands.evaluate:evaluate", ""),
    ("gradmap_trainer.commands.report:report", ""),
    ("gradmap_trainer.commands.export:export", "run", "--to", ""),
    ("gradmap_trainer.commands.monitor:monitor", "run", "--readings", ""),
    ("gridedge_gateway.cli:main", "replay", "file", "--readings", "table", "--out", ""),
    ("gridedge_gateway.cli:main", "serve", "file", "--mqtt", "mqtt://x", "--log", ""),
    ("baselines.compare.__main__:main", "--out", ""),
    ("baselines.rllib.train:main", "--run", ""),
    ("baselines.rllib.train:main", "--run", "", "--resume"),
    ("baselines.rllib.tune:main", "--run", ""),
    ("baselines.rllib.evaluate:main", ""),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_refuses_it(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place, *arguments = words
    module, function = place.split(":")
    if module.startswith("baselines.rllib"):
        pytest.importorskip("ray", reason="needs the rllib extra")
    command = getattr(import_module(module), function)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit, match="2"):
        command()
    told = capsys.readouterr()
    assert "''" in told.err + told.out
    assert not [*tmp_path.iterdir()]

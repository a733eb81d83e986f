"""What every command says to a mistake, and how it ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.faults import TRAIN
from gradmap_trainer.commands.exits import mistakes
from gradmap_trainer.config import CONFIG_FILE
from tests.gradmap_trainer.commands.calling import COMMANDS, assert_one_line, call


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(command, capsys):
    assert call(command, "--help") == 0
    assert command in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("gradmap-train", ["--frobnicate"]),
        ("gradmap-train", ["--num-agents", "many"]),
        ("gradmap-evaluate", ["somewhere", "--frobnicate"]),
        ("gradmap-export", ["somewhere", "--frobnicate"]),
        ("gradmap-report", ["somewhere", "--frobnicate"]),
    ],
)
def test_an_unknown_flag_is_named(capsys, command, arguments):
    assert call(command, *arguments) == 2
    errors = capsys.readouterr().err
    assert arguments[-2 if "many" in arguments else -1] in errors
    assert "Traceback" not in errors


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda place: (place / "none").read_bytes(), "none: not found"),
        (lambda place: place.read_bytes(), ": got a folder, expected a file"),
        (lambda place: (place / "file").mkdir(), "file: got a file, expected a folder"),
        (lambda place: (place / "file/in").read_bytes(), "in: not found, as what should be a"),
        (lambda place: fail(ValueError("a:\r\n  got \x1b[2J\u2028")), "a: got \\x1b[2J\n"),
        (lambda place: fail(OSError(22, "of a disk\nin two lines")), "of a disk in two lines\n"),
        (lambda place: int("x\ny"), "invalid literal for int() with base 10: 'x\\ny'"),
    ],
)
def test_what_the_system_says_of_a_file_is_said_in_words(tmp_path, capsys, act, expected):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stop, mistakes("gradmap-x"):
        act(tmp_path)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert_one_line(told, "gradmap-x: error: ")
    assert expected in told


@pytest.mark.parametrize("command", ["gradmap-evaluate", "gradmap-export", "gradmap-report"])
@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_a_folder_without_a_run_is_told_in_a_line(tmp_path, capsys, command, kind):
    folder = tmp_path / "run"
    if kind == "empty":
        folder.mkdir()
    elif kind == "file":
        folder.write_text("not a folder")
    assert call(command, folder) == 2
    assert_one_line(capsys.readouterr().err, "run: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("gradmap-evaluate",),
        ("gradmap-export",),
        ("gradmap-report",),
        ("gradmap-train", "--resume", "--run"),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("text", ['{"name": "something else"}', "{", "[1, 2]"])
def test_a_foreign_folder_is_told_in_a_line(tmp_path, capsys, arguments, text):
    (tmp_path / CONFIG_FILE).write_text(text)
    assert call(*arguments, tmp_path) == 2
    assert_one_line(capsys.readouterr().err, "is not the configuration of a GridEdge run")
    assert (tmp_path / CONFIG_FILE).read_text() == text


@pytest.mark.parametrize("command", ["gradmap-evaluate", "gradmap-export"])
def test_a_run_without_a_sound_checkpoint_is_told_in_a_line(copy, capsys, command):
    for path in copy.glob("checkpoint-*"):
        path.write_bytes(path.read_bytes()[:-1])
    assert call(command, copy) == 2
    assert_one_line(capsys.readouterr().err, "is damaged")


def test_the_shell_sees_the_same(tmp_path):
    """In a process of its own: the exit code, one line on the error stream, nothing else."""
    process = subprocess.run(
        [*TRAIN, "--run", str(tmp_path / "run"), "--num-agents", "0"],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2
    assert process.stdout == ""
    assert_one_line(process.stderr, "gradmap-train: error: num_agents: got 0")

"""What fails around a command is none of its business, or is said in a line with an exit code."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import TRAIN, differences, rows
from gradmap_trainer.checkpoint import LATEST, load_checkpoint
from gradmap_trainer.run_folder import case_of_run
from gridedge_env import checks, make_simulator, writing
from gridedge_env.evaluation_files import EPISODES_FILE, load_evaluation
from tests.gradmap_trainer.commands.calling import assert_one_line, call

ROOT = Path(__file__).parents[2]
SMALL = [
    *("--feeder", "ieee13", "--num-agents", "3", "--step-minutes", "60", "--batch-days", "1"),
    *("--minibatches", "1", "--hidden-sizes", "4", "--foresight-iterations", "0"),
    *("--iterations", "3", "--checkpoint-seconds", "0"),
]
UNEVALUATED = ["--evaluation-days", "0"]


def started(words: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    """A process of one's own, to its end; environment variables are added to those there are."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **more.pop("env", {})}
    return subprocess.run(words, cwd=ROOT, env=env, text=True, check=False, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three iterations, evaluated, reported and exported."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert call("gradmap-train", "--run", folder, *SMALL, "--evaluation-days", 1) == 0
    assert call("gradmap-export", folder) == 0
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- Whoever listens ------------------------------------------------------------------------------

EVERY_HELP = """
import runpy, sys
import gridedge_commands
from gridedge_gateway import process

INSTALLED = ("case", "gateway", "train", "evaluate", "export", "report", "monitor")
MODULES = (
    *("baselines.compare", "baselines.self_supervised", "baselines.rllib.train"),
    *("baselines.rllib.evaluate", "baselines.rllib.tune", "benchmarks", "benchmarks.learning"),
    *("benchmarks.faults", "benchmarks.foresight", "benchmarks.hardness", "benchmarks.kills"),
    *("benchmarks.picture", "benchmarks.synthetic", "benchmarks.validation", "benchmarks.workers"),
)
with open(sys.argv[1], "w") as codes:
    sys.argv = ["command", "--help"]
    for name in (*INSTALLED, *MODULES):
        try:
            if name in INSTALLED:
                getattr(gridedge_commands, name)()
            else:
                runpy.run_module(name, run_name="__main__")
        except SystemExit as stop:
            print(name, stop.code, file=codes)
"""
NOBODY = {"PYTHONIOENCODING": "ascii", "COLUMNS": "20", "TERM": "dumb"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_all_commands_speak_to_whoever_is_there(tmp_path: Path) -> None:
    """20 columns of ASCII on a full device."""
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-c", EVERY_HELP, str(tmp_path / "codes")]
        done = started(words, env=NOBODY, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    codes = dict(line.split() for line in (tmp_path / "codes").read_text().splitlines())
    assert len(codes) == 22
    assert set(codes.values()) == {"0"}


def evaluated_at(folder: Path) -> int:
    """The iteration whose policies a run was evaluated with."""
    return load_evaluation(folder, make_simulator(case=case_of_run(folder))).iteration


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_a_run_nobody_listens_to_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [*TRAIN, "--run", str(folder), *SMALL, "--evaluation-days", "1"]
    with open("/dev/full", "w") as full:
        done = started(words, env=NOBODY, stdout=full, stderr=full)
    assert done.returncode == 0
    assert evaluated_at(folder) == 3
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize("command", ["gradmap-evaluate", "gradmap-train"])
def test_results_are_saved_before_they_are_shown(
    copy: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that could not be shown is there all the same."""
    (copy / EPISODES_FILE).unlink()

    def unspeakable(*_: object) -> None:
        raise UnicodeEncodeError("ascii", "€", 0, 1, "not in range")

    monkeypatch.setattr("gradmap_trainer.commands.evaluate._table", unspeakable)
    words = ["--resume", "--run", copy, "--evaluation-days", 1]
    with pytest.raises(UnicodeEncodeError):
        call(command, *(words if command == "gradmap-train" else [copy, "--days", 1]))
    assert evaluated_at(copy) == 3


# --- Where things are written ---------------------------------------------------------------------

LIMITED = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); "


def train_within(largest: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Training where no file may be larger than so many bytes; what it gets is as from a disk."""
    program = LIMITED.format(largest) + TRAIN[-1]
    words = [sys.executable, "-c", program, "--run", str(folder), *SMALL, *UNEVALUATED]
    return started(words, capture_output=True)


@pytest.mark.skipif(os.name == "nt", reason="files are limited the Unix way")
def test_a_disk_that_is_full_is_found_out_before_anything_is_trained(tmp_path: Path) -> None:
    done = train_within(2_000, tmp_path / "run")
    assert done.returncode == 1
    assert_one_line(done.stderr, "gradmap-train: error: ")
    assert rows(tmp_path / "run") == 0
    assert call("gradmap-train", "--run", tmp_path / "run", "--resume", *SMALL, *UNEVALUATED) == 0


@pytest.mark.skipif(os.name == "nt", reason="files are limited the Unix way")
def test_a_disk_that_fills_up_costs_one_interval(tmp_path: Path, trained: Path) -> None:
    """The first checkpoint, without the optimiser's moments, is smaller than the next one."""
    first = tmp_path / "first"
    options = [*SMALL, *UNEVALUATED]
    assert call("gradmap-train", "--run", first, *options, "--checkpoint-seconds", 1e6) == 0
    largest = (first / LATEST).stat().st_size - 1
    done = train_within(largest, tmp_path / "run")
    assert done.returncode == 1
    assert_one_line(done.stderr, "File too large; go on with --resume")
    assert load_checkpoint(tmp_path / "run")[1]["iteration"] == 0
    assert not [*(tmp_path / "run").glob("*temporary*")], "room that is of no use to anybody"
    assert call("gradmap-train", "--run", tmp_path / "run", "--resume", *UNEVALUATED) == 0
    assert not differences(tmp_path / "run", trained)


@pytest.mark.parametrize("command", ["gradmap-evaluate", "gradmap-report", "gradmap-export"])
def test_a_full_disk_leaves_what_there_was(
    copy: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(copy)

    def full(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(writing.os, "fsync", full)
    options = ("--days", 1, "--foresight-iterations", 0) if command == "gradmap-evaluate" else ()
    assert call(command, copy, *options) == 1
    assert_one_line(capsys.readouterr().err, f"{command}: error: Disk quota exceeded")
    assert contents(copy) == before


def test_a_folder_that_cannot_be_written_to_is_no_place_for_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is one below a file; nothing is trained."""
    (tmp_path / "file").touch()
    assert call("gradmap-train", "--run", tmp_path / "file" / "run", *SMALL) == 2
    assert_one_line(capsys.readouterr().err, "expected a folder that can be written to (Not a dir")


def test_an_evaluation_that_could_not_be_kept_is_not_begun(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checks, "TemporaryFile", read_only)
    assert call("gradmap-evaluate", copy, "--days", 1) == 2
    captured = capsys.readouterr()
    assert_one_line(captured.err, "expected a file that can be written (Permission denied)")
    assert "evaluating" not in captured.out
    assert call("gradmap-evaluate", copy, "--days", 1, "--split", "validation") == 0


# --- What is compiled -----------------------------------------------------------------------------


def test_without_a_compiler_training_is_pytorchs(tmp_path: Path) -> None:
    words = [*TRAIN, "--run", str(tmp_path / "run"), *SMALL, *UNEVALUATED]
    done = started(words, env={"NUMBA_DISABLE_JIT": "1"}, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(tmp_path / "run") == 3


# --- Ctrl-C ---------------------------------------------------------------------------------------

# Whoever starts the tests in the background has Ctrl-C ignored, and by what they start, too.
INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import gridedge_commands

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
gridedge_commands.{command}()
"""


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("train", "torch"),
        ("train", "gradmap_trainer.flags"),
        ("train", "ray"),
        ("export", "gradmap_trainer.export"),
        ("case", "matplotlib"),
        ("gateway", "numpy"),
    ],
)
def test_ctrl_c_while_it_imports(tmp_path: Path, command: str, module: str) -> None:
    """Before there is a command, and where one imports what it needs."""
    words = ["inspect", "file"] if command == "gateway" else [str(tmp_path / "run")]
    words = ["--workers", "2"] if module == "ray" else words
    program = INTERRUPTED.format(command=command, module=module)
    done = started([sys.executable, "-c", program, *words], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")

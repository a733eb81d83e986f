"""A run's folder cannot be ruined by a second trainer, a mixed-up folder, a kill or old files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import gridedge_env.evaluation_files
from baselines.compare.__main__ import main as compare
from benchmarks.faults import differences
from gradmap_trainer.checkpoint import LATEST, load_checkpoint
from gradmap_trainer.config import CONFIG_FILE, TrainConfig
from gradmap_trainer.gradmap import Learner
from gradmap_trainer.lock import LOCK_FILE, locked
from gradmap_trainer.metrics import METRICS_FILE
from gradmap_trainer.report.run import read_run
from gradmap_trainer.training import open_run, train
from gridedge_env import CaseSettings, Simulator
from gridedge_env.evaluation_files import SUMMARY_FILE, load_evaluation, save_evaluation
from tests.gradmap_trainer.commands.calling import assert_one_line, call

ROOT = Path(__file__).parents[2]
CONFIG = TrainConfig(
    case=CaseSettings(feeder="ieee13", num_agents=3),
    iterations=4,
    batch_days=1,
    minibatches=1,
    hidden_sizes=(4,),
    checkpoint_seconds=0.0,
)
BRIEFLY = ("--days", 1, "--foresight-iterations", 0)


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return CONFIG.make_simulator()


def run(folder: Path, simulator: Simulator, iterations: int) -> Learner:
    """Begin a run, or go on with it, up to an iteration."""
    config = replace(CONFIG, run=str(folder))
    learner = open_run(config, simulator, resume=True)
    reached = learner.iteration

    def observe(learner: Learner, row: dict[str, float]) -> None:
        nonlocal reached
        reached = learner.iteration

    return train(config, simulator, learner, observe, lambda: reached == iterations)


@pytest.fixture(scope="module")
def halfway(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after two iterations of four, and evaluated."""
    folder = tmp_path_factory.mktemp("runs") / "halfway"
    run(folder, simulator, 2)
    assert call("gradmap-evaluate", folder, *BRIEFLY) == 0
    return folder


@pytest.fixture(scope="module")
def whole(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run to its end, undisturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(folder, simulator, 4)
    return folder


@pytest.fixture
def copy(halfway: Path, tmp_path: Path) -> Path:
    """Of the one that is halfway, to go on with or to damage."""
    return Path(shutil.copytree(halfway, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files of a run but its lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_FILE]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# --- One trainer at a time ------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from gradmap_trainer.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(copy: Path) -> Iterator[Path]:
    """A run that another process trains for as long as the test goes on."""
    words = [sys.executable, "-c", HOLDER, str(copy)]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield copy
        holder.kill()
        holder.communicate()
    with locked(copy):  # a lock goes with whoever had it
        pass


def test_the_second_trainer_is_refused(
    held: Path, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """By whatever trains, and nothing of the run is touched; who only looks at it may."""
    before, told = contents(held), f"{held} is in use by another process"
    assert call("gradmap-train", "--run", held, "--resume", "--evaluation-days", 0) == 2
    assert_one_line(capsys.readouterr().err, told)
    config = replace(CONFIG, run=str(held))
    with pytest.raises(ValueError, match=told):
        open_run(config, simulator, resume=True)
    with pytest.raises(ValueError, match=told):
        train(config, simulator, run(held.with_name("other"), simulator, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["compare", "--quick", "--out", str(held)])
        with pytest.raises(SystemExit, match="2"):
            compare()
    assert_one_line(capsys.readouterr().err, f"out: {told}")
    assert contents(held) == before
    assert call("gradmap-evaluate", held, *BRIEFLY, "--split", "validation") == 0


def test_who_has_a_folder_may_ask_again(tmp_path: Path) -> None:
    """As a command does that opens a run, and trains."""
    with locked(tmp_path), locked(tmp_path):
        pass


def test_an_error_leaves_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "new"):
        raise KeyError
    assert not (tmp_path / "new").exists()


def test_who_was_overtaken_writes_nothing(copy: Path, simulator: Simulator) -> None:
    """Two that take turns: the second goes on, and the first one's learner is of yesterday."""
    learner = open_run(replace(CONFIG, run=str(copy)), simulator, resume=True)
    run(copy, simulator, 3)
    before = contents(copy)
    with pytest.raises(ValueError, match="ends with iteration 3, expected 2, where the run was op"):
        train(replace(CONFIG, run=str(copy)), simulator, learner)
    assert contents(copy) == before


# --- What is resumed is the run -------------------------------------------------------------------


def lines(folder: Path) -> list[str]:
    return (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines(keepends=True)


def with_lines(*order: int) -> Callable[[Path], None]:
    """A log of these lines of its own; the header is the first."""

    def change(folder: Path) -> None:
        kept = [lines(folder)[number] for number in order]
        (folder / METRICS_FILE).write_text("".join(kept), encoding="utf-8")

    return change


def with_column(folder: Path) -> None:
    rows = [f"{line.rstrip()},{name}\n" for line, name in zip(lines(folder), "xyz", strict=True)]
    (folder / METRICS_FILE).write_text("".join(rows), encoding="utf-8")


def of_another_run(folder: Path) -> None:
    text = (folder / METRICS_FILE).read_text(encoding="utf-8")
    (folder / METRICS_FILE).write_text(text.replace("\n2,", "\n2,9"), encoding="utf-8")


def without(*patterns: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for pattern in patterns:
            for path in folder.glob(pattern):
                path.unlink()

    return change


DAMAGE = {
    "a log that is gone": (without(METRICS_FILE), "is not the log that its checkpoint was saved w"),
    "a gap": (with_lines(0, 2), "expected the same 2 rows (got 1 in all)"),
    "a row twice": (with_lines(0, 1, 1, 2), "expected the same 2 rows (got 3 in all)"),
    "rows in another order": (with_lines(0, 2, 1), "is not the log that"),
    "a foreign column": (with_column, "is not the log that"),
    "another run's log": (of_another_run, "is not the log that"),
    "no checkpoint": (without("checkpoint-*"), "has a log and no checkpoint, expected the one"),
    "checkpoints alone": (without("*.json", "*.csv", "*.npz"), "config.json not found, expected"),
    "a log alone": (without("*.json", "*.npz", "checkpoint-*"), "config.json not found, expected"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_no_whole_run_is_refused(
    copy: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """By name, in a line; nothing is cut or written over, with --resume or without."""
    damage, told = DAMAGE[kind]
    damage(copy)
    before = contents(copy)
    assert call("gradmap-train", "--run", copy, "--resume", "--evaluation-days", 0) == 2
    assert_one_line(capsys.readouterr().err, told)
    assert call("gradmap-train", "--run", copy, "--feeder", "ieee13", "--num-agents", 3) == 2
    assert_one_line(capsys.readouterr().err, "already holds a run, expected --resume")
    assert contents(copy) == before


@pytest.mark.parametrize("left", ["the case", "the case and the options"])
def test_a_run_killed_as_it_began_begins_again(
    tmp_path: Path, whole: Path, simulator: Simulator, left: str
) -> None:
    """Before there was a checkpoint there was no log; from then on there are both."""
    folder = tmp_path / "run"
    learner = open_run(replace(CONFIG, run=str(folder)), simulator)
    assert (learner.iteration, load_checkpoint(folder)[1]["iteration"]) == (0, 0)
    (folder / LATEST).unlink()
    if left == "the case":
        (folder / CONFIG_FILE).unlink()
    else:
        other = replace(CONFIG, run=str(folder), learning_rate=0.5, hidden_sizes=(5,))
        with pytest.raises(ValueError, match="other options, expected its own hidden_sizes, learn"):
            open_run(other, simulator, resume=True)
    run(folder, simulator, 4)
    assert not differences(folder, whole)


def test_what_was_learned_is_saved_before_an_observer_fails(
    tmp_path: Path, whole: Path, simulator: Simulator
) -> None:
    config = replace(CONFIG, run=str(tmp_path / "run"), checkpoint_seconds=1e6)

    def observe(learner: Learner, row: dict[str, float]) -> None:
        if learner.iteration == 3:
            raise LookupError

    with pytest.raises(LookupError):
        train(config, simulator, open_run(config, simulator), observe)
    assert load_checkpoint(tmp_path / "run")[1]["iteration"] == 3
    run(tmp_path / "run", simulator, 4)
    assert not differences(tmp_path / "run", whole)


# --- Evaluation and report ------------------------------------------------------------------------


def test_an_evaluation_is_replaced_whole(
    copy: Path,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever ends it: the old one stands, or the new one, and never a table of another."""
    before = contents(copy)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(gridedge_env.evaluation_files.np, "savez_compressed", full)
        assert call("gradmap-evaluate", copy, *BRIEFLY) == 1
    assert_one_line(capsys.readouterr().err, "gradmap-evaluate: error: No space left on device")
    assert contents(copy) == before
    with monkeypatch.context() as patch:
        patch.setattr(gridedge_env.evaluation_files, "write_whole", full)
        assert call("gradmap-evaluate", copy, "--days", 2, "--foresight-iterations", 0) == 1
    assert len(load_evaluation(copy, simulator).dates) == 2
    assert not (copy / SUMMARY_FILE).exists()
    assert len(read_run(copy, simulator).evaluation.dates) == 2


def test_an_evaluation_says_which_policies_it_is_of(
    copy: Path, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no report shows it once the run has learned on."""
    evaluation = load_evaluation(copy, simulator)
    assert evaluation.iteration == 2
    assert call("gradmap-report", copy) == 0
    page = (copy / "report.html").read_text(encoding="utf-8")
    assert f"those of iteration 2, whose weights have the SHA-256 {evaluation.weights}" in page

    run(copy, simulator, 3)
    capsys.readouterr()
    assert call("gradmap-report", copy) == 2
    told = "was evaluated with policies of iteration 2 and has others, of iteration 3, expected gr"
    assert_one_line(capsys.readouterr().err, told)
    assert (copy / "report.html").read_text(encoding="utf-8") == page
    assert call("gradmap-evaluate", copy, *BRIEFLY) == 0
    assert len(read_run(copy, simulator).metrics) == 3


def test_a_report_shows_no_iteration_that_its_policies_have_not_had(
    copy: Path, simulator: Simulator
) -> None:
    """Of a run that was killed: its log is ahead of its checkpoint."""
    with (copy / METRICS_FILE).open("a", encoding="utf-8") as log:
        log.write(lines(copy)[-1].replace("2,", "3,", 1))
    assert read_run(copy, simulator).metrics["iteration"].tolist() == [1, 2]


def test_policies_are_known_by_their_weights(copy: Path, simulator: Simulator) -> None:
    """The same iteration of another run is not the same."""
    other = replace(load_evaluation(copy, simulator), weights="0" * 64)
    save_evaluation(other, simulator.case.limits, copy)
    with pytest.raises(ValueError, match="and has others, of iteration 2"):
        read_run(copy, simulator)


def test_without_checkpoints_the_log_says_how_far_the_run_is(
    copy: Path, simulator: Simulator
) -> None:
    """As in a folder that is kept for its report alone."""
    without("checkpoint-*")(copy)
    read_run(copy, simulator)
    with_lines(0, 1)(copy)
    with pytest.raises(ValueError, match="policies of iteration 2 and has others, of iteration 1"):
        read_run(copy, simulator)


# --- Kills ----------------------------------------------------------------------------------------


def test_what_is_killed_goes_on_to_the_same_bits() -> None:
    """A kill of each command; `benchmarks.kills` does fifty of each."""
    words = [sys.executable, "-m", "benchmarks.kills", "--times", "1", "--iterations", "4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("the same to the last bit\n")

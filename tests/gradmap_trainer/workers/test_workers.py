"""Real workers: the same weights to the last bit as one process alone, whatever befalls them."""

from __future__ import annotations

import os
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.faults import TORCHRUN, TRAIN, WORKER, differences, rows, started
from gradmap_trainer.checkpoint import load_checkpoint
from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import Learner
from gradmap_trainer.training import open_run, train
from gridedge_env.simulator import Simulator
from tests.traces import addresses_listened_on, written

INDISPENSABLE = ("gcs_server ", "raylet/raylet ")
CONFIG = TrainConfig(
    case=replace(USUAL_CASE, num_agents=15),
    iterations=60,
    batch_days=3,
    minibatches=2,
    hidden_sizes=(6,),
    checkpoint_seconds=0.3,
    evaluation_days=0,
)
OPTIONS = [
    *("--num-agents", "15", "--iterations", "60", "--batch-days", "3", "--minibatches", "2"),
    *("--hidden-sizes", "6", "--checkpoint-seconds", "0.3", "--evaluation-days", "0"),
]


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return CONFIG.make_simulator()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, simulator: Simulator) -> Path:
    """The folder of a run by one process."""
    return trained_alone(tmp_path_factory.mktemp("runs") / "alone", simulator)


def trained_alone(folder: Path, simulator: Simulator, most: int = 60) -> Path:
    """Begun or gone on with, for so many iterations at most."""
    config, done = replace(CONFIG, run=str(folder)), 0

    def count(learner: Learner, row: dict[str, float]) -> None:
        nonlocal done
        done += 1

    learner = open_run(config, simulator, resume=True)
    train(config, simulator, learner, count, lambda: done == most)
    return folder


def test_from_one_worker_to_two_of_torchrun_and_back(
    tmp_path: Path, home: Path, alone: Path, simulator: Simulator
) -> None:
    """One of the two is killed, and both are started again; told to stop, they leave shards."""
    folder = trained_alone(tmp_path / "run", simulator, most=5)
    words = [*TORCHRUN, *TRAIN, "--run", str(folder), "--resume"]
    with started(words, home) as command:
        command.wait_for(lambda: rows(folder) >= 12)
        os.kill(random.choice(command.called(" ".join(TRAIN))), signal.SIGKILL)
        command.wait_for(lambda: rows(folder) >= 24)
        command.process.send_signal(signal.SIGTERM)
        _, output, _ = command.end()
    saved = load_checkpoint(folder)[1]["iteration"]
    assert isinstance(saved, int)
    assert f"Stopped after iteration {saved}; go on with --resume." in output
    assert 24 <= saved == rows(folder) < 60
    assert len(list(folder.glob("shard-*-of-2.safetensors"))) in (2, 4)
    assert not differences(trained_alone(folder, simulator), alone)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are told by /proc")
def test_ray_starts_a_killed_worker_again_and_leaves_nothing(
    tmp_path: Path, home: Path, alone: Path
) -> None:
    """It listens on the loopback interface alone, and nobody else can read what it writes down."""
    folder = tmp_path / "run"
    words = [*TRAIN, "--run", str(folder), *OPTIONS, "--workers", "2"]
    with started(words, home) as command:
        command.wait_for(lambda: rows(folder) >= 10)
        workers = command.called(WORKER)
        assert len(workers) == 2
        os.kill(random.choice(workers), signal.SIGKILL)
        assert addresses_listened_on(command.processes()) == {"127.0.0.1"}
        assert {path.stat().st_mode & 0o777 for path in written(home)} == {0o700}
        code, output, errors = command.end()
        assert code == 0, errors
        assert "training 100%: iteration 60" in output
        assert "Trained 60 iterations" in output
        assert command.is_gone()
        assert not written(home)
    assert not differences(folder, alone)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are told by /proc")
def test_a_signal_to_all_processes_ends_the_command_in_order(tmp_path: Path, home: Path) -> None:
    """Ray's own processes among them: workers save first, and nothing is left but the run."""
    folder = tmp_path / "run"
    with started([*TRAIN, "--run", str(folder), *OPTIONS, "--workers", "2"], home) as command:
        command.wait_for(lambda: rows(folder) >= 5)
        os.killpg(command.process.pid, signal.SIGTERM)
        code, output, errors = command.end()
        assert code == 130, errors
        saved = load_checkpoint(folder)[1]["iteration"]
        assert f"Stopped after iteration {saved}; go on with --resume." in output
        assert saved == rows(folder)
        assert command.is_gone()
        assert not written(home)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are told by /proc")
def test_ray_is_ended_under_a_command(
    tmp_path: Path, home: Path, alone: Path, simulator: Simulator
) -> None:
    """By the death of its head or of what has its workers: nothing is left but the run."""
    folder = tmp_path / "run"
    with started([*TRAIN, "--run", str(folder), *OPTIONS, "--workers", "2"], home) as command:
        command.wait_for(lambda: rows(folder) >= 5)
        died = random.choice(INDISPENSABLE)
        (number,) = [number for number, name in command.processes().items() if died in name]
        os.kill(number, signal.SIGKILL)
        code, _, errors = command.end()
        assert code == 1
        assert "error: workers: Ray's own processes died; go on with --resume" in errors
        assert command.is_gone()
        assert not written(home)
    kinds = {path.name.split("-")[0] for path in folder.iterdir()}
    assert kinds == {"case", "config.json", "metrics.csv", "checkpoint", "shard", "lock"}
    assert not differences(trained_alone(folder, simulator), alone)

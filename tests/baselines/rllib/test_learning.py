"""RLlib at work: learning, checkpoints, the commands, and nothing left behind."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("ray", reason="needs the rllib extra")

from ray.exceptions import RayError

from baselines.rllib.config import RLConfig, load_config
from baselines.rllib.train import newest_checkpoint, open_folder, running
from baselines.rllib.tune import score, search_space
from gradmap_trainer.evaluation import load_evaluation
from gradmap_trainer.policies import Policies
from gridedge_env.reference import Policy

ROOT = Path(__file__).parents[3]
SMALL = RLConfig(
    num_agents=6,
    seconds=1e9,
    batch_days=4,
    epochs=1,
    minibatches=4,
    hidden_sizes=(8,),
    validation_days=1,
    evaluation_days=0,
)


def train(config: RLConfig, iterations: int) -> tuple[list[dict[str, float]], torch.Tensor]:
    """Rows of the log, and what the policies that came of it say."""
    simulator = config.make_test_simulator()
    seen = simulator.observe_parts(simulator.reset(batch_size=2, seed=1))
    open_folder(config, resume=True)
    with running(config, simulator) as run:
        rows = [row for _, row in zip(range(iterations), run.rows(), strict=False)]
        run.save()
        with torch.no_grad():
            return rows, raw_outputs(run.policy, *seen)


def raw_outputs(policy: Policy, private: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """Of joint policies before the rest band, within which all actions are alike."""
    if isinstance(policy, Policies):
        return policy.outputs(private.permute(1, 2, 0), shared.T)
    return policy(private, shared)


@pytest.mark.parametrize("algorithm", ["ippo", "mappo"])
def test_learns(ray_running, tmp_path, algorithm):
    """The return, with exploration and all, rises by several times what days differ by."""
    config = replace(
        SMALL,
        run=str(tmp_path / "run"),
        algorithm=algorithm,
        batch_days=8,
        epochs=4,
        learning_rate=0.03,
        final_learning_rate=0.03,
    )
    rows, _ = train(config, 15)
    returns = [row["fleet_return"] for row in rows]
    early, late = torch.tensor(returns[:5]), torch.tensor(returns[-5:])
    assert late.mean() - early.mean() > 3.0 * late.std()
    assert all(row["value_explained"] < 1.0 for row in rows)
    assert rows[-1]["value_explained"] > 0.8, "the critic starves"


def test_resumes_with_the_same_policies(ray_running, tmp_path):
    config = replace(SMALL, run=str(tmp_path / "run"), algorithm="mappo")
    first, learned = train(config, 2)
    rows, restored = train(config, 0)
    assert rows == []
    assert torch.equal(learned, restored)
    rows, changed = train(config, 1)
    assert [row["iteration"] for row in (*first, *rows)] == [1, 2, 3]
    assert [row["environment_steps"] for row in (*first, *rows)] == [192, 384, 576]
    assert rows[0]["seconds"] > first[-1]["seconds"]
    assert rows[0]["fleet_return"] != first[0]["fleet_return"], "other days than at the beginning"
    assert not torch.equal(changed, learned)
    assert load_config(Path(config.run)) == config
    assert newest_checkpoint(Path(config.run)).name == "checkpoint_000003"
    assert [p.name for p in Path(config.run).glob("checkpoint*")] == ["checkpoint_000003"]
    log = list(csv.DictReader((Path(config.run) / "metrics.csv").open()))
    assert [row["iteration"] for row in log] == ["1", "2", "3"]


@pytest.mark.parametrize("policies", ["by-kind", "separate"])
def test_stock_ippo_through_pettingzoo(ray_running, tmp_path, policies):
    config = replace(SMALL, run=str(tmp_path / "run"), policies=policies, batch_days=1)
    (row,), actions = train(config, 1)
    assert row["environment_steps"] == 48
    assert torch.isfinite(torch.tensor(row["fleet_return"]))
    assert actions.shape == (2, 6, 1)
    assert actions.abs().max() <= 1.0
    # Two agents of a kind, other observations: other actions, whether they share weights or not.
    assert len(set(actions[0, :, 0].tolist())) == 6


def test_a_worker_that_dies_is_reported(ray_running, tmp_path):
    """Its process is killed between two days; the next sample must not be waited for."""
    config = replace(SMALL, run=str(tmp_path / "run"), env_runners=1)
    open_folder(config, resume=False)
    with running(config, config.make_test_simulator()) as run:
        rows = run.rows()
        assert next(rows)["environment_steps"] == 192
        workers = run.algorithm.env_runner_group
        (process,) = workers.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False)
        os.kill(process, signal.SIGKILL)
        with pytest.raises((RayError, RuntimeError), match=r"(?i)died|unavailable|failed"):
            next(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algorithm": "mappo", "policies": "separate"}, "algorithm: got 'mappo'.*'joint'"),
        ({"policies": "separate", "num_agents": 101}, "num_agents: got 101.*at most 100"),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0, expected a positive number"),
        ({"discount": 1.5}, "discount: got 1.5, expected 0 to 1"),
        ({"minibatches": 1000, "batch_days": 1}, "minibatches: got 1000, expected at most 48"),
        ({"batch_days": 0}, "batch_days: got 0, expected a whole number of at least 1"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_the_search_space_fits_the_configuration():
    sample = {name: domain.sample() for name, domain in search_space().items()}
    replace(SMALL, batch_days=32, **{k: v for k, v in sample.items() if k != "batch_days"})
    assert score({"cost": 3000.0, "violation": 2.0}) == -3200.0


@pytest.fixture
def home() -> Iterator[Path]:
    """Home and place for temporary files of a command; short, as Ray's sockets need it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def command(module: str, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"baselines.rllib.{module}", *arguments],
        cwd=ROOT,
        env={**os.environ, "HOME": str(home), "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def ray_processes() -> set[int]:
    """Processes of Ray's own programs on this machine (Linux; elsewhere none are seen)."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"raylet" in line or b"gcs_server" in line or line.startswith(b"ray::"):
            found.add(int(folder.name))
    return found


def test_the_command_trains_evaluates_and_leaves_nothing(tmp_path, home):
    run = tmp_path / "run"
    before = ray_processes()
    options = ["--num-agents", "6", "--seconds", "1", "--run", str(run)]
    options += ["--evaluation-days", "2", "--foresight-iterations", "0"]
    done = command("train", *options, home=home)
    assert done.returncode == 0, done.stderr
    assert ray_processes() <= before
    assert not [path for path in home.rglob("*") if path.is_file()]
    assert set(load_evaluation(run).episodes) == {"ippo", "idle", "thermostat", "price_following"}
    assert json.loads((run / "evaluation.json").read_text())["ippo"]["nonconverged"] == 0
    refused = command("train", *options, home=home)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].endswith("expected --resume or another folder")


def test_tune_writes_the_best(tmp_path, home):
    run = tmp_path / "run"
    before = ray_processes()
    options = ["--num-agents", "3", "--seconds", "2", "--run", str(run), "--trials", "2"]
    done = command("tune", *options, home=home)
    assert done.returncode == 0, done.stderr
    assert ray_processes() <= before
    best = json.loads((run / "best.json").read_text())
    assert RLConfig(**{**best, "hidden_sizes": tuple(best["hidden_sizes"])}).num_agents == 3
    assert len((run / "tune.csv").read_text().splitlines()) == 3

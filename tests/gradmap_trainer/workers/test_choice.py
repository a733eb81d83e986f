"""What trains a run is said in options or by torchrun, and contradictions are told in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

from gradmap_trainer.training import train
from gradmap_trainer.workers import torchrun
from gradmap_trainer.workers.choice import trainer
from tests.gradmap_trainer.commands.calling import assert_one_line, call


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--workers", "0"], "workers: got 0, expected a whole number of at least 1"),
        (["--workers", "9"], "workers: got 9, expected at most 8, as many as batch_days"),
        (
            ["--workers", "4", "--num-agents", "3"],
            "workers: got 4, expected at most 3, as many as agents",
        ),
        (["--workers", "-1"], "workers: got -1, expected a whole number of at least 1"),
        (["--workers", "1000000000"], "workers: got 1000000000, expected at most 8"),
        (["--address", "auto"], "address: got 'auto', expected --workers beside it"),
        (["--workers", "2", "--device", "here"], "device: got 'here', expected 'cpu' or a device"),
        (
            ["--workers", "2", "--address", ""],
            "address: got '', expected 'local', 'auto' or HOST:PORT of a Ray cluster",
        ),
    ],
)
def test_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    folder = tmp_path / "run"
    words = ["--run", folder, "--feeder", "ieee13", "--num-agents", "9", *options]
    assert call("gradmap-train", *words) == 2
    assert_one_line(capsys.readouterr().err, told)
    assert not folder.exists()


def test_alone_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = trainer(None, None)
    assert (crew.workers, crew.train) == (1, train)
    assert not torchrun.is_follower()
    assert not torchrun.is_restarted()

    started = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4", "RANK": "0"}
    for name, value in {**started, "TORCHELASTIC_RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    crew = trainer(None, None)
    assert (crew.workers, crew.train) == (4, torchrun.lead)
    assert not torchrun.is_follower()
    assert torchrun.is_restarted()
    with pytest.raises(ValueError, match="workers: got 2, expected none beside those of torchrun"):
        trainer(2, None)
    monkeypatch.setenv("RANK", "3")
    assert torchrun.is_follower()


def test_workers_have_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, where there will never be more; a cluster may grow."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(ValueError, match="workers: got 3 on 'cuda', expected at most 2, as many"):
        trainer(3, None, "cuda")
    assert trainer(2, "local", "cuda").beginning == "starting Ray, then 2 workers, which compile"
    assert trainer(3, None, "cpu").workers == 3

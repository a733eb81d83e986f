"""A checkpoint survives a kill at any instant, shows any damage, and comes back as it was saved."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from gradmap_trainer.checkpoint import (
    LATEST,
    PREVIOUS,
    TEMPORARY,
    Json,
    check_matches,
    load_checkpoint,
    save_checkpoint,
)

FILES = {LATEST, PREVIOUS}


def save_step(folder: Path, step: int) -> None:
    save_checkpoint(folder, {"step": torch.full((3,), step)}, {"step": step})


def step_of(record: Mapping[str, Json]) -> int:
    step = record["step"]
    assert isinstance(step, int)
    return step


def loaded_step(folder: Path) -> int:
    """Return the step of the checkpoint in use, whose tensors and record must be of one save."""
    tensors, record = load_checkpoint(folder)
    assert tensors["step"].tolist() == [record["step"]] * 3
    return step_of(record)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def damage(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_everything_comes_back_bit_for_bit(tmp_path):
    generator = torch.Generator().manual_seed(1)
    transposed_view = torch.randn(4, 3, generator=generator, dtype=torch.float64).T
    weights = torch.randn(5, generator=generator).requires_grad_()
    tensors = {
        "weights": weights,
        "special": torch.tensor([math.nan, math.inf, -0.0, 1e-45]),
        "view": transposed_view,
        "same_memory": transposed_view[1],
        "iteration": torch.tensor(7),
        "empty": torch.empty(0, 4),
        "generator": generator.get_state(),
    }
    record = {"cost": [0.1, 1 / 3, 1e-300], "run": {"name": 'a "quoted" née', "seconds": None}}

    save_checkpoint(tmp_path / "runs" / "new", tensors, record)
    found_tensors, found_record = load_checkpoint(tmp_path / "runs" / "new")

    assert found_record == record
    assert found_tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        found = found_tensors[name]
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert found.numpy().tobytes() == tensor.detach().contiguous().numpy().tobytes()
    resumed = torch.Generator()
    resumed.set_state(found_tensors["generator"])
    assert torch.equal(torch.rand(9, generator=resumed), torch.rand(9, generator=generator))


def test_a_record_that_imitates_the_digest_does_no_harm(tmp_path):
    record = {"sha256": "0" * 64, "text": '"sha256":"' + "1" * 64 + '"'}
    save_checkpoint(tmp_path, {"sha256": torch.ones(1)}, record)
    assert load_checkpoint(tmp_path)[1] == record


def test_the_newest_is_used_and_the_one_before_is_kept(tmp_path):
    for step in range(3):
        save_step(tmp_path, step)
    assert names(tmp_path) == FILES
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loaded_step(tmp_path) == 2
    (tmp_path / LATEST).unlink()
    with pytest.warns(UserWarning, match="not found; using checkpoint-previous"):
        assert loaded_step(tmp_path) == 1


class Killed(BaseException):
    """Stands for a kill: nothing after the instant it strikes is executed."""


# One save calls fsync, replace (latest to previous), replace (temporary to latest), fsync (names).
@pytest.mark.parametrize("instant", range(8))
@pytest.mark.filterwarnings("ignore:folder")
def test_a_kill_at_any_instant_leaves_a_whole_checkpoint(tmp_path, monkeypatch, instant):
    """Even instants strike before one of the four calls, odd ones after it."""
    save_step(tmp_path, 0)
    save_step(tmp_path, 1)
    calls = 0

    def striking(function):
        def call(*arguments):
            nonlocal calls
            calls += 1
            if calls == instant // 2 + 1 and instant % 2 == 0:
                raise Killed
            function(*arguments)
            if calls == instant // 2 + 1:
                raise Killed

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", striking(os.replace))
        patch.setattr(os, "fsync", striking(os.fsync))
        with pytest.raises(Killed):
            save_step(tmp_path, 2)

    assert loaded_step(tmp_path) == (1 if instant < 5 else 2)
    save_step(tmp_path, 3)
    assert loaded_step(tmp_path) == 3
    assert names(tmp_path) == FILES


def test_a_half_written_temporary_is_neither_used_nor_kept(tmp_path):
    save_step(tmp_path, 0)
    (tmp_path / TEMPORARY).write_bytes((tmp_path / LATEST).read_bytes()[:50])
    assert loaded_step(tmp_path) == 0
    save_step(tmp_path, 1)
    assert names(tmp_path) == FILES


def test_every_flipped_bit_and_every_truncation_is_found(tmp_path):
    save_step(tmp_path, 0)
    path = tmp_path / LATEST
    sound = path.read_bytes()
    for position in range(len(sound)):
        path.write_bytes(sound)
        damage(path, position)
        with pytest.raises(ValueError, match="damaged"):
            load_checkpoint(tmp_path)
        path.write_bytes(sound[:position])
        with pytest.raises(ValueError, match="damaged"):
            load_checkpoint(tmp_path)


def test_a_damaged_newest_gives_way_to_the_previous(tmp_path):
    save_step(tmp_path, 0)
    save_step(tmp_path, 1)
    damage(tmp_path / LATEST, -1)
    with pytest.warns(UserWarning, match=r"latest.* is damaged \(SHA-256 .*using .*previous"):
        assert loaded_step(tmp_path) == 0


@pytest.mark.filterwarnings("ignore:folder")
def test_a_damaged_newest_never_displaces_a_sound_previous(tmp_path, monkeypatch):
    save_step(tmp_path, 0)
    save_step(tmp_path, 1)
    damage(tmp_path / LATEST, -1)

    def kill(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        with pytest.raises(Killed):
            save_step(tmp_path, 2)
    assert loaded_step(tmp_path) == 0
    save_step(tmp_path, 2)
    assert loaded_step(tmp_path) == 2
    (tmp_path / LATEST).unlink()
    assert loaded_step(tmp_path) == 0


def test_nothing_usable_is_told_with_what_was_found(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere: not found, expected the folder of a run"
    ):
        load_checkpoint(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=f"{LATEST} is not found; {PREVIOUS} is not found"):
        load_checkpoint(tmp_path)
    (tmp_path / LATEST).write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(ValueError, match="latest.* is damaged or no GridEdge checkpoint"):
        load_checkpoint(tmp_path)


def test_a_mismatch_is_refused_by_name():
    record = {"feeder": "3f2a", "config": {"num_agents": 500, "days": 8, "sizes": [16, 16]}}
    sizes: Any = (16, 16)  # in the file a list
    check_matches(record, {"config": {"num_agents": 500, "sizes": sizes}})
    with pytest.raises(ValueError, match="feeder is '3f2a' in the checkpoint, expected '9c01'"):
        check_matches(record, {"feeder": "9c01"})
    with pytest.raises(ValueError, match=r"config.num_agents is 500 .* 1000; seed is not in .* 3"):
        check_matches(record, {"config": {"num_agents": 1000, "days": 8}, "seed": 3})


SAVING_LOOP = """
import sys
from pathlib import Path
import torch
from gradmap_trainer.checkpoint import save_checkpoint
step = 0
while True:
    step += 1
    save_checkpoint(Path(sys.argv[1]), {"step": torch.full((200_000,), step)}, {"step": step})
    print(step, flush=True)
"""


@pytest.mark.filterwarnings("ignore:folder")
@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011])
def test_a_real_kill_loses_at_most_the_save_in_progress(tmp_path, delay):
    process = subprocess.Popen(
        [sys.executable, "-c", SAVING_LOOP, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(3)]
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    told += process.communicate()[0].splitlines()
    tensors, record = load_checkpoint(tmp_path)
    # Killed between a save and its line, the checkpoint is one ahead of what was told.
    assert step_of(record) - int(told[-1]) in (0, 1)
    assert torch.equal(tensors["step"], torch.full((200_000,), step_of(record)))

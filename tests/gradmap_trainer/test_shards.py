"""What several workers save counts once all of it is there, and is whole or is not used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gradmap_trainer.checkpoint import (
    LATEST,
    PREVIOUS,
    load_checkpoint,
    save_checkpoint,
    save_shard,
    shard_names,
)


def save_rows(folder: Path, iteration: int, size: int, last: bool = True) -> list[str]:
    """Seven rows, shared out among so many workers; the last of them may not get to its own."""
    folder.mkdir(exist_ok=True)
    shards = shard_names(iteration, size)
    parts = torch.full((7, 2), float(iteration)).tensor_split(size)
    for name, rows in list(zip(shards, parts, strict=True))[: None if last else -1]:
        save_shard(folder, name, {"rows": rows})
    if last:
        whole = {"step": torch.tensor(float(iteration))}
        save_checkpoint(folder, whole, {"iteration": iteration}, shards)
    return shards


def loaded(folder: Path) -> int:
    """Of which iteration all that is loaded is."""
    tensors, record = load_checkpoint(folder)
    assert tensors["rows"].tolist() == [[float(tensors["step"])] * 2] * 7
    assert record == {"iteration": int(tensors["step"])}
    return int(tensors["step"])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_rows_are_joined_in_the_order_of_the_workers(tmp_path: Path) -> None:
    shards = shard_names(1, 3)
    for k, name in enumerate(shards):
        save_shard(tmp_path, name, {"rows": torch.tensor([[2.0 * k], [2.0 * k + 1.0]])})
    save_checkpoint(tmp_path, {}, {}, shards)
    tensors, _ = load_checkpoint(tmp_path)
    assert tensors["rows"].flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_only_what_two_checkpoints_need_is_kept(tmp_path: Path) -> None:
    """Of other numbers of workers, too, and of none."""
    for iteration, size in enumerate((2, 3, 2)):
        shards = save_rows(tmp_path, iteration, size)
        assert loaded(tmp_path) == iteration
    assert names(tmp_path) == {LATEST, PREVIOUS, *shard_names(1, 3), *shards}
    for iteration in (3, 4):
        save_checkpoint(tmp_path, {"rows": torch.ones(1)}, {"iteration": iteration})
    assert names(tmp_path) == {LATEST, PREVIOUS}


def test_shards_that_no_checkpoint_names_do_not_count(tmp_path: Path) -> None:
    """Killed before all had written; what was half written is gone with the next one."""
    save_rows(tmp_path, 1, 2)
    save_rows(tmp_path, 2, 2, last=False)
    (tmp_path / f"{shard_names(2, 2)[1]}.temporary").write_bytes(b"half")
    assert loaded(tmp_path) == 1
    save_rows(tmp_path, 3, 2)
    assert loaded(tmp_path) == 3
    assert names(tmp_path) == {LATEST, PREVIOUS, *shard_names(1, 2), *shard_names(3, 2)}


@pytest.mark.parametrize("lost", [True, False])
def test_without_one_of_its_shards_a_checkpoint_is_of_no_use(tmp_path: Path, lost: bool) -> None:
    """The one before is used; without that, there is none."""
    save_rows(tmp_path, 1, 2)
    shard = tmp_path / save_rows(tmp_path, 2, 2)[1]
    if lost:
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-1])
    told = f"without a part: {shard.name} is lost or damaged; using {PREVIOUS}"
    with pytest.warns(UserWarning, match=told):
        assert loaded(tmp_path) == 1
    (tmp_path / PREVIOUS).unlink()
    with pytest.raises(ValueError, match=f"{LATEST} is without a part"):
        load_checkpoint(tmp_path)

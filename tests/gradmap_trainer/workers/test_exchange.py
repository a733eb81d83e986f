"""Three workers with uneven shares, who each hold what they got against what there was."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.distributed
import torch.multiprocessing

from gradmap_trainer.team import share_out

STEPS, DAYS, AGENTS, ENTRIES, SIZE = 2, 7, 8, 3, 3


def test_everybody_gets_what_is_theirs(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(check, (str(tmp_path),), SIZE)
    assert len(list(tmp_path.glob("checked-*"))) == SIZE


def check(rank: int, folder: str) -> None:
    """In a process of its own."""
    store = torch.distributed.FileStore(f"{folder}/meeting", SIZE)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=SIZE)
    team = share_out(rank, SIZE, AGENTS, DAYS)
    agents, days = team.own_agents, team.own_days
    whole = torch.arange(STEPS * DAYS * AGENTS * ENTRIES, dtype=torch.float32)
    whole = whole.view(STEPS, DAYS, AGENTS, ENTRIES)

    assert torch.equal(team.to_owners(whole[:, days]), whole[:, :, agents])
    assert torch.equal(team.every_day(whole[0, days]), whole[0])

    weights = torch.full((AGENTS, 5, 4), float("nan"))
    expected = torch.arange(AGENTS * 20.0).view(AGENTS, 5, 4)
    weights[agents] = expected[agents]
    team.gather(weights)
    assert torch.equal(weights, expected)

    sums = whole.double().sum(dim=1)
    assert torch.equal(team.total(whole[:, days].double().sum(dim=1)), sums)
    assert team.agreed(10.0 + rank) == 10.0

    if rank == SIZE - 1:  # the others must not go on before
        time.sleep(0.5)
        Path(f"{folder}/written").touch()
    team.wait()
    assert Path(f"{folder}/written").exists()
    Path(f"{folder}/checked-{rank}").touch()
    torch.distributed.destroy_process_group()

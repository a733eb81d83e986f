"""Training with the workers that torchrun has started: the first is the command, others follow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.console import interruptible
from gradmap_trainer.gradmap import Learner
from gradmap_trainer.training import Observer
from gradmap_trainer.workers.member import backend_of, own_device, work
from gridedge_env.simulator import Simulator


def is_there() -> bool:
    """Whether torchrun has started this process."""
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def is_follower() -> bool:
    """Whether torchrun has started this process, but another one as the first."""
    return is_there() and int(os.environ["RANK"]) > 0


def is_restarted() -> bool:
    """Whether torchrun has started this process in the place of one that had begun."""
    return is_there() and int(os.environ["TORCHELASTIC_RESTART_COUNT"]) > 0


def workers() -> int:
    """How many torchrun has started."""
    return int(os.environ["WORLD_SIZE"])


def lead(
    config: TrainConfig,
    simulator: Simulator,
    learner: Learner,
    observe: Observer,
    stop: Callable[[], bool],
) -> Learner:
    """As `train`, of an open run, by all of torchrun's workers."""
    with _group():
        _tell([str(Path(config.run).absolute()), config.device])
        return _work(config.run, config.device, observe, stop)


def follow() -> None:
    """Train along with the first worker on the run that it has opened."""
    with _group(), interruptible():  # it is for the first one to stop
        told = ["", ""]
        _tell(told)
        _work(*told)


def _work(folder: str, device: str, *watching: Any) -> Learner:
    rank, number = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    return work(Path(folder), rank, workers(), own_device(device, number), *watching)


def _tell(words: list[str]) -> None:
    """Have all hear what the first worker says, in the place of their own words."""
    torch.distributed.broadcast_object_list(words, src=0, device=torch.device("cpu"))


@contextmanager
def _group() -> Iterator[None]:
    store, rank, size = next(torch.distributed.rendezvous("env://"))
    # torchrun keeps its store when it starts workers again: where the killed ones were, in it, is
    # where nobody is.
    store = torch.distributed.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    backend = backend_of("cuda" if torch.cuda.is_available() else "cpu")
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()

"""What an iteration of training takes, by one worker or several, in fresh processes.

Workers are processes of this machine with one thread each, who talk by gloo.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from unittest import mock

import torch
import torch.distributed
import torch.multiprocessing

from benchmarks.memory import most_held
from benchmarks.synthetic import synthetic_feeder
from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner
from gradmap_trainer.policies import Policies
from gradmap_trainer.team import ALONE, share_out
from gradmap_trainer.workers.member import stay_local
from gridedge_env.memory import keep_freed_memory

# By the number of their nodes; of any other number one is made.
FEEDERS = {41: "ieee13", 117: "ieee37", 278: "ieee123", 2_721: "european_lv"}


@dataclass(frozen=True)
class Size:
    """How large a training is: agents, nodes of the feeder, days of a batch, workers."""

    agents: int
    nodes: int
    days: int
    workers: int = 1

    @property
    def nodes_of_matrices(self) -> int:
        """Nodes of a feeder that is small enough for matrices, which are quicker; of others 0."""
        return self.nodes if self.nodes in FEEDERS else 0


@dataclass(frozen=True)
class Taken:
    """What the quickest iteration took the worker that it took most.

    Attributes:
        processor_seconds: of one thread, which a busy machine hardly changes.
        seconds: by the clock.
        bytes_sent: to the other workers.
        bytes_held: the most memory that the process ever had.
        weights: a digest of all policies' in the end.
    """

    processor_seconds: float
    seconds: float
    bytes_sent: float
    bytes_held: int
    weights: str


def measured(size: Size, iterations: int = 4) -> Taken:
    """Measure; the first of the iterations also does what is done once."""
    with tempfile.TemporaryDirectory() as folder:
        if size.nodes not in FEEDERS:
            synthetic_feeder(size.nodes).save(Path(folder) / "feeder")
        torch.multiprocessing.spawn(_work, (size, iterations, folder), size.workers)
        found = [
            torch.load(Path(folder) / f"{rank}.pt", weights_only=True)
            for rank in range(size.workers)
        ]
    return Taken(*(max(values) for values in zip(*found, strict=True)))


def _work(rank: int, size: Size, iterations: int, folder: str) -> None:
    """Train as one of the workers; leave in the folder what it took."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as `training.train` does
    feeder = FEEDERS.get(size.nodes, str(Path(folder) / "feeder"))
    case = replace(USUAL_CASE, feeder=feeder, num_agents=size.agents)
    config = TrainConfig(case=case, batch_days=size.days, iterations=iterations)
    simulator = config.make_simulator()
    several = size.workers > 1
    team = share_out(rank, size.workers, size.agents, size.days) if several else ALONE
    learner, taken = make_learner(config, simulator, team), []
    with ExitStack() as stack:
        sent = stack.enter_context(_group(rank, size.workers, folder)) if several else []
        for _ in range(iterations):
            began = process_time(), perf_counter()
            learner, _ = iterate(config, simulator, learner)
            taken.append((process_time() - began[0], perf_counter() - began[1]))
    least = map(min, zip(*taken, strict=True))
    found = (*least, sum(sent) / iterations, most_held(), _digest(learner.policies))
    torch.save(found, Path(folder) / f"{rank}.pt")


@contextmanager
def _group(rank: int, workers: int, folder: str) -> Iterator[list[int]]:
    """The process group, and of all that is sent to others the bytes."""
    stay_local()
    store = torch.distributed.FileStore(f"{folder}/store", workers)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=workers)
    sent: list[int] = []

    def counting(send: Callable[..., Any], place: int) -> Callable[..., Any]:
        def counted(*told: Any, **named: Any) -> Any:
            whole, kept = told[place], told[3][rank] if len(told) > 3 else 0  # what stays here
            sent.append((whole.numel() - kept) * whole.element_size())
            return send(*told, **named)

        return counted

    distributed = torch.distributed
    to_each = counting(distributed.all_to_all_single, 1)
    to_all = counting(distributed.all_reduce, 0)
    with (
        mock.patch.object(distributed, "all_to_all_single", to_each),
        mock.patch.object(distributed, "all_reduce", to_all),
    ):
        yield sent
    distributed.destroy_process_group()


def _digest(policies: Policies) -> str:
    digest = hashlib.sha256()
    for weights in policies.parameters():
        digest.update(weights.detach().numpy().tobytes())
    return digest.hexdigest()

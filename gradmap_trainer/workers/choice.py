"""How to train: alone, with workers of Ray, or with those that torchrun has started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import Learner
from gradmap_trainer.training import Observer, train
from gradmap_trainer.workers import torchrun
from gridedge_env.checks import check_whole_number
from gridedge_env.simulator import Simulator

# From an open run to the learner at its end; see `train`.
Train: TypeAlias = Callable[
    [TrainConfig, Simulator, Learner, Observer, Callable[[], bool]], Learner
]


@dataclass(frozen=True)
class Trainer:
    """What trains a run.

    Attributes:
        workers: how many there are.
        train: has them do it.
        beginning: what goes on before the first iteration, for whoever waits.
    """

    workers: int
    train: Train
    beginning: str = "compiling"


def trainer(workers: int | None, address: str | None, device: str = "cpu") -> Trainer:
    """What trains a run.

    Args:
        workers: of Ray; None: it is left out.
        address: of the cluster that has them; None: this machine.
        device: of the run.

    Raises:
        ValueError: what contradicts itself, or an address where there is no cluster.
        ImportError: Ray is not installed.
    """
    if workers is None:
        if address is not None:
            raise ValueError(f"address: got {address!r}, expected --workers beside it")
        if torchrun.is_there():
            return Trainer(torchrun.workers(), torchrun.lead)
        return Trainer(1, train)
    check_whole_number(workers, 1, "workers")
    if torchrun.is_there():
        raise ValueError(f"workers: got {workers}, expected none beside those of torchrun")
    try:
        from gradmap_trainer.workers.on_ray import train_on_ray
        from gradmap_trainer.workers.session import LOCAL, check_address
    except ImportError as error:
        raise ImportError(f"workers: Ray is needed, of gridedge[rllib]: {error}") from error
    where = LOCAL if address is None else address
    check_address(where)
    if where == LOCAL and 0 < torch.cuda.device_count() < workers and device.startswith("cuda"):
        most = torch.cuda.device_count()
        raise ValueError(
            f"workers: got {workers} on {device!r}, expected at most {most}, as many as GPUs"
        )
    reached = "starting Ray" if where == LOCAL else f"joining Ray at {where}"
    beginning = f"{reached}, then {workers} workers, which compile"
    return Trainer(workers, partial(train_on_ray, workers, where), beginning)

"""One of several workers: it takes up the run of a folder, and trains its share of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed

from gradmap_trainer.config import TrainConfig, load_config
from gradmap_trainer.gradmap import Learner
from gradmap_trainer.run_folder import case_of_run
from gradmap_trainer.team import share_out
from gradmap_trainer.training import Observer, join_run, train
from gridedge_env.simulator import make_simulator


def work(
    folder: Path,
    rank: int,
    size: int,
    device: str,
    observe: Observer = lambda learner, row: None,
    stop: Callable[[], bool] = lambda: False,
) -> Learner:
    """Train an open run to its end with others, who do the same; their process group is there.

    Args:
        folder: of the run, which all workers see.
        rank: which of them this is.
        size: how many there are.
        device: where this one computes.
        observe: as of `train`; the first worker's counts.
        stop: likewise.
    """
    config = replace(load_config(folder, TrainConfig), run=str(folder))
    simulator = make_simulator(case=case_of_run(folder), device=device)
    team = share_out(rank, size, simulator.num_agents, config.batch_days)
    learner = join_run(config, simulator, team)
    return train(config, simulator, learner, observe, stop)


def own_device(device: str, number: int) -> str:
    """Where one of several workers of a machine computes: on a GPU of its own where all are on one.

    Args:
        device: of the configuration.
        number: of the worker among those of its machine.
    """
    if torch.device(device) != torch.device("cuda"):
        return device
    torch.cuda.set_device(number)
    return f"cuda:{number}"


def backend_of(device: str) -> str:
    """What workers talk through, of numbers on such a device and of those on the host."""
    return "cpu:gloo,cuda:nccl" if torch.device(device).type == "cuda" else "gloo"


def stay_local() -> None:
    """Have what workers talk through listen on the loopback interface alone."""
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}

"""Training on Ray: Ray Train starts the workers, and starts them again when one has died."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

import ray
import ray.train
import torch
import torch.distributed
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.backend import Backend
from ray.train.collective import broadcast_from_rank_zero
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import Learner
from gradmap_trainer.metrics import last_metrics
from gradmap_trainer.run_folder import load_learner
from gradmap_trainer.team import WorkersFailed
from gradmap_trainer.training import Observer
from gradmap_trainer.workers.member import backend_of, stay_local, work
from gradmap_trainer.workers.private_folder import private_folder
from gradmap_trainer.workers.session import LOCAL, is_lost, ray_session
from gridedge_env.simulator import Simulator

POLL_SECONDS = 0.2
# Beside Ray Train's own files: once it is there workers finish their iteration, save, and stop.
STOP_FILE = "stop"
# Failures one after the other, none of them after the last one's iteration, that end a run.
MOST_IN_VAIN = 5
LONGEST_ERROR = 300


def train_on_ray(
    workers: int,
    address: str,
    config: TrainConfig,
    simulator: Simulator,
    learner: Learner,
    observe: Observer,
    stop: Callable[[], bool],
) -> Learner:
    """As `train`, with several workers.

    Args:
        workers: how many.
        address: of the cluster; "local" for processes of this machine.
        config: an open run.
        simulator: its case.
        learner: from `open_run`.
        observe: called with what the log says, at intervals.
        stop: whether to end early, asked at intervals.

    Raises:
        WorkersFailed: Ray could not be reached or has died, or workers failed again and again.
    """
    folder = Path(config.run).absolute()
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    on_gpu = torch.device(config.device).type == "cuda"
    meeting = _Neighbours if address == LOCAL else TorchConfig
    seen_by_all = None if address == LOCAL else folder
    with (
        ray_session(workers * threads, address),
        private_folder("train", within=seen_by_all) as private,
    ):
        files = private.path
        trainer = TorchTrainer(
            _train,
            train_loop_config={"folder": str(folder), "device": config.device, "files": str(files)},
            torch_config=meeting(backend=backend_of(config.device)),
            scaling_config=ScalingConfig(
                num_workers=workers,
                use_gpu=on_gpu,
                resources_per_worker={"CPU": threads},
            ),
            run_config=RunConfig(
                name="train",
                storage_path=str(files),
                failure_config=FailureConfig(max_failures=-1),
                callbacks=[GivingUp(folder)],
            ),
        )
        needed, there = {"CPU": workers * threads, "GPU": workers * on_gpu}, ray.cluster_resources()
        if lacking := [name for name, most in needed.items() if there.get(name, 0) < most]:
            warnings.warn(
                f"workers: got {workers}, for which the cluster has too few {lacking[0]}s; they "
                "begin when it has enough",
                stacklevel=2,
            )
        fitting = _fit(trainer)
        done: list[ray.ObjectRef] = []
        row: Mapping[str, float] = {}
        while not done and not is_lost():
            done, _ = ray.wait([fitting], timeout=POLL_SECONDS)
            if stop():
                (files / STOP_FILE).touch()
            before, row = row, last_metrics(folder)
            if row and row != before:
                reached = replace(learner, iteration=int(row["iteration"]), seconds=row["seconds"])
                observe(reached, dict(row))
        failure = "Ray's own processes died" if is_lost() else _failure(fitting)
    if failure and not stop():  # a signal to all processes ends workers, too, before they can save
        raise WorkersFailed(f"workers: {failure}")
    return load_learner(config, simulator, folder)


def _fit(trainer: TorchTrainer) -> ray.ObjectRef:
    """Begin `fit` as a task of Ray on this machine; what it comes to is `_outcome`'s.

    A thread would do, were it not that Ray ends a process without a word whose thread asks it for
    something while it is shut down.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    settings = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": here}
    fitting: ray.ObjectRef = ray.remote(**settings)(_outcome).remote(trainer)
    return fitting


def _failure(fitting: ray.ObjectRef) -> str:
    """What went wrong, "" if nothing did."""
    try:
        told: str = ray.get(fitting)
    except RayError:
        return "the process that leads them died"
    return told


def _outcome(trainer: TorchTrainer) -> str:
    """What went wrong, "" if nothing did."""
    try:
        trainer.fit()
    except Exception as error:
        return _told(error)
    return ""


class GivingUp(UserCallback):
    """Ends a run that does not get any further; until then, workers are started again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._furthest, self._in_vain = folder, -1.0, 0

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """See `UserCallback`; the controller calls it."""
        reached = last_metrics(self._folder).get("iteration", 0.0)
        self._in_vain = 1 if reached > self._furthest else self._in_vain + 1
        self._furthest = max(reached, self._furthest)
        if self._in_vain == MOST_IN_VAIN:
            told = _told(next(iter(worker_exceptions.values())))
            raise RuntimeError(f"failed {MOST_IN_VAIN} times after iteration {reached:.0f}: {told}")


def _told(error: Exception) -> str:
    """What happened, in a line; Ray has it last, after all the calls that led there."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shorten(lines[-1], LONGEST_ERROR)


@dataclass
class _Neighbours(TorchConfig):
    """Workers of one machine, who meet in a file.

    Ray's own meet at a server of the first one's, which PyTorch lets listen on every interface.
    """

    @property
    def backend_cls(self) -> type[Backend]:
        return Backend  # which does nothing: `_meet` does


def _train(settings: dict[str, str]) -> None:
    """What each worker runs."""
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    if not torch.distributed.is_initialized():
        _meet(Path(settings["files"]), settings["device"], rank, size)
    on_gpu = torch.device(settings["device"]).type == "cuda"
    device = str(get_device()) if on_gpu else settings["device"]
    stop = (Path(settings["files"]) / STOP_FILE).exists
    work(Path(settings["folder"]), rank, size, device, stop=stop)
    torch.distributed.destroy_process_group()


def _meet(files: Path, device: str, rank: int, size: int) -> None:
    stay_local()
    name = broadcast_from_rank_zero(secrets.token_hex(8))  # another one after each restart
    store = torch.distributed.FileStore(str(files / name), size)
    torch.distributed.init_process_group(
        backend_of(device), store=store, rank=rank, world_size=size
    )

"""Ray, safely: on this machine by the loopback interface alone, elsewhere by an address."""

from __future__ import annotations

import functools
import logging
import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import ray
import torch
from ray._private import ray_constants

from gradmap_trainer.team import WorkersFailed

LOCAL = "local"
OBJECT_STORE_BYTES = 200 * 2**20
# Of Ray on this machine: no telemetry; and nobody watches for a cloud to take machines back.
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}


@contextmanager
def ray_session(processors: int = 0, address: str = LOCAL) -> Iterator[None]:
    """Start Ray on this machine, or join a cluster; leave nothing behind at the end.

    What is started here is for this process alone: one thread per process, no dashboard and no
    telemetry, on the loopback interface, behind a token, its files readable by nobody else. Inside
    another session, or a Ray that the caller has started, that one is used, and left.

    Args:
        processors: that tasks may take beside this process; of a cluster, what it has.
        address: "local"; or a cluster's, "auto" for the one that this machine is part of.

    Raises:
        WorkersFailed: no such cluster; or Ray did not start, which on a very busy machine it gives
            up after 30 s.
    """
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.rllib", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    threads, terminate = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    try:
        with _started(processors) if address == LOCAL else _joined(address):
            # Ray's own would abort the process. Where there was none it does as Ctrl-C does.
            own = terminate if callable(terminate) else signal.default_int_handler
            signal.signal(signal.SIGTERM, own)
            yield
    finally:
        signal.signal(signal.SIGTERM, terminate)
        torch.set_num_threads(threads)


@contextmanager
def _started(processors: int) -> Iterator[None]:
    torch.set_num_threads(1)
    with (
        _private_folder() as folder,
        mock.patch.dict(os.environ, RAY_AUTH_TOKEN=_token(), **SETTINGS),
        # Ray takes 127.0.0.1 for "the address that others know this machine by", and servers for it
        # would listen on every interface; unless, as by default on macOS and Windows, it is told
        # that there will be no cluster. It has no public switch for that once it is imported.
        mock.patch.object(ray_constants, "ENABLE_RAY_CLUSTER", False),
    ):
        try:
            _reach(
                address=LOCAL,
                num_cpus=processors,
                num_gpus=torch.cuda.device_count(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=str(folder),
                _node_ip_address="127.0.0.1",
            )
            yield
        finally:
            ray.shutdown()


@contextmanager
def _joined(address: str) -> Iterator[None]:
    try:
        _reach(address=address)
        yield
    finally:
        ray.shutdown()


def _reach(address: str, **settings: object) -> None:
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **settings)
    except Exception as error:  # Ray's own are as plain as that
        raise WorkersFailed(f"address: got {address!r}, where Ray is not: {error}") from error


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Where Ray may put its files: it opens the folder to all, but not the one around it.

    Short, because the paths of sockets are: at most 107 characters.
    """
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as around:
        yield Path(around) / "r"


@functools.cache
def _token() -> str:
    """One for all sessions of this process: Ray looks for it once. It is written nowhere.

    Without it Ray would write one into the user's home, and leave it there.
    """
    return secrets.token_hex(32)

"""Ray, safely: on this machine by the loopback interface alone, elsewhere by an address."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import ray
import torch
from ray._private import ray_constants, services, utils, worker

from gradmap_trainer.team import WorkersFailed
from gradmap_trainer.workers.private_folder import PrivateFolder, private_folder
from gridedge_gateway import process

LOCAL = "local"
OBJECT_STORE_BYTES = 200 * 2**20
# Of Ray on this machine, whose processes read them when they begin.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # which looks for a cloud to take machines back
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # accelerators are hidden from nobody
    "RAY_worker_niceness": "0",  # budgets are in seconds: give way to no other program
}
# Joins the cluster at an address, and leaves it. Where nobody answers Ray would try for minutes.
JOIN = """
import socket, sys
import ray
from ray._private.services import canonicalize_bootstrap_address_or_die as found_at

host, port = found_at(sys.argv[1]).rsplit(":", 1)
socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
ray.init(sys.argv[1], log_to_driver=False)
"""
JOIN_SECONDS = 60.0  # until whoever answers, but says nothing more, is taken for no cluster
# Of a command that needs Ray when it has died: Ray ends it then without a word.
LAST_WORDS = (
    "error: Ray died and took this command along, or somebody killed it; what was saved stands"
)


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
    silence()
    threads, terminate = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    try:
        # Ray's own would abort the process. Where there was none it does as Ctrl-C does.
        own = terminate if callable(terminate) else signal.default_int_handler

        def keep_own(rays: object = None) -> None:
            signal.signal(signal.SIGTERM, own)

        keep_own()
        with (
            mock.patch.object(utils, "set_sigterm_handler", keep_own),
            # Its errors, and forty lines of its log when it dies, which it would print as output.
            mock.patch.object(worker, "print_to_stdstream"),
            private_folder("ray", last_words=LAST_WORDS) as folder,  # short: sockets are inside
            _started(processors, folder) if address == LOCAL else _joined(address),
        ):
            keep_own()  # Ray's compiled code sets one, too
            yield
    finally:
        signal.signal(signal.SIGTERM, terminate)
        torch.set_num_threads(threads)


def silence() -> None:
    """Have Ray say nothing: what fails is raised, too."""
    for name in ("ray", "ray.rllib", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def check_address(address: str) -> None:
    """Try whether there is a Ray at an address that lets us in, before anything is begun there.

    In a process of its own, which can be ended, and whose many words nobody need read.

    Args:
        address: as of `ray_session`; nothing is asked of "local".

    Raises:
        ValueError: it is no address, nobody answers, or whoever does will not have us.
    """
    if address == LOCAL:
        return
    words = [sys.executable, "-c", JOIN, address]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=JOIN_SECONDS)
        if not done.returncode:
            return
        told = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    except subprocess.TimeoutExpired:
        told = f"no answer in {JOIN_SECONDS:.0f} s"
    raise ValueError(
        f"address: got {address!r}, expected 'local', 'auto' or HOST:PORT of a Ray cluster that "
        f"lets this process in: {told}"
    )


def is_lost() -> bool:
    """Whether one of the processes has died without which the Ray started here does nothing."""
    node = worker._global_node
    return node is not None and any(node.dead_processes())


@contextmanager
def _started(processors: int, folder: PrivateFolder) -> Iterator[None]:
    torch.set_num_threads(1)
    with (
        mock.patch.dict(os.environ, RAY_AUTH_TOKEN=_token(), **SETTINGS),
        # Ray takes 127.0.0.1 for "the address that others know this machine by", and servers for it
        # would listen on every interface; unless, as by default on macOS and Windows, it is told
        # that there will be no cluster. It has no public switch for that once it is imported.
        mock.patch.object(ray_constants, "ENABLE_RAY_CLUSTER", False),
        mock.patch.object(services, "ConsolePopen", _apart(folder)),
    ):
        try:
            _reach(
                address=LOCAL,
                num_cpus=processors,
                num_gpus=torch.cuda.device_count(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=str(folder.path / "r"),  # which Ray opens to all
                _node_ip_address="127.0.0.1",
            )
            yield
        except Exception as error:
            if is_lost():  # whatever came of it
                raise WorkersFailed("Ray's own processes died") from error
            raise
        finally:
            _leave()


def _apart(folder: PrivateFolder) -> Callable[..., subprocess.Popen[bytes]]:
    """How Ray begins its own processes: each in a session of its own, which ends with the folder.

    So a signal to all of the command's processes is for the command to answer; else Ray would be
    gone before its workers have saved. And none is left for the minute that it looks for a lost
    head.
    """
    begin = services.ConsolePopen

    def begun(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
        with _signals_wait():
            started: subprocess.Popen[bytes] = begin(*arguments, start_new_session=True, **settings)
        if os.name == "posix":  # on Windows Ray has them end with the command
            folder.is_used_by(started.pid)
        return started

    return begun


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM come afterwards: what they raise where a process forks is lost."""
    came: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


@contextmanager
def _joined(address: str) -> Iterator[None]:
    try:
        _reach(address=address)
        yield
    finally:
        _leave()


def _leave() -> None:
    """Shut Ray down.

    A lost one would end this process without a word instead, or crash it at its end; what is left
    of it ends with its folder.
    """
    if is_lost():
        atexit.unregister(ray.shutdown)
        process.skip_tidying()
    else:
        ray.shutdown()


def _reach(address: str, **settings: object) -> None:
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **settings)
    except Exception as error:  # Ray's own are as plain as that
        told = "Ray did not start" if address == LOCAL else f"no Ray at {address}"
        raise WorkersFailed(f"{told}: {error}") from error


@functools.cache
def _token() -> str:
    """One for all sessions of this process: Ray looks for it once. It is written nowhere.

    Without it Ray would write one into the user's home, and leave it there.
    """
    return secrets.token_hex(32)

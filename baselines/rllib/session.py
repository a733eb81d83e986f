"""Ray on this machine alone: offline, without telemetry, dashboard, or anything left behind."""

from __future__ import annotations

import logging
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import ray
import torch
from ray.exceptions import RayError

OBJECT_STORE_BYTES = 200 * 2**20
EXIT_FAILED, EXIT_MISTAKE, EXIT_INTERRUPTED = 1, 2, 130


@contextmanager
def ray_session(workers: int = 0) -> Iterator[None]:
    """Start Ray, one thread per process; stop all of it and drop its files at the end.

    Inside another session, or a Ray that the caller has started, that one is used, and left.

    Args:
        workers: processes that Ray may keep at work beside this one.

    Raises:
        RuntimeError: Ray did not start; on a very busy machine it gives up after 30 s.
    """
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.rllib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    threads, terminate = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    torch.set_num_threads(1)
    # Short, because the paths of sockets are: at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        try:
            _start(workers, folder)
            # As Ctrl-C does; Ray's own handler would abort the process.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            yield
        finally:
            ray.shutdown()
            signal.signal(signal.SIGTERM, terminate)
            torch.set_num_threads(threads)


def _start(workers: int, folder: str) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=workers,
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=folder,
            _node_ip_address="127.0.0.1",
        )
    except Exception as error:  # Ray's own are as plain as that
        raise RuntimeError(f"ray: could not be started: {error}") from error


@contextmanager
def caller_random_state() -> Iterator[None]:
    """RLlib seeds the global generators and draws from them; the caller's go on as if it had not.

    It also lets PyTorch use deterministic algorithms alone.
    """
    state, deterministic = random.getstate(), torch.are_deterministic_algorithms_enabled()
    numpy_state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            torch.use_deterministic_algorithms(deterministic)


@contextmanager
def exit_codes(command: str) -> Iterator[None]:
    """Say what went wrong in one line, and end the process with one of this module's codes."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except (ValueError, OSError, RayError, RuntimeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # A worker's error carries its whole traceback; what happened stands at its end.
        failed = isinstance(error, RayError | RuntimeError)
        print(f"{command}: error: {lines[-1 if failed else 0]}", file=sys.stderr)
        sys.exit(EXIT_FAILED if failed else EXIT_MISTAKE)

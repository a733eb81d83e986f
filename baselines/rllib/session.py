"""Ray on this machine alone: offline, without telemetry, dashboard, or anything left behind."""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import ray
import torch

OBJECT_STORE_BYTES = 200 * 2**20


@contextmanager
def ray_session(processors: int = 1) -> Iterator[None]:
    """Start Ray, one thread per process; stop all of it and drop its files at the end.

    Args:
        processors: how many Ray may plan with.

    Raises:
        ValueError: this process is already connected to a Ray that somebody else started.
    """
    if ray.is_initialized():
        raise ValueError("ray: already started in this process, expected to start it alone")
    for name in ("ray", "ray.rllib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    threads, terminate = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    torch.set_num_threads(1)
    # Short, because the paths of sockets are: at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        try:
            ray.init(
                address="local",
                num_cpus=processors,
                num_gpus=0,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=folder,
                _node_ip_address="127.0.0.1",
            )
            # As Ctrl-C does; Ray's own handler would abort the process.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            yield
        finally:
            ray.shutdown()
            signal.signal(signal.SIGTERM, terminate)
            torch.set_num_threads(threads)

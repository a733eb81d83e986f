"""What a command of RLlib's changes in its process, and how it ends."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from ray.exceptions import RayError

from gradmap_trainer.commands.exits import mistakes
from gradmap_trainer.team import WorkersFailed


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
    """As of the commands of `gradmap_trainer`; where RLlib or a worker of it fails, 1."""
    with mistakes(command):
        try:
            yield
        except (RayError, RuntimeError) as error:
            # A worker's error carries its whole traceback; what happened stands at its end.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise WorkersFailed(lines[-1]) from error

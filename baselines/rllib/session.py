"""What a command of RLlib's changes in its process, and how it ends."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from ray.exceptions import RayError

from gridedge_env.terminal import complain

EXIT_FAILED, EXIT_MISTAKE, EXIT_INTERRUPTED = 1, 2, 130


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
        complain(command, f"error: {lines[-1 if failed else 0]}")
        sys.exit(EXIT_FAILED if failed else EXIT_MISTAKE)

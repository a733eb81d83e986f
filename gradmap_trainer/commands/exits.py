"""How every command ends.

Exit codes: 0 done; 1 it could not be done: a disk that is full, workers that failed, exported files
that do not do what the simulator does; 2 a mistake in what the user gave; either is said in one
line; 130 stopped by Ctrl-C (`gridedge_gateway.process`), and training by SIGTERM, too, after a
checkpoint of the last iteration.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import tyro

from gradmap_trainer.metrics import Diverged
from gradmap_trainer.team import WorkersFailed
from gridedge_env.scenarios.series.faults import in_lines
from gridedge_env.terminal import complain
from gridedge_gateway.mistakes import in_words, one_line
from gridedge_gateway.process import is_full

RunFolder = Annotated[Path, tyro.conf.Positional]

EXIT_FAILED = 1
EXIT_MISTAKE = 2


@contextmanager
def mistakes(command: str) -> Iterator[None]:
    """Say a user's mistake in one line, those of a case in one each, and exit with 2.

    Warnings are said in one line, too.
    """
    with warnings.catch_warnings(), failures(command):
        warnings.showwarning = lambda message, *_, **__: complain(
            command, f"warning: {one_line(str(message))}"
        )
        try:
            yield
        except (ValueError, ImportError) as error:
            complain(command, f"error: {in_lines(error)}")
            sys.exit(EXIT_MISTAKE)


@contextmanager
def failures(command: str, advice: str = "") -> Iterator[None]:
    """Say in one line what the world around a command did not let it do, and exit.

    Args:
        command: its name.
        advice: what the user can do, to be read on from what went wrong.
    """
    try:
        yield
    except (OSError, WorkersFailed) as error:
        complain(command, f"error: {in_words(error)}{advice}")
        failed = isinstance(error, WorkersFailed) or is_full(error)
        sys.exit(EXIT_FAILED if failed else EXIT_MISTAKE)
    except Diverged as error:
        complain(command, f"error: {error}")
        sys.exit(EXIT_FAILED)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        complain(command, "error: out of memory, expected a smaller case or batch")
        sys.exit(EXIT_FAILED)


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, NumPy, or PyTorch on whatever device could not have what it asked for."""
    told = str(error)
    allocator = "alloc_cpu" in told or "can't allocate memory" in told
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or allocator

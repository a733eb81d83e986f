"""How every command ends.

Exit codes: 0 done; 1 exported files that do not do what the simulator does, or workers that failed;
2 a mistake in what the user gave, said in one line; 130 stopped by Ctrl-C (or SIGTERM), after a
checkpoint of the last iteration.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import tyro

from gridedge_env.scenarios.series import Faults
from gridedge_env.terminal import complain
from gridedge_gateway.mistakes import in_words

RunFolder = Annotated[Path, tyro.conf.Positional]

EXIT_PARTED = EXIT_FAILED = 1
EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130


def stoppable(command: Callable[[], None]) -> Callable[[], None]:
    """Let Ctrl-C end a command without a traceback where there is nothing to save."""

    @functools.wraps(command)
    def run() -> None:
        try:
            command()
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)

    return run


@contextmanager
def mistakes(command: str) -> Iterator[None]:
    """Say a user's mistake in one line, those of a case in one each, and exit with 2.

    Warnings are said in one line, too.
    """
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: complain(command, f"warning: {message}")
        try:
            yield
        except (ValueError, OSError, ImportError) as error:
            lines = in_words(error).splitlines()
            told = lines if isinstance(error, Faults) else lines[:1]
            complain(command, "\n".join([f"error: {told[0]}", *told[1:]]))
            sys.exit(EXIT_MISTAKE)

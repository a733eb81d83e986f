"""The process of a command: nobody who does not read it ends it, and Ctrl-C does so quietly."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, TextIO

EXIT_INTERRUPTED = 130
# A disk or a quota that is full, a file as large as files may be, a broken disk.
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def is_full(error: Exception) -> bool:
    """Whether it is that nothing more can be written, which nobody gave."""
    return isinstance(error, OSError) and error.errno in NO_ROOM


_tidies = True


def skip_tidying() -> None:
    """Have `run` end the process without what libraries do at an exit, for one would crash."""
    global _tidies
    _tidies = False


def run(command: Callable[[], Any]) -> None:
    """Run a command to its end in a process that is there for nothing else.

    What it says never fails: a pipe that is closed, a disk that is full, a terminal that has no
    "€". Ctrl-C ends it with exit code 130 and no traceback, whatever libraries make of it.
    """
    code = 0
    try:
        _run(command)
    except SystemExit as end:
        if _tidies or not isinstance(end.code, int):
            raise
        code = end.code
    if not _tidies:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(command: Callable[[], Any]) -> None:
    sys.stdout, sys.stderr = enduring(sys.stdout), enduring(sys.stderr)
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        on_interrupt(end_at_once)
        raise KeyboardInterrupt

    try:
        on_interrupt(interrupt)
        command()
        on_interrupt(end_at_once)
    except BaseException as error:
        on_interrupt(end_at_once)
        if interrupted or isinstance(error, KeyboardInterrupt):  # as of SIGTERM
            sys.exit(EXIT_INTERRUPTED)
        raise


def on_interrupt(handler: Callable[[int, FrameType | None], None]) -> None:
    """What Ctrl-C is to do, unless whoever started the process has it do nothing."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


def end_at_once(number: int, frame: FrameType | None) -> None:
    """A handler for where there is nothing to save."""
    os._exit(EXIT_INTERRUPTED)


def enduring(stream: TextIO | None) -> TextIO:
    """A stream like another that takes everything, whatever becomes of it."""
    if stream is None:  # it was closed before the process began
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = getattr(stream.buffer, "raw", stream.buffer)
    return io.TextIOWrapper(
        io.BufferedWriter(_Enduring(raw)),
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Enduring(io.RawIOBase):
    """Bytes go to another stream for as long as it takes any."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()

    def write(self, data: Any) -> int:
        with suppress(OSError):
            return self._raw.write(data) or len(data)
        return len(data)

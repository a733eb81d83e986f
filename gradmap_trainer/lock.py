"""A folder for one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gridedge_gateway.mistakes import regular_file

LOCK_FILE = "lock"


@contextmanager
def locked(folder: Path, name: str = "run") -> Iterator[None]:
    """Have a folder to oneself among all processes that ask for it in this way.

    The lock is the operating system's: it goes with the process, however that ends. Whoever has it
    may ask again. The folder is made, and goes again where an error leaves nothing in it.

    Args:
        folder: to have.
        name: of the field that names it, for errors.

    Raises:
        ValueError: another process has it, or there can be no such folder, or nothing in it.
    """
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(regular_file(folder.resolve() / LOCK_FILE), is_singleton=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(
            f"{name}: {folder} is in use by another process, expected one at a time"
        ) from None
    except OSError as error:
        raise ValueError(
            f"{name}: got {folder}, expected a folder that can be written to ({error.strerror})"
        ) from error
    try:
        yield
    except BaseException:
        if new and os.listdir(folder) == [LOCK_FILE]:
            with suppress(OSError):
                (folder / LOCK_FILE).unlink()
                folder.rmdir()
        raise
    finally:
        lock.release()

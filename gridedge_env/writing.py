"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write what `path` is to hold, which takes its place at the end.

    Whatever happens meanwhile, a kill or a full disk, `path` holds what it held before or all of
    the new; it is on the disk before it has the name. Two processes may write the same at once.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.temporary")
    try:
        with temporary.open("wb") as file:
            yield file
            to_disk(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def to_disk(file: IO[bytes]) -> None:
    """Bring what was written so far there: not before that is it sure that there was room."""
    file.flush()
    os.fsync(file.fileno())


def folder_to_disk(folder: Path) -> None:
    """Bring all files in a folder there, which others wrote."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                to_disk(file)


def write_whole(path: Path, text: str) -> None:
    """A text as a whole file, in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())

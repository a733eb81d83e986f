"""What goes wrong with a file, in words that its user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OF_SYSTEM = {
    FileNotFoundError: "not found",
    IsADirectoryError: "got a folder, expected a file",
    NotADirectoryError: "not found, as what should be a folder is a file",
    FileExistsError: "got a file, expected a folder",
    PermissionError: "not permitted",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Errors of the system name the file, which they do not once it is open."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def in_words(error: Exception) -> str:
    """An error; one of the system's by the file that it is about, and without its number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is None:
        return error.strerror
    known = (said for kind, said in OF_SYSTEM.items() if isinstance(error, kind))
    return f"{error.filename}: {next(known, error.strerror)}"

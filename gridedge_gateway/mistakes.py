"""What goes wrong with a file, in words that its user can act on."""

from __future__ import annotations

import errno
import stat
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

OTHER_THAN_FILES = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def regular_file(path: Path) -> Path:
    """The path of a regular file, or of nothing: what has no end is not begun to be read.

    Raises:
        OSError: a folder, a pipe, a device or a socket is there.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    if not stat.S_ISREG(mode):
        got = OTHER_THAN_FILES.get(stat.S_IFMT(mode), "a device")
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(code, f"got {got}, expected a file", str(path))
    return path


def named_path(text: str) -> Path:
    """The path that somebody gave; of none Python would make the current folder.

    Raises:
        ValueError: it is none.
    """
    if not text.strip():
        raise ValueError(f"got {text!r}, expected the path of a file or folder")
    return Path(text)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Errors of the system name the file, which they do not once it is open."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def in_words(error: Exception) -> str:
    """An error in a line; one of the system's by the file that it is about, without its number."""
    told = str(error)
    if isinstance(error, OSError) and error.strerror is not None:
        known = (said for kind, said in OF_SYSTEM.items() if isinstance(error, kind))
        of_file = f"{error.filename}: {next(known, error.strerror)}"
        told = error.strerror if error.filename is None else of_file
    return one_line(told)


def one_line(text: str | Path) -> str:
    """Text of any lines, as a file's name or what others' programs say of a mistake, in one."""
    return " ".join(filter(None, map(str.strip, str(text).splitlines())))

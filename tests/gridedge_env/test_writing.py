"""What a file held stays until all of the new is on the disk."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from gridedge_env import writing
from gridedge_env.writing import whole_file, write_whole


def test_the_new_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("old", "new\n€"):
        write_whole(path, text)
        assert path.read_bytes() == text.encode()
    assert os.listdir(tmp_path) == ["file"]


def test_until_then_the_old_is_there(tmp_path: Path) -> None:
    """For whoever reads meanwhile, and whatever becomes of the writer."""
    path = tmp_path / "file"
    write_whole(path, "old")
    with suppress(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_takes_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may show only when the last of it is to be on the disk; then its room is free again."""
    path = tmp_path / "file"
    write_whole(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_two_that_write_at_once_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    with whole_file(path) as one:
        one.write(b"one")
        monkeypatch.setattr(writing.os, "getpid", lambda: -1)
        with whole_file(path) as other:
            other.write(b"another")
        assert path.read_text() == "another"
    assert path.read_text() == "one"

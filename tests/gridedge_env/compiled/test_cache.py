"""Kernels on disk: found again, and compiled anew wherever what is there is of no use."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import config
from numba.core.caching import IndexDataCacheFile

from gridedge_env.compiled import cache
from gridedge_env.compiled.running import kernel

SOURCE = """
def total(x):
    result = x[0] - x[0]
    for k in range(len(x)):
        result += x[k]
    return result
"""
SINGLE, DOUBLE = np.ones(3, np.float32), np.full(3, 2.0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file with a kernel; Numba keeps it in `__pycache__` beside it."""
    path = tmp_path / "kernels.py"
    path.write_text(SOURCE)
    return path


def in_another_process(source: Path) -> Any:
    """The kernel as a fresh process has it: nothing compiled yet."""
    spec = importlib.util.spec_from_file_location("kernels", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return kernel(module.total)


def compilations(compiled: Any) -> int:
    """How often the kernel was not found."""
    return sum(compiled.stats.cache_misses.values())


def stored(source: Path, suffix: str) -> list[Path]:
    return sorted(source.parent.rglob(f"*.{suffix}"))


def test_compiled_once(source: Path) -> None:
    assert in_another_process(source)(DOUBLE) == 6.0
    again = in_another_process(source)
    assert again(DOUBLE) == 6.0
    assert compilations(again) == 0


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [0, 40])
def test_a_file_cut_short_is_replaced(source: Path, suffix: str, left: int) -> None:
    """The index (nbi) or the code (nbc), by a power failure. An index is first done away with."""
    in_another_process(source)(DOUBLE)
    (damaged,) = stored(source, suffix)
    damaged.write_bytes(damaged.read_bytes()[:left])
    for _ in range(2):
        assert in_another_process(source)(DOUBLE) == 6.0
    again = in_another_process(source)
    assert again(DOUBLE) == 6.0
    assert compilations(again) == 0


def test_damaged_code_is_not_run(source: Path) -> None:
    """A byte of it is another one; nothing else would notice. (In an ELF file it begins there.)"""
    in_another_process(source)(DOUBLE)
    (damaged,) = stored(source, "nbc")
    code = bytearray(damaged.read_bytes())
    code[code.index(b"ELF") + 0x50 if b"ELF" in code else len(code) // 2] ^= 0xFF
    damaged.write_bytes(code)
    again = in_another_process(source)
    assert again(DOUBLE) == 6.0
    assert compilations(again) == 1


@pytest.mark.parametrize("folder", ["/dev/null", "/proc/nowhere"])
def test_a_folder_of_the_users_that_is_none(
    source: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", folder)
    assert in_another_process(source)(DOUBLE) == 6.0


def test_files_that_were_mixed_up_are_not_used(source: Path) -> None:
    """As two processes would that compile for other types, and save at the same instant."""
    compiled = in_another_process(source)
    compiled(SINGLE), compiled(DOUBLE)
    first, second = stored(source, "nbc")
    second.write_bytes(first.read_bytes())
    again = in_another_process(source)
    assert (again(SINGLE), again(DOUBLE)) == (3.0, 6.0)
    assert compilations(again) == 1


def test_a_full_disk_is_none_of_the_callers_business(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "_save_data", full)
    assert in_another_process(source)(DOUBLE) == 6.0


def test_no_place_for_it(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an installation that is read-only, for a user without a home."""

    def nowhere(*_: Any) -> None:
        raise RuntimeError("no locator available")

    monkeypatch.setattr(cache.KernelCache, "__init__", nowhere)
    assert in_another_process(source)(DOUBLE) == 6.0
    assert not stored(source, "nbc")


def test_compiled_anew_after_a_change_in_what_kernels_are_made_of(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_another_process(source)(DOUBLE)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "vectors.py").write_text("changed")
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "other" / "cache.py"))
    again = in_another_process(source)
    assert again(DOUBLE) == 6.0
    assert compilations(again) == 1

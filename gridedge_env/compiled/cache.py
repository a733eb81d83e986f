"""Kernels kept on disk. Whatever is wrong there, the worst is that one is compiled anew."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile


class _SealedFile(IndexDataCacheFile):
    """Numba's files of one kernel; what was damaged there is machine code that nobody runs."""

    def _save_data(self, name: str, data: Any) -> None:
        code = self._dump(data)
        super()._save_data(name, (sha256(code).digest(), code))

    def _load_data(self, name: str) -> Any:
        digest, code = super()._load_data(name)
        if sha256(code).digest() != digest:
            raise ValueError(f"{name} is damaged")
        return pickle.loads(code)


class KernelCache(FunctionCache):
    """Numba's cache of one kernel, good for as long as its folder and this package do not change.

    Raises:
        RuntimeError: there is no folder to keep it in.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        folders = Path(__file__).parent, Path(function.__code__.co_filename).parent
        ours = [path for folder in folders for path in sorted(folder.glob("*.py"))]
        stamps = [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in ours]
        stamp = (self._impl.locator.get_source_stamp(), *stamps)
        self._cache_file = _SealedFile(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kernel for arguments of these types, or None."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a file that was cut short or is damaged
            return None
        # Of two processes that save at the same instant, one may overwrite the other's file.
        return found if found is not None and found.signature.args == tuple(sig) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a kernel, if that works."""
        try:
            super().save_overload(sig, data)
        except Exception:  # a full disk, or an index that was cut short
            with suppress(OSError):
                self.flush()

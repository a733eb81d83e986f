"""Kernels kept on disk. Whatever is wrong there, the worst is that one is compiled anew."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache


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
        self._cache_file._source_stamp = (self._cache_file._source_stamp, *stamps)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kernel for arguments of these types, or None."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a file that was cut short
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

"""How kernels are compiled, and spread over threads."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Any

import torch


@cache
def numba_is_there() -> bool:
    """Whether kernels can be compiled; PyTorch does their work where not.

    Nor are they where NUMBA_DISABLE_JIT has Numba compile nothing: what they are made of is no
    Python.
    """
    if importlib.util.find_spec("numba") is None:
        return False
    from numba import config

    return not config.DISABLE_JIT


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, and keep the result on disk.

    It runs without Python's global lock. Where no folder for the result can be written, each
    process compiles anew.
    """
    import numba

    from gridedge_env.compiled.cache import KernelCache
    from gridedge_env.compiled.vectors import FAST_MATH

    compiled: Any = numba.njit(nogil=True, error_model="numpy", fastmath=set(FAST_MATH))(function)
    with suppress(RuntimeError):  # no place for the cache
        compiled._cache = KernelCache(function)
    return compiled


def run_blocks(compiled: Callable[..., Any], blocks: int, *arguments: Any) -> None:
    """Call `compiled(*arguments, first, last)` for all blocks, in as many threads as torch uses.

    Each thread has an equal run of blocks. The threads sleep in between: those of OpenMP would
    wait in a loop, and take the time of whoever shares the cores.
    """
    threads = min(torch.get_num_threads(), blocks)
    if threads <= 1:
        compiled(*arguments, 0, blocks)
        return
    ends = [blocks * k // threads for k in range(threads + 1)]
    pool = _pool(threads - 1, os.getpid())
    others = [pool.submit(compiled, *arguments, first, last) for first, last in pairwise(ends[1:])]
    compiled(*arguments, ends[0], ends[1])
    for other in others:
        other.result()


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process: a fork does not have its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix="gridedge")

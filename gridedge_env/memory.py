"""Memory that the C library keeps for the next batch."""

from __future__ import annotations

import ctypes
import sys

# Parameters of `mallopt`, as in malloc.h, and what they are set to: all there is, or what older
# versions take at most as the threshold of mmap (man 3 mallopt).
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
ANY_SIZE, MOST_OF_OLD_VERSIONS = 2**31 - 1, 32 * 2**20


def keep_freed_memory() -> None:
    """Have freed memory kept for what the process asks for next, where its C library is glibc.

    Batches of tensors are made and freed over and over. Left alone, glibc takes each large one
    anew from the kernel, which clears all its pages, and hands it back once it is free. It is the
    whole process's business, and so for a program to call, never for an import.
    """
    if sys.platform != "linux":
        return
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(MMAP_THRESHOLD, ANY_SIZE) or tune(MMAP_THRESHOLD, MOST_OF_OLD_VERSIONS)
        tune(TRIM_THRESHOLD, ANY_SIZE)

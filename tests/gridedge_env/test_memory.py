"""Freed memory comes from the process, not from the kernel."""

import platform
import subprocess
import sys

import pytest

# 64 MiB, twice what glibc would keep by itself at most.
PROGRAM = """
import resource, sys, torch
from gridedge_env.memory import keep_freed_memory
keep_freed_memory()
for _ in range(2):
    torch.ones(2**24, dtype=torch.float32, device="cpu")
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24, dtype=torch.float32, device="cpu")
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="elsewhere it does nothing")
def test_a_tensor_as_large_as_one_that_was_freed_needs_no_new_pages():
    """Fresh from the kernel, 20 of them would be at least 640 pages, were these huge (2 MiB)."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100

"""What the machine can do at best: matrix products and memory, the floors of everything else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.records import Cell, Measurement, Spread, Table
from benchmarks.suite import Settings
from benchmarks.timing import repeated, take_turns, threads

# Of the machine in docs/performance.md.
OF_TARGETS = (
    "Targets in seconds and steps a second were set on a core of 163 GFLOP/s in single precision, "
    "83 in double, that copies 13 GB/s: elsewhere compare these first."
)


def measure(settings: Settings) -> Measurement:
    """Peaks on one core and on all that are used; on the device alone if that is no CPU."""
    on_cpu = settings.device.type == "cpu"
    counts = sorted({1, settings.threads}) if on_cpu else [1]
    rows = tuple(_row(settings, count) for count in counts)
    size, mebibytes = _sizes(settings)
    return Measurement(
        "machine",
        f"Products of two {size} x {size} matrices by PyTorch, and copies of {mebibytes} MiB, of "
        "which every byte is read once and written once.",
        (
            Table(
                "",
                (
                    "cores" if on_cpu else "device",
                    "single precision, GFLOP/s",
                    "double precision, GFLOP/s",
                    "copy, GB/s",
                ),
                rows,
            ),
        ),
        notes=(OF_TARGETS,) if on_cpu else (),
    )


def _row(settings: Settings, count: int) -> tuple[Cell, ...]:
    size, mebibytes = _sizes(settings)
    where = settings.device
    source = torch.ones(mebibytes * 2**18, device=where)
    target = torch.empty_like(source)
    work: dict[str, Callable[[], object]] = {"copy": lambda: target.copy_(source)}
    for dtype in (torch.float32, torch.float64):
        matrix = torch.ones(size, size, dtype=dtype, device=where)
        product = torch.empty_like(matrix)
        work[str(dtype)] = partial(torch.mm, matrix, matrix, out=product)
    with threads(count):
        samplers = {name: repeated(call, where) for name, call in work.items()}
        samples = take_turns(samplers, settings.either(2.0, 0.0))
    operations, moved = 2e-9 * size**3, 2e-9 * 4 * len(source)
    return (
        count if where.type == "cpu" else str(where),
        Spread.of_rates(samples["torch.float32"], operations),
        Spread.of_rates(samples["torch.float64"], operations),
        Spread.of_rates(samples["copy"], moved),
    )


def _sizes(settings: Settings) -> tuple[int, int]:
    """Rows of the matrices, and MiB copied: far beyond any cache, but for a quick pass."""
    if settings.quick:
        return 256, 16
    return (2048, 256) if settings.device.type == "cpu" else (8192, 1024)

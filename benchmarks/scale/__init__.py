"""What an iteration of training takes, over agents, nodes, days and workers; and a model of it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.iterations import Size, measured
from benchmarks.records import Cell, Measurement, Spread, Table
from benchmarks.scale.model import Model, fit, received
from benchmarks.suite import Settings

SIZES = (
    *(Size(agents, 278, 8) for agents in (10, 100, 1_000, 10_000, 100_000)),
    *(Size(1_000, nodes, 8) for nodes in (41, 117, 2_721, 10_083)),
    *(Size(1_000, 278, days) for days in (2, 32)),
    Size(10_000, 10_083, 8),
    *(Size(agents, 278, 8, workers=2) for agents in (1_000, 10_000)),
    Size(1_000, 10_083, 8, workers=2),
)
QUICK = (Size(3, 41, 1),)
# Machines of the prediction, the bytes a second of the network between them (10 Gbit/s), and a
# batch of as many days.
AHEAD = Size(1_000_000, 10_083, 64, workers=64)
NETWORK = 1.25e9


def measure(settings: Settings) -> Measurement:
    """All points, the model that fits them, and what it says for a million agents."""
    sizes = QUICK if settings.quick else SIZES
    measured(sizes[0])  # Kernels are compiled and kept, in memory that no iteration needs.
    taken = [measured(size) for size in sizes]
    seconds = [one.processor_seconds for one in taken]
    mebibytes = [one.bytes_held / 2**20 for one in taken]
    model = fit(sizes, seconds, mebibytes)
    rows = [_row(*one, model) for one in zip(sizes, seconds, mebibytes, strict=True)]
    return Measurement(
        "scale",
        "An outer iteration with the settings of `gradmap-train`: processor time of the busiest "
        "worker, one thread each, in its quickest of four iterations, and the most memory that a "
        "worker ever held, each point in fresh processes. Beside them what a model of "
        "both says that was fitted to all of them (`benchmarks/scale/model.py`).",
        (
            Table("", HEADER, tuple(rows)),
            Table("The model's coefficients.", ("of", "per", "ns", "bytes"), _terms(model)),
            Table(
                f"What it says for {AHEAD.agents:,} agents, {AHEAD.nodes:,} nodes and "
                f"{AHEAD.days} days on {AHEAD.workers} machines with {NETWORK / 1.25e8:.0f} Gbit/s "
                "between them, one thread each.",
                ("seconds", "of these on the way", "GiB of a worker", "GB received by a worker"),
                (_ahead(model),),
            ),
        ),
        notes=_farthest(model, sizes, seconds, mebibytes),
    )


HEADER = (
    *("agents", "nodes", "days", "workers", "seconds", "model", "off, %"),
    *("MiB", "model", "off, %"),
)


def _row(size: Size, seconds: float, mebibytes: float, model: Model) -> tuple[Cell, ...]:
    cells: list[Cell] = [size.agents, size.nodes, size.days, size.workers]
    for found, said in zip((seconds, mebibytes), model.predict(size), strict=True):
        cells += [_one(found), _one(said), f"{said / found - 1.0:+.0%}"]
    return tuple(cells)


def _terms(model: Model) -> tuple[tuple[Cell, ...], ...]:
    """Seconds and bytes by what they are linear in."""
    seconds = (
        "iteration",
        "day",
        "agent and day",
        "node and day",
        "node and day, matrices",
        "agent",
        "byte received",
    )
    memory = ("worker", "node", "agent", "agent and day", "node and day")
    rows: list[tuple[Cell, ...]] = [
        ("seconds", name, f"{1e9 * value:.3g}", "–")
        for name, value in zip(seconds, model.seconds, strict=True)
    ]
    rows += [
        ("memory", name, "–", f"{2**20 * value:.3g}")
        for name, value in zip(memory, model.mebibytes, strict=True)
    ]
    return tuple(rows)


def _ahead(model: Model) -> tuple[Cell, ...]:
    seconds, mebibytes = model.predict(AHEAD)
    bytes_received = received(AHEAD)
    on_the_way = bytes_received / NETWORK
    return tuple(
        _one(value)
        for value in (seconds + on_the_way, on_the_way, mebibytes / 2**10, bytes_received / 1e9)
    )


def _farthest(
    model: Model, sizes: Sequence[Size], seconds: Sequence[float], mebibytes: Sequence[float]
) -> tuple[str, ...]:
    said = zip(*map(model.predict, sizes), strict=True)
    time, memory = (
        max(abs(there / here - 1.0) for here, there in zip(found, column, strict=True))
        for found, column in zip((seconds, mebibytes), said, strict=True)
    )
    return (f"The model is off by {time:.0%} of seconds and {memory:.0%} of memory at most.",)


def _one(value: float) -> Spread:
    return Spread.of([value])

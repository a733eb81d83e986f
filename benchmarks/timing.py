"""How time is taken: repeats of everything that is compared take turns, round after round.

Whatever else the machine does then disturbs all of them alike, and a ratio is one of neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

# A sample: seconds that one unit of the work took.
Sampler = Callable[[], float]

SHORTEST_SAMPLE = 2e-3  # seconds; the clock and the loop cost some 1e-7
LEAST_ROUNDS = 3
MOST_ROUNDS = 60


def take_turns(
    samplers: Mapping[str, Sampler], seconds: float, least: int = LEAST_ROUNDS
) -> dict[str, list[float]]:
    """Rounds of one sample of each, until the time is spent.

    Args:
        samplers: by name.
        seconds: for all rounds together.
        least: rounds that there are in any case.

    Returns:
        Seconds a unit, by name, one for each round.
    """
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    began = time.perf_counter()
    for done in range(MOST_ROUNDS):
        if done >= least and time.perf_counter() - began > seconds:
            break
        for name, sampler in samplers.items():
            samples[name].append(sampler())
    return samples


def repeated(work: Callable[[], object], device: torch.device | None = None) -> Sampler:
    """A sampler of the seconds a call, over as many calls as the clock needs.

    Calls it a few times at once, so that nothing is measured that only a first call does.
    """
    work()
    calls = 1
    while (spent := _seconds(work, calls, device)) < SHORTEST_SAMPLE:
        calls = max(2 * calls, int(calls * 1.2 * SHORTEST_SAMPLE / max(spent, 1e-7)))
    return lambda: _seconds(work, calls, device) / calls


def once(work: Callable[[], object], device: torch.device | None = None) -> float:
    """Seconds of one call."""
    return _seconds(work, 1, device)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch, and our kernels with it, use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(work: Callable[[], object], calls: int, device: torch.device | None) -> float:
    synchronise(device)
    began = time.perf_counter()
    for _ in range(calls):
        work()
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: torch.device | None) -> None:
    """Wait until a GPU has done what it was asked for."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)

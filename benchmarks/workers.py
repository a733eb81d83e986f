"""What an iteration costs with one worker and with several, and what they tell each other.

    python -m benchmarks.workers --agents 1000 10000 --workers 1 2

Workers are processes of this machine with one thread each, on gloo. Time is the lowest of an
iteration after a warm-up, of the slowest worker; bytes are what one worker sends to the others. The
weights are compared with those of the first number of workers.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed
import torch.multiprocessing
import tyro
from torch import Tensor

from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner
from gradmap_trainer.team import share_out
from gradmap_trainer.training import warm_up
from gradmap_trainer.workers.member import stay_local
from gridedge_gateway import process


def main(
    agents: tuple[int, ...] = (1000,),
    workers: tuple[int, ...] = (1, 2),
    days: int = 8,
    iterations: int = 10,
) -> None:
    """Print a row for each size of fleet and number of workers.

    Args:
        agents: of the fleets.
        workers: how many.
        days: of a batch.
        iterations: of which the quickest counts.
    """
    print("| agents | workers | CPU s | s | MB sent | MB held | weights |")
    print("|---|---|---|---|---|---|---|")
    for count in agents:
        expected: list[Tensor] = []
        for size in workers:
            with tempfile.TemporaryDirectory() as folder:
                told = (size, folder, count, days, iterations)
                torch.multiprocessing.spawn(_work, told, size)
                parts = (Path(folder) / str(rank) for rank in range(size))
                found = [torch.load(part, weights_only=True) for part in parts]
            cpu, wall, sent, held = (max(one[k] for one in found) for k in range(4))
            weights = found[0][4]
            same = all(map(torch.equal, weights, expected)) if expected else None
            expected = expected or weights
            told_same = {None: "", True: "the same", False: "others"}[same]
            print(
                f"| {count:,} | {size} | {cpu:.3f} | {wall:.3f} | {sent / 1e6:.2f} | "
                f"{held / 1e6:.0f} | {told_same} |",
                flush=True,
            )


def _work(rank: int, size: int, folder: str, agents: int, days: int, iterations: int) -> None:
    """One worker; it leaves what it took in a file."""
    torch.set_num_threads(1)
    stay_local()
    store = torch.distributed.FileStore(f"{folder}/meeting", size)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size)
    case = replace(USUAL_CASE, num_agents=agents)
    config = TrainConfig(case=case, batch_days=days, iterations=iterations)
    simulator = config.make_simulator()
    warm_up(config, simulator)
    learner = make_learner(config, simulator, share_out(rank, size, agents, days))
    sent = 0

    def counting(send: Callable[..., Any], tensor: int) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal sent
            whole = arguments[tensor]
            kept = arguments[3][rank] if len(arguments) > 3 else 0  # what stays here
            sent += (whole.numel() - kept) * whole.element_size()
            return send(*arguments, **named)

        return counted

    distributed = torch.distributed
    all_to_all = counting(distributed.all_to_all_single, 1)
    all_reduce = counting(distributed.all_reduce, 0)
    taken = []
    with (
        mock.patch.object(distributed, "all_to_all_single", all_to_all),
        mock.patch.object(distributed, "all_reduce", all_reduce),
    ):
        for _ in range(iterations):
            cpu, wall = time.process_time(), time.perf_counter()
            learner, _ = iterate(config, simulator, learner)
            taken.append((time.process_time() - cpu, time.perf_counter() - wall))
    weights = [weight.detach() for weight in learner.policies.parameters()]
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    held = 1024 * int(status.partition("VmHWM:")[2].split()[0])
    found = (*map(min, zip(*taken, strict=True)), sent / iterations, held, weights)
    torch.save(found, f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    process.run(lambda: tyro.cli(main))

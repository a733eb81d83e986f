"""What an iteration costs with one worker and with several, and what they tell each other.

    python -m benchmarks.workers --agents 1000 10000 --workers 1 2

Time is the lowest of an iteration, of the slowest worker; bytes are what one worker sends to the
others. The weights are compared with those of the first number of workers.
"""

from __future__ import annotations

import tyro

from benchmarks.iterations import Size, measured
from gradmap_trainer.commands.exits import mistakes
from gridedge_env.checks import check_whole_number
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
    with mistakes("python -m benchmarks.workers"):
        for name, counts in (("agents", agents), ("workers", workers)):
            for count in counts:
                check_whole_number(count, 1, name)
    print("| agents | workers | CPU s | s | MB sent | MB held | weights |")
    print("|---|---|---|---|---|---|---|")
    for count in agents:
        expected = ""
        for number in workers:
            taken = measured(Size(count, 278, days, number), iterations)
            same = "the same" if taken.weights == expected else "others"
            print(
                f"| {count:,} | {number} | {taken.processor_seconds:.3f} | {taken.seconds:.3f} | "
                f"{taken.bytes_sent / 1e6:.2f} | {taken.bytes_held / 1e6:.0f} | "
                f"{same if expected else ''} |",
                flush=True,
            )
            expected = expected or taken.weights


if __name__ == "__main__":
    process.run(lambda: tyro.cli(main))

"""A gateway by itself, in a process that has nothing but `gridedge_gateway`: time and memory.

    python -m benchmarks.gateway.alone FILE STEPS [FILES]

prints a JSON object; with FILES, so many controllers of the file take each step.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import date

import gridedge_gateway.cli
import gridedge_gateway.mqtt  # noqa: F401  # what serves has it, too
from benchmarks.gateway.readings import AMSTERDAM, STEP, STORES, VALUES, midnight, published
from benchmarks.memory import held, most_held
from gridedge_gateway import Controller, Readings

FIRST_DAY = date(2026, 1, 15)
# Steps after which memory is told; of how many time is told, which takes memory itself.
TOLD, TIMED = (1_000, 10_000, 100_000), 2_000


def main(file: str, steps: int, files: int = 1) -> None:
    """Take the steps, and tell."""
    began = time.process_time()
    controllers = [Controller.load(file) for _ in range(files)]
    loading = time.process_time() - began
    spent: dict[str, list[float]] = {"first": [], "others": []}
    memory, by_policy = {}, 0
    for number, readings in enumerate(_readings(steps), start=1):
        began = time.process_time()
        answers = [controller.step(readings) for controller in controllers]
        if number <= TIMED:
            spent["first" if readings.series else "others"].append(time.process_time() - began)
        by_policy += sum(not answer.fallbacks for answer in answers)
        if number in (*TOLD, steps):
            memory[number] = held() / 1e6
    told = {**spent, "memory": memory, "by_policy": by_policy, "peak": most_held() / 1e6}
    print(json.dumps({"loading": loading, **told}))


def _readings(steps: int) -> Iterator[Readings]:
    """Of ordinary steps; all that is published of a day comes with its first one."""
    begin, today = midnight(FIRST_DAY), None
    for now in (begin + STEP * number for number in range(steps)):
        day = now.astimezone(AMSTERDAM).date()
        waver = 0.1 * (now.minute > 0)
        values = {name: value + waver * (name in STORES) for name, value in VALUES.items()}
        yield Readings(now, values, published(day) if day != today else {})
        today = day


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))

"""The benchmarks by name, what they are told, and a run of them."""

from __future__ import annotations

import importlib
import shlex
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import torch

from benchmarks import machine
from benchmarks.records import BenchmarkRun, Measurement
from benchmarks.timing import threads


@dataclass(frozen=True)
class Settings:
    """What a benchmark is told.

    Attributes:
        device: where GridEdge computes; peers stay on the CPU.
        threads: cores to use where a benchmark says so.
        quick: a pass of seconds, to see that all works.
        agents: sizes of the fleets that are trained; None: the benchmark's own.
        models: folder of the published OpenDSS models; None: there is none.
        days: of the test year that customers' files are played through; None: the benchmark's own.
    """

    device: torch.device = torch.device("cpu")
    threads: int = 1
    quick: bool = False
    agents: tuple[int, ...] | None = None
    models: Path | None = None
    days: int | None = None

    @property
    def where(self) -> str:
        """Where GridEdge computes, in words."""
        if self.device.type != "cpu":
            return str(self.device)
        return "one core" if self.threads == 1 else f"{self.threads} cores"

    def either(self, full: float, quick: float) -> float:
        """A number of seconds for a full pass or for a quick one."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: `module` has `measure(settings)`, imported when it is run.

    Attributes:
        line: what it measures.
        module: where it is.
        by_default: whether it runs without being named.
    """

    line: str
    module: str
    by_default: bool = True


BENCHMARKS = {
    "machine": Benchmark("peak of matrix products, memory bandwidth", "benchmarks.peak"),
    "power_flow": Benchmark(
        "microseconds a power flow: every feeder, batch and precision; forward, and with gradients",
        "benchmarks.power_flow",
    ),
    "peers": Benchmark(
        "the same power flows in OpenDSS, power-grid-model, pandapower, tensorpowerflow",
        "benchmarks.power_flow_peers",
    ),
    "environment": Benchmark(
        "env.step through dictionaries, 10 to 10,000 agents, and other environments",
        "benchmarks.environment",
    ),
    "simulator": Benchmark(
        "the batched simulator: steps, and whole days with gradients", "benchmarks.simulator"
    ),
    "training": Benchmark(
        "an outer iteration of GradMAP and of self-supervised learning, and where its time goes",
        "benchmarks.training",
    ),
    "growth": Benchmark("time over nodes, agents and steps; memory", "benchmarks.growth"),
    "scale": Benchmark(
        "an iteration over agents, nodes, days and workers; a model of it (minutes; only if named)",
        "benchmarks.scale",
        by_default=False,
    ),
    "start": Benchmark("imports, --help, the first power flow", "benchmarks.start"),
    "quality": Benchmark(
        "a whole training, and what it is worth out of sample (minutes; only if named)",
        "benchmarks.quality",
        by_default=False,
    ),
    "parity": Benchmark(
        "customers' files against the simulator, days of the test year (minutes; only if named)",
        "benchmarks.gateway.parity",
        by_default=False,
    ),
    "gateway": Benchmark(
        "a customer's gateway: time a step, memory, growth (minutes; only if named)",
        "benchmarks.gateway.size",
        by_default=False,
    ),
    "fuzz": Benchmark(
        "messages at random to gateways, and what must not be (an hour; only if named)",
        "benchmarks.gateway.fuzz",
        by_default=False,
    ),
}

# Packages of the peers, as the index names them, with the extra that brings each.
PEERS = {
    "dss_python": "opendss",
    "power-grid-model": "peers",
    "pandapower": "benchmarks",
    "tensorpowerflow": "benchmarks",
    "mpe2": "benchmarks",
    "grid2op": "benchmarks",
}


def run(
    names: Sequence[str],
    settings: Settings,
    arguments: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
    keep: Callable[[BenchmarkRun], None] = lambda found: None,
) -> BenchmarkRun:
    """Run benchmarks, one after the other.

    A benchmark that ends with an error is a result that says so; the others go on.

    Args:
        names: of `BENCHMARKS`.
        settings: for all of them.
        arguments: of the command line, for the record.
        tell: called with a line before each benchmark.
        keep: called after each with what was found so far: a run may be cut short.

    Raises:
        ValueError: an unknown name.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise ValueError(f"benchmark: got {name!r}, expected some of {', '.join(BENCHMARKS)}")
    began = time.perf_counter()
    found = BenchmarkRun(
        machine=machine.describe(settings.device, settings.threads),
        versions=machine.versions(tuple(PEERS)),
        command=shlex.join(["python", "-m", "benchmarks", *arguments]),
        date=datetime.now(timezone.utc).isoformat(timespec="minutes"),
        commit=machine.commit(),
        quick=settings.quick,
        load=machine.load_average(),
        seconds=0.0,
        results=(),
    )
    for name in names:
        tell(f"{name}: {BENCHMARKS[name].line}")
        result = run_one(name, settings)
        tell(f"  {result.seconds:.0f} s" + (", FAILED" if result.failed else ""))
        seconds = time.perf_counter() - began
        found = replace(found, seconds=seconds, results=(*found.results, result))
        keep(found)
    return found


def run_one(name: str, settings: Settings) -> Measurement:
    """One benchmark; torch's number of threads is as before afterwards."""
    began = time.perf_counter()
    try:
        with threads(settings.threads):
            measure = importlib.import_module(BENCHMARKS[name].module).measure
            result: Measurement = measure(settings)
    except Exception as error:
        traceback.print_exc()
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        result = Measurement(name, "Not measured.", notes=(f"Failed: {reason}",), failed=True)
    return replace(result, seconds=time.perf_counter() - began)

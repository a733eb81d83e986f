"""The command of the suite.

    python -m benchmarks                                          list the benchmarks
    python -m benchmarks run                                      run them
    python -m benchmarks run power_flow simulator --threads 1     run some of them
    python -m benchmarks run --json out.json --page out.md        keep what was found
    python -m benchmarks page out.json out.md                     write the page again

Needs no more than GridEdge's simulator does; peers that are not installed are named.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# One thread for the products that peers do in NumPy; it must be said before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import suite
from gridedge_env.checks import check_writable
from gridedge_env.memory import keep_freed_memory
from gridedge_env.transfer import check_device
from gridedge_gateway import process


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; 0, 1 if a benchmark failed, 2 for a mistake in the command."""
    options = _parser().parse_args(arguments)
    if options.command in (None, "list"):
        for name, benchmark in suite.BENCHMARKS.items():
            print(f"{name:12} {benchmark.line}")
        print("\npython -m benchmarks run --help tells the options.")
        return 0
    try:
        return _page(options) if options.command == "page" else _run(options, arguments)
    except (ValueError, OSError) as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    from benchmarks.page import draw_and_write, text
    from benchmarks.records import BenchmarkRun, to_json

    for option in ("json", "page"):
        if (file := getattr(options, option)) is not None:
            check_writable(file, option)
    keep_freed_memory()
    names = options.names or [n for n, b in suite.BENCHMARKS.items() if b.by_default]
    settings = suite.Settings(
        device=check_device(options.device),
        threads=options.threads,
        quick=options.quick,
        agents=None if options.agents is None else tuple(options.agents),
        models=options.models,
        days=options.days,
    )

    def keep(found: BenchmarkRun) -> None:
        if options.json is not None:
            options.json.write_text(to_json(found), encoding="utf-8")
        if options.page is not None:
            draw_and_write(found, options.page)

    found = suite.run(names, settings, arguments, lambda line: print(line, file=sys.stderr), keep)
    if options.json is None and options.page is None:
        print(text(found))
    return int(any(result.failed for result in found.results))


def _page(options: argparse.Namespace) -> int:
    from benchmarks.page import draw_and_write
    from benchmarks.records import from_json

    draw_and_write(from_json(options.json.read_text(encoding="utf-8")), options.page)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure speed; without arguments, list what."
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("list", help="list the benchmarks")
    run = commands.add_parser("run", help="run benchmarks")
    run.add_argument("names", nargs="*", help="which; by default all but the long ones")
    run.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    run.add_argument("--threads", type=_positive, default=os.cpu_count() or 1, help="cores to use")
    run.add_argument("--quick", action="store_true", help="a pass of seconds, rough")
    run.add_argument("--agents", type=_positive, nargs="+", help="sizes of the trained fleets")
    run.add_argument(
        "--models",
        type=Path,
        default=os.environ.get("GRIDEDGE_OPENDSS_FEEDERS"),
        help="folder of the published OpenDSS models; by default $GRIDEDGE_OPENDSS_FEEDERS",
    )
    run.add_argument("--days", type=_positive, help="that customers' files are played through")
    run.add_argument("--json", type=Path, help="file for the figures")
    run.add_argument("--page", type=Path, help="file for the page, in Markdown")
    page = commands.add_parser("page", help="write the page of a run again")
    page.add_argument("json", type=Path, help="what `run --json` wrote")
    page.add_argument("page", type=Path, help="file for the page, in Markdown")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected at least 1")
    return number


if __name__ == "__main__":
    process.run(lambda: sys.exit(main(sys.argv[1:])))

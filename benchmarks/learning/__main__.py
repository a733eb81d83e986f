"""The command of the experiments.

    python -m benchmarks.learning                             list them
    python -m benchmarks.learning plan --iterations 50        run one
    python -m benchmarks.learning ratio --seeds 3 --json out.json

Each prints a table in Markdown; --json keeps it, with the settings, machine and commit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import torch

from benchmarks import machine
from benchmarks.learning.exact import exact
from benchmarks.learning.few_days import few_days
from benchmarks.learning.frontier import frontier
from benchmarks.learning.imitation import imitation
from benchmarks.learning.one_kind import one_kind
from benchmarks.learning.other_source import other_source
from benchmarks.learning.plan import plan
from benchmarks.learning.ratio import ratio
from benchmarks.learning.study import Study
from benchmarks.learning.sweep import sweep
from benchmarks.page import table
from benchmarks.records import Measurement
from benchmarks.timing import threads
from gridedge_env.checks import check_writable
from gridedge_gateway import process

EXPERIMENTS: dict[str, Callable[..., Measurement]] = {
    function.__name__: function
    for function in (
        few_days,
        imitation,
        one_kind,
        exact,
        plan,
        other_source,
        sweep,
        frontier,
        ratio,
    )
}

LIST = "list"
# The others are about the public plan, or follow it.
WITH_OR_WITHOUT_PLAN = ("few_days", "sweep", "frontier", "ratio")


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; 0, or 2 for a mistake in it."""
    options = vars(_parser().parse_args(arguments))
    name, path = options.pop("name"), options.pop("json", None)
    if name in (None, LIST):
        for experiment, function in EXPERIMENTS.items():
            print(f"{experiment:12} {_line(function)}")
        return 0
    told = [entry.name for entry in fields(Study) if entry.name in options]
    study = Study(**{name: options.pop(name) for name in told})
    try:
        for option, file in (("json", path), ("picture", options.get("picture"))):
            if file is not None:
                check_writable(file, option)
        with threads(1):
            found = EXPERIMENTS[name](study, **options)
    except (ValueError, OSError) as error:
        print(f"benchmarks.learning: error: {error}", file=sys.stderr)
        return 2
    if path is not None:
        path.write_text(_record(study, found, arguments), encoding="utf-8")
    print("\n\n".join((found.timed, *(table(one) for one in found.tables))))
    return 0


def _record(study: Study, found: Measurement, arguments: Sequence[str]) -> str:
    about = {
        "command": " ".join(["python -m benchmarks.learning", *arguments]),
        "machine": machine.describe(torch.device("cpu"), 1),
        "commit": machine.commit(),
        "training": asdict(study.config),
    }
    return json.dumps(about | asdict(found), indent=1, ensure_ascii=False) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning",
        description="Why GradMAP learns what it learns; without arguments, list the experiments.",
    )
    common, usual = argparse.ArgumentParser(add_help=False), Study()
    common.add_argument("--feeder", default=usual.feeder, help="name, folder or OpenDSS script")
    for option, line in (
        ("agents", "number of homes"),
        ("seed", "of homes, initial weights and training days"),
        ("iterations", "of a training; of ratio: of GradMAP's longest"),
        ("days", "of the validation year"),
        ("foresight_iterations", "effort of perfect foresight"),
    ):
        flag = f"--{option.replace('_', '-')}"
        common.add_argument(flag, type=int, default=getattr(usual, option), help=line)
    common.add_argument("--json", type=Path, help="file for what was found")
    commands = parser.add_subparsers(dest="name")
    commands.add_parser(LIST, description="List the experiments.")
    parsers = {
        name: commands.add_parser(name, parents=[common], description=_line(function))
        for name, function in EXPERIMENTS.items()
    }
    for name, seconds in (("sweep", 60.0), ("frontier", 30.0)):
        parsers[name].add_argument(
            "--seconds", type=float, default=seconds, help="CPU s of a training"
        )
    for name in WITH_OR_WITHOUT_PLAN:
        parsers[name].add_argument(
            "--public-plan",
            action=argparse.BooleanOptionalAction,
            default=usual.public_plan,
            help="whether agents observe the public plan and correct it",
        )
    parsers["frontier"].add_argument("--picture", type=Path, help="file for a picture of it")
    for name in ("frontier", "ratio"):
        parsers[name].add_argument("--seeds", type=int, default=3, help="from --seed on")
    return parser


def _line(function: Callable[..., Measurement]) -> str:
    return (function.__doc__ or "").splitlines()[0]


if __name__ == "__main__":
    process.run(lambda: sys.exit(main(sys.argv[1:])))

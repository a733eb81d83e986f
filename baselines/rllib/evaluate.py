"""The command that plays a run's policies on held-out days: python -m baselines.rllib.evaluate.

Exit codes as of `baselines.rllib.train`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from baselines.rllib.config import RLConfig
from baselines.rllib.run import learned, load_policy
from baselines.rllib.session import exit_codes
from gradmap_trainer.flags import read_flags
from gridedge_env.checks import check_whole_number, check_writable
from gridedge_env.evaluation import evaluate, evaluation_days, summarise
from gridedge_env.evaluation_files import EPISODES_FILE, save_evaluation
from gridedge_env.reference import Policy
from gridedge_env.scenarios.observed import check_split
from gridedge_env.simulator import Simulator
from gridedge_env.terminal import Terminal
from gridedge_gateway import process

COMMAND = "python -m baselines.rllib.evaluate"


def main() -> None:
    """Evaluate, print, save; see the module."""

    def parse(
        run: Annotated[Path, tyro.conf.Positional],
        split: str = "test",
        days: int = 28,
        foresight_iterations: int = 300,
    ) -> tuple[Path, str, int, int]:
        """Play a run's policies and the reference controllers on the same days of the test year.

        Args:
            run: folder of the run. Its checkpoint is a pickle: loading it can execute code.
            split: "test", which is saved; or "validation", to choose settings by.
            days: number of days, spread evenly over the year.
            foresight_iterations: effort of the perfect-foresight optimum; 0 leaves it out.
        """
        return run, split, days, foresight_iterations

    with exit_codes(COMMAND):
        run, split, count, foresight_iterations = read_flags(parse, COMMAND)
        check_whole_number(foresight_iterations, 0, "foresight_iterations")
        check_split(split)
        config, simulator, policy = load_policy(run)
        days = evaluation_days(simulator, split, count)
        if split == "test":
            check_writable(run / EPISODES_FILE, "run")
        config = replace(config, run=str(run), foresight_iterations=foresight_iterations)
        evaluate_policy(Terminal(), config, simulator, policy, days, split)


def evaluate_policy(
    console: Console,
    config: RLConfig,
    simulator: Simulator,
    policy: Policy,
    days: list[int],
    split: str = "test",
) -> None:
    """Play the run's policies and the reference controllers, save the table of "test", print it."""
    iteration, weights = learned(Path(config.run))
    played = evaluate(
        simulator,
        {config.algorithm: policy},
        days,
        split,
        foresight_iterations=config.foresight_iterations,
    )
    evaluation = replace(played, iteration=iteration, weights=weights)
    limits, cost = simulator.case.limits, f"{simulator.case.currency}/day"
    if split == "test":
        save_evaluation(evaluation, limits, Path(config.run))
    for method, episode in evaluation.episodes.items():
        row = summarise(episode, limits)
        outside = ", ".join(f"{kind.name} {row[f'{kind.name}_steps']:.2%}" for kind in limits)
        console.print(
            f"{method:20} {row['cost']:8,.0f} {cost}, steps outside limits: {outside}",
            soft_wrap=True,
        )


if __name__ == "__main__":
    process.run(main)

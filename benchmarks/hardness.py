"""How hard a case is: what breaks the limits, and what they cost the perfect-foresight optimum.

    python -m benchmarks.hardness --split test --days 28

The fleet that learned without limits is a training run of its own; docs/results.md has the command.
"""

from __future__ import annotations

import tyro
from rich.console import Console
from rich.table import Table

import gridedge_env
from gradmap_trainer import evaluate, evaluation_days, summarise
from gridedge_env.constraints import Limits
from gridedge_env.limit import Limit
from gridedge_gateway import process

NO_LIMITS = Limits(0.5, 1.5, 1000.0, 1000.0)


def main(split: str = "test", days: int = 28, iterations: int = 300, seed: int = 0) -> None:
    """Print the table.

    Args:
        split: whose weather, prices and homes.
        days: number of days, spread evenly over the year.
        iterations: effort of the optima.
        seed: of the fleet and of the days' demand.
    """
    limited = gridedge_env.make_simulator(seed=seed)
    limitless = gridedge_env.make_simulator(seed=seed, limits=NO_LIMITS)
    chosen = evaluation_days(limited, split, days)
    episodes = dict(evaluate(limited, {}, chosen, split, seed, iterations).episodes)
    free = evaluate(limitless, {}, chosen, split, seed, iterations).episodes
    episodes["perfect_foresight_without_limits"] = free["perfect_foresight"]

    table = Table(title=f"{days} days of the {split} year")
    table.add_column("method", no_wrap=True)
    limits = Limits()
    worst = [kind.worst_heading for kind in limits]
    for column in ("€/day", *(kind.heading for kind in limits), *worst):
        table.add_column(column, justify="right")
    for method, episode in episodes.items():
        row = summarise(episode, limits)
        table.add_row(
            method,
            f"{row['cost']:.0f}",
            *(f"{row[f'{kind.name}_steps']:.2%}" for kind in limits),
            *(_worst(kind, row[kind.worst_name]) for kind in limits),
        )
    console = Console(width=140)
    console.print(table)
    cost = {method: episode.cost.mean() for method, episode in episodes.items()}
    price = cost["perfect_foresight"] / cost["perfect_foresight_without_limits"] - 1.0
    console.print(f"The limits cost the optimum {price:.1%}.")


def _worst(kind: Limit, value: float) -> str:
    """In the unit of its heading."""
    return f"{value:.1%}" if kind.in_percent else f"{value:.4f}"


if __name__ == "__main__":
    process.run(lambda: tyro.cli(main))

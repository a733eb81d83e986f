"""How good the perfect-foresight plan is: what it costs against a lower bound, day by day.

python -m benchmarks.foresight --split test --days 28
"""

from __future__ import annotations

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

import gridedge_env
from gradmap_trainer import evaluation_days
from gridedge_env.evaluation import TOLERANCE
from gridedge_env.reference import lower_bound, perfect_foresight
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState
from gridedge_gateway import process


def main(
    split: str = "test",
    days: int = 28,
    iterations: int = 300,
    num_agents: int = 1000,
    seed: int = 0,
) -> None:
    """Print the table.

    Args:
        split: whose weather, prices and homes.
        days: number of days, spread evenly over the year.
        iterations: effort of the plans.
        num_agents: number of homes.
        seed: of the fleet and of the days' demand.
    """
    simulator = gridedge_env.make_simulator(num_agents=num_agents, seed=seed)
    chosen = evaluation_days(simulator, split, days)
    state = simulator.reset(split=split, days=chosen, seed=seed)
    console = Console(width=120)
    with console.status("planning"):
        plan = perfect_foresight(simulator, state, iterations)
    with console.status("bounding") as status:
        bound = lower_bound(
            simulator, state, plan, progress=lambda done: status.update(f"{done} of {days} days")
        )
    planned, planned_steps = _play(simulator, state, plan)
    found, found_steps = _play(simulator, state, bound.actions)

    table = Table(title=f"{days} days of the {split} year, € for the fleet")
    table.add_column("day")
    for column in (
        *("without network", "bound", "curvature", "best found", "outside"),
        *("foresight", "outside", "above bound", "share"),
    ):
        table.add_column(column, justify="right")
    dates = [simulator.days(split).dates[day].isoformat() for day in chosen]
    rows = np.stack(
        (
            bound.cost_without_network,
            bound.cost,
            bound.curvature,
            found,
            found_steps,
            planned,
            planned_steps,
        )
    ).T
    for name, row in zip([*dates, "mean"], [*rows, rows.mean(axis=0)], strict=True):
        euros = [f"{value:,.2f}" for value in row]
        euros[4::2] = [f"{value:.2%}" for value in row[4::2]]
        gap = row[5] - row[1]
        table.add_row(name, *euros, f"{gap:.2f}", f"{gap / abs(row[1]):.2%}")
    console.print(table)
    console.print("outside: share of steps in which some limit is broken, by AC power flow")


def _play(
    simulator: Simulator, state: SimulatorState, plan: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """€ of each day, and its share of steps outside any limit."""
    with torch.no_grad():
        result = simulator.simulate(state, plan)
    outside = ~result.converged
    for violation in result.violations.values():
        outside = outside | (violation > TOLERANCE).any(dim=-1)
    return result.cost.sum(dim=(0, 2)).double().numpy(), outside.double().mean(dim=0).numpy()


if __name__ == "__main__":
    process.run(lambda: tyro.cli(main))

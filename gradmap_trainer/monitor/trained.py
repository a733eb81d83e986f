"""What a run's policies observed on days of its training: what observations are held against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from gridedge_env.reference import Policy, play
from gridedge_env.simulator import Simulator

# A training day is of the same time of the year as a logged one within so many days of its date.
SEASON = 21
# So many of those, spread evenly, are played; with fewer than so many, as of the whole year.
MOST_DAYS, FEWEST_DAYS = 28, 7
DAYS_OF_A_YEAR = 365.25


@dataclass(frozen=True, eq=False)
class Trained:
    """Of a fleet on training days, played by the policies on the simulator.

    Attributes:
        days: how many.
        of_the_season: whether they are of the time of the year of the logged ones.
        mean: (steps, agents, fields) observed, in units of the fields' scales.
        spread: (agents, fields) standard deviation, from day to day, of the mean over a day.
        demand: (steps, agents) mean kW drawn by all but the devices.
    """

    days: int
    of_the_season: bool
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    demand: NDArray[np.float64]


def play_training_days(simulator: Simulator, policies: Policy, logged: Iterable[date]) -> Trained:
    """Play training days like those that were logged.

    Args:
        simulator: of the run.
        policies: that it trained.
        logged: days on which gateways logged.
    """
    starts, of_the_season = _days_like(simulator, set(logged))
    state = simulator.reset(split="train", days=starts)
    steps, of_a_day = simulator.clock.steps, simulator.clock.day.steps
    mean = np.empty((steps, simulator.num_agents, len(simulator.observation_fields)))
    by_day = np.zeros((len(starts), simulator.clock.days, *mean.shape[1:]))
    for number, (before, _, _) in enumerate(play(simulator, policies, state)):
        observed = simulator.observe(before).double().cpu().numpy()
        mean[number] = observed.mean(axis=0)
        by_day[:, number // of_a_day] += observed / of_a_day
    days = by_day.reshape(-1, *mean.shape[1:])
    demand = state.day.demand.double().mean(dim=0).cpu().numpy()
    return Trained(len(days), of_the_season, mean, days.std(axis=0), demand)


def _days_like(simulator: Simulator, logged: set[date]) -> tuple[list[int], bool]:
    """Rows of training days at which to begin, and whether they are of the logged ones' season."""
    dates, starts = simulator.days("train").dates, simulator.starts("train")
    alike = [row for row in starts if any(_apart(dates[row], day) <= SEASON for day in logged)]
    of_the_season = len(alike) >= FEWEST_DAYS
    rows = alike if of_the_season else starts
    count = min(MOST_DAYS, len(rows))
    return [rows[int((k + 0.5) * len(rows) / count)] for k in range(count)], of_the_season


def _apart(one: date, other: date) -> float:
    """Days between two dates, whatever their years."""
    apart = abs((one - other).days) % DAYS_OF_A_YEAR
    return min(apart, DAYS_OF_A_YEAR - apart)

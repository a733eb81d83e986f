"""Household demand: what a source of it must offer, and a generator with published moments.

The moments are those of the hourly demand of 225 homes over a year (`data/load_moments.json`). With

    demand = mean power of the home · shape[month, weekend, hour] · relative demand

the published tables give the shape, the distribution of the mean power (annual energy), and the
quantiles of the relative demand with its autocorrelation over one hour and over one day. Relative
demand is a fixed function Q of a latent Gaussian z, the published quantile function read at the
normal scores:

    z[day, hour] = √p · habit[hour] + √(1 − p) · mood[day, hour]

Habit belongs to the home for ever; mood is drawn anew for each day. Both are first-order
autoregressive over the hours with the same coefficient c, so that the correlation of z is cᵏ over
k hours of a day and p · cᵏ between days. c and p follow from the published autocorrelations.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from gridedge_env.checks import check_positive, settle
from gridedge_env.clock import HOURS_PER_DAY, Clock
from gridedge_env.record import Record
from gridedge_env.scenarios.observed import Calendar, check_split

HOURLY_CORRELATION = 0.5274
"""c of the latent z."""

DAILY_CORRELATION = 0.2804
"""p of the latent z.

Let ρ(r) = Σₖ aₖ² rᵏ / Σₖ aₖ² be the correlation of log Q(z) where that of z is r, with aₖ the
coefficients of log Q in normalised Hermite polynomials (Mehler's formula), and b the mean of
ρ(p · cᵏ) over all pairs of hours k apart: the share of the variance that lies between the homes'
own means. c and p solve (ρ(c) − b) / (1 − b) = 0.470 and (ρ(p) − b) / (1 − b) = 0.228, the
published autocorrelations over one hour and one day, taken about each home's own mean."""

CONNECTION_LIMIT = 17.25
"""kW: no home draws more than its main fuse carries, 3 × 25 A at 230 V (the usual Dutch one)."""

HOURS_PER_YEAR = 8760.0

_HOURS = HOURS_PER_DAY
# Constants are worked out as exactly as can be.
_DOUBLE: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
_MOMENTS = Path(__file__).parent / "data" / "load_moments.json"


@dataclass(frozen=True, eq=False)
class Homes(Record):
    """Homes that agents live in. Sources of demand add what else they must know of them.

    Attributes:
        mean_power: (homes,) kW, the annual mean.
    """

    mean_power: Tensor


HomesT = TypeVar("HomesT", bound=Homes)


class DemandSource(Protocol[HomesT]):
    """Where the demand of homes comes from: `GeneratedDemand`, `MeteredDemand`, or your own."""

    @property
    def scale(self) -> float:
        """What demand and mean power are multiplied by: 1 where they were metered."""

    def assign_homes(self, split: str, count: int, seed: int, device: torch.device | str) -> HomesT:
        """Choose `count` homes: a function of split, count and seed, no home in two splits.

        In single precision, whatever the simulator's: demand needs no more.
        """

    def draw(
        self,
        homes: HomesT,
        calendar: Calendar,
        generator: torch.Generator,
        clock: Clock,
    ) -> Tensor:
        """Draw days of demand, all on the homes' device and without waiting for it.

        Args:
            homes: what `assign_homes` returned.
            calendar: the days.
            generator: of the homes' device.
            clock: of the days.

        Returns:
            (batch, steps, homes) kW, in single precision: the same days in every precision.
        """


@dataclass(frozen=True, eq=False)
class GeneratedHomes(Homes):
    """Homes of the generator.

    Attributes:
        habit: (24, homes), the part of the latent z that stays from day to day, √p included.
        scale: (homes,) kW, mean power over the mean relative demand that the habit gives.
    """

    habit: Tensor
    scale: Tensor


@dataclass(frozen=True)
class GeneratedDemand:
    """The generator that the module's docstring describes.

    Homes are independent of each other: what they have in common is the shape of month and hour,
    which alone correlates them more than published (median of pairs 0.13, published 0.09).
    Days are independent but for habit. Beyond the first and last published quantiles (1 % and
    99.9 %) Q is held. That some homes are spikier than others is left out, but for what habit does
    (standard deviation of the homes' mean log 0.04, published 0.07).

    Attributes:
        scale: demand of every home over that of an ordinary one.

    Raises:
        ValueError: a scale that is not above 0.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        settle(self, scale=check_positive)

    def assign_homes(
        self, split: str, count: int, seed: int, device: torch.device | str
    ) -> GeneratedHomes:
        """Draw homes: annual energy lognormal, a habit each. See `DemandSource.assign_homes`.

        Raises:
            ValueError: unknown split, or a count below one.
        """
        generator = home_generator(split, count, seed)
        energy = _moments()["annual_kwh_lognormal"]
        normal = torch.randn(count, generator=generator, **_DOUBLE)
        mean_power = torch.exp(energy["mu"] + energy["sigma"] * normal) / HOURS_PER_YEAR
        white = torch.randn(_HOURS, count, generator=generator, **_DOUBLE)
        colour = _autoregression(torch.device("cpu"), torch.float64)
        habit = DAILY_CORRELATION**0.5 * (colour @ white)
        scale = mean_power / _mean_relative_demand(habit)
        return GeneratedHomes(
            *(each.to(device, torch.float32) for each in (mean_power, habit, scale))
        )

    def draw(
        self,
        homes: GeneratedHomes,
        calendar: Calendar,
        generator: torch.Generator,
        clock: Clock,
    ) -> Tensor:
        """Draw days of demand, hourly values held over an hour. See `DemandSource.draw`."""
        device, dtype = homes.mean_power.device, homes.mean_power.dtype
        size = (len(calendar.month), *homes.habit.shape)
        white = torch.randn(size, generator=generator, device=device, dtype=dtype)
        mood = _autoregression(device, dtype) @ white
        latent = mood.mul_((1.0 - DAILY_CORRELATION) ** 0.5).add_(homes.habit)
        shape = _shape(device, dtype)[calendar.month, calendar.weekend.long()]
        hourly = _relative_demand(latent).mul_(homes.scale).mul_(shape[..., None])
        return hourly.clamp_(max=CONNECTION_LIMIT).repeat_interleave(clock.steps // _HOURS, dim=1)


def home_generator(split: str, count: int, seed: int) -> torch.Generator:
    """A generator on the CPU for choosing homes, unlike that of any other split, count or seed.

    Raises:
        ValueError: unknown split, or a count below one.
    """
    if count < 1:
        raise ValueError(f"count: got {count}, expected at least one home")
    digest = hashlib.sha256(f"{check_split(split)}/{count}/{seed}".encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "big"))


def _relative_demand(latent: Tensor) -> Tensor:
    """Q: the published quantiles, log-linear in the normal score in between, scaled to mean one."""
    table = _quantile_table(latent.device, latent.dtype)
    last = len(table) - 1
    low, high = _SCORE_RANGE
    position = (latent - low).mul_(last / (high - low)).add_(0.5)
    return table[position.clamp_(0, last).long()]


def _mean_relative_demand(habit: Tensor) -> Tensor:
    """(homes,) mean over moods and, weighted by the shape, over the hours of a year."""
    cpu = torch.device("cpu")
    shape = _shape(cpu, habit.dtype).mean(dim=0)
    weight = (5.0 * shape[0] + 2.0 * shape[1]) / (5.0 * shape[0] + 2.0 * shape[1]).sum()
    moods, chances = np.polynomial.hermite_e.hermegauss(64)
    mean = sum(
        chance * _relative_demand(habit + (1.0 - DAILY_CORRELATION) ** 0.5 * mood)
        for mood, chance in zip(moods, chances / chances.sum(), strict=True)
    )
    return weight @ mean


_SCORE_RANGE = (NormalDist().inv_cdf(0.01), NormalDist().inv_cdf(0.999))


@lru_cache
def _quantile_table(device: torch.device, dtype: torch.dtype, size: int = 4096) -> Tensor:
    """(size,) Q at equal steps of the normal score, 0.0013 wide: within 0.1 % of Q in between."""
    quantiles = _moments()["rel_quantiles"]
    knots = torch.tensor([NormalDist().inv_cdf(float(p)) for p in quantiles], **_DOUBLE)
    logs = torch.tensor(list(quantiles.values()), **_DOUBLE).log()
    score = torch.linspace(*_SCORE_RANGE, size, **_DOUBLE)
    segment = torch.searchsorted(knots[1:-1].contiguous(), score)
    share = (score - knots[segment]) / (knots[segment + 1] - knots[segment])
    table = torch.lerp(logs[segment], logs[segment + 1], share).exp()
    edges = torch.special.ndtr((score[1:] + score[:-1]) / 2)
    edges = torch.cat([edges.new_zeros(1), edges, edges.new_ones(1)])
    return (table / (table @ edges.diff())).to(device, dtype)


@lru_cache
def _autoregression(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(24, 24) matrix that turns white noise into a stationary autoregression over the hours."""
    hour = torch.arange(_HOURS, **_DOUBLE)
    correlation = HOURLY_CORRELATION ** (hour[:, None] - hour).abs()
    return torch.linalg.cholesky(correlation).to(device, dtype)


@lru_cache
def _shape(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(12, 2, 24) mean demand of a home over its annual mean, by month, weekend and hour."""
    shape = _moments()["diurnal_shape_month_weekend_hour"]
    return torch.tensor(shape, **_DOUBLE).to(device, dtype)


@lru_cache
def _moments() -> dict[str, Any]:
    """The published moments."""
    return json.loads(_MOMENTS.read_text(encoding="utf-8"))

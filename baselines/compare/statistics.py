"""Means over seeds with confidence intervals, and the time that a method needs to be as good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of them.
        half_width: of its 95 % confidence interval; not a number for a single seed.
        count: of seeds.
    """

    mean: float
    half_width: float
    count: int


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and Student's t interval of the numbers among the values."""
    from scipy.stats import t

    numbers = np.array([value for value in values if not math.isnan(value)], dtype=float)
    count = len(numbers)
    if count == 0:
        return Estimate(math.nan, math.nan, 0)
    if count == 1:
        return Estimate(float(numbers[0]), math.nan, 1)
    error = numbers.std(ddof=1) / math.sqrt(count)
    quantile = t.ppf(0.5 + 0.5 * CONFIDENCE, count - 1)
    return Estimate(float(numbers.mean()), float(quantile * error), count)


@dataclass(frozen=True)
class Bounded:
    """A positive number of which, it may be, only a bound is known.

    Attributes:
        value: the number, or its bound.
        bound: "" if known, ">" if it is larger, "<" if it is smaller or equal.
    """

    value: float
    bound: str = ""


def time_to_reach(seconds: Sequence[float], scores: Sequence[float], target: float) -> Bounded:
    """How long a method must train to score as little as a target.

    Each score is that of a training of its own, annealed over all of its seconds. Between two of
    them the score is taken as linear in the logarithm of the seconds; beyond them nothing is said.
    A method that reaches the target by luck, and with more time no longer does, has reached it.

    Args:
        seconds: of training, increasing.
        scores: at their end; smaller is better.
        target: to be reached.
    """
    if scores[0] <= target:
        return Bounded(seconds[0], "<")
    for k in range(1, len(scores)):
        if scores[k] <= target:
            share = (scores[k - 1] - target) / (scores[k - 1] - scores[k])
            start, end = math.log(seconds[k - 1]), math.log(seconds[k])
            return Bounded(math.exp(start + share * (end - start)))
    return Bounded(seconds[-1], ">")


@dataclass(frozen=True)
class Ratio:
    """A geometric mean over seeds.

    Attributes:
        mean: or its bound; None if some seeds bound it from above and others from below.
        low: end of its 95 % confidence interval; not a number for a single seed or a bound.
        high: the other end.
    """

    mean: Bounded | None
    low: float
    high: float


def geometric_mean(ratios: Sequence[Bounded]) -> Ratio:
    """Of ratios, some of which may be bounds; the interval is Student's, of their logarithms."""
    bounds = {ratio.bound for ratio in ratios if ratio.bound}
    if not ratios or len(bounds) > 1:
        return Ratio(None, math.nan, math.nan)
    logarithm = estimate([math.log(ratio.value) for ratio in ratios])
    mean = Bounded(math.exp(logarithm.mean), "".join(bounds))
    if bounds:
        return Ratio(mean, math.nan, math.nan)
    low, high = (logarithm.mean + sign * logarithm.half_width for sign in (-1.0, 1.0))
    return Ratio(mean, math.exp(low), math.exp(high))

"""What a customer's log says, in a few plain statistics, and whether to train its policy again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradmap_trainer.monitor.logs import Array, Log
from gradmap_trainer.monitor.trained import Trained

# Drift of a field from which it is another one than in training, in standard deviations from day to
# day; of fields that hardly vary these count as a tenth of the field's scale.
MOST_DRIFT, LEAST_SPREAD = 3.0, 0.1
# Set-points that differ by more of full power are others; such may be in so many of the steps:
# where forecasts were revised within a day, the gateway knew more than its log tells.
SAME_POWER, MOST_APART = 0.01, 0.05
# A device fits its parameters if it moves by so much of what they say, in so many steps at least of
# which so much of its sensor's unit was expected.
FITTING, FEWEST_MOVES, LEAST_MOVE = (0.8, 1.25), 10, 0.1
# A meter does not follow the set-points from whose sum with the usual demand it is farther, by so
# much, than from that demand alone.
LESS_NEAR = 1.25
# A device is to be seen to that was by its fallback in more of the steps.
MOST_FALLBACK = 0.05


@dataclass(frozen=True, eq=False)
class Findings:
    """Of a customer; NaN is what its log does not tell.

    Attributes:
        customer: the name.
        days: on which there are steps.
        steps: in the log.
        missing: as of `Log`.
        repeated: likewise.
        by_policy: share of steps in which devices followed the policy, by name.
        reasons: steps by the names of what was missing or wrong.
        reasons_of_fallback: of those the ones with a device by its fallback.
        compared: steps whose set-points could be worked out again.
        apart: largest difference of set-points over full power.
        apart_share: share of the compared steps with others than the file's.
        drift: (fields,) means less those of training, in standard deviations from day to day.
        before: cost a day of what would have been metered without control.
        after: cost a day of what was metered.
        billed_days: that these are means of.
        from_set_points: kW, mean distance of the meter from what is usual in training of all else
            at home and the set-points, in the steps that are billed.
        from_usual: likewise, from what is usual alone.
        low: share of steps with a voltage below its limits.
        high: share of steps with one above.
        moves: share of what their parameters say by which devices move, by name.
    """

    customer: str
    days: int
    steps: int
    missing: int
    repeated: int
    by_policy: dict[str, float]
    reasons: Counter[str]
    reasons_of_fallback: Counter[str]
    compared: int
    apart: float
    apart_share: float
    drift: Array
    before: float
    after: float
    billed_days: float
    from_set_points: float
    from_usual: float
    low: float
    high: float
    moves: dict[str, float]

    @property
    def saving(self) -> float:
        """Currency a day."""
        return self.before - self.after

    @property
    def follows_policy(self) -> float:
        """Share of steps, the mean of the devices'."""
        return sum(self.by_policy.values()) / len(self.by_policy)

    @property
    def keeps_parity(self) -> bool:
        """Whether its gateway does what the run's file says, as far as that is known."""
        return not self.apart_share > MOST_APART

    @property
    def meter_follows(self) -> bool:
        """Whether the meter shows what devices were told, as far as that is known."""
        return not self.from_set_points > LESS_NEAR * self.from_usual

    @property
    def lost(self) -> list[str]:
        """Names of devices that were often by their fallback."""
        return [name for name, share in self.by_policy.items() if 1.0 - share > MOST_FALLBACK]

    @property
    def misfits(self) -> list[str]:
        """Names of devices that do not move as their parameters say."""
        low, high = FITTING
        return [name for name, share in self.moves.items() if share < low or share > high]

    def most_adrift(self) -> list[int]:
        """Fields that are others than in training, the most first."""
        beyond = np.abs(np.nan_to_num(self.drift))
        return [
            int(field) for field in np.argsort(-beyond, kind="stable") if beyond[field] > MOST_DRIFT
        ]

    @property
    def needs_retraining(self) -> bool:
        """By the rule of the page."""
        return bool(self.most_adrift() or self.misfits or not self.keeps_parity)


def findings_of(
    log: Log, trained: Trained, agent: int, hours: float, band: tuple[float, float]
) -> Findings:
    """The statistics of a log.

    Args:
        log: a customer's.
        trained: what the fleet observed in training.
        agent: the customer's number in it.
        hours: of a step.
        band: pu, of the case's limits.
    """
    costs = _costs(log, hours)
    billed = np.isfinite(costs).all(axis=0)
    days = float(billed.sum() / log.steps_of_a_day)
    before, after = costs[:, billed].sum(axis=1) / days if days else (np.nan, np.nan)
    beside = (log.metered - trained.demand[log.number, agent])[billed]
    compared = np.isfinite(log.apart)
    voltage = log.voltage[np.isfinite(log.voltage)]
    by_policy = log.policy.mean(axis=0).tolist()
    fallback = [names for names, of in zip(log.reasons, log.policy, strict=True) if not of.all()]
    return Findings(
        customer=log.customer,
        days=len(log.dates),
        steps=len(log.policy),
        missing=log.missing,
        repeated=log.repeated,
        by_policy={d.name: share for d, share in zip(log.devices, by_policy, strict=True)},
        reasons=Counter(name for names in log.reasons for name in names),
        reasons_of_fallback=Counter(name for names in fallback for name in names),
        compared=int(compared.sum()),
        apart=float(log.apart[compared].max(initial=-np.inf)) if compared.any() else np.nan,
        apart_share=_mean(log.apart[compared] > SAME_POWER),
        drift=_drift(log, trained, agent),
        before=float(before),
        after=float(after),
        billed_days=days,
        from_set_points=_mean(np.abs(beside - log.told[billed])),
        from_usual=_mean(np.abs(beside)),
        low=_mean(voltage < band[0]),
        high=_mean(voltage > band[1]),
        moves=_moves(log),
    )


def _mean(of_steps: NDArray[np.bool_] | Array) -> float:
    return float(of_steps.mean()) if of_steps.size else np.nan


def _drift(log: Log, trained: Trained, agent: int) -> Array:
    """(fields,) of the means over a log, step by step of the day, from those of training."""
    known = np.isfinite(log.observation).all(axis=-1)
    if not known.any():
        return np.full(log.observation.shape[-1], np.nan)
    usual = trained.mean[log.number[known], agent]
    mean = (log.observation[known] - usual).mean(axis=0)
    drift: Array = mean / np.maximum(trained.spread[agent], LEAST_SPREAD)
    return drift


def _costs(log: Log, hours: float) -> Array:
    """(2, steps) without control, and as metered; NaN where that is not known."""
    power = np.stack((log.metered - log.told + log.uncontrolled, log.metered))
    costs: Array = hours * np.where(power > 0.0, log.import_price, log.export_price) * power
    return costs


def _moves(log: Log) -> dict[str, float]:
    """By device the slope, through 0, of what its sensor moved by over what it should have."""
    found = {}
    for device, expected, moved in zip(log.devices, log.expected.T, log.moved.T, strict=True):
        judged = np.isfinite(moved) & (np.abs(np.nan_to_num(expected)) >= LEAST_MOVE)
        if judged.sum() >= FEWEST_MOVES:
            squares = (expected[judged] ** 2).sum()
            found[device.name] = float((expected[judged] * moved[judged]).sum() / squares)
    return found

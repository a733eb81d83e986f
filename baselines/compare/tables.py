"""From results to tables: of days, of trainings, over seeds, and of time to equal quality.

All are long pandas tables with one kind of row each; `page` chooses what it shows of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from baselines.compare.config import AS_OBSERVED, FORESIGHT, Comparison, Job
from baselines.compare.results import JobResult
from baselines.compare.statistics import Bounded, Ratio, estimate, geometric_mean, time_to_reach
from gridedge_env.constraints import Limits
from gridedge_env.writing import write_whole

OURS = "gradmap"
ALL_DAYS, NEGATIVE_DAYS = "all", "negative_price"
# How much the answer to "how much faster" hangs on the price of violations.
PRICE_FACTORS = (0.5, 1.0, 2.0)

TRAINING = ["method", "budget", "seed"]


@dataclass(frozen=True)
class Tables:
    """What the results say.

    Attributes:
        days: a row for each job, trial and day.
        curves: a row for each job and point of its curve, its cost also above that of perfect
            foresight on the same days.
        trainings: a row for each job, trial and set of days: `measures`.
        summary: the same over seeds: mean, half width of the 95 % interval, and number of seeds.
        equal_quality: a row for each rival, budget of GradMAP and price factor: how many times
            GradMAP's training time the rival needs to score as well, for each seed and over them.
    """

    days: pd.DataFrame
    curves: pd.DataFrame
    trainings: pd.DataFrame
    summary: pd.DataFrame
    equal_quality: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write each as a CSV file."""
        for name in ("days", "curves", "trainings", "summary", "equal_quality"):
            write_whole(folder / f"{name}.csv", getattr(self, name).to_csv(index=False))


def shares(limits: Limits) -> list[str]:
    """Columns that hold shares of steps outside limits."""
    return [*(f"{kind.name}_steps" for kind in limits), "any_steps"]


def measures(limits: Limits) -> list[str]:
    """Of a training on a set of days; those above the optimum need that of the same seed."""
    return [
        "cost",
        "above_foresight",
        "cost_above_foresight",
        *shares(limits),
        *(kind.worst_name for kind in limits),
        "nonconverged",
        "score",
        "score_above_foresight",
        "training_seconds",
        "environment_steps",
    ]


def make_tables(comparison: Comparison, results: Mapping[Job, JobResult]) -> Tables:
    """All tables of a comparison; of jobs that have no result there are no rows."""
    days = _days(results.values())
    trainings = _trainings(comparison, results, days)
    return Tables(
        days=days,
        curves=_curves(results.values()),
        trainings=trainings,
        summary=_summary(trainings, measures(comparison.limits)),
        equal_quality=_equal_quality(comparison, trainings),
    )


def _key(job: Job) -> dict[str, object]:
    return {"method": job.method, "budget": job.seconds or math.nan, "seed": job.seed}


def _days(results: Iterable[JobResult]) -> pd.DataFrame:
    return pd.DataFrame([{**_key(r.job), **day} for r in results for day in r.days])


def _curves(results: Iterable[JobResult]) -> pd.DataFrame:
    rows = [
        {
            **_key(r.job),
            "seconds": point.seconds,
            "environment_steps": point.environment_steps,
            **point.outcome,
        }
        for r in results
        for point in r.curve
    ]
    curves = pd.DataFrame(rows)
    optimum = curves[curves["method"] == FORESIGHT].set_index("seed")["cost"]
    floor = curves["seed"].map(optimum)
    return curves.assign(above_foresight=(curves["cost"] - floor) / floor.abs())


def _trainings(
    comparison: Comparison, results: Mapping[Job, JobResult], days: pd.DataFrame
) -> pd.DataFrame:
    sets = {ALL_DAYS: days, NEGATIVE_DAYS: days[days["lowest_price"] < 0.0]}
    limits = comparison.limits
    measured = [
        _measured(rows, limits).assign(day_set=name) for name, rows in sets.items() if len(rows)
    ]
    trainings = pd.concat(measured, ignore_index=True)
    last = pd.DataFrame(
        {
            **_key(job),
            "training_seconds": result.curve[-1].seconds,
            "environment_steps": result.curve[-1].environment_steps,
        }
        for job, result in results.items()
    )
    trainings = trainings.merge(last, on=TRAINING)
    optimum = trainings[trainings["method"] == FORESIGHT][["seed", "trial", "day_set", "cost"]]
    trainings = trainings.merge(
        optimum.rename(columns={"cost": "floor"}), on=["seed", "trial", "day_set"], how="left"
    )
    above = trainings["cost"] - trainings["floor"]
    score = penalised(trainings, comparison.quality.price)
    return trainings.assign(
        cost_above_foresight=above,
        above_foresight=above / trainings["floor"].abs(),
        score=score,
        score_above_foresight=score - trainings["floor"],
    )[[*TRAINING, "trial", "day_set", "number_of_days", *measures(limits)]]


def _measured(days: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    """Means and extremes over days."""
    groups = days.groupby([*TRAINING, "trial"], dropna=False, sort=False)
    extremes = [kind.worst_name for kind in limits]
    measured = groups[["cost", *shares(limits)]].mean()
    measured[extremes] = groups[extremes].max()
    measured["nonconverged"] = groups["nonconverged"].sum()
    measured["number_of_days"] = groups.size()
    return measured.reset_index()


def as_observed(rows: pd.DataFrame, day_set: str = ALL_DAYS) -> pd.DataFrame:
    """Of trainings or their summary, those of a set of days as observed."""
    return rows[(rows["trial"] == AS_OBSERVED) & (rows["day_set"] == day_set)]


def penalised(trainings: pd.DataFrame, price: float) -> pd.Series:
    """Cost plus the price of every percentage point of steps outside any limit, €/day."""
    return trainings["cost"] + price * 100.0 * trainings["any_steps"]


def _summary(trainings: pd.DataFrame, measured: Sequence[str]) -> pd.DataFrame:
    rows = []
    keys = ["method", "budget", "trial", "day_set"]
    for key, group in trainings.groupby(keys, dropna=False, sort=False):
        row = dict(zip(keys, key, strict=True))
        row |= {"number_of_days": group["number_of_days"].iloc[0], "seeds": len(group)}
        for measure in measured:
            found = estimate(group[measure].tolist())
            row |= {measure: found.mean, f"{measure}_half_width": found.half_width}
        rows.append(row)
    return pd.DataFrame(rows)


def _equal_quality(comparison: Comparison, trainings: pd.DataFrame) -> pd.DataFrame:
    rivals = [method for method in comparison.learners if method != OURS]
    seeds = comparison.seeds
    plain = as_observed(trainings)
    rows = []
    for factor in PRICE_FACTORS:
        price = factor * comparison.quality.price
        scored = plain.assign(score=penalised(plain, price))
        for rival in rivals:
            for budget in sorted(comparison.learners.get(OURS, ())):
                ratios = {seed: time_ratio(scored, rival, budget, seed) for seed in seeds}
                rows.append(
                    {"rival": rival, "budget": budget, "price_factor": factor, "price": price}
                    | _ratio_columns(ratios)
                )
    return pd.DataFrame(rows)


def time_ratio(scored: pd.DataFrame, rival: str, budget: float, seed: int) -> Bounded | None:
    """How many times GradMAP's training time a rival needs to score as well, at one seed.

    Args:
        scored: trainings with their scores.
        rival: its name.
        budget: of GradMAP's training whose score is to be reached.
        seed: of both.

    Returns:
        None if either has no result.
    """
    mine = scored[(scored["seed"] == seed) & (scored["method"] == OURS)]
    mine = mine[mine["budget"] == budget]
    theirs = scored[(scored["seed"] == seed) & (scored["method"] == rival)].sort_values("budget")
    if mine.empty or theirs.empty:
        return None
    reached = time_to_reach(
        theirs["training_seconds"].tolist(), theirs["score"].tolist(), mine["score"].item()
    )
    return Bounded(reached.value / mine["training_seconds"].item(), reached.bound)


def _ratio_columns(ratios: Mapping[int, Bounded | None]) -> dict[str, object]:
    mean = geometric_mean([ratio for ratio in ratios.values() if ratio])
    return {
        **{f"seed_{seed}": _bounded(ratio) for seed, ratio in ratios.items()},
        "mean": _bounded(mean.mean),
        "interval": _interval(mean),
    }


def _bounded(ratio: Bounded | None) -> str:
    return f"{ratio.bound} {ratio.value:.2f}".strip() if ratio else ""


def _interval(ratio: Ratio) -> str:
    return "" if math.isnan(ratio.low) else f"{ratio.low:.2f} to {ratio.high:.2f}"

"""The page of a comparison: comparison.md, with its figures beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from baselines.appearances import APPEARANCES
from baselines.compare import figures
from baselines.compare.config import AS_OBSERVED, FORESIGHT, Comparison, Job
from baselines.compare.figures import look
from baselines.compare.markdown import (
    ABOVE_FORESIGHT,
    ANY_STEPS,
    OF_TRAINING,
    Column,
    above_column,
    cost_column,
    listed,
    markdown_table,
    score_column,
    share_columns,
    words,
    worst_columns,
)
from baselines.compare.results import JobResult
from baselines.compare.statistics import CONFIDENCE
from baselines.compare.tables import NEGATIVE_DAYS, OURS, PRICE_FACTORS, Tables, as_observed
from gradmap_trainer.report.words import SPACE, money, percent, step_name
from gridedge_env.case import CaseSettings
from gridedge_env.writing import write_whole

PAGE = "comparison.md"
LEVEL = f"{100.0 * CONFIDENCE:g}{SPACE}%"

HARDEST = 5


def write_page(
    folder: Path,
    comparison: Comparison,
    tables: Tables,
    results: Mapping[Job, JobResult],
    failures: Sequence[str],
    command: str,
    config: str,
) -> Path:
    """Draw the figures and write the page.

    Args:
        folder: of the comparison.
        comparison: what was compared.
        tables: what came of it.
        results: the same, job by job.
        failures: a line for each job without a result.
        command: that was given.
        config: text of the configuration file.
    """
    drawn = figures.draw(comparison, tables, folder)
    parts = [
        "# Comparison",
        f"```bash\n{command}\n```",
        _setting(comparison, tables, results),
        *_failed(comparison, results, failures),
        "## Every method at its largest budget",
        _main(comparison, as_observed(tables.summary)),
        f"![Cost against violations]({figures.TRADE_OFF})",
        "Circles are trainings, the larger the longer their budget; diamonds are rules. Here and "
        "below, percentages and scores are drawn on axes that grow as square roots.",
        *_negative(comparison, tables),
        *_hardest(comparison, tables.days),
        *_robustness(comparison, tables.summary),
        *(_budgets(comparison, tables) if figures.BUDGETS in drawn else []),
        *(_curves() if figures.CURVES in drawn else []),
        "## Files",
        _files(),
        "## Configuration",
        f"```toml\n{config.strip()}\n```",
    ]
    write_whole(folder / PAGE, "\n\n".join(parts) + "\n")
    return folder / PAGE


# --- Sections -------------------------------------------------------------------------------------


def _setting(comparison: Comparison, tables: Tables, results: Mapping[Job, JobResult]) -> str:
    running, own = comparison.running, isinstance(comparison.case, str)
    days = tables.days[tables.days["trial"] == AS_OBSERVED].drop_duplicates("date")
    negative = int((days["lowest_price"] < 0.0).sum())
    options = _options(comparison)
    together = "one at a time" if running.processes == 1 else f"{running.processes} side by side"
    machines = sorted({result.machine for result in results.values()})
    lines = [
        f"{comparison.population}, on {running.device}"
        + (f", with {options}" if options else "")
        + f". Seeds {listed(comparison.seeds)}: each one {_of_a_seed(own)}.",
        comparison.tariff.describe(comparison.currency),
        f"{len(days)} test days{'' if own else ' of 2024, a year and site'} never seen in "
        f"training, {negative} of them with negative prices (some day-ahead price is below zero).",
        "Seconds are of training by the wall clock, without start, validation and test. "
        f"Jobs ran {together}, each in a process of its own.",
        f"Tables give means over seeds ± the half width of the {LEVEL} confidence interval"
        " (Student's t); n is the number of seeds. Fleets differ from seed to seed, and so do "
        "their costs: what is above perfect foresight, the best found for the same homes and days "
        "by whoever knows everything beforehand, differs less.",
        f"Share of {step_name(comparison.clock)}s outside limits anywhere: "
        + "; ".join(f"{kind.name}, {kind.rule}" for kind in comparison.limits)
        + ". What was worst is that of all places and days.",
        *(f"Machine: {machine}." for machine in machines),
        *_load(results),
        *_not_converged(comparison, as_observed(tables.trainings)),
    ]
    if len(machines) > 1:
        lines.append("**Several machines: seconds of one are not those of another.**")
    return "\n".join(f"- {line}" for line in lines)


def _not_converged(comparison: Comparison, trainings: pd.DataFrame) -> list[str]:
    """What no method could be if perfect foresight had found the best."""
    better = trainings.loc[trainings["score_above_foresight"] < 0.0, "method"].unique()
    names = listed([look(comparison, method).name for method in better])
    told = (
        f"**Perfect foresight has not converged: {names} did better. Raise foresight_iterations.**"
    )
    return [told] if len(better) else []


def _of_a_seed(own_case: bool) -> str:
    return "a training of the same customers" if own_case else "a fleet of its own, and a training"


def _options(comparison: Comparison) -> str:
    """Of the case, what is not as usual."""
    if isinstance(comparison.case, str):
        return ""
    usual = replace(comparison, case=CaseSettings()).bearing
    told = ("case.feeder", "case.num_agents")
    return ", ".join(
        f"{name.removeprefix('case.')} = {value}"
        for name, value in comparison.bearing.items()
        if name not in told and value != usual.get(name)
    )


def _load(results: Mapping[Job, JobResult]) -> list[str]:
    loads = [r.load for job, r in results.items() if job.seconds]
    if not loads:
        return []
    return [
        f"Load average of the machine over the last minute of each training: {min(loads):.1f} to "
        f"{max(loads):.1f}. Where it is above the number of cores, a training waited for others."
    ]


def _failed(
    comparison: Comparison, results: Mapping[Job, JobResult], failures: Sequence[str]
) -> list[str]:
    if len(results) == len(comparison.jobs):
        return []
    count = f"{len(results)} of {len(comparison.jobs)} jobs have a result."
    return [f"**{count}** What failed:", "\n".join(f"- {line}" for line in failures)]


def _main(comparison: Comparison, summary: pd.DataFrame) -> str:
    limits = comparison.limits
    columns = [
        cost_column(comparison.currency),
        ABOVE_FORESIGHT,
        *share_columns(limits),
        *worst_columns(limits),
        *OF_TRAINING,
    ]
    return _by_method(comparison, summary, columns)


def _by_method(comparison: Comparison, summary: pd.DataFrame, columns: Sequence[Column]) -> str:
    return markdown_table(
        ["method", "n", *(column.heading for column in columns)],
        (
            [_name(comparison, row), str(row["seeds"]), *(column.cell(row) for column in columns)]
            for row in _longest(comparison, summary)
        ),
    )


def _negative(comparison: Comparison, tables: Tables) -> list[str]:
    summary, limits = as_observed(tables.summary, NEGATIVE_DAYS), comparison.limits
    if summary.empty:
        return []
    columns = [
        cost_column(comparison.currency),
        above_column(comparison.currency),
        ABOVE_FORESIGHT,
        *share_columns(limits),
        *worst_columns(limits),
    ]
    count = int(summary["number_of_days"].iloc[0])
    return [
        f"## The {count} days with negative prices" if count > 1 else "## A negative day",
        _by_method(comparison, summary, columns),
    ]


def _hardest(comparison: Comparison, days: pd.DataFrame) -> list[str]:
    """The days on which the first learner of the configuration breaks limits most often."""
    learners = [method for method in comparison.learners if (days["method"] == method).any()]
    if not learners:
        return []
    days = days[days["trial"] == AS_OBSERVED]
    longest = days.groupby("method")["budget"].transform("max")
    shown = days[(days["budget"] == longest) | (days["method"] == FORESIGHT)]
    means = shown.groupby(["method", "date"])[["cost", "any_steps", "lowest_price"]].mean()
    first = means.loc[learners[0]].sort_values(["any_steps", "cost"], ascending=False)
    floor = means.loc[FORESIGHT]["cost"] if FORESIGHT in means.index else None
    currency = comparison.currency

    def cell(method: str, date: str) -> str:
        if (method, date) not in means.index:
            return "–"
        row = means.loc[(method, date)]
        above = "" if floor is None else f", {money(row['cost'] - floor[date], currency)}"
        return f"{percent(row['any_steps'])}{above}"

    return [
        "## The hardest days",
        f"The {min(HARDEST, len(first))} days on which {look(comparison, learners[0]).name} breaks "
        "limits most often, or costs most where it breaks none: "
        f"{step_name(comparison.clock)}s outside any limit, and cost above perfect foresight, both "
        "as means over seeds at the largest budgets.",
        markdown_table(
            ["day", f"lowest price, {currency}/kWh", *(look(comparison, m).name for m in learners)],
            (
                [str(date), f"{row['lowest_price']:.3f}".replace("-", "−")]
                + [cell(method, str(date)) for method in learners]
                for date, row in first.head(HARDEST).iterrows()
            ),
        ),
    ]


def _robustness(comparison: Comparison, summary: pd.DataFrame) -> list[str]:
    if not comparison.robustness:
        return []
    described = [
        f"- **{words(name)}**: {trial.described}" for name, trial in comparison.robustness.items()
    ]
    return [
        "## Robustness",
        "The same policies, at each learner's largest budget, without any retraining, and the same "
        "public plan where there is one. Perfect foresight knows each trial as it is.",
        "\n".join(described),
        "Cost above perfect foresight of the same trial:",
        _by_trial(comparison, summary, ABOVE_FORESIGHT),
        f"{step_name(comparison.clock).capitalize()}s outside any limit:",
        _by_trial(comparison, summary, ANY_STEPS),
    ]


def _by_trial(comparison: Comparison, summary: pd.DataFrame, column: Column) -> str:
    """A row for each method, a column for each trial."""
    of_all = summary[summary["day_set"] != NEGATIVE_DAYS]
    trials = {
        name: {row["method"]: row for row in _longest(comparison, of_all[of_all["trial"] == name])}
        for name in comparison.trials
    }
    return markdown_table(
        ["method", *map(words, trials)],
        (
            [_name(comparison, row), *(column.cell(rows[key]) for rows in trials.values())]
            for key, row in trials[AS_OBSERVED].items()
        ),
    )


def _budgets(comparison: Comparison, tables: Tables) -> list[str]:
    summary = as_observed(tables.summary)
    learned = summary[summary["method"].isin(comparison.learners)]
    of_limits = [*share_columns(comparison.limits), ANY_STEPS]
    price, currency = comparison.quality.price, comparison.currency
    cost, score = cost_column(currency), score_column(currency)
    columns = [*OF_TRAINING, cost, ABOVE_FORESIGHT, *of_limits, score]
    rows = learned.to_dict("records")
    return [
        "## What a budget buys",
        "Every row is of trainings of their own, each annealed to the end of its budget. The score "
        f"is the cost plus {currency}{SPACE}{price:g} a day for every percentage point of "
        f"{step_name(comparison.clock)}s outside any limit.",
        markdown_table(
            ["method", "budget, s", "n", *(column.heading for column in columns)],
            (
                [
                    look(comparison, row["method"]).name,
                    f"{row['budget']:g}",
                    str(row["seeds"]),
                    *(column.cell(row) for column in columns),
                ]
                for row in rows
            ),
        ),
        f"![Final cost and violations over budgets]({figures.BUDGETS})",
        "A dot is a training, the line joins the means over seeds.",
        *_equal_quality(comparison, tables.equal_quality),
    ]


def _equal_quality(comparison: Comparison, table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    seeds, price = [f"seed_{seed}" for seed in comparison.seeds], comparison.quality.price
    ours = APPEARANCES[OURS].name
    at_price = table[table["price_factor"] == 1.0].to_dict("records")
    means = {
        (row["rival"], row["budget"], row["price_factor"]): row["mean"]
        for row in table.to_dict("records")
    }
    return [
        "## Time to equal quality",
        f"How many times {ours}'s training time a rival needs for a score as low as {ours}'s at "
        "the end of each of its budgets, on the same fleet (seed) and test days. The rival's "
        "score is interpolated between the ends of its own budgets, linearly in the logarithm of "
        "the seconds, never inside one training and never beyond its budgets: > stands where its "
        "longest training does not reach the score (the number is that training's time), < where "
        "its shortest already does. A rival that reaches it by luck has reached it. The mean is "
        "geometric; where a seed gives a bound, the mean is one, too.",
        markdown_table(
            ["rival", f"{ours}, s", *map(words, seeds), "mean", f"{LEVEL} interval"],
            (
                [
                    look(comparison, row["rival"]).name,
                    f"{row['budget']:g}",
                    *(row[column] or "–" for column in (*seeds, "mean", "interval")),
                ]
                for row in at_price
            ),
        ),
        "Why a price, and what hangs on it: a fleet can always be made cheaper by letting it break "
        "limits more often, so that times to equal cost alone mean nothing. The price is what "
        "GradMAP itself pays for keeping limits better when its margins are widened. With other "
        "prices the means are:",
        markdown_table(
            ["rival", f"{ours}, s"]
            + [f"{comparison.currency}{SPACE}{f * price:g} a point" for f in PRICE_FACTORS],
            (
                [
                    look(comparison, row["rival"]).name,
                    f"{row['budget']:g}",
                    *(means[row["rival"], row["budget"], f] or "–" for f in PRICE_FACTORS),
                ]
                for row in at_price
            ),
        ),
    ]


def _curves() -> list[str]:
    return [
        "## Training curves",
        f"![Training curves]({figures.CURVES})",
        "Every learner's longest training, on days of the validation year: the mean over seeds and "
        "their range. All of them anneal over their budget, so that a point inside a curve is not "
        "what a shorter training would have come to.",
    ]


def _files() -> str:
    files = {
        "results/*.json": "one for each job, as it was left",
        "days.csv": "every test day of every job, trial by trial",
        "curves.csv": "every point of every training curve",
        "trainings.csv": "every job, trial by trial, on all days and on those with negative prices",
        "summary.csv": "the same over seeds: means and half widths of intervals",
        "equal_quality.csv": "time ratios, for each price of violations",
    }
    return "\n".join(f"- `{name}`: {about}" for name, about in files.items())


# --- Parts ----------------------------------------------------------------------------------------


def _longest(comparison: Comparison, summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Each method's row of its largest budget: learners, rules, perfect foresight."""
    order = [*comparison.learners, *comparison.rules, FORESIGHT]
    rows = summary.sort_values("budget").drop_duplicates("method", keep="last")
    return sorted(rows.to_dict("records"), key=lambda row: order.index(row["method"]))


def _name(comparison: Comparison, row: Mapping[str, Any]) -> str:
    budget = "" if math.isnan(row["budget"]) else f", {row['budget']:g}{SPACE}s"
    return f"{look(comparison, row['method']).name}{budget}"

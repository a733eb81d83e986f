"""Cells, columns and tables of the page, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gradmap_trainer.report.words import SPACE

NAMES = {
    "cost": "€/day",
    "above_foresight": "above perfect foresight",
    "above_foresight_euro": "above perfect foresight, €/day",
    "any_steps": "outside any limit",
    "worst_loading": "worst loading",
    "score_above_foresight": "score above perfect foresight, €/day",
    "training_seconds": "seconds",
    "environment_steps": "environment steps",
}
OF_TRAINING = ("training_seconds", "environment_steps")


def cell(row: Mapping[str, Any], measure: str) -> str:
    """Mean ± half width, to decimals that suit the measure."""
    mean, half_width = row[measure], row[f"{measure}_half_width"]
    if math.isnan(mean) or (measure in OF_TRAINING and math.isnan(row["budget"])):
        return "–"
    factor, unit, decimals = 1.0, "", 0 if abs(mean) >= 100.0 else 1
    if measure == "above_foresight" or (measure.endswith("_steps") and measure not in OF_TRAINING):
        factor, unit, decimals = 100.0, f"{SPACE}%", 2
    elif measure == "worst_loading":
        decimals = 2
    certain = measure in OF_TRAINING or math.isnan(half_width)
    numbers = [mean] if certain else [mean, half_width]
    text = f"{SPACE}±{SPACE}".join(f"{factor * number:,.{decimals}f}" for number in numbers)
    return f"{text}{unit}".replace("-", "−")


def column(measure: str) -> str:
    """Heading of a measure; that of a kind of limit is its name."""
    return NAMES.get(measure) or words(measure.removesuffix("_steps"))


def words(name: str) -> str:
    """A name as words."""
    return name.replace("_", " ")


def listed(values: Iterable[object]) -> str:
    """Values with commas."""
    return ", ".join(map(str, values))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

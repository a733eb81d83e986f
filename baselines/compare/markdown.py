"""Cells, columns and tables of the page, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradmap_trainer.report.words import SPACE
from gridedge_env.constraints import Limits


@dataclass(frozen=True)
class Column:
    """How a measure is shown.

    Attributes:
        measure: its name in tables.
        heading: for people.
        in_percent: whether it is a share, to be read as a percentage.
        decimals: of numbers below 100, or of percentages.
        of_training: whether it is one of what learners alone have, about which no seeds differ.
    """

    measure: str
    heading: str
    in_percent: bool = False
    decimals: int = 1
    of_training: bool = False

    def cell(self, row: Mapping[str, Any]) -> str:
        """Mean ± half width over seeds."""
        mean, half_width = row[self.measure], row[f"{self.measure}_half_width"]
        if math.isnan(mean) or (self.of_training and math.isnan(row["budget"])):
            return "–"
        factor, unit = (100.0, f"{SPACE}%") if self.in_percent else (1.0, "")
        decimals = self.decimals if self.in_percent or abs(mean) < 100.0 else 0
        certain = self.of_training or math.isnan(half_width)
        numbers = [mean] if certain else [mean, half_width]
        text = f"{SPACE}±{SPACE}".join(f"{factor * number:,.{decimals}f}" for number in numbers)
        return f"{text}{unit}".replace("-", "−")


ABOVE_FORESIGHT = Column("above_foresight", "above perfect foresight", in_percent=True, decimals=2)
ANY_STEPS = Column("any_steps", "outside any limit", in_percent=True, decimals=2)
OF_TRAINING = (
    Column("training_seconds", "seconds", of_training=True),
    Column("environment_steps", "environment steps", of_training=True),
)


def cost_column(currency: str) -> Column:
    """What a day costs."""
    return Column("cost", f"{currency}/day")


def above_column(currency: str) -> Column:
    """By how much more it costs than under perfect foresight."""
    return Column("cost_above_foresight", f"above perfect foresight, {currency}/day")


def score_column(currency: str) -> Column:
    """The same, with a price on what is outside limits."""
    return Column("score_above_foresight", f"score above perfect foresight, {currency}/day")


def share_columns(limits: Limits) -> list[Column]:
    """How often each kind of limit was broken."""
    return [Column(f"{kind.name}_steps", kind.name, in_percent=True, decimals=2) for kind in limits]


def worst_columns(limits: Limits) -> list[Column]:
    """The worst of each kind of limit."""
    return [
        Column(kind.worst_name, kind.worst_heading, kind.in_percent, 1 if kind.in_percent else 4)
        for kind in limits
    ]


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

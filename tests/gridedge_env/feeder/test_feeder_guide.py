"""The tables of docs/feeders.md are those of the code."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from gridedge_env import PowerFlow, load_feeder
from gridedge_env.feeder import DATA
from gridedge_env.feeder.tables import TABLES, to_texts

GUIDE = (Path(__file__).parents[3] / "docs" / "feeders.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.*) \|$", flags=re.MULTILINE)


def test_every_table_and_column_is_described() -> None:
    texts = to_texts(load_feeder("ieee123"))
    described = {name: re.findall(r"`(\w+)`", cells) for name, cells in ROW.findall(GUIDE)}
    for table in TABLES:
        header = next(csv.reader(io.StringIO(texts[f"{table}.csv"])))
        assert described[table] == header


@pytest.mark.parametrize("name", sorted(folder.name for folder in DATA.iterdir()))
def test_every_built_in_feeder_is_described(name: str) -> None:
    (cells,) = [cells.split(" | ") for feeder, cells in ROW.findall(GUIDE) if feeder == name]
    flow = PowerFlow(load_feeder(name))
    assert cells[1:3] == [f"{len(flow.node_names):,}", f"{len(flow.injection_names):,}"]

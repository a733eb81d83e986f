"""Figures in the documentation that are cheap to have are those that the code gives today.

Tables of options, fields and parameters are held by the tests of their guides; of figures that take
long their pages name the command and the commit.
"""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from scipy import sparse

from gridedge_env import PowerFlow, load_feeder, make_simulator
from gridedge_env.powerflow import packed_network
from gridedge_env.powerflow.elimination import Elimination, eliminate

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str, heading: str) -> dict[str, list[str]]:
    """Cells of the first table below a heading by the first of each row, without their emphasis."""
    below = page(name).split(f"{heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", below, flags=re.MULTILINE)
    assert lines is not None
    cells = [
        [cell.strip() for cell in line.replace("**", "").replace("*", "").strip("| ").split("|")]
        for line in lines[0].splitlines()
    ]
    return {first: rest for first, *rest in cells}


def test_the_readme_has_the_figures_of_the_results():
    told, results = (
        rows("README.md", "## What it does"),
        rows("docs/results.md", "## Out of sample"),
    )
    names = {
        "GradMAP": "GradMAP",
        "every home follows a plan that all can work out, nothing learned": (
            "following the public plan, nothing learned"
        ),
        "every home follows the price": "price-following",
        "nobody does anything": "doing nothing (`idle`)",
        "perfect foresight: one planner who knows everybody's day": "perfect foresight",
    }
    for name, result in names.items():
        cost, _, voltage, loading, _ = results[result]
        assert told[name] == [cost, voltage, loading]


def test_the_sizes_of_the_readme():
    flow = make_simulator().power_flow
    assert f"{len(flow.injection_names)}\nconnections" in page("README.md")
    assert f"the {len(flow.node_names)} nodes" in page("README.md")
    assert f"# {8 * make_simulator().clock.steps} three-phase power flows" in page("README.md")


def test_the_losses_of_the_results():
    losses = PowerFlow(load_feeder("ieee123")).solve().losses.item()
    assert f"taps are {losses:.2f} kW" in page("docs/results.md")


@pytest.mark.parametrize("feeder", ["ieee13", "ieee37", "ieee123", "european_lv"])
def test_what_a_sweep_keeps(feeder, monkeypatch):
    names = {"ieee13": "IEEE 13", "ieee37": "IEEE 37", "ieee123": "IEEE 123"}
    found: list[Elimination] = []

    def kept_in_mind(*matrices: sparse.csr_array) -> Elimination:
        found.append(eliminate(*matrices))
        return found[-1]

    monkeypatch.setattr(packed_network, "eliminate", kept_in_mind)
    PowerFlow(load_feeder(feeder), backend="compiled")
    (one,) = found
    kept = one.lower[one.idle :][:, one.idle :]
    sizes = (len(one.node), len(one.node) - one.idle, one.lower.nnz, kept.nnz)
    table = rows("docs/power_flow.md", "sweep keeps:")
    assert table[names.get(feeder, "European LV")] == [f"{size:,}" for size in sizes]


def test_generated_demand_is_as_its_table_says(tmp_path, monkeypatch):
    """By the blocks of the page itself, and rounded as they print it."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```", page("docs/data.md"), flags=re.MULTILINE | re.DOTALL
    )
    with redirect_stdout(io.StringIO()) as printed:
        exec("\n".join(blocks[:2]), {"__name__": "__main__"})
    text = re.sub(r"quantile [\d.]+", "quantile", printed.getvalue().split("\n", 1)[1])
    energy, spread, *quantiles, deviation, of_means, hour, day, correlation, largest = re.findall(
        r"\d+\.\d+", text
    )
    measured = [energy, spread, hour, day, deviation, *quantiles, of_means, correlation, largest]
    table = rows("docs/data.md", "on 1,000 homes and the days of 2023:")
    assert [cells[-1] for cells in table.values()][2:] == measured

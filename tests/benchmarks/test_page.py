"""The page says what the record holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.page import cell, draw_and_write, number, text
from benchmarks.records import BenchmarkRun, Measurement, Spread, Table, Target

RESULT = Measurement(
    "power_flow",
    "Something was timed.",
    (Table("A caption.", ("batch", "µs"), ((1024, Spread(5.254, 5.0, 5.56, 9)),)),),
    (
        Target("power flow", 5.254, 6.0, False, "µs"),
        Target("over OpenDSS", 20.0, 30.0, True, "times"),
    ),
    ("A note.",),
)
RUN = BenchmarkRun(
    machine="A processor, 2 cores",
    versions={"Python": "3.11", "pandapower": "not installed", "numba": "not installed"},
    command="python -m benchmarks run power_flow",
    date="2026-11-22T23:00+00:00",
    commit="abc",
    quick=False,
    load=0.25,
    seconds=120.0,
    results=(RESULT,),
)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (5.254, "5.25"),
        (0.0123456, "0.0123"),
        (99.96, "100.0"),
        (1234.5, "1,230"),
        (1e6, "1,000,000"),
        (3.2e-9, "3.2e-09"),
        (-41.26, "-41.3"),
        (float("nan"), "–"),
    ],
)
def test_numbers_have_three_digits(value: float, written: str) -> None:
    assert number(value) == written


def test_cells() -> None:
    assert cell(Spread(2.0, 1.5, 2.5, 3)) == "2.00 (1.50–2.50)"
    assert cell(Spread(2.0, 2.0, 2.0, 1)) == "2.00"
    assert cell(8192) == "8,192"
    assert cell("8192") == "8192"


def test_the_page_of_a_record() -> None:
    page = text(RUN)
    for line in (
        "```bash\npython -m benchmarks run power_flow\n```",
        "- Machine: A processor, 2 cores.",
        "- Python 3.11.",
        "- 2026-11-22 23:00+00:00, commit abc; the run took 2.00 minutes.",
        '- pandapower: not installed: `pip install "gridedge[benchmarks]"`.',
        "- numba: not installed.",
        "| power flow | ≤ 6.00 µs | 5.25 µs | met |",
        "| over OpenDSS | ≥ 30.0 times | 20.0 times | **missed** |",
        "A caption.\n\n| batch | µs |\n| --- | --- |\n| 1,024 | 5.25 (5.00–5.56) |",
        "- A note.",
    ):
        assert f"\n{line}\n" in page
    assert "quick" not in page
    assert "quick pass" in text(replace(RUN, quick=True))


def test_a_picture_of_growth(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    curve = Table(
        "Time over nodes.",
        ("nodes", "µs"),
        ((10, Spread(1.0, 0.9, 1.2, 3)), (100, Spread(11.0, 10.0, 12.0, 3))),
    )
    memory = Table("Memory.", ("process", "MiB"), (("import torch", Spread(2.0, 2.0, 2.0, 1)),))
    growth = Measurement("growth", "Growth.", (curve, memory))
    draw_and_write(replace(RUN, results=(RESULT, growth)), tmp_path / "page.md")
    assert (tmp_path / "images" / "benchmarks" / "growth.png").stat().st_size > 1000
    assert "(images/benchmarks/growth.png)" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_nothing_to_draw(tmp_path: Path) -> None:
    draw_and_write(RUN, tmp_path / "page.md")
    assert not (tmp_path / "images").exists()
    assert "growth.png" not in (tmp_path / "page.md").read_text(encoding="utf-8")

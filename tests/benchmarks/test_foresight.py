"""The table of plans and bounds."""

from __future__ import annotations

import re

import pytest

from benchmarks.foresight import main


def test_it_prints_a_row_for_every_day_and_the_mean(capsys: pytest.CaptureFixture[str]) -> None:
    """Without network <= bound <= best found <= plan (which one iteration leaves far off).

    Means and differences are those of what is printed: to a cent, the rounding of two numbers.
    """
    main(days=2, iterations=1, num_agents=3)
    printed = capsys.readouterr().out
    assert "2 days of the test year" in printed
    rows = {}
    for name in ("2024-04-02", "2024-10-01", "mean"):
        (line,) = (line for line in printed.splitlines() if name in line)
        cells = re.findall(r"-?[\d,]+\.\d+", line)
        rows[name] = [float(cell.replace(",", "")) for cell in cells]
    first, second, mean = rows.values()
    expected = [(a + b) / 2.0 for a, b in zip(first[:8], second[:8], strict=True)]
    assert mean[:8] == pytest.approx(expected, abs=0.0101)
    for without, bound, curvature, found, _, planned, _, above, share in rows.values():
        assert without <= bound + 0.01
        assert bound - curvature - 0.01 <= found <= planned
        assert above == pytest.approx(planned - bound, abs=0.0101)
        assert share == pytest.approx(100.0 * above / abs(bound), abs=0.02)

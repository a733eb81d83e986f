"""The table of plans and bounds."""

from __future__ import annotations

import pytest

from benchmarks.foresight import main


def test_it_prints_a_row_for_every_day_and_the_mean(capsys: pytest.CaptureFixture[str]) -> None:
    main(days=2, iterations=1, num_agents=3)
    printed = capsys.readouterr().out
    assert "2 days of the test year" in printed
    for name in ("2024-04-02", "2024-10-01", "mean"):
        assert name in printed

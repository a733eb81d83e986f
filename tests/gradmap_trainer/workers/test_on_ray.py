"""When workers are started again, and when no more."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

from gradmap_trainer.metrics import append_metrics, last_metrics
from gradmap_trainer.workers.on_ray import MOST_IN_VAIN, GivingUp


def test_the_newest_whole_row_is_read(tmp_path: Path) -> None:
    """Also of a log that is longer than what is looked at, and while a row is being written."""
    assert last_metrics(tmp_path) == {}
    (tmp_path / "metrics.csv").write_text("iteration,sec")
    assert last_metrics(tmp_path) == {}
    (tmp_path / "metrics.csv").unlink()
    for k in range(2000):
        append_metrics(tmp_path, {"iteration": k, "seconds": 0.5 * k, "cost": 1e3})
        if k in (0, 1, 1999):
            assert last_metrics(tmp_path) == {"iteration": k, "seconds": 0.5 * k, "cost": 1e3}
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("2000,1.2")
    assert last_metrics(tmp_path)["iteration"] == 1999.0


def test_a_run_that_gets_no_further_is_given_up(tmp_path: Path) -> None:
    """Five failures in a row at the same iteration; getting further begins the count anew."""
    giving_up = GivingUp(tmp_path)
    failure = {1: ValueError("Traceback\nfrom far\nValueError: no such feeder")}
    for iteration in (1, 2):
        for _ in range(MOST_IN_VAIN - 1):
            giving_up.after_exception(None, failure)
        append_metrics(tmp_path, {"iteration": iteration, "seconds": 1.0})
    for _ in range(MOST_IN_VAIN - 1):
        giving_up.after_exception(None, failure)
    with pytest.raises(RuntimeError, match="failed 5 times after iteration 2: ValueError: no such"):
        giving_up.after_exception(None, failure)

"""Jobs spread over Ray: the tables that one process alone writes, though a worker is killed."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

from baselines.compare.config import load_comparison
from benchmarks.faults import started
from tests.baselines.small_comparison import compare
from tests.traces import addresses_listened_on, written

# A budget that one iteration spends, whatever the clock says: so it is the same each time.
CONFIG = """
seeds = [0]
rules = ["price_following"]
learners.gradmap = [0.001]
case = {feeder = "ieee13", num_agents = 6, home_scale = 60.0}
days = {test = 2, validation = 1, points = 1, foresight_iterations = 2}
running = {processes = 2}
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are told by /proc")
def test_the_same_tables_though_a_worker_is_killed(tmp_path: Path, home: Path) -> None:
    """Its job begins anew. Ray listens on the loopback interface alone, and leaves nothing."""
    config, here, there = (tmp_path / name for name in ("small.toml", "here", "there"))
    config.write_text(CONFIG, encoding="utf-8")
    words = [sys.executable, "-m", "baselines.compare", str(config), "--out", str(there)]
    words += ["--address", "local"]
    comparison = load_comparison(config)
    with started(words, home) as command:
        command.wait_for(lambda: len(command.called("ray::run_job")) == 2)
        os.kill(random.choice(command.called("ray::run_job")), signal.SIGKILL)
        assert addresses_listened_on(command.processes()) == {"127.0.0.1"}
        assert {path.stat().st_mode & 0o777 for path in written(home)} == {0o700}
        code, output, errors = command.end()
        assert code == 0, output + errors
        assert command.is_gone()
        assert not written(home)
    compare(comparison, here).tables.save(here)
    for name in ("days", "curves"):
        found, expected = (
            pd.read_csv(folder / f"{name}.csv").drop(columns="seconds", errors="ignore")
            for folder in (there, here)
        )
        pd.testing.assert_frame_equal(found, expected, check_exact=True)

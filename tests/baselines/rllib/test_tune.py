"""The search for settings: its command, on a case of one's own, and what it shows of itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

from baselines.rllib.config import RLConfig
from baselines.rllib.tune import main
from benchmarks.faults import started
from gradmap_trainer.config import config_from_record, save_config
from gradmap_trainer.run_folder import case_of_run
from gridedge_env import default_case
from tests.traces import addresses_listened_on, written

TRIAL = "ray::ImplicitFunc"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are told by /proc")
def test_the_best_on_a_case_of_ones_own(tmp_path: Path, home: Path) -> None:
    """Both trials play it. Ray listens on the loopback interface alone, and leaves nothing."""
    case = default_case("ieee13", 3)
    case.save(tmp_path / "case")
    run = tmp_path / "run"
    words = [sys.executable, "-m", "baselines.rllib.tune", "--case", str(tmp_path / "case")]
    words += ["--run", str(run), "--seconds", "1", "--trials", "2", "--address", "local"]
    with started(words, home) as command:
        command.wait_for(lambda: bool(command.called(TRIAL)))
        assert addresses_listened_on(command.processes()) == {"127.0.0.1"}
        assert {path.stat().st_mode & 0o777 for path in written(home)} == {0o700}
        code, output, errors = command.end()
        assert code == 0, output + errors
        assert command.is_gone()
        assert not [*home.iterdir()]
    assert "Best of 2 at " in output
    best = config_from_record(json.loads((run / "best.json").read_text()), RLConfig)
    assert best.case is None
    assert len((run / "tune.csv").read_text().splitlines()) == 3
    trials = [path for path in run.iterdir() if (path / "metrics.csv").is_file()]
    assert [case_of_run(trial) for trial in trials] == [case, case]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--address", "nowhere"], "address: got 'nowhere', expected 'local', 'auto' or HOST:PORT"),
        (["--case", "mine", "--num-agents", "7"], "case: got a case of your own and options of"),
        (["--validation-days", "1000"], "validation_days: got 1000, expected a whole number from"),
        (["--trials", "0"], "trials: got 0, expected a whole number of at least 1"),
    ],
)
def test_mistakes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    told: str,
) -> None:
    folder = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["tune", "--run", str(folder), *options])
    with pytest.raises(SystemExit, match="2"):
        main()
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not folder.exists()


def test_a_search_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one that was killed has left it; tune has no --resume."""
    save_config(RLConfig(), tmp_path)
    monkeypatch.setattr(sys, "argv", ["tune", "--run", str(tmp_path), "--num-agents", "3"])
    with pytest.raises(SystemExit, match="2"):
        main()
    error = capsys.readouterr().err
    assert "already holds a search or a run, expected another folder" in error
    assert "--resume" not in error

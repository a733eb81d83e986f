"""TensorBoard reads what the log says."""

import csv
import sys

import pytest

from baselines import self_supervised
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.event_log import EVENTS_FOLDER, event_log
from gradmap_trainer.flags import TrainFlags
from gridedge_env.case import CaseSettings

SMALL = TrainConfig(
    case=CaseSettings("ieee13", num_agents=6),
    iterations=2,
    batch_days=1,
    minibatches=1,
    hidden_sizes=(4,),
    evaluation_days=0,
)


def events(run):
    """(iteration, value) of every series in a run's folder, by name."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(run / EVENTS_FOLDER))
    found.Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def test_a_run_that_goes_on_takes_the_place_of_what_was_lost(tmp_path):
    """Iterations 3 and 4 were after the last checkpoint, and are done again."""
    pytest.importorskip("tensorboard")
    for iterations, cost in ((range(1, 5), 1.0), (range(3, 6), 2.0)):
        write = event_log(str(tmp_path), wanted=True)
        for iteration in iterations:
            write({"iteration": iteration, "cost": cost})
    assert events(tmp_path) == {"cost": [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0)]}


def test_a_command_writes_every_column_of_its_log(tmp_path):
    """In single precision, which events are in."""
    pytest.importorskip("tensorboard")
    config = TrainFlags.of(TrainConfig(**{**vars(SMALL), "run": str(tmp_path / "run")}))
    self_supervised.main(config, tensorboard=True)
    with (tmp_path / "run" / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    written = events(tmp_path / "run")
    assert set(written) == set(rows[0]) - {"iteration"}
    for name, series in written.items():
        assert [step for step, _ in series] == [1, 2]
        logged = [float(row[name]) for row in rows]
        assert [value for _, value in series] == pytest.approx(logged, rel=1e-6, nan_ok=True)


def test_without_the_package_the_option_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    message = r"tensorboard: got no such package, expected pip install 'gridedge\[tensorboard\]'"
    with pytest.raises(ValueError, match=message):
        event_log(str(tmp_path), wanted=True)
    event_log(str(tmp_path), wanted=False)({"iteration": 1.0})
    assert not list(tmp_path.iterdir())

"""A run folder that somebody sends is data: used if it is as the case would have it, or refused.

Whoever changes a checkpoint can give it the right digest, which is there against accidents.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from gradmap_trainer.checkpoint import (
    _NO_DIGEST,
    LATEST,
    PREVIOUS,
    load_checkpoint,
    save_checkpoint,
)
from gradmap_trainer.config import CONFIG_FILE, TrainConfig, load_config
from gradmap_trainer.metrics import METRICS_FILE
from gradmap_trainer.run_folder import case_of_run, load_learner
from gridedge_env import load_feeder, make_simulator
from gridedge_env.cli import case as case_command
from gridedge_env.evaluation_files import EPISODES_FILE
from gridedge_env.feeder import loading, opendss
from tests.gradmap_trainer.commands.calling import assert_one_line, call

SMALL = ["--num-agents", "3", "--iterations", "1", "--batch-days", "1", "--minibatches", "1"]
SMALL += ["--hidden-sizes", "4"]
TEST_DAY = ["--evaluation-days", "1", "--foresight-iterations", "0"]

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained and evaluated; tests do not change it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert call("gradmap-train", "--run", folder, "--feeder", "ieee13", *SMALL, *TEST_DAY) == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def change(run: Path, changed: Callable[[Tensors, dict[str, Any]], None]) -> None:
    """Give a run a checkpoint of other contents, with its digest."""
    tensors, record = load_checkpoint(run)
    changed(tensors, record)
    (run / PREVIOUS).unlink(missing_ok=True)
    (run / LATEST).unlink()
    save_checkpoint(run, tensors, record)


def becomes(name: str, value: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., None]:
    def changed(tensors: Tensors, record: dict[str, Any]) -> None:
        tensors[name] = value(tensors[name])

    return changed


def without(start: str) -> Callable[..., None]:
    def changed(tensors: Tensors, record: dict[str, Any]) -> None:
        for name in [name for name in tensors if name.startswith(start)]:
            del tensors[name]

    return changed


def said(**values: Any) -> Callable[..., None]:
    return lambda tensors, record: record.update(values)


MOMENT, SQUARE, DUAL, WEIGHT = (
    "optimiser.0.exp_avg",
    "optimiser.0.exp_avg_sq",
    "duals.voltage",
    "policies.shared_weight",
)
CHANGES: dict[str, tuple[Callable[..., None], str]] = {
    "a moment of one number": (
        becomes(MOMENT, lambda x: x.flatten()[:1].clone()),
        rf"{MOMENT} is torch.float32 \(1,\) in the checkpoint, expected torch.float32 \(3, 4,",
    ),
    "a moment of other agents": (becomes(MOMENT, lambda x: x[:2].clone()), MOMENT),
    "a moment in double precision": (becomes(MOMENT, torch.Tensor.double), "torch.float64"),
    "a moment of whole numbers": (becomes(SQUARE, torch.Tensor.long), "torch.int64"),
    "a negative square": (becomes(SQUARE, lambda x: x - 1.0), f"{SQUARE} has others"),
    "no moment": (without(MOMENT), f"no tensor '{MOMENT}'"),
    "no moments at all": (without("optimiser."), "no tensor 'optimiser.0.exp_avg'"),
    "one multiplier for all": (
        becomes(DUAL, lambda x: x[:1, :1].clone()),
        rf"{DUAL} is torch.float32 \(1, 1\) in the checkpoint, expected torch.float32 \(48,",
    ),
    "a negative multiplier": (becomes(DUAL, lambda x: x - 10.0), "expected numbers of at least 0"),
    "a multiplier that is no number": (becomes(DUAL, lambda x: x * torch.nan), f"{DUAL} has oth"),
    "an infinite weight": (becomes(WEIGHT, lambda x: x / 0.0), "expected finite numbers"),
    "a turned weight": (becomes(WEIGHT, lambda x: x.mT.clone()), f"{WEIGHT} is torch.float32"),
    "a tensor too many": (
        lambda tensors, record: tensors.update(more=torch.ones(1)),
        "a tensor 'more', expected none",
    ),
    "a negative iteration": (said(iteration=-1), "iteration: got -1, expected a whole number"),
    "an iteration in words": (said(iteration="1"), "iteration: got '1', expected a whole number"),
    "no end of seconds": (said(seconds=float("inf")), "seconds: got inf, expected a number"),
    "another format": (said(format=[1]), r"format is \[1\] in the checkpoint, expected 1"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_other_tensors_than_a_learners_are_refused(run: Path, what: str) -> None:
    """By resuming, and by whatever only uses the policies."""
    changed, told = CHANGES[what]
    change(run, changed)
    config, simulator = load_config(run, TrainConfig), make_simulator(case=case_of_run(run))
    for exact in (True, False):
        with pytest.raises(ValueError, match=told):
            load_learner(config, simulator, run, exact)


def test_all_commands_refuse_it_in_a_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A moment of a wrong shape, which used to end the process."""
    change(run, CHANGES["a moment of one number"][0])
    other = run.parent / "other"
    for command, *words in (
        ("gradmap-train", "--resume", "--run", run, "--iterations", 2),
        ("gradmap-train", "--warm-start", run, "--run", other, "--feeder", "ieee13", *SMALL),
        ("gradmap-evaluate", run, "--days", 1),
        ("gradmap-export", run),
        ("gradmap-monitor", run, "--readings", run / "case", "--policies", run),
    ):
        assert call(command, *words) == 2, command
        assert_one_line(capsys.readouterr().err, "optimiser.0.exp_avg is torch.float32 (1,)")
    assert not other.exists()


def sealed(header: Any, data: bytes = b"") -> bytes:
    """A file of safetensors' form with any header, and with a checkpoint's digest."""
    import hashlib

    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text = text.replace(b'"sha256": "', b'"sha256":"')
    whole = struct.pack("<Q", len(text)) + text + data
    digest = hashlib.sha256(whole).hexdigest().encode()
    return whole.replace(_NO_DIGEST.encode(), digest, 1)


TOLD = {"record": "{}", "sha256": _NO_DIGEST}
ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
FILES: dict[str, bytes] = {
    "no record": sealed({"__metadata__": {"sha256": _NO_DIGEST}}),
    "a record that is none": sealed({"__metadata__": {**TOLD, "record": "[1]"}}),
    "a record without end": sealed({"__metadata__": {**TOLD, "record": "[" * 100_000}}),
    "metadata that is none": sealed({"__metadata__": 7, "x": {**ONE, "sha256": _NO_DIGEST}}),
    "a tensor larger than the file": sealed(
        {"__metadata__": TOLD, "x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    ),
    "a tensor of no type": sealed({"__metadata__": TOLD, "x": {**ONE, "dtype": "OBJECT"}}, b"1234"),
    "parts elsewhere": sealed({"__metadata__": {**TOLD, "shards": '["../../other.safetensors"]'}}),
    "parts that are none": sealed({"__metadata__": {**TOLD, "shards": '{"a": [[]]}'}}),
    "parts that are not there": sealed(
        {"__metadata__": {**TOLD, "shards": '["shard-1-0-of-1.safetensors"]'}}
    ),
    "a header beyond all memory": struct.pack("<Q", 2**63 - 1) + b'"sha256":"' + b"0" * 64 + b'"',
    "a header of no length": sealed(b""),
    "text": b"hello",
    "nothing": b"",
}


@pytest.mark.parametrize("what", FILES)
def test_files_of_any_contents_are_no_checkpoints(run: Path, what: str) -> None:
    """They are refused; and training that begins anew can save beside them."""
    for name in (LATEST, PREVIOUS):
        (run / name).write_bytes(FILES[what])
    with pytest.raises(ValueError, match="expected a checkpoint of a GridEdge run, but"):
        load_checkpoint(run)
    save_checkpoint(run, {"x": torch.ones(1)}, {})
    assert load_checkpoint(run)[0].keys() == {"x"}


# ------------------------------------------------------------------------------- evaluation, report


def rewrite(path: Path, changed: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Another archive of arrays."""
    with np.load(path) as found:
        arrays = dict(found)
    changed(arrays)
    np.savez_compressed(path, allow_pickle=True, **arrays)


ARRAYS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "fewer nodes": (
        lambda a: a.update({"gradmap/voltage": a["gradmap/voltage"][..., :5]}),
        r"gradmap/voltage: got float32 \(1, 48, 5\), expected floating-point numbers \(1, 48, ",
    ),
    "costs of somebody else": (
        lambda a: a.update({"idle/agent_cost": a["idle/agent_cost"][:, :2]}),
        "idle/agent_cost: got",
    ),
    "text for numbers": (lambda a: a.update({"idle/cost": np.array(["x"])}), "idle/cost: got <U1"),
    "no number": (
        lambda a: a.update({"idle/cost": np.array([np.nan], np.float32)}),
        "idle/cost: got numbers that are none, expected finite ones",
    ),
    "another agent": (
        lambda a: a.update(agents=np.array(["x", *a["agents"][1:]])),
        "agents: got 'x', expected 'battery_0'",
    ),
    "no date": (lambda a: a.update(dates=np.array(["then"])), "Invalid isoformat"),
    "no dates": (lambda a: a.update(dates=np.array("2024-01-01")), r"dates: got <U10 \(\)"),
    "objects": (
        lambda a: a.update({"idle/cost": np.array([{}], dtype=object)}),
        "Object arrays cannot be loaded",
    ),
    "an array too many": (lambda a: a.update(more=np.ones(1)), "damaged .*'more'"),
    "an array too few": (lambda a: a.pop("import_price"), "damaged .*'import_price'"),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_other_arrays_than_the_cases_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    changed, told = ARRAYS[what]
    rewrite(run / EPISODES_FILE, changed)
    assert call("gradmap-report", run) == 2
    error = capsys.readouterr().err
    assert_one_line(error, EPISODES_FILE)
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(error)


def test_an_array_that_says_to_be_larger_than_all_memory_is_not_read(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of which NumPy would first ask for the memory."""
    array = np.lib.format.magic(1, 0)
    told = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n"
    with ZipFile(run / EPISODES_FILE, "w") as archive:
        archive.writestr("dates.npy", array + struct.pack("<H", len(told)) + told)
    assert call("gradmap-report", run) == 2
    assert_one_line(capsys.readouterr().err, "got 8,000,000,000,000 bytes of arrays, expected")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (CONFIG_FILE, "[" * 100_000, "maximum recursion depth"),
    ],
)
def test_other_files_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, told: str
) -> None:
    (run / name).write_text(content)
    assert call("gradmap-report", run) == 2
    assert_one_line(capsys.readouterr().err, told)


def test_a_report_is_of_the_log_that_the_checkpoint_was_saved_with(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other numbers, or a zero byte in one, before which alone it would have been read."""
    log = (run / METRICS_FILE).read_text()
    (run / METRICS_FILE).write_text(log[:-3] + ("1" if log[-3] == "2" else "2") + log[-2:])
    assert call("gradmap-report", run) == 2
    assert_one_line(capsys.readouterr().err, "is not the log that its checkpoint was saved with")


# ------------------------------------------------------------------------------------------ scripts


@pytest.fixture
def scripted(tmp_path: Path) -> Path:
    """A run whose configuration names an OpenDSS script, which must never run again."""
    pytest.importorskip("dss")
    script = tmp_path / "Master.dss"
    script.write_text(
        "clear\nnew circuit.c basekv=12.47 bus1=s\nnew line.l bus1=s bus2=b length=0.1\n"
        "new load.x bus1=b kv=12.47 kw=300\nset voltagebases=[12.47]\ncalcvoltagebases\nsolve\n"
    )
    folder = tmp_path / "run"
    assert call("gradmap-train", "--run", folder, "--feeder", script, *SMALL, *TEST_DAY) == 0
    return folder


def test_no_command_runs_the_script_of_a_run(
    scripted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run has the feeder's tables."""

    def ran(path: object) -> None:
        raise AssertionError(f"{path} was run")

    monkeypatch.setattr(opendss, "load_opendss", ran)
    assert json.loads((scripted / CONFIG_FILE).read_text())["case"]["feeder"].endswith(".dss")
    for command, *words in (
        ("gradmap-evaluate", scripted, "--days", 1, "--foresight-iterations", 0),
        ("gradmap-report", scripted),
        ("gradmap-export", scripted),
        ("gradmap-train", "--resume", "--run", scripted, "--iterations", 2, *TEST_DAY),
    ):
        assert call(command, *words) == 0, capsys.readouterr().err
    with pytest.raises(AssertionError, match="was run"):
        load_feeder(scripted.parent / "Master.dss")


def test_a_case_has_tables_and_no_script(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies where they are."""
    monkeypatch.setattr(loading, "load_feeder", lambda path: pytest.fail("any feeder is loaded"))
    feeder = run / "case" / "feeder"
    shutil.rmtree(feeder)
    feeder.write_text("clear")
    with pytest.raises(ValueError, match="feeder"):
        case_of_run(run)


LINKS = [
    ("report.html", ("gradmap-report", "{run}")),
    ("explorer.html", ("gradmap-report", "{run}")),
    ("bills.csv", ("gradmap-report", "{run}")),
    ("evaluation.json", ("gradmap-evaluate", "{run}", "--days", 1, "--foresight-iterations", 0)),
    ("policies", ("gradmap-export", "{run}")),
    (
        "monitor.html",
        ("gradmap-monitor", "{run}", "--readings", "{run}/case", "--policies", "{run}"),
    ),
    ("checkpoint-temporary.safetensors", ("gradmap-train", "--resume", "--run", "{run}")),
    ("case/feeder/lines.csv", ("gradmap-report", "{run}")),
]


@pytest.mark.parametrize(("name", "words"), LINKS)
def test_nothing_is_written_through_a_link(
    run: Path, capsys: pytest.CaptureFixture[str], name: str, words: tuple[object, ...]
) -> None:
    """Which would lead to a file of the user's; within the folder, links may be."""
    victim = run.parent / "victim"
    victim.write_text("mine")
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(victim)
    assert call(*(str(word).format(run=run) for word in words)) == 2
    assert_one_line(capsys.readouterr().err, f"{name} is a link out of the folder")
    assert victim.read_text() == "mine"
    (run / name).unlink()
    (run / "linked").symlink_to(run / CONFIG_FILE)
    assert load_config(run, TrainConfig).iterations == 1


def test_a_link_in_a_circle_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "around").symlink_to("around")
    assert call("gradmap-report", run) == 2
    assert_one_line(capsys.readouterr().err, "around is a link out of the folder")


def test_a_case_that_is_tried_is_not_drawn_through_a_link(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = run.parent / "victim"
    victim.write_text("mine")
    (run / "case" / "case.svg").symlink_to(victim)
    with pytest.raises(SystemExit):
        case_command(["check", str(run / "case")])
    assert "case.svg is a link out of the folder" in capsys.readouterr().err
    assert victim.read_text() == "mine"

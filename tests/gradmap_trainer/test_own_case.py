"""A case of one's own, from its folder to a report and policies, by commands alone."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gradmap_trainer.config import TrainConfig, load_config
from gradmap_trainer.run_folder import load_policies
from gridedge_env.case import default_case, load_case
from gridedge_env.cli import case as case_command
from tests.gradmap_trainer.commands.calling import call
from tests.gridedge_env.case_files.street import NAMES, write_street

SMALL = (
    *("--iterations", "2", "--batch-days", "1", "--minibatches", "2", "--hidden-sizes", "4"),
    *("--evaluation-days", "1", "--foresight-iterations", "5"),
)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases") / "street"
    write_street(folder)
    return folder


@pytest.fixture(scope="module")
def trained(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "street"
    assert call("gradmap-train", "--case", street, "--run", folder, *SMALL) == 0
    return folder


def test_a_run_holds_its_case_whole(street: Path, trained: Path) -> None:
    assert load_case(trained / "case") == load_case(street)
    assert load_config(trained, TrainConfig).case is None
    assert list(load_policies(trained)[1].fleet.names) == list(NAMES)


def test_a_moved_run_evaluates_to_the_same_numbers(
    street: Path, trained: Path, tmp_path: Path
) -> None:
    """Nothing in it points to where the case, or the run, was."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(trained, moved)
    before = json.loads((moved / "evaluation.json").read_text())
    assert call("gradmap-evaluate", moved, "--days", 1, "--foresight-iterations", 5) == 0
    assert json.loads((moved / "evaluation.json").read_text()) == before
    assert call("gradmap-export", moved) == 0
    assert {path.stem for path in (moved / "policies").glob("*.onnx")} == set(NAMES)
    assert call("gradmap-report", moved) == 0
    report = (moved / "report.html").read_text(encoding="utf-8")
    assert "own meter showed on the very day" in report
    for words in (
        "0.32 CHF/kWh",
        "Elm Street",
        "learned on 2024-03-02 to 2024-04-10",
        "Prices and weather are the case's own series",
        "Without one, and so with no demand but their devices': 1.",
        "batteries rest, heat pumps keep rooms just warm enough and generators stay off",
        "brought, in the run's case/",
    ):
        assert words in html.unescape(report), words
    for words in (
        "€",
        "Dutch",
        "Aachen",
        "homes that training has not seen",
        "cars",
        "roofs",
        "PV",
    ):
        assert words not in report
    for path in moved.rglob("*"):
        if path.suffix in {".json", ".toml", ".csv"}:
            assert str(street.parent) not in path.read_text(encoding="utf-8")


def test_a_run_on_metered_demand_needs_its_file_no_more(tmp_path: Path) -> None:
    """Moved, and the file of meters gone: evaluated to the same numbers, resumed and exported."""
    hours = pd.date_range("2018-01-01", "2018-12-31 23:00", freq="h", name="timestamp")
    power = np.random.default_rng(0).gamma(2.0, 0.25, (len(hours), 4)).round(3)
    file, run = tmp_path / "homes.csv", tmp_path / "run"
    pd.DataFrame(power, hours, ["ash", "birch", "cedar", "elm"]).to_csv(file)
    options = ("--feeder", "ieee13", "--num-agents", "3", "--step-minutes", "60", *SMALL[:-1], "0")
    assert call("gradmap-train", "--run", run, "--demand", file, *options) == 0
    file.unlink()
    moved = run.rename(tmp_path / "moved")
    before = json.loads((moved / "evaluation.json").read_text())
    assert call("gradmap-evaluate", moved, "--days", 1, "--foresight-iterations", 0) == 0
    assert json.loads((moved / "evaluation.json").read_text()) == before
    more = ("--resume", "--iterations", "3", "--evaluation-days", "0")
    assert call("gradmap-train", "--run", moved, *more) == 0
    assert load_policies(moved)[2].iteration == 3
    assert call("gradmap-export", moved) == 0


def test_policies_are_not_exported_under_other_customers_names(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a run's own case was edited since it was trained."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for table in (run / "case").glob("*.csv"):
        text = table.read_text(encoding="utf-8")
        table.write_text(text.replace("bob", "bill"), encoding="utf-8")
    assert call("gradmap-export", run) == 2
    assert "error: the checkpoint does not match this run: fleet_fin" in capsys.readouterr().err
    assert not (run / "policies").exists()


def test_a_run_goes_on_with_its_case(trained: Path, street: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    more = ("--run", run, "--resume", "--iterations", "3", "--evaluation-days", "0")
    assert call("gradmap-train", *more) == 0
    assert load_policies(run)[2].iteration == 3
    assert call("gradmap-train", *more, "--case", street) == 0


def test_what_does_not_fit_is_refused(
    trained: Path, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, run = tmp_path / "other", tmp_path / "run"
    default_case("ieee13", num_agents=6).save(other)
    shutil.copytree(trained, run)
    for arguments, message in (
        (("--run", run, "--resume", "--case", other), f"case: {other} is not the case of {run}"),
        (("--run", run, "--resume", "--seed", "3"), "case: got a case of your own and options of"),
        (("--run", tmp_path / "new", "--case", street, "--num-agents", "3"), "case: got a case of"),
        (("--run", tmp_path / "new", "--case", tmp_path), "case.toml not found, expected the fol"),
    ):
        assert call("gradmap-train", *arguments) == 2
        assert message in capsys.readouterr().err


def test_training_on_the_default_case_in_a_folder_is_training_on_it(tmp_path: Path) -> None:
    """To the bit: the same policies after two iterations."""
    options = ("--num-agents", "9", *SMALL[:-4], "--evaluation-days", "0")
    case_command(["new", str(tmp_path / "case"), "--num-agents", "9"])
    assert call("gradmap-train", "--run", tmp_path / "usual", *options) == 0
    own = ("--case", tmp_path / "case", *options[2:])
    assert call("gradmap-train", "--run", tmp_path / "own", *own) == 0
    usual, again = (load_policies(tmp_path / name)[2].policies for name in ("usual", "own"))
    for ours, theirs in zip(usual.parameters(), again.parameters(), strict=True):
        assert ours.equal(theirs)


def test_a_case_is_checked(
    street: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was found is said in 80 columns; what is wrong ends in 2, all of it, with its place.

    The feeder is drawn whether or not its buses have coordinates.
    """
    monkeypatch.setenv("COLUMNS", "80")
    folder = tmp_path / "street"
    shutil.copytree(street, folder)
    buses = pd.read_csv(folder / "feeder" / "buses.csv", dtype=str)
    buses.assign(x="", y="").to_csv(folder / "feeder" / "buses.csv", index=False)
    text = (folder / "case.toml").read_text(encoding="utf-8")
    text = text.replace('"Elm Street"', '"Elm Street [/] :smile: [red]"')
    (folder / "case.toml").write_text(text, encoding="utf-8")
    case_command(["check", str(folder)])
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    batteries = pd.read_csv(folder / "batteries.csv")
    # Of ann and bob, kWh a year at the mean of all complete days: all but the change of clocks.
    meters = pd.read_csv(folder / "meters.csv")
    own = meters.loc[~meters["timestamp"].str.startswith("2024-03-31"), ["meter 0", "meter 1"]]
    energy = 8760.0 * own.mean()
    for words in (
        *(
            "Elm Street [/] :smile: [red]",  # as it is, whatever it would mean to a terminal
            "CHF/day",
            "6 customers on ieee13",
            "2024-03-02",
            "clocks change",
            "price following",
        ),
        f"{energy.min():,.0f} to {energy.max():,.0f}",
        f"{energy.sum() / 1e3:.1f}",
        f"batteries  │ 2 │ {batteries['maximum_power'].sum():.0f} │",
        f"{batteries['capacity'].min():.1f} to {batteries['capacity'].max():.1f}",
        "Repaired, left out or assumed:",
        "Agents without a meter",
    ):
        assert words in told, words
    assert (folder / "case.svg").stat().st_size > 10_000
    for name in ("batteries", "generators"):
        text = (folder / f"{name}.csv").read_text(encoding="utf-8")
        (folder / f"{name}.csv").write_text(text.replace(",0.", ",none", 2), encoding="utf-8")
    with pytest.raises(SystemExit, match="2"):
        case_command(["check", str(folder)])
    error = capsys.readouterr().err
    assert "batteries.csv, row 2, column" in error
    assert "generators.csv, row 2, column" in error

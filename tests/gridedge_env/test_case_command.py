"""`gridedge-case check` believes no case of which days cannot be told in numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridedge_env import Case, cli, default_case
from gridedge_env.evaluation import Episode, Evaluation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "case"
    default_case("ieee13", 3, step_minutes=60).save(path)
    return path


@pytest.fixture(scope="module")
def played(folder: Path) -> Evaluation:
    simulator = cli.make_simulator(case=Case(**cli.read_case(folder)[0]))
    return cli.evaluate(simulator, {}, [40], "train", foresight_iterations=0)


def put(name: str, value: float, *place: int) -> Callable[[Episode], dict[str, Any]]:
    """A change: a number of an array, "voltage" among them."""

    def change(episode: Episode) -> dict[str, Any]:
        of_limit = name in episode.quantities
        array = np.array(episode.quantities[name] if of_limit else getattr(episode, name))
        array[place] = value
        return {"quantities": {**episode.quantities, name: array}} if of_limit else {name: array}

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put("store", math.nan, 0, 4, 1), "got nan as state of a device of 'heat_pump_0'"),
        (put("power", math.inf, 0, 4, 2), "got inf as kW at the meter of 'generator_0'"),
        (put("voltage", -math.inf, 0, 4, 0), "got -inf as voltage of 'sourcebus.1'"),
        (put("agent_cost", math.nan, 0, 0), "got nan as cost of the day of 'battery_0'"),
    ],
)
def test_what_is_no_finite_number_is_said_with_its_place(
    change: Callable[[Episode], dict[str, Any]],
    told: str,
    folder: Path,
    played: Evaluation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    episode = played.episodes["thermostat"]
    episodes = {**played.episodes, "thermostat": replace(episode, **change(episode))}
    monkeypatch.setattr(cli, "evaluate", lambda *_, **__: replace(played, episodes=episodes))
    with pytest.raises(SystemExit, match="2"):
        cli.case(["check", str(folder)])
    output = capsys.readouterr()
    time = "00:00" if "cost" in told else "04:00"
    said = f"{told} on {played.dates[0]} from {time} under thermostat, expected finite numbers"
    assert said in " ".join(output.err.split())
    assert "Nothing is wrong" not in output.out


def test_a_power_flow_that_was_not_solved_is_counted(
    folder: Path,
    played: Evaluation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its voltages are no numbers to believe, and the table says that there is one."""
    idle = played.episodes["idle"]
    converged = idle.converged.copy()
    converged[0, 4] = False
    voltage = put("voltage", math.nan, 0, 4, 0)(idle)
    episodes = {**played.episodes, "idle": replace(idle, converged=converged, **voltage)}
    monkeypatch.setattr(cli, "evaluate", lambda *_, **__: replace(played, episodes=episodes))
    cli.case(["check", str(folder)])
    assert "Nothing is wrong" in capsys.readouterr().out

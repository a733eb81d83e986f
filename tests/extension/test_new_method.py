"""A learning method is one file and one line of the registry; all that follows loops over it.

`random_search.py` beside this is the file; the line is one entry put into `METHODS` here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from baselines.compare.config import Job, load_comparison
from baselines.methods import METHODS, Budget, Trained, find, train
from gridedge_env import default_case, make_simulator
from gridedge_env.evaluation import evaluate
from gridedge_env.reference import play
from tests.baselines.small_comparison import compare, small_comparison
from tests.extension.whole_run import files_that_name

NAME = "random_search"
CASE = default_case("ieee13", num_agents=6)
A_TRY = 4 * 48  # steps: of four days


@pytest.fixture(scope="module", autouse=True)
def registry() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, NAME, f"tests.extension.{NAME}:{NAME}")
        yield


@pytest.fixture(scope="module")
def trained(registry: None) -> Trained:
    return train(NAME, CASE, Budget(environment_steps=12 * A_TRY), validation_days=4, points=3)


def test_no_file_of_the_packages_knows_it() -> None:
    assert files_that_name(NAME) == []
    # A built-in method's file is known to the registry alone.
    assert files_that_name("baselines.self_supervised:") == ["baselines/methods.py"]


def test_it_is_followed_as_it_learns(trained: Trained) -> None:
    """At once, and after thirds of its budget: days of another year become cheaper."""
    steps = [point.environment_steps for point in trained.curve]
    assert steps == [A_TRY, 4 * A_TRY, 8 * A_TRY, 12 * A_TRY]
    assert trained.curve[-1].outcome["cost"] < 0.9 * trained.curve[0].outcome["cost"]


def test_it_stands_in_the_table_beside_the_rules(trained: Trained) -> None:
    """With what its days cost: sums of 288 numbers up to 10 € in single precision."""
    simulator = make_simulator(case=CASE)
    found = evaluate(simulator, {NAME: trained.policy}, [40, 200], foresight_iterations=0)
    assert list(found.episodes) == [NAME, "idle", "thermostat", "price_following"]
    days = simulator.reset(split="test", days=[40, 200])
    cost = sum(result.cost.sum() for _, _, result in play(simulator, trained.policy, days))
    assert found.episodes[NAME].cost.sum() == pytest.approx(float(cost), rel=1e-5)


def test_it_is_compared_with_the_others(tmp_path: Path) -> None:
    """By its name in the configuration's file; on the page under one for people."""
    (tmp_path / "own.toml").write_text(
        f'seeds = [0]\nlearners.{NAME} = [0.1]\ncase = {{feeder = "ieee13", num_agents = 6}}\n'
    )
    learners = load_comparison(tmp_path / "own.toml").learners
    found = compare(replace(small_comparison(), learners=learners), tmp_path)
    assert found.results[Job(NAME, 0, 0.1)].curve[-1].seconds >= 0.1
    assert set(found.tables.trainings["method"]) == {"perfect_foresight", "price_following", NAME}
    assert "| Random search |" in found.page


def test_without_the_entry_it_is_refused_by_name() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(METHODS, NAME)
        with pytest.raises(ValueError, match=f"^method: got '{NAME}' .*, expected one of idle, "):
            find(NAME)

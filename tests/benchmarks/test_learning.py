"""The experiments: their command, and that each changes one thing alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.compare.statistics import Bounded
from baselines.self_supervised import DEFAULTS
from benchmarks.learning import few_days, frontier, imitation, ratio, sweep, trial
from benchmarks.learning.__main__ import EXPERIMENTS, WITH_OR_WITHOUT_PLAN, main
from benchmarks.learning.exact import simulating_anew
from benchmarks.learning.few_days import with_days
from benchmarks.learning.imitation import Seen, fit
from benchmarks.learning.one_kind import only
from benchmarks.learning.plan import columns_of_the_plan, unseeing
from benchmarks.learning.ratio import times_as_much
from benchmarks.learning.study import Study, at_the_plan, score
from benchmarks.learning.trial import Trial
from gradmap_trainer.gradmap import Update, iterate, make_learner, reuse_gradient
from gradmap_trainer.training_days import draw_days
from gridedge_env.reference import PlanFollowing
from gridedge_env.simulator import Simulator

STUDY = Study("ieee13", agents=21, iterations=2, days=2, foresight_iterations=2)
TINY = [
    *("--feeder", "ieee13", "--agents", "21", "--iterations", "1", "--days", "1"),
    *("--foresight-iterations", "2"),
]
# Of a training.
SMALL = {"batch_days": 1, "epochs": 2, "minibatches": 2}


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return STUDY.simulator


def after(update: Update, simulator: Simulator, iterations: int = 1) -> dict[str, torch.Tensor]:
    """The weights that begin following the plan, after some iterations of two days."""
    config = replace(STUDY.config, batch_days=2)
    learner = make_learner(config, simulator)
    at_the_plan(learner.policies)
    for _ in range(iterations):
        learner, _ = iterate(config, simulator, learner, update)
    return {name: weight.detach() for name, weight in learner.policies.named_parameters()}


def test_the_picture_of_a_frontier() -> None:
    """Each point is where it was measured."""
    points = {"gradmap": [(0.0, 0.01), (0.02, 0.005)], "self_supervised": [(0.01, 0.02)]}
    axes = frontier.drawn(points).axes[0]
    for line, expected in zip(axes.lines, points.values(), strict=True):
        assert np.array_equal(np.asarray(line.get_xydata()), expected)


def test_without_the_plan() -> None:
    assert not Study("ieee13", agents=21, public_plan=False).case.public_plan


@pytest.mark.parametrize("name", sorted(EXPERIMENTS.keys() - set(WITH_OR_WITHOUT_PLAN)))
def test_what_is_about_the_plan_cannot_go_without(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([name, *TINY, "--no-public-plan"])
    assert "--no-public-plan" in capsys.readouterr().err


# --- The command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["list"]])
def test_the_list(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == list(EXPERIMENTS)


@pytest.mark.parametrize(
    ("name", "options", "rows"),
    [
        ("few_days", [], 4),
        ("imitation", [], 4),
        ("one_kind", [], 6),
        ("exact", [], 4),
        ("plan", [], 5),
        ("other_source", [], 9),
        ("sweep", ["--seconds", "0.01"], 2),
        ("frontier", ["--seconds", "0.01", "--seeds", "1"], 2),
        ("ratio", ["--seeds", "1"], 1),
    ],
)
def test_experiments(
    name: str,
    options: list[str],
    rows: int,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Every row is printed and kept, with the settings of the training."""
    usual = vars(Study)["config"].fget
    monkeypatch.setattr(Study, "config", property(lambda study: replace(usual(study), **SMALL)))
    monkeypatch.setattr(Study, "simulator", simulator)  # it takes seconds to make
    monkeypatch.setattr(few_days, "DAYS", 2)
    monkeypatch.setattr(imitation, "DAYS", 2)
    monkeypatch.setattr(sweep, "BATCH_DAYS", (1,))
    monkeypatch.setattr(sweep, "LEARNING_RATES", (0.025,))
    monkeypatch.setattr(trial, "TIMED_ITERATIONS", 1)
    small = {name: (u, replace(config, **SMALL)) for name, (u, config) in frontier.METHODS.items()}
    monkeypatch.setattr(frontier, "MARGIN_SHARES", (1.0,))
    monkeypatch.setattr(frontier, "METHODS", small)
    monkeypatch.setattr(ratio, "DEFAULTS", replace(DEFAULTS, batch_days=1))
    monkeypatch.setattr(ratio, "OURS", (1.0,))
    monkeypatch.setattr(ratio, "THEIRS", (0.5, 1.0))
    path = tmp_path / "there" / "found.json"
    assert main([name, *TINY, *options, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["name"] == name
    assert record["training"]["case"]["num_agents"] == 21
    last = record["tables"][-1]
    assert len(last["rows"]) == rows
    for row in last["rows"]:
        assert f"| {row[0]} |" in printed
        assert len(row) == len(last["header"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["plan", *TINY, "--days", "400"], "days: got 400, expected a whole number from 1 to 362"),
        (["sweep", *TINY, "--seconds", "0"], "seconds: got 0.0, expected a positive number"),
        (["frontier", *TINY, "--seconds", "nan"], "seconds: got nan, expected a positive number"),
        (["ratio", *TINY, "--seeds", "0"], "seeds: got 0, expected a whole number of at least 1"),
        (["frontier", *TINY, "--picture", "x.xyz"], "picture: got x.xyz, expected one that ends"),
        (["plan", *TINY, "--json", "{file}/x.json"], "expected a file that can be written"),
        (["ratio", *TINY, "--json", "{folder}"], "{folder}, expected a file that can be written"),
    ],
)
def test_mistakes_are_told_at_once(
    words: list[str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for module in ("study", "trial"):
        monkeypatch.setattr(f"benchmarks.learning.{module}.iterate", None)  # nothing is trained
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    places = {"file": tmp_path / "file", "folder": tmp_path}
    assert main([word.format(**places) for word in words]) == 2
    assert complaint.format(**places) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- What an experiment changes -------------------------------------------------------------------


def test_few_days_are_all_that_is_drawn(simulator: Simulator) -> None:
    rows = [3, 100, 200]
    few = with_days(simulator, rows)
    dates = simulator.days("train").dates
    drawn = draw_days(few, 30, np.random.default_rng(0))
    assert {few.days("train").dates[day] for day in drawn} == {dates[row] for row in rows}
    assert few.days("validation").dates == simulator.days("validation").dates
    # The public plan is that of the whole year: the same day, the same plan.
    ours, theirs = (one.reset(days=[day]).day.planned for one, day in ((few, 1), (simulator, 100)))
    assert ours is not None
    assert theirs is not None
    assert torch.equal(ours.asked, theirs.asked)


def test_a_gradient_that_serves_for_all_steps_is_gradmaps(simulator: Simulator) -> None:
    """In as many parts the kernel sums in another order: some 1e-6 a step of 48 steps of 0.012."""
    steps = STUDY.config.epochs * STUDY.config.minibatches
    parts, whole = after(simulating_anew(steps), simulator), after(reuse_gradient, simulator)
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=0.0, atol=1e-3)
    anew = after(simulating_anew(1), simulator)
    assert any((anew[name] - weight).abs().max() > 1e-3 for name, weight in whole.items())


def test_homes_that_do_not_learn_stay_as_they_are(simulator: Simulator) -> None:
    first, second, _ = (group.agent for group in simulator.fleet.groups)
    none, one, both = (after(only([first, second]), simulator, count) for count in (0, 1, 2))
    for name, weight in none.items():
        moved = (one[name] != weight).flatten(1).any(dim=1)
        assert moved[first].all()
        assert moved.sum() == len(first)
        moved = (both[name] != one[name]).flatten(1).any(dim=1)
        assert moved[second].all()
        assert moved.sum() == len(second)


def test_what_is_not_seen_is_not_learned_from(simulator: Simulator) -> None:
    plain = replace(STUDY.config, case=replace(STUDY.case, public_plan=False)).make_simulator()
    columns = columns_of_the_plan(simulator, plain)
    names = [simulator.observation_fields[column].name for column in columns]
    assert names == ["planned_action", "planned_state", "congestion_price", "planned_draw_around"]
    begun, moved = after(reuse_gradient, simulator, 0), after(unseeing(columns), simulator)
    changed = moved["private_weight"] != begun["private_weight"]
    assert not changed[..., columns].any()
    assert changed[..., 0].any()


def test_policies_that_put_out_nothing_follow_the_plan(simulator: Simulator) -> None:
    """To the rounding of single precision."""
    policies = at_the_plan(make_learner(STUDY.config, simulator).policies)
    seen = simulator.observe_parts(simulator.reset(days=[20]))
    followed = PlanFollowing(simulator)(*seen)
    assert followed.abs().max() > 0.1
    torch.testing.assert_close(policies(*seen), followed, rtol=0.0, atol=1e-6)


def test_imitation_comes_closer_to_what_it_imitates(simulator: Simulator) -> None:
    learner = make_learner(STUDY.config, simulator)
    seen = Seen.of(STUDY.exam("train", [10, 200]))
    before = seen.explained(learner.policies)
    config = replace(STUDY.config, iterations=20)
    fit(learner.policies, learner.optimiser, seen, config, np.random.default_rng(0))
    assert before < seen.explained(learner.policies) < 1.0


# --- Ratios ---------------------------------------------------------------------------------------


def test_how_many_times_as_much() -> None:
    """Half-way between scores of 110 and 90, in logarithms, from 10 to 40 s: 20 s are 4 times 5 s.

    Each percentage point of steps outside costs 13 €: 77 and 1 % are 90.
    """

    def done(seconds: float, cost: float, outside: float = 0.0) -> Trial:
        outcome = {"cost": cost, "any_steps": outside}
        return Trial(1, round(10 * seconds), seconds, outcome)

    rivals = [done(10.0, 110.0), done(40.0, 77.0, 0.01)]
    assert score(rivals[1].outcome) == pytest.approx(90.0)
    mine = done(5.0, 100.0)
    found = times_as_much(mine, rivals, "cpu_seconds")
    assert found.bound == ""
    assert math.isclose(found.value, 4.0)
    assert times_as_much(mine, rivals, "environment_steps").value == pytest.approx(4.0)
    assert times_as_much(done(5.0, 80.0), rivals, "cpu_seconds") == Bounded(8.0, ">")

"""A kind of limit is one class and its name in the registry; all that follows loops over it.

`network_losses.py` beside this is the class; the registry is patched here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gradmap_trainer.commands.train import parse_train
from gradmap_trainer.config import load_config, save_config
from gradmap_trainer.gradmap import make_learner
from gradmap_trainer.run_folder import load_policies
from gradmap_trainer.training import open_run
from gridedge_env import CaseSettings, Limits, Simulator, constraints, make_simulator, parallel_env
from gridedge_env.evaluation import TOLERANCE, outside_any, outside_limits, summarise
from gridedge_env.powerflow import FixedPoint
from gridedge_env.reference import PriceFollowing, lower_bound, perfect_foresight, play
from tests.extension.network_losses import NetworkLosses
from tests.extension.whole_run import (
    WholeRun,
    assert_complete,
    assert_exported,
    files_that_name,
    small_config,
    whole_run,
)

# Six sites as large as sixty homes each lose 5 kW at rest, and 100 where all follow the price.
MAXIMUM = 10.0
SETTINGS = {"feeder": "ieee13", "num_agents": 6, "home_scale": 60.0}
KINDS = ["voltage", "loading", "unbalance", "losses"]


@pytest.fixture(scope="module", autouse=True)
def registry() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        kinds = (*constraints.LIMIT_KINDS, NetworkLosses)
        patch.setattr(constraints, "LIMIT_KINDS", kinds)
        yield


@pytest.fixture(scope="module")
def settings(registry: None) -> CaseSettings:
    return CaseSettings(limits={"maximum_losses": MAXIMUM}, **SETTINGS)


@pytest.fixture(scope="module")
def simulator(settings: CaseSettings) -> Simulator:
    """Solved to rounding for finite differences."""
    simulator = make_simulator(case=settings.make(), dtype=torch.float64)
    simulator.power_flow.settings = FixedPoint(1e-14, 200, check_convergence=True)
    return simulator


@pytest.fixture(scope="module")
def run(settings: CaseSettings, tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    folder = tmp_path_factory.mktemp("runs") / "losses"
    return whole_run(settings.make(), folder, case=settings, learning_rate=0.1, trust_region=0.5)


def test_no_file_of_the_packages_knows_it() -> None:
    assert files_that_name("maximum_losses") == []
    assert files_that_name("NetworkLosses") == []
    # A built-in kind's class is known where it is defined and registered alone.
    assert files_that_name("class Unbalance") == files_that_name("Unbalance)")
    assert files_that_name("Unbalance)") == ["gridedge_env/constraints.py"]


# Limits and results -------------------------------------------------------------------------------


def test_its_threshold_is_one_of_the_limits() -> None:
    limits = Limits(maximum_losses=20.0)
    assert [kind.name for kind in limits] == KINDS
    assert limits.maximum_losses == 20.0
    assert limits.thresholds["maximum_losses"] == 20.0
    assert Limits(0.95, 1.05, 1.0, 0.02, 20.0) == limits
    assert limits.tightened(losses=5.0).maximum_losses == 15.0
    with pytest.raises(ValueError, match=r"unknown threshold 'colour', expected .*maximum_losses"):
        Limits(colour=1.0)


def test_it_is_measured_and_counted_in_the_reward_by_hand(simulator: Simulator) -> None:
    """Losses of L kW are (L - 10) / 10 units of violation, in equal shares among six agents."""
    state = simulator.reset(days=[15])
    _, result = simulator.step(state, torch.ones(1, 6, 1, dtype=torch.float64))
    lost = result.solution.losses
    assert float(lost) > 2.0 * MAXIMUM
    assert torch.equal(result.quantities["losses"], lost[:, None])
    torch.testing.assert_close(result.violations["losses"][:, 0], lost - MAXIMUM)
    others = sum(
        result.violations[kind.name].sum() / kind.scale for kind in list(simulator.case.limits)[:3]
    )
    assert float(result.violation) == pytest.approx(float(others + (lost - MAXIMUM) / 10.0))
    share = simulator.case.penalty / 6 * result.violation
    torch.testing.assert_close(result.reward, -result.cost - share[:, None])


def test_its_gradient_against_differences(simulator: Simulator) -> None:
    """Central, h = 1e-5: what they leave out is of the order of h², rounding 1e-13 kW over h."""
    state = simulator.reset(days=[15])
    action = torch.full((1, 6, 1), 0.5, dtype=torch.float64, requires_grad=True)

    def losses(action: torch.Tensor) -> torch.Tensor:
        return simulator.step(state, action)[1].violations["losses"].sum()

    (gradient,) = torch.autograd.grad(losses(action), action)
    for agent in range(6):
        step = torch.zeros_like(action)
        step[0, agent] = 1e-5
        slope = (losses(action + step) - losses(action - step)).item() / 2e-5
        assert gradient[0, agent].item() == pytest.approx(slope, abs=1e-6)
    assert gradient.abs().max() > 1.0


def test_the_pettingzoo_view_tells_of_it(settings: CaseSettings) -> None:
    case = settings.make()
    strict, free = (
        parallel_env(case=case),
        parallel_env("ieee13", num_agents=6, home_scale=60.0, limits=Limits(maximum_losses=1e6)),
    )
    violations = []
    for env in (strict, free):
        env.reset(seed=0)
        *_, infos = env.step(dict.fromkeys(env.agents, np.ones(1, np.float32)))
        violations.append(infos["battery_0"]["violation"])
    assert violations[0] > violations[1] + 0.1


# Planning -----------------------------------------------------------------------------------------


def test_perfect_foresight_keeps_it_and_its_certificate_knows_it(simulator: Simulator) -> None:
    """Planned with half a kilowatt to spare: it is kept, and is among the bound's tangents.

    On a day on which the limit binds: without the network, the bound is lower.
    """
    state = simulator.reset(split="test", days=[40])
    limits = simulator.case.limits.tightened(losses=0.5)
    strict = make_simulator(case=replace(simulator.case, limits=limits), dtype=torch.float64)
    plan = perfect_foresight(strict, state, 200)
    rival = [r.solution.losses for _, _, r in play(simulator, PriceFollowing(simulator), state)]
    planned = simulator.simulate(state, plan)
    assert planned.solution.losses.max() < MAXIMUM < 0.2 * torch.stack(rival).max()
    bound = lower_bound(simulator, state, plan)
    kept = simulator.simulate(state, bound.actions)
    assert 0.95 * MAXIMUM < kept.solution.losses.max() <= MAXIMUM
    assert bound.cost[0] > bound.cost_without_network[0] + 1.0
    assert bound.cost[0] <= float(kept.cost.sum()) + 1e-3


# A run --------------------------------------------------------------------------------------------


def test_it_is_trained_with_multipliers_of_its_own(run: WholeRun) -> None:
    assert_complete(run)
    assert list(run.fresh.duals) == list(run.learner.duals) == KINDS
    assert run.fresh.duals["losses"].shape == (48, 1)
    assert (run.learner.duals["losses"] > run.fresh.duals["losses"]).any()
    for column in ("losses_violation", "losses_steps"):
        assert max(row[column] for row in run.log) > 0.0


def test_it_is_in_the_table_and_comes_back_from_its_file(run: WholeRun) -> None:
    """Shares and the worst by hand, from the losses of every step of every day."""
    for method, episode in run.loaded.episodes.items():
        lost = episode.quantities["losses"]
        assert lost.shape == (2, 48, 1)
        row = run.table[method]
        outside = lost[..., 0] > MAXIMUM + TOLERANCE
        assert row["losses_steps"] == pytest.approx(outside.mean())
        assert row["worst_losses"] == pytest.approx(float(lost.max()))
        limits = run.simulator.case.limits
        assert summarise(episode, limits) == row
        assert np.array_equal(outside_limits(episode, limits)["losses"], outside)
        assert outside_any(episode, limits)[outside].all()
    assert run.table["price_following"]["losses_steps"] > run.table["idle"]["losses_steps"] + 0.1


def test_it_is_in_the_report(run: WholeRun) -> None:
    """Table, key figures and rules have its words; so does the legend of the learning curves."""
    page = run.report.replace("\N{NON-BREAKING HYPHEN}", "-")
    for told in (
        "half-hours with too much lost",
        "worst losses, kW",
        "of half-hours with losses beyond the agreed ones",
        "10 kW of losses",
    ):
        assert told in page, told


def test_it_is_exported(run: WholeRun) -> None:
    assert_exported(run)


def test_a_run_goes_on_and_is_loaded_with_it(run: WholeRun, settings: CaseSettings) -> None:
    """Its multipliers are in the checkpoint, its threshold in the configuration."""
    folder = Path(run.exported[0]).parents[1]
    config, simulator, learner = load_policies(folder)
    assert config.case == settings
    assert simulator.case.limits.maximum_losses == MAXIMUM
    resumed = open_run(config, simulator, resume=True)
    for found in (learner, resumed):
        assert torch.equal(found.duals["losses"], run.learner.duals["losses"])
    assert resumed.iteration == 3


def test_it_is_an_option_of_the_command(tmp_path: Path) -> None:
    config = parse_train(["--limits", "maximum_losses", "50"]).config
    assert config.case is not None
    assert config.case.limits == {"maximum_losses": 50.0}
    save_config(config, tmp_path)
    assert load_config(tmp_path, type(config)) == config
    record = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert record["case"]["limits"] == {"maximum_losses": 50.0}
    with pytest.raises(ValueError, match="limits: unknown threshold 'maximum_loss'"):
        CaseSettings(limits={"maximum_loss": 50.0})


def test_without_it_in_the_registry_it_is_refused(tmp_path: Path, settings: CaseSettings) -> None:
    learner = make_learner(small_config(tmp_path, case=settings), make_simulator("ieee13", 3))
    assert "losses" in learner.duals
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constraints, "LIMIT_KINDS", constraints.LIMIT_KINDS[:3])
        with pytest.raises(ValueError, match="limits: unknown threshold 'maximum_losses'"):
            settings.make()

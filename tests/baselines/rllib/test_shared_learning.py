"""Homes that share parameters, at work on RLlib: gradients, multipliers, checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("ray", reason="needs the rllib extra")

from baselines.rllib.config import SHARED
from baselines.rllib.run import load_policy, open_folder, running
from baselines.rllib.shared.policies import SharedPolicies
from gridedge_env.case import CaseSettings

# Limits that a few homes break by what they do at random.
LIMITS = {"minimum_voltage": 0.985, "maximum_voltage": 0.995, "maximum_loading": 0.3}
SMALL = replace(
    SHARED,
    case=CaseSettings("ieee13", num_agents=6, limits=LIMITS),
    seconds=1e9,
    batch_days=4,
    minibatches=4,
    hidden_sizes=(8,),
    voltage_margin=0.0,
    loading_margin=0.0,
    validation_days=1,
    evaluation_days=0,
)


@pytest.mark.parametrize("algorithm", ["ippo", "mappo"])
def test_gradients_reach_all_parameters_and_multipliers_go_with_the_run(
    ray_running, tmp_path, algorithm
):
    """One iteration moves each weight; the next begins with the multipliers that it left."""
    config = replace(SMALL, run=str(tmp_path / "run"), algorithm=algorithm, multiplier_step=2.0)
    simulator = config.make_simulator()
    open_folder(config, simulator)
    with running(config, simulator) as run:
        module = run.training.algorithm.get_module()
        before = {name: weight.clone() for name, weight in module.named_parameters()}
        row = next(run.rows())
        still = [name for name, x in module.named_parameters() if torch.equal(x, before[name])]
        assert not still
        assert row["environment_steps"] == 4 * 48
        risen = run.training.multipliers
        assert risen["voltage"] > 0.0
        assert row["voltage_multiplier"] == risen["voltage"]
        run.save()
        learned = run.training.policy
        assert isinstance(learned, SharedPolicies)
    seen = simulator.observe_parts(simulator.reset(batch_size=2, seed=1))
    _, _, loaded = load_policy(Path(config.run))
    assert isinstance(loaded, SharedPolicies)
    torch.testing.assert_close(loaded.networks(*seen), learned.networks(*seen), rtol=0.0, atol=0.0)
    with running(config, simulator) as run:
        assert run.training.multipliers == risen
        days = run.training.algorithm.env_runner.env.unwrapped
        assert days.multipliers == risen
        assert run.training.iteration == 1

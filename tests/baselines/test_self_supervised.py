"""The rival's one step per gradient, and that its runs are runs like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gridedge_env
from baselines.self_supervised import DEFAULTS, main, use_gradient_once
from gradmap_trainer.flags import TrainFlags
from gradmap_trainer.gradmap import (
    Learner,
    differentiate,
    iterate,
    make_learner,
    roll_out,
)
from gradmap_trainer.objective import Objective
from gradmap_trainer.policies import REST_BAND, to_leaning_action
from gradmap_trainer.run_folder import load_policies
from gradmap_trainer.training import open_run, train
from gridedge_env.case import CaseSettings

CONFIG = replace(
    DEFAULTS,
    case=CaseSettings(num_agents=9, home_scale=60.0),
    batch_days=2,
    hidden_sizes=(6,),
    iterations=4,
    checkpoint_seconds=0.0,
    evaluation_days=0,
)


@pytest.fixture(scope="module")
def simulator():
    return CONFIG.make_simulator()


def test_the_step_is_the_gradient_of_the_objective_in_the_weights():
    """By PyTorch, end to end: J of the days as a function of the weights, observations held.

    Each agent's is then over the root mean square of its dJ/da and over the number of samples.
    Plain gradient descent with a rate of 1 shows it as the change of the weights. Outputs are put
    off rest, where an action does not follow its output. Double precision: the power flow's 1e-11
    pu, amplified by violations of several hundred, leaves 1e-7 of the largest gradient.
    """
    exact = gridedge_env.make_simulator(num_agents=9, home_scale=60.0, dtype=torch.float64)
    learner = make_learner(CONFIG, exact)
    policies = learner.policies.double()
    duals = {kind: dual.double() for kind, dual in learner.duals.items()}
    with torch.no_grad():
        policies.biases[-1][::2] += 2.0 * REST_BAND
        policies.biases[-1][1::2] -= 2.0 * REST_BAND
    limits = exact.case.limits.tightened(voltage=0.01, loading=0.1)
    objective = Objective(limits, duals, 100.0, days=2)
    state = exact.reset(split="train", days=[10, 200], seed=1)
    rollout = roll_out(exact, policies, state, sweeps=2)
    found = differentiate(exact, rollout, objective)
    assert any((x > 0.0).any() for x in found.violations.values()), "nothing to learn from"

    private = rollout.private.flatten(0, 1).permute(1, 2, 0)
    outputs = policies.outputs(private, rollout.shared.flatten(0, 1).T)
    actions = to_leaning_action(outputs.permute(2, 0, 1).unflatten(0, (48, 2)))
    result = exact.simulate(state, actions, rollout.device_voltage)
    mean = objective.of_days(state.day, result.cost, result.scaled_violations(limits)).mean()
    weights = list(policies.parameters())
    expected = torch.autograd.grad(mean, weights)
    size = found.gradient.square().mean(dim=(0, 1, 3)).sqrt() * private.shape[-1]

    before = [weight.detach().clone() for weight in weights]
    plain = replace(learner, optimiser=torch.optim.SGD(weights, lr=1.0))
    use_gradient_once(CONFIG, exact, plain, found, 0.0, np.random.default_rng(0))
    for weight, old, slope in zip(weights, before, expected, strict=True):
        step = slope / size[:, None, None]
        torch.testing.assert_close(
            weight.detach() - old, -step, rtol=1e-5, atol=1e-7 * float(step.abs().max())
        )


def test_one_step_an_iteration(simulator):
    learner = make_learner(CONFIG, simulator)
    for done in (1, 2):
        learner, row = iterate(CONFIG, simulator, learner, use_gradient_once)
        assert row["iteration"] == learner.iteration == done
        assert row["environment_steps"] == done * 2 * 48
        moments = learner.optimiser.state_dict()["state"].values()
        assert {int(moment["step"]) for moment in moments} == {done}


def test_the_learning_rate_falls_geometrically(simulator):
    config = replace(CONFIG, learning_rate=0.08, final_learning_rate=0.02, iterations=4)
    learner = make_learner(config, simulator)
    rates = []
    for _ in range(5):
        learner, row = iterate(config, simulator, learner, use_gradient_once)
        rates.append(row["learning_rate"])
    assert rates == pytest.approx([0.08, 0.08 / 2**0.5, 0.04, 0.04 / 2**0.5, 0.02])


def test_training_lowers_the_objective(simulator):
    """On fixed days, at the multipliers of the beginning."""
    config = replace(CONFIG, iterations=25)
    learner = make_learner(config, simulator)
    duals = learner.duals
    state = simulator.reset(split="train", days=[3, 170, 300], seed=5)

    def objective(learner: Learner) -> float:
        rollout = roll_out(simulator, learner.policies, state, sweeps=3)
        actions = to_leaning_action(rollout.outputs)
        result = simulator.simulate(state, actions, rollout.device_voltage)
        violations = result.scaled_violations(simulator.case.limits)
        at_first = Objective(simulator.case.limits, duals, 100.0, days=3)
        return float(at_first.of_days(state.day, result.cost, violations).mean())

    before = objective(learner)
    for _ in range(config.iterations):
        learner, _ = iterate(config, simulator, learner, use_gradient_once)
    assert objective(learner) < 0.95 * before


def run(folder: Path, simulator, iterations: int | None = None) -> Learner:
    """Begin a run, or go on with it, for so many iterations or to its end."""
    config = replace(CONFIG, run=str(folder))
    begun = open_run(config, simulator, resume=True)
    seen: list[Learner] = []

    def stop() -> bool:
        return len(seen) == iterations

    return train(config, simulator, begun, lambda x, row: seen.append(x), stop, use_gradient_once)


def test_a_run_is_resumed_bit_for_bit_and_read_like_any_other(tmp_path, simulator):
    whole = run(tmp_path / "whole", simulator)
    run(tmp_path / "parts", simulator, iterations=2)
    resumed = run(tmp_path / "parts", simulator)
    _, _, loaded = load_policies(tmp_path / "parts")
    for learner in (resumed, loaded):
        assert learner.iteration == 4
        for kind, dual in whole.duals.items():
            assert torch.equal(learner.duals[kind], dual)
        for name, weight in learner.policies.state_dict().items():
            assert torch.equal(weight, whole.policies.state_dict()[name])


def test_the_command_makes_a_run(tmp_path, capsys):
    flags = TrainFlags.of(replace(CONFIG, run=str(tmp_path / "run"), iterations=2))
    main(flags)
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3
    with pytest.raises(SystemExit, match="2"):
        main(flags)
    assert "already holds a run, expected --resume" in capsys.readouterr().err

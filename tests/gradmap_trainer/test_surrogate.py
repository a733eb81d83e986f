"""The surrogate that reuses a gradient, and its trust region."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import (
    Rollout,
    change_on_first_day,
    differentiate,
    improve_policies,
    make_learner,
    roll_out,
    samples_of,
)
from gradmap_trainer.objective import Objective
from gradmap_trainer.policies import Policies
from gridedge_env import CaseSettings, Simulator

CONFIG = TrainConfig(batch_days=2, minibatches=4)


def one_sample_update(distance: float, gradient: float, trust_region: float = 0.1) -> float:
    """Change of one agent's output bias in one plain gradient step of size 1.

    The policy stands `distance` from the output whose gradient was taken.
    """
    policies = Policies(1, 1, 1, 1, (2,), 0, torch.device("cpu"))
    private, shared = torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1)
    output = policies.outputs(private[0], shared[0]).detach()[None] - distance
    rollout = Rollout(None, private, shared, output, 0.0 * output, torch.empty(0), torch.ones(1))
    before = policies.biases[-1].detach().clone()
    improve_policies(
        policies,
        torch.optim.SGD(policies.parameters(), lr=1.0),
        samples_of(rollout, torch.full_like(output, gradient)),
        trust_region,
        replace(CONFIG, minibatches=1),
        np.random.default_rng(0),
    )
    return float(policies.biases[-1].detach() - before)


@pytest.mark.parametrize("gradient", [2.0, -0.003])
def test_who_moved_too_far_the_right_way_earns_no_more(gradient):
    earning = -math.copysign(1.0, gradient)
    assert one_sample_update(earning * 0.11, gradient) == 0.0


@pytest.mark.parametrize("gradient", [2.0, -0.003])
@pytest.mark.parametrize("distance", [-0.09, 0.0, 0.09])
def test_inside_the_trust_region_everybody_descends(gradient, distance):
    """By dL/dbias = ±1, whatever the gradient's size: it counts relative to its rms."""
    update = one_sample_update(distance, gradient)
    assert update == pytest.approx(-math.copysign(1.0, gradient), rel=1e-6)  # single precision


@pytest.mark.parametrize("gradient", [2.0, -0.003])
def test_who_moved_the_wrong_way_is_always_called_back(gradient):
    wrong = math.copysign(0.5, gradient)
    assert one_sample_update(wrong, gradient) == pytest.approx(-2.0 * wrong, rel=1e-6)


def test_an_agent_without_a_gradient_stays():
    assert one_sample_update(0.0, 0.0) == 0.0


def random_rollout(agents: int) -> tuple[Rollout, Tensor]:
    """Observations, actions and gradients of no particular simulator, in double precision."""
    generator = torch.Generator().manual_seed(4)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    private, shared, output = normal(6, 2, agents, 3), normal(6, 2, 4), normal(6, 2, agents, 1)
    rollout = Rollout(None, private, shared, output, 0.0 * output, torch.empty(0), torch.ones(1))
    return rollout, normal(6, 2, agents, 1)


def improved(policies: Policies, rollout: Rollout, gradient: Tensor) -> dict[str, Tensor]:
    """Weights after a few passes of Adam."""
    improve_policies(
        policies,
        torch.optim.Adam(policies.parameters(), lr=0.01),
        samples_of(rollout, gradient),
        0.05,
        replace(CONFIG, epochs=3),
        np.random.default_rng(6),
    )
    return {name: value.detach() for name, value in policies.state_dict().items()}


def test_agents_alone_learn_what_they_learn_among_others():
    """Agents 1 and 4 of six, trained without the others, end at the same weights.

    Double precision: another batch size may add in another order, and Adam's first steps, which
    have the size of the learning rate whatever the gradient's, make 1e-16 of it 1e-9 at worst.
    """
    rollout, gradient = random_rollout(6)
    device, chosen = torch.device("cpu"), [1, 4]
    everybody = Policies(6, 3, 4, 1, (5, 5), 0, device).double()
    alone = Policies(2, 3, 4, 1, (5, 5), 0, device).double()
    alone.load_state_dict({k: v[chosen] for k, v in everybody.state_dict().items()})
    start = {k: v.clone() for k, v in alone.state_dict().items()}

    together = improved(everybody, rollout, gradient)
    part = replace(
        rollout, private=rollout.private[:, :, chosen], outputs=rollout.outputs[:, :, chosen]
    )
    for name, value in improved(alone, part, gradient[:, :, chosen]).items():
        torch.testing.assert_close(value, together[name][chosen], rtol=0.0, atol=1e-9)
        assert not torch.equal(value, start[name])


@pytest.mark.parametrize("minibatches", [1, 5, 12])
def test_an_epoch_is_as_many_steps_as_it_says(minibatches):
    """Twelve samples in five minibatches are not four of three."""
    rollout, gradient = random_rollout(2)
    policies = Policies(2, 3, 4, 1, (5,), 0, torch.device("cpu")).double()
    optimiser = torch.optim.Adam(policies.parameters())
    config = replace(CONFIG, epochs=2, minibatches=minibatches)
    samples = samples_of(rollout, gradient)
    improve_policies(policies, optimiser, samples, 0.1, config, np.random.default_rng(0))
    assert {int(moments["step"]) for moments in optimiser.state.values()} == {2 * minibatches}


def outputs_of(policies: Policies, rollout: Rollout) -> Tensor:
    """Outputs on the observations of a rollout, shaped like the rollout's."""
    private = rollout.private.flatten(0, 1).permute(1, 2, 0)
    outputs = policies.outputs(private, rollout.shared.flatten(0, 1).T).detach()
    return outputs.permute(2, 0, 1).reshape(rollout.outputs.shape)


@pytest.mark.parametrize("agreeing", [True, False])
def test_the_trust_region_bounds_the_change_of_actions(agreeing):
    """A hundred and sixty steps, each of a fiftieth of the trust region per weight.

    What holds: a sample beyond the trust region pulls no further. What does not: the same weights
    serve other samples, which still pull, and Adam's momentum carries on. So the bound is a soft
    one: where all samples want the same, and where every sample wants something else, actions end
    around the trust region, the furthest within four, while without it they would still be leaving.
    """
    trust_region = 0.01
    distances = []
    for bound in (trust_region, 1e6):
        rollout, gradient = random_rollout(6)
        policies = Policies(6, 3, 4, 1, (16, 16), 0, torch.device("cpu")).double()
        before = outputs_of(policies, rollout)
        improve_policies(
            policies,
            torch.optim.Adam(policies.parameters(), lr=trust_region / 50.0),
            samples_of(
                replace(rollout, outputs=before), gradient.square() if agreeing else gradient
            ),
            bound,
            replace(CONFIG, epochs=40),
            np.random.default_rng(0),
        )
        distances.append((outputs_of(policies, rollout) - before).abs() / trust_region)
    bounded, free = distances
    assert 0.5 < bounded.square().mean().sqrt() < 1.6
    assert bounded.max() < 4.0
    assert free.square().mean().sqrt() > 4.0


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return replace(CONFIG, case=CaseSettings("ieee13", num_agents=3)).make_simulator()


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        (0.0, 0.25, 0.0),  # both at rest
        (-0.2, 0.2, 0.0),
        (1.5, 2.0, 0.0),  # both at full power
        (0.2, 0.4, 1.0),  # from rest to 0.1
        (0.5, 0.54, 0.0),  # by less than the trust region
        (0.5, 0.58, 1.0),
        (-1.27, -1.5, 0.0),  # from -0.97 to -1
    ],
)
def test_what_an_update_moves_is_counted_in_actions(
    simulator: Simulator, before: float, after: float, share: float
) -> None:
    """All outputs are the bias of the last layer; the trust region is 0.05, the rest band 0.3."""
    learner = make_learner(CONFIG, simulator)
    policies = learner.policies
    objective = Objective(simulator.case.limits, learner.duals, 1.0, days=1)
    with torch.no_grad():
        policies.weights[-1].zero_()
        policies.biases[-1].fill_(before)
        state = simulator.reset(split="train", days=[100], seed=0)
        rollout = roll_out(simulator, policies, state, 2)
        policies.biases[-1].fill_(after)
    found = differentiate(simulator, rollout, objective)
    seen = change_on_first_day(simulator, policies, found, 0.05)
    assert float(seen["beyond_trust_region"]) == share

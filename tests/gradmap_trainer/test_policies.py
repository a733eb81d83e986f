"""Stacked policies: one network per agent, no weight of which another agent's action depends on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradmap_trainer.policies import (
    LEANING,
    REST_BAND,
    Policies,
    to_action,
    to_leaning_action,
)

AGENTS, PRIVATE, SHARED, ACTIONS, BATCH = 5, 3, 7, 2, 4


def make(hidden_sizes: tuple[int, ...] = (6, 4), seed: int = 3) -> Policies:
    device = torch.device("cpu")
    return Policies(AGENTS, PRIVATE, SHARED, ACTIONS, hidden_sizes, seed, device)


def random_weights(policies: Policies) -> Policies:
    """Larger weights than at the beginning, biases too: actions across their whole range."""
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in policies.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return policies


def observations(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    private = torch.randn(BATCH, AGENTS, PRIVATE, generator=generator, dtype=dtype)
    return private, torch.randn(BATCH, SHARED, generator=generator, dtype=dtype)


def one_by_one(policies: Policies, private: Tensor, shared: Tensor) -> Tensor:
    """What the stacked networks put out, said plainly: agent after agent, with `Linear`."""
    weights, biases = policies.layers()
    outputs = torch.empty(len(private), AGENTS, ACTIONS, dtype=private.dtype)
    for agent in range(AGENTS):
        activation = torch.cat((private[:, agent], shared), dim=-1)
        for weight, bias in zip(weights, biases, strict=True):
            output = torch.nn.functional.linear(activation, weight[agent].T, bias[agent])
            activation = output.tanh()
        outputs[:, agent] = output
    return outputs


@pytest.mark.parametrize("hidden_sizes", [(6,), (6, 4), (4, 5, 6)])
def test_stacked_networks_equal_a_loop_over_agents(hidden_sizes):
    """Outputs with samples innermost, actions with samples outermost."""
    policies = random_weights(make(hidden_sizes)).double()
    private, shared = observations(torch.float64)
    expected = one_by_one(policies, private, shared)
    rested = torch.nn.functional.softshrink(expected, REST_BAND)
    outputs = policies.outputs(private.permute(1, 2, 0), shared.T)
    # Both add at most 10 numbers of order 1 per unit, in another order: a few 1e-15 in double
    # precision, which two or three layers with weights of order 1 grow tenfold each.
    close = {"rtol": 0.0, "atol": 1e-12}
    torch.testing.assert_close(outputs, expected.permute(1, 2, 0), **close)
    actions = torch.nn.functional.hardtanh(rested)
    torch.testing.assert_close(policies(private, shared), actions, **close)


def test_an_agents_weights_move_its_own_action_alone():
    """Every parameter of agent 2, one after another: the other agents' actions keep their bits."""
    policies = random_weights(make())
    private, shared = observations()
    before = policies(private, shared)
    others = [k for k in range(AGENTS) if k != 2]
    for parameter in policies.parameters():
        with torch.no_grad():
            parameter[2] += 0.3
        after = policies(private, shared)
        assert torch.equal(after[:, others], before[:, others])
        assert not torch.equal(after[:, 2], before[:, 2])
        before = after


def test_an_agent_reads_its_own_private_entries_and_the_shared_ones():
    policies = random_weights(make())
    private, shared = observations()
    private.requires_grad_()
    shared.requires_grad_()
    to_private, to_shared = torch.autograd.grad(
        policies(private, shared)[1, 3].sum(), (private, shared)
    )
    assert (to_private[1, 3] != 0.0).all()
    assert torch.count_nonzero(to_private) == PRIVATE
    assert (to_shared[1] != 0.0).all()
    assert torch.count_nonzero(to_shared) == SHARED


def test_actions_rest_around_zero_and_reach_both_ends():
    """Up to the band 0, half beyond it 0.5, one and more beyond it 1, and the same below zero."""
    positive = torch.tensor([0.5 * REST_BAND, REST_BAND, REST_BAND + 0.5, REST_BAND + 1.0, 9.0])
    output = torch.cat((-positive, torch.zeros(1), positive))
    expected = torch.tensor([0.0, 0.0, -0.5, -1.0, -1.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0])
    torch.testing.assert_close(to_action(output), expected)
    leaning = expected.clone()
    leaning[[0, 1, 6, 7]] = torch.tensor([-LEANING, -LEANING, LEANING, LEANING])
    torch.testing.assert_close(to_leaning_action(output), leaning)


def test_layers_have_the_shapes_of_an_export():
    weights, biases = make((6, 4)).layers()
    assert [tuple(w.shape) for w in weights] == [
        (AGENTS, PRIVATE + SHARED, 6),
        (AGENTS, 6, 4),
        (AGENTS, 4, ACTIONS),
    ]
    assert [tuple(b.shape) for b in biases] == [(AGENTS, 6), (AGENTS, 4), (AGENTS, ACTIONS)]
    assert not any(x.requires_grad for x in (*weights, *biases))


def test_the_seed_alone_decides_the_weights():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first, second, other = make(seed=3), make(seed=3), make(seed=4)
    assert torch.equal(torch.rand(3), expected), "the global random state was touched"
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.private_weight, other.private_weight)


def test_agents_begin_with_different_weights():
    weights = make().private_weight.detach().flatten(1)
    assert len(torch.unique(weights, dim=0)) == AGENTS


def test_everybody_begins_at_rest_though_not_at_zero():
    """|output| <= sum |w| |h| <= 4 units x 0.05 / sqrt(4) x 1 = 0.1 after the hidden layers."""
    policies = make((6, 4))
    private, shared = observations()
    outputs = policies.outputs(private.permute(1, 2, 0), shared.T)
    assert outputs.abs().max() <= 0.1 < REST_BAND
    assert (outputs != 0.0).all()
    assert not policies(private, shared).any()


def test_actions_stay_in_range():
    policies = random_weights(make())
    private, shared = observations()
    outputs = policies.outputs(100.0 * private.permute(1, 2, 0), 100.0 * shared.T)
    assert outputs.abs().max() > REST_BAND + 1.0, "nothing to keep in range"
    assert policies(100.0 * private, 100.0 * shared).abs().max() == 1.0

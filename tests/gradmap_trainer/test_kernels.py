"""The compiled kernels against PyTorch: outputs, and whole epochs of the inner loop."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import ADAM_BETAS, iterate, make_learner
from gradmap_trainer.kernels import descent, outputs
from gradmap_trainer.kernels.descent import can_descend
from gradmap_trainer.kernels.outputs import can_compute, network_outputs
from gradmap_trainer.policies import Policies
from gradmap_trainer.surrogate import descend
from gridedge_env.case import CaseSettings

CPU = torch.device("cpu")
# Agents, private and shared entries, actions, hidden layers, samples: as in training but for fewer
# agents; and what fills no block and no vector.
AS_TRAINED = (6, 3, 32, 1, (16, 16), 384)
ODD = [(5, 1, 1, 1, (1,), 1), (7, 3, 4, 2, (5,), 50), (3, 2, 5, 2, (20, 7, 33), 29)]


def random_case(
    agents: int, own: int, everybodys: int, actions: int, hidden: tuple[int, ...], samples: int
) -> tuple[Policies, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Networks with all of their weights at work, and samples in and out of a trust region."""
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    policies = Policies(agents, own, everybodys, actions, hidden, 1, CPU)
    with torch.no_grad():
        for parameter in policies.parameters():
            parameter.add_(0.3 * normal(*parameter.shape))
    private, shared = normal(agents, own, samples), normal(everybodys, samples)
    before = policies.outputs(private, shared).detach() + 0.05 * normal(agents, actions, samples)
    return policies, (private, shared, before, normal(agents, actions, samples))


def adam(policies: Policies) -> torch.optim.Adam:
    return torch.optim.Adam(policies.parameters(), lr=1e-2, betas=ADAM_BETAS, fused=True)


def descended(policies: Policies, samples: Any, minibatches: int, calls: int, **kwargs: Any):
    """Copies of policies and a fresh optimiser after calls of two epochs."""
    changed, random = copy.deepcopy(policies), np.random.default_rng(0)
    optimiser = adam(changed)
    for _ in range(calls):
        orders = np.stack([random.permutation(samples[0].shape[-1]) for _ in range(2)])
        descend(changed, optimiser, samples, orders, minibatches, **kwargs)
    return changed, optimiser


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls a function as if Numba were not installed."""

    def call(function: Any, *args: Any, **kwargs: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(outputs, "numba_is_there", lambda: False)
            for module in (outputs, descent):
                patch.setattr(module, "run_blocks", None)  # whoever calls a kernel still fails
            return function(*args, **kwargs)

    return call


# --- Outputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [AS_TRAINED, *ODD], ids=str)
def test_outputs_are_those_of_pytorch(case: Any) -> None:
    """Each tanh differs by up to 5e-7, each sum of n terms by n roundings of 6e-8 times its size.

    For up to 36 entries of order 1 with weights of order 0.5, that is 1e-6 in a layer at worst;
    another layer of 33 units with weights of 0.5 makes it six times as much if all errors point the
    same way in a random sum, 1e-5; measured: 1e-6.
    """
    policies, (private, shared, *_) = random_case(*case)
    for samples in {1, min(8, case[-1]), case[-1]}:
        seen = private[..., :samples], shared[:, :samples]
        expected = policies.outputs(*seen).detach()  # with gradients: PyTorch's
        with torch.no_grad():
            assert can_compute(policies.networks(), *seen)
            found = network_outputs(policies.networks(), *seen)
            assert torch.equal(policies.outputs(*seen), found)
        torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-5)


def test_an_agents_outputs_do_not_depend_on_who_else_there_is() -> None:
    """Nor on the number of samples: bit for bit."""
    policies, (private, shared, *_) = random_case(*AS_TRAINED)
    alone = Policies(1, 3, 32, 1, (16, 16), 0, CPU)
    alone.load_state_dict({name: value[4:5] for name, value in policies.state_dict().items()})
    with torch.no_grad():
        together = policies.outputs(private, shared)
        assert torch.equal(alone.outputs(private[4:5], shared), together[4:5])
        assert torch.equal(policies.outputs(private[..., 7:9], shared[:, 7:9]), together[..., 7:9])


def test_observations_that_do_not_fit_are_left_to_pytorch() -> None:
    policies, (private, shared, *_) = random_case(*AS_TRAINED)
    for misfit in (
        (private[:5], shared),
        (private[:, :2], shared),
        (private[..., :9], shared),
        (private, shared[:31]),
    ):
        assert not can_compute(policies.networks(), *misfit)
        with torch.no_grad(), pytest.raises(RuntimeError, match="size|shapes"):
            policies.outputs(*misfit)
    assert not can_compute(policies.networks(), private.double(), shared)
    assert not can_compute(copy.deepcopy(policies).double().networks(), private, shared)


# --- The inner loop -------------------------------------------------------------------------------


@pytest.mark.parametrize("trust_region", [0.05, math.inf])
@pytest.mark.parametrize(
    ("case", "minibatches"), [(AS_TRAINED, 12), *zip(ODD, (1, 7, 5), strict=True)], ids=str
)
def test_epochs_are_those_of_pytorch(
    case: Any,
    minibatches: int,
    trust_region: float,
    without_numba: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights, moments and steps after four epochs, some outputs beyond the trust region.

    Gradients, sums of terms of order 0.1, differ by some 1e-8. Adam divides them by their size:
    an entry of size g takes a step that differs by 0.01 x 1e-8 / g. Most are of order 0.01, which
    leaves 1e-8 a step, 1e-6 with what follows from it in 48 steps. The smallest of ten thousand is
    about 1e-6, and has steps that differ by 1e-4. Weights move by 0.1 and more.
    """
    policies, samples = random_case(*case)
    assert can_descend(policies.networks(), adam(policies), samples)
    change = (policies.outputs(*samples[:2]) - samples[2]).abs()
    assert bool((change > trust_region).any()) == (trust_region < math.inf)
    arguments = (policies, samples, minibatches, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Policies, "outputs", None)  # PyTorch would call it
        found, optimiser = descended(*arguments, trust_region=trust_region)
    expected, reference = without_numba(descended, *arguments, trust_region=trust_region)
    errors, moves = [], []
    for one, other, start in zip(
        found.parameters(), expected.parameters(), policies.parameters(), strict=True
    ):
        pair = optimiser.state[one], reference.state[other]
        assert pair[0].keys() == pair[1].keys()
        for name in ("exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(pair[0][name], pair[1][name], rtol=1e-3, atol=1e-5)
        assert torch.equal(pair[0]["step"], pair[1]["step"])
        assert int(pair[0]["step"]) == 4 * minibatches
        errors.append((one - other).detach().abs().flatten())
        moves.append((other - start).detach().abs().flatten())
    assert torch.cat(errors).median() < 1e-6
    assert torch.cat(errors).max() < 3e-4
    assert torch.cat(moves).max() > 0.02


def test_pytorch_goes_on_where_kernels_stopped_and_the_other_way_round(without_numba: Any) -> None:
    """Adam's state is the same to both: two calls of either, in any order, end alike."""
    policies, samples = random_case(*AS_TRAINED)
    orders = np.arange(384)[None]
    ends = []
    for first in (True, False):
        changed = copy.deepcopy(policies)
        optimiser = adam(changed)
        for compiled in (first, not first):
            arguments = (descend, changed, optimiser, samples, orders, 12, 0.05)
            arguments[0](*arguments[1:]) if compiled else without_numba(*arguments)
        ends.append(changed)
    for one, other in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=3e-4)


def test_threads_and_other_agents_change_no_bit() -> None:
    policies, samples = random_case(*AS_TRAINED)
    threads = torch.get_num_threads()
    ends = []
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            ends.append(descended(policies, samples, 12, 1, trust_region=0.05))
    finally:
        torch.set_num_threads(threads)
    alone = Policies(1, 3, 32, 1, (16, 16), 0, CPU)
    alone.load_state_dict({name: value[4:5] for name, value in policies.state_dict().items()})
    own = tuple(x if k == 1 else x[4:5] for k, x in enumerate(samples))
    single, _ = descended(alone, own, 12, 1, trust_region=0.05)
    for name, weight in ends[0][0].state_dict().items():
        assert torch.equal(weight, ends[1][0].state_dict()[name])
        assert torch.equal(weight, ends[2][0].state_dict()[name])
        assert torch.equal(weight[4:5], single.state_dict()[name])


def test_what_kernels_cannot_do_is_left_to_pytorch() -> None:
    policies, samples = random_case(*AS_TRAINED)
    weights = list(policies.parameters())
    for optimiser in (
        torch.optim.SGD(weights),
        torch.optim.AdamW(weights),
        torch.optim.Adam(weights, amsgrad=True),
        torch.optim.Adam(weights, maximize=True),
        torch.optim.Adam(weights, weight_decay=0.1),
        torch.optim.Adam([{"params": weights[:2]}, {"params": weights[2:], "lr": 1.0}]),
    ):
        assert not can_descend(policies.networks(), optimiser, samples)
    private, shared, before, earned = samples
    plain = torch.optim.Adam(weights)
    assert can_descend(policies.networks(), plain, samples)
    assert not can_descend(policies.networks(), plain, (private, shared, before[:5], earned))
    assert not can_descend(policies.networks(), plain, (private, shared, before, earned.double()))


def test_an_iteration_without_numba_is_the_same(without_numba: Any) -> None:
    """Outputs that differ by 1e-7 are actions, and hence a cost, that differ by as much.

    Weights: as above, and the gradients of J now differ too, by some 1e-6 of their size.
    """
    config = TrainConfig(
        case=CaseSettings(num_agents=12, home_scale=60.0), batch_days=2, minibatches=4
    )
    simulator = config.make_simulator()
    learner, row = iterate(config, simulator, make_learner(config, simulator))
    same, expected = without_numba(iterate, config, simulator, make_learner(config, simulator))
    for name in ("cost", "gradient_norm", "beyond_trust_region", "predicted_improvement"):
        assert row[name] == pytest.approx(expected[name], rel=1e-5), name
    errors = [
        (one - other).detach().abs().flatten()
        for one, other in zip(
            learner.policies.parameters(), same.policies.parameters(), strict=True
        )
    ]
    assert torch.cat(errors).median() < 1e-6

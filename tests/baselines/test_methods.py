"""Every method keeps the contract, at a small size and after two or three iterations."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from baselines.methods import METHODS, Budget, Trained, find, train
from baselines.rllib.shared.policies import SharedPolicies
from gradmap_trainer.policies import Policies
from gridedge_env.case import Case, default_case
from gridedge_env.evaluation import evaluation_days, record, summarise
from gridedge_env.reference import Policy
from gridedge_env.simulator import Simulator, make_simulator

# Six sites of sixty homes each break limits; volt-var droop needs reactive power.
CASE = default_case(num_agents=6, home_scale=60.0, reactive_power=True)
BUDGET = Budget(environment_steps=1000)
RLLIB = ["ippo", "mappo", "shared_ippo", "shared_mappo"]
LEARNERS = ["gradmap", "self_supervised", *RLLIB]
RULES = ["idle", "thermostat", "price_following", "plan_following", "volt_watt", "volt_var"]


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return make_simulator(case=CASE)


@pytest.fixture(scope="module", autouse=True)
def one_ray_for_all() -> Iterator[None]:
    if importlib.util.find_spec("ray") is None:
        yield
        return
    from gradmap_trainer.workers.session import ray_session

    with ray_session():
        yield


@pytest.fixture(scope="module", params=METHODS)
def trained(request) -> tuple[str, Trained]:
    need(request.param)
    case = case_of(request.param)
    return request.param, train(request.param, case, BUDGET, validation_days=2, points=2)


def case_of(method: str) -> Case:
    """With the public plan for who follows it; the others are quicker without."""
    return replace(CASE, public_plan=method == "plan_following")


@pytest.fixture(scope="module")
def its_simulator(trained, simulator) -> Simulator:
    """Of the method's own case."""
    case = case_of(trained[0])
    return simulator if case == CASE else make_simulator(case=case)


def need(method: str) -> None:
    if method in RLLIB:
        pytest.importorskip("ray", reason="needs the rllib extra")


@pytest.fixture(params=[0, 17, 47])
def observed(request, its_simulator) -> tuple[torch.Tensor, torch.Tensor]:
    """Private and shared observations on three days of the test year, with voltages all over."""
    state = its_simulator.reset(split="test", days=[10, 150, 300])
    private, shared = its_simulator.observe_parts(replace(state, step=request.param))
    private[..., 2] = torch.linspace(-2.5, 2.5, 6)
    return private, shared


def test_every_method_is_tested_as_learner_or_rule():
    assert sorted(METHODS) == sorted(LEARNERS + RULES)


def test_actions_have_their_shape_and_range(trained, observed):
    action = trained[1].policy(*observed)
    assert action.shape == (3, 6, 2)
    assert (action.abs() <= 1.0).all()


@torch.no_grad()
def decided(policy: Policy, private: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """(batch, agents, action_size): of networks the outputs, for actions may all be rest."""
    if isinstance(policy, Policies):
        return policy.outputs(private.permute(1, 2, 0), shared.T).permute(2, 0, 1)
    if isinstance(policy, SharedPolicies):
        return policy.networks(private, shared)
    return policy(private, shared)


def test_nobody_acts_on_what_only_another_sees(trained, observed):
    method, outcome = trained
    private, shared = observed
    decision = decided(outcome.policy, private, shared)
    for agent in range(6):
        other = private.clone()
        other[:, agent] = -other[:, agent] - 0.7
        same = (decided(outcome.policy, other, shared) == decision).all(dim=-1)
        if method in LEARNERS:
            assert not same[:, agent].any()
        same[:, agent] = True
        assert same.all()


def test_the_same_observation_gives_the_same_action(trained, observed):
    """Again, and on a day by itself: to the rounding of sums in another order."""
    method, outcome = trained
    private, shared = observed
    decision = decided(outcome.policy, private, shared)
    assert torch.equal(decided(outcome.policy, private, shared), decision)
    alone = decided(outcome.policy, private[1:2], shared[1:2])
    torch.testing.assert_close(alone, decision[1:2], rtol=0.0, atol=1e-5)
    if method in LEARNERS:
        assert not torch.equal(decision[0], decision[1])


def test_the_curve_tells_what_the_policies_were_worth(trained, its_simulator):
    """Of rules, one point. Of learners, one half-way and one at the end, or more."""
    method, outcome = trained
    curve = outcome.curve
    seconds = [point.seconds for point in curve]
    steps = [point.environment_steps for point in curve]
    assert seconds == sorted(set(seconds))
    assert steps == sorted(set(steps))
    if method in RULES:
        assert (seconds, steps) == ([0.0], [0])
    else:
        assert 0 < steps[0] < 1000 <= steps[-1] < 1000 + 16 * 48  # to within an iteration
        assert seconds[0] > 0.0
    days = evaluation_days(its_simulator, "validation", 2)
    state = its_simulator.reset(split="validation", days=days)
    row = summarise(record(its_simulator, state, outcome.policy), CASE.limits)
    assert curve[-1].outcome == row


@pytest.mark.parametrize("method", LEARNERS)
def test_training_ends_when_the_time_is_up(method):
    """With the iteration that is under way then."""
    need(method)
    *before, last = train(method, CASE, Budget(seconds=0.5), validation_days=1, points=1000).curve
    assert last.seconds >= 0.5
    assert all(point.seconds < 0.5 for point in before)


@pytest.mark.parametrize("method", LEARNERS)
def test_the_same_seed_gives_the_same_policies(method, simulator):
    """Bit for bit, another seed others; and nobody's random state is touched."""
    need(method)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    private, shared = simulator.observe_parts(simulator.reset(split="test", days=[10, 150]))
    outputs = []  # not actions, which may all be rest
    for seed in (3, 3, 4):
        policy = train(method, replace(CASE, seed=seed), BUDGET, validation_days=1, points=1).policy
        outputs.append(decided(policy, private, shared))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_a_method_in_a_file_of_ones_own(tmp_path, monkeypatch):
    """It is told case, device, budget and whom to tell alone; here it learns in two iterations."""
    (tmp_path / "coin.py").write_text(
        "import torch\n"
        "def coin(case, device, budget, observe):\n"
        "    policy = lambda private, shared: torch.zeros(*private.shape[:2], 2)\n"
        "    observe(0.25 * budget.seconds, 48, policy)\n"
        "    observe(1.00 * budget.seconds, 96, policy)\n"
        "    return policy\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    curve = train("coin:coin", CASE, Budget(8.0), validation_days=1, points=2).curve
    assert [(point.seconds, point.environment_steps) for point in curve] == [(2.0, 48), (8.0, 96)]
    assert curve[0].outcome == curve[1].outcome


@pytest.mark.parametrize("method", ["gradmaps", "baselines.methods:none", "baselines.none:none"])
def test_an_unknown_method_is_refused(method):
    with pytest.raises(ValueError, match=f"^method: got '{method}'"):
        find(method)


@pytest.mark.parametrize(
    "given",
    [{}, {"seconds": 1.0, "environment_steps": 48}, {"seconds": 0.0}, {"environment_steps": -1}],
)
def test_a_budget_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match=r"^budget: got seconds .*, expected one of them"):
        Budget(**given)


@pytest.mark.parametrize("method", RLLIB)
def test_rllibs_methods_refuse_another_device(method):
    need(method)
    with pytest.raises(ValueError, match="^device: got 'cuda', expected 'cpu'"):
        train(method, default_case(num_agents=3), Budget(1.0), "cuda")


def test_volt_var_refuses_a_case_without_reactive_power():
    with pytest.raises(ValueError, match="^reactive_power: got False"):
        train("volt_var", default_case(num_agents=3), Budget(1.0))

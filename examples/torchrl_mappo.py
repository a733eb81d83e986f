"""MAPPO of TorchRL's parts: homes with the same kind of device share a policy and a critic.

Critics see the whole feeder: the environment's `state`. Run it with `python
examples/torchrl_mappo.py [iterations]` after `pip install -e '.[learners]'`; its 40 iterations take
about a minute.
"""

from __future__ import annotations

import argparse
import time

import torch
from tensordict.nn import TensorDictModule, TensorDictSequential
from tensordict.nn.distributions import NormalParamExtractor
from torch import Tensor, nn
from torchrl.envs.utils import ExplorationType, set_exploration_type
from torchrl.modules import MLP, MultiAgentMLP, ProbabilisticActor, TanhNormal
from torchrl.objectives import ClipPPOLoss, ValueEstimators

import gridedge_env
from gridedge_env.evaluation import evaluate, evaluation_days, summarise
from gridedge_env.state import Result
from gridedge_env.torchrl_env import TorchRLEnv

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("iterations", nargs="?", type=int, default=40)
ITERATIONS = parser.parse_args().iterations
if ITERATIONS < 1:
    parser.error(f"iterations: got {ITERATIONS}, expected a whole number of at least 1")

DAYS, EPOCHS, MINIBATCHES, LEARNING_RATE = 32, 4, 4, 3e-3


def reward(result: Result) -> Tensor:
    """Each home pays its own bill and, as a team, for all that is wrong on the feeder."""
    return -(result.cost + result.penalty * result.violation[:, None]) / 100.0


def actor_of(kind: str) -> ProbabilisticActor:
    """The policy that all homes with the kind of device share."""
    count, fields = env.full_observation_spec_unbatched[kind, "observation"].shape
    actions = env.full_action_spec_unbatched[kind, "action"]
    network = MultiAgentMLP(
        n_agent_inputs=fields,
        n_agent_outputs=2 * actions.shape[-1],
        n_agents=count,
        centralised=False,
        share_params=True,
        depth=2,
        num_cells=64,
        activation_class=nn.Tanh,
    )
    parameters = [(kind, "loc"), (kind, "scale")]
    return ProbabilisticActor(
        TensorDictModule(
            nn.Sequential(network, NormalParamExtractor()), [(kind, "observation")], parameters
        ),
        spec=actions,
        in_keys=parameters,
        out_keys=[(kind, "action")],
        distribution_class=TanhNormal,
        return_log_prob=True,
        log_prob_key=(kind, "log_prob"),
    )


def loss_of(kind: str, actor: ProbabilisticActor) -> ClipPPOLoss:
    """Clipped; its critic tells from the feeder's state what each of the homes is to expect."""
    count, entries = len(env.group_map[kind]), env.full_observation_spec["state"].shape[-1]
    network = MLP(entries, count, depth=2, num_cells=128, activation_class=nn.Tanh)
    critic = TensorDictModule(
        nn.Sequential(network, nn.Unflatten(-1, (count, 1))), ["state"], [(kind, "state_value")]
    )
    loss = ClipPPOLoss(
        actor,
        critic,
        entropy_coeff=0.0,
        normalize_advantage=True,
        normalize_advantage_exclude_dims=(-2,),  # each home's for itself
    )
    names = "reward", "action", "done", "terminated", "advantage", "value_target"
    loss.set_keys(
        **{name: (kind, name) for name in names},
        value=(kind, "state_value"),
        sample_log_prob=(kind, "log_prob"),
    )
    loss.make_value_estimator(ValueEstimators.GAE, gamma=1.0, lmbda=1.0)
    return loss


torch.manual_seed(0)
env = TorchRLEnv(gridedge_env.make_simulator("ieee13", num_agents=30), DAYS, reward=reward)
env.set_seed(0)
actors = {kind: actor_of(kind) for kind in env.group_map}
losses = [loss_of(kind, actor) for kind, actor in actors.items()]
policy = TensorDictSequential(*actors.values())
parameters = [parameter for loss in losses for parameter in loss.parameters()]
optimiser = torch.optim.Adam(parameters)
steps = env.simulator.clock.steps

for iteration in range(ITERATIONS):
    with torch.no_grad(), set_exploration_type(ExplorationType.RANDOM):  # not by default
        played = env.rollout(steps, policy)  # whole days: (days, steps)
        for loss in losses:
            loss.value_estimator(played)
    for group in optimiser.param_groups:
        group["lr"] = LEARNING_RATE * (1.0 - iteration / ITERATIONS)
    memory = played.reshape(-1)
    for _ in range(EPOCHS):
        for rows in torch.randperm(DAYS * steps).chunk(MINIBATCHES):
            parts = [loss(memory[rows]) for loss in losses]
            total = sum(part["loss_objective"] + part["loss_critic"] for part in parts)
            optimiser.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(parameters, 0.5)
            optimiser.step()
    if (iteration + 1) % 10 == 0:
        paid = torch.cat([played["next", kind, "reward"] for kind in env.group_map], dim=2)
        print(
            f"iteration {iteration + 1:3d}: a home's day is rewarded with {paid.sum(1).mean():6.3f}"
        )

played = ITERATIONS * DAYS * steps
print(f"{played} steps of 30 agents in {time.process_time():.0f} s of processor time")

# Days of another year, which nobody learned from, beside rules.
simulator, policies = env.simulator, {"mappo": env.policy_of(policy)}
days = evaluation_days(simulator, "validation", 14)
found = evaluate(simulator, policies, days, "validation", foresight_iterations=0)
print(f"\n{'on days never seen':20s}{'€/day':>8s}{'half-hours outside limits':>28s}")
for method, episode in found.episodes.items():
    outcome = summarise(episode, simulator.case.limits)
    print(f"{method:20s}{outcome['cost']:8.0f}{outcome['any_steps']:28.1%}")

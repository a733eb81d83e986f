"""Stable-Baselines3's PPO through SuperSuit: every home is an environment of one shared policy.

Run it with `python examples/stable_baselines3_ppo.py [iterations]` after
`pip install -e '.[learners]'`; its 40 iterations take about a minute.
"""

from __future__ import annotations

import argparse
import time

import supersuit
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize
from torch import Tensor

import gridedge_env
from gridedge_env.evaluation import evaluate, evaluation_days, summarise
from gridedge_env.state import Result
from gridedge_env.wrappers import KindIndicator, RewardFunction

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("iterations", nargs="?", type=int, default=40)
ITERATIONS = parser.parse_args().iterations
if ITERATIONS < 1:
    parser.error(f"iterations: got {ITERATIONS}, expected a whole number of at least 1")

COPIES = 8  # days side by side


def reward(result: Result) -> Tensor:
    """Each home pays its own bill and, as a team, for all that is wrong on the feeder."""
    return -result.cost - result.penalty * result.violation[:, None]


env = RewardFunction(gridedge_env.parallel_env("ieee13", num_agents=30), reward)
env = KindIndicator(env)  # one policy for all must know what it acts for

homes = supersuit.pettingzoo_env_to_vec_env_v1(env)
homes = supersuit.concat_vec_envs_v1(homes, COPIES, base_class="stable_baselines3")
days = homes.venv  # SuperSuit asks it for a method that Gymnasium no longer has
days.seed = lambda seed: days.reset(seed=seed)
homes = VecNormalize(VecMonitor(homes), norm_obs=False, gamma=1.0)

simulator = env.simulator
agents, steps = simulator.num_agents, simulator.clock.steps
model = PPO(
    "MlpPolicy",
    homes,
    n_steps=steps,  # whole days
    batch_size=COPIES * agents * steps // 16,
    n_epochs=4,
    gamma=1.0,  # the books are closed at midnight
    gae_lambda=1.0,
    learning_rate=lambda left: 3e-3 * left,
    device="cpu",
    seed=0,
    verbose=1,
)
model.learn(ITERATIONS * COPIES * agents * steps, log_interval=10)
played = ITERATIONS * COPIES * steps
print(f"{played} steps of {agents} agents in {time.process_time():.0f} s of processor time")


def decide(private: Tensor, shared: Tensor) -> Tensor:
    """The policy without chance: what can be evaluated beside rules and others' policies."""
    everybody = shared[:, None].expand(-1, agents, -1)
    kinds = simulator.fleet.owned.float().expand(len(private), -1, -1)
    observation = torch.cat((private, everybody, kinds), dim=-1)
    chosen = model.policy.get_distribution(observation.flatten(0, 1)).mode()
    return chosen.unflatten(0, (-1, agents)).clamp(-1.0, 1.0)


# Days of another year, which nobody learned from, beside rules.
days = evaluation_days(simulator, "validation", 14)
with torch.no_grad():
    found = evaluate(simulator, {"ppo": decide}, days, "validation", foresight_iterations=0)
print(f"\n{'on days never seen':20s}{'€/day':>8s}{'half-hours outside limits':>28s}")
for method, episode in found.episodes.items():
    outcome = summarise(episode, simulator.case.limits)
    print(f"{method:20s}{outcome['cost']:8.0f}{outcome['any_steps']:28.1%}")

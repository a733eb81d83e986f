"""Stable-Baselines3's PPO through SuperSuit: every home is an environment of one shared policy.

Run it with `python examples/stable_baselines3_ppo.py [iterations]` after
`pip install -e '.[learners]'`; its 40 iterations take about a minute.
"""

from __future__ import annotations

import sys
import time

import supersuit
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize
from torch import Tensor

import gridedge_env
from gridedge_env.evaluation import evaluate, evaluation_days, summarise
from gridedge_env.wrappers import KindIndicator, RewardFunction

ITERATIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 40
COPIES = 8  # days side by side

env = gridedge_env.parallel_env("ieee13", num_agents=30)
simulator = env.simulator
# Each pays its own bill and, as a team, for all that is wrong on the feeder.
env = RewardFunction(env, lambda result: -result.cost - result.penalty * result.violation[:, None])
env = KindIndicator(env)  # one policy for all must know what it acts for

homes = supersuit.pettingzoo_env_to_vec_env_v1(env)
homes = supersuit.concat_vec_envs_v1(homes, COPIES, base_class="stable_baselines3")
days = homes.venv  # SuperSuit asks it for a method that Gymnasium no longer has
days.seed = lambda seed: days.reset(seed=seed)
homes = VecNormalize(VecMonitor(homes), norm_obs=False, gamma=1.0)

steps = simulator.clock.steps
model = PPO(
    "MlpPolicy",
    homes,
    n_steps=steps,  # whole days
    batch_size=homes.num_envs * steps // 4,
    n_epochs=4,
    gamma=1.0,  # the books are closed at midnight
    gae_lambda=1.0,
    learning_rate=lambda left: 3e-3 * left,
    device="cpu",
    seed=0,
    verbose=1,
)
model.learn(ITERATIONS * homes.num_envs * steps, log_interval=10)
played = ITERATIONS * COPIES * steps
print(f"{played} steps of {env.num_agents} agents in {time.process_time():.0f} s of processor time")

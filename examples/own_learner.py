"""A learner to make your own: MAPPO in one file that reads downwards, on the batched simulator.

Thirty homes share one policy network, which knows what kind of device it acts for and otherwise
only what that home observes. While they learn, a critic sees the whole feeder. Whole days are
played side by side, 32 at a time.

Run it with `python examples/own_learner.py [iterations]`; its 100 iterations take about a minute.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor, nn
from torch.distributions import Normal

import gridedge_env
from gridedge_env.evaluation import evaluate, evaluation_days, summarise
from gridedge_env.global_state import global_state, state_names

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("iterations", nargs="?", type=int, default=100)
ITERATIONS = parser.parse_args().iterations
if ITERATIONS < 1:
    parser.error(f"iterations: got {ITERATIONS}, expected a whole number of at least 1")

DAYS, EPOCHS, MINIBATCHES = 32, 4, 4
LEARNING_RATE, CLIP, DEVIATION = 3e-3, 0.2, 0.8

torch.manual_seed(0)
simulator = gridedge_env.make_simulator("ieee13", num_agents=30)
agents, steps = simulator.num_agents, simulator.clock.steps
kinds = simulator.fleet.owned.float()  # (agents, kinds): a one for what each has


def network(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    hidden = (nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


actor = network(len(simulator.observation_fields) + kinds.shape[1], 64, simulator.action_size)
for weight in actor[-1].parameters():  # at first the middle of what is feasible
    nn.init.zeros_(weight)
critic = network(len(state_names(simulator)), 128, agents)
log_deviation = nn.Parameter(torch.full((simulator.action_size,), DEVIATION).log())
parameters = [*actor.parameters(), *critic.parameters(), log_deviation]
optimiser = torch.optim.Adam(parameters)


def policy(observation: Tensor) -> Normal:
    """Of (..., agents, fields), the distribution of actions (..., agents, action_size)."""
    told = kinds.expand(*observation.shape[:-1], -1)
    return Normal(actor(torch.cat((observation, told), dim=-1)), log_deviation.exp())


def decide(private: Tensor, shared: Tensor) -> Tensor:
    """The policy without chance: what can be evaluated beside rules and others' policies."""
    everybody = shared[:, None].expand(-1, agents, -1)
    return policy(torch.cat((private, everybody), dim=-1)).mean.clamp(-1.0, 1.0)


for iteration in range(ITERATIONS):
    # Play days of the training year: what is kept is (steps, days, ...).
    state, result = simulator.reset(DAYS, seed=iteration), None
    kept: list[tuple[Tensor, ...]] = []
    with torch.no_grad():
        while state.step < steps:
            seen, observation = global_state(simulator, state, result), simulator.observe(state)
            chosen = policy(observation)
            action = chosen.sample()
            state, result = simulator.step(state, action)
            # Each pays its own bill and, as a team, for all that is wrong on the feeder.
            reward = -result.cost - result.penalty * result.violation[:, None]
            log_likelihood = chosen.log_prob(action).sum(dim=-1)
            kept.append((observation, seen, action, log_likelihood, reward))
        observations, seen, actions, before, rewards = map(torch.stack, zip(*kept, strict=True))

        # Midnight closes the books: what follows an action is the rest of its day, undiscounted.
        returns = rewards.flip(0).cumsum(dim=0).flip(0)
        if iteration == 0:  # the critic's unit, for each agent
            middle, unit = returns.mean(dim=(0, 1)), returns.std(dim=(0, 1))
        returns = (returns - middle) / unit
        advantages = returns - critic(seen)
        advantages = (advantages - advantages.mean(dim=(0, 1))) / advantages.std(dim=(0, 1))

    # Learn from them: (steps x days, ...).
    samples = observations, seen, actions, before, returns, advantages
    memory = [values.flatten(0, 1) for values in samples]
    for group in optimiser.param_groups:
        group["lr"] = LEARNING_RATE * (1.0 - iteration / ITERATIONS)
    for _ in range(EPOCHS):
        for rows in torch.randperm(steps * DAYS).chunk(MINIBATCHES):
            observed, seen, action, before, target, advantage = (part[rows] for part in memory)
            ratio = (policy(observed).log_prob(action).sum(dim=-1) - before).exp()
            clipped = ratio.clamp(1.0 - CLIP, 1.0 + CLIP)
            gain = torch.minimum(ratio * advantage, clipped * advantage).mean()
            loss = 0.5 * (critic(seen) - target).square().mean() - gain
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 0.5)
            optimiser.step()

    if (iteration + 1) % 10 == 0:
        paid = rewards.sum(dim=0).mean()
        print(f"iteration {iteration + 1:3d}: on average a home's day is rewarded with {paid:5.0f}")

played = ITERATIONS * DAYS * steps
print(f"{played} steps of {agents} agents in {time.process_time():.0f} s of processor time")

# Days of another year, which nobody learned from, beside rules.
days = evaluation_days(simulator, "validation", 14)
with torch.no_grad():
    found = evaluate(simulator, {"mappo": decide}, days, "validation", foresight_iterations=0)
print(f"\n{'on days never seen':20s}{'€/day':>8s}{'half-hours outside limits':>28s}")
for method, episode in found.episodes.items():
    outcome = summarise(episode, simulator.case.limits)
    print(f"{method:20s}{outcome['cost']:8.0f}{outcome['any_steps']:28.1%}")

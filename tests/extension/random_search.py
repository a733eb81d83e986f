"""A method that the packages know nothing of, as its file in `baselines/` would be.

Random search: an action is a level plus a slope times the price. Every home tries others on the
same few days, and keeps what was cheapest.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from baselines.methods import Budget, Observe
from gridedge_env.case import Case
from gridedge_env.reference import Policy, play
from gridedge_env.simulator import Simulator, make_simulator

DAYS = [20, 110, 200, 290]


def random_search(case: Case, device: str, budget: Budget, observe: Observe) -> Policy:
    """See `LearningMethod`."""
    simulator = make_simulator(case=case, device=device)
    generator = torch.Generator(device).manual_seed(case.seed)
    state = simulator.reset(days=DAYS)
    best = torch.zeros(2, simulator.num_agents, dtype=simulator.dtype, device=device)
    least = torch.full_like(best[0], torch.inf)
    began, seconds, steps = time.perf_counter(), 0.0, 0
    while budget.share(seconds, steps) < 1.0:
        tried = best + torch.empty_like(best).normal_(generator=generator)
        results = play(simulator, _answer(simulator, tried), state)
        cost = torch.stack([result.cost for _, _, result in results]).sum(dim=(0, 1))
        best, least = torch.where(cost < least, tried, best), torch.minimum(cost, least)
        steps += len(DAYS) * case.clock.steps
        seconds = time.perf_counter() - began
        observe(seconds, steps, _answer(simulator, best))
    return _answer(simulator, best)


def _answer(simulator: Simulator, coefficients: Tensor) -> Policy:
    """The policy of levels and slopes, (2, agents)."""
    names = [field.name for field in simulator.observation_fields]
    price = names.index("price_z_score") - simulator.private_size
    level, slope = coefficients

    def policy(private: Tensor, shared: Tensor) -> Tensor:
        action = (level + slope * shared[:, price, None]).clamp(-1.0, 1.0)
        return action[..., None].expand(-1, -1, simulator.action_size)

    return policy

"""IPPO and MAPPO by the contract for methods, with unshared policies."""

from __future__ import annotations

from dataclasses import replace

from baselines.methods import Budget, Case, Observe
from baselines.rllib.config import RLConfig
from baselines.rllib.session import ray_session
from baselines.rllib.training import training
from gridedge_env.reference import Policy


def ippo(case: Case, budget: Budget, observe: Observe) -> Policy:
    """See `Method`."""
    return learn(RLConfig(algorithm="ippo"), case, budget, observe)


def mappo(case: Case, budget: Budget, observe: Observe) -> Policy:
    """See `Method`."""
    return learn(RLConfig(algorithm="mappo"), case, budget, observe)


def learn(config: RLConfig, case: Case, budget: Budget, observe: Observe) -> Policy:
    """A method from settings for RLlib; their case and budget count for nothing."""
    if case.device != "cpu":
        raise ValueError(f"device: got {case.device!r}, expected 'cpu' for RLlib's methods")
    config = replace(
        config,
        feeder=case.feeder,
        num_agents=case.num_agents,
        seed=case.seed,
        seconds=budget.seconds,
        iterations=budget.iterations(config.batch_days),
    )
    simulator = case.make_simulator()
    with ray_session(), training(config, case, simulator) as learner:
        while learner.progress < 1.0:
            row = learner.iterate()
            observe(learner.seconds, int(row["environment_steps"]), learner.policy)
        return learner.policy

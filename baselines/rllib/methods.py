"""IPPO and MAPPO by the contract for methods, with unshared policies and with shared ones."""

from __future__ import annotations

from dataclasses import replace

from baselines.methods import Budget, Observe
from baselines.rllib.config import SHARED, RLConfig
from baselines.rllib.training import training
from gradmap_trainer.workers.session import ray_session
from gridedge_env.case import Case
from gridedge_env.reference import Policy
from gridedge_env.simulator import make_simulator


def ippo(case: Case, device: str, budget: Budget, observe: Observe) -> Policy:
    """See `LearningMethod`."""
    return learn(RLConfig(algorithm="ippo"), case, device, budget, observe)


def mappo(case: Case, device: str, budget: Budget, observe: Observe) -> Policy:
    """See `LearningMethod`."""
    return learn(RLConfig(algorithm="mappo"), case, device, budget, observe)


def shared_ippo(case: Case, device: str, budget: Budget, observe: Observe) -> Policy:
    """See `LearningMethod`."""
    return learn(SHARED, case, device, budget, observe)


def shared_mappo(case: Case, device: str, budget: Budget, observe: Observe) -> Policy:
    """See `LearningMethod`."""
    return learn(replace(SHARED, algorithm="mappo"), case, device, budget, observe)


def learn(config: RLConfig, case: Case, device: str, budget: Budget, observe: Observe) -> Policy:
    """A method from settings for RLlib; their case and budget count for nothing."""
    if device != "cpu":
        raise ValueError(f"device: got {device!r}, expected 'cpu' for RLlib's methods")
    steps = config.batch_days * case.clock.steps
    config = replace(config, seconds=budget.seconds, iterations=budget.iterations(steps))
    simulator = make_simulator(case=case)
    with ray_session(), training(config, simulator) as learner:
        while learner.progress < 1.0:
            row = learner.iterate()
            observe(learner.seconds, int(row["environment_steps"]), learner.policy)
        return learner.policy

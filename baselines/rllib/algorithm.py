"""What a configuration means to RLlib: its environments, its modules, its learner."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModule, RLModuleSpec
from ray.rllib.env.env_context import EnvContext
from ray.tune.registry import register_env

from baselines.rllib.config import RLConfig
from baselines.rllib.environment import JointDays, OrderedRunner, PettingZooDays
from baselines.rllib.learner import JointPPOLearner
from baselines.rllib.module import JointActorCritic
from baselines.rllib.shared.environment import SharedDays
from baselines.rllib.shared.homes import homes_of
from baselines.rllib.shared.learner import SharedPPOLearner
from baselines.rllib.shared.module import SharedActorCritic
from baselines.rllib.shared.policies import Correction
from gridedge_env.parallel import GridEdgeParallelEnv
from gridedge_env.simulator import Simulator, make_simulator

# Norm beyond which the gradient of shared parameters is clipped (Yu et al., 2022).
LARGEST_GRADIENT = 10.0


def algorithm_config(config: RLConfig, simulator: Simulator, seed: int) -> PPOConfig:
    """PPO as RLlib is to run it.

    Args:
        config: how to learn.
        simulator: the case by its true limits.
        seed: of this session; a resumed run goes on with other days than it began with.
    """
    samples = config.batch_days * simulator.clock.steps
    algorithm = (
        PPOConfig()
        .env_runners(
            num_env_runners=config.env_runners,
            batch_mode="complete_episodes",
            sample_timeout_s=600.0,
        )
        .learners(num_learners=0)
        .fault_tolerance(restart_failed_env_runners=False, ignore_env_runner_failures=False)
        .debugging(seed=seed, log_level="ERROR")
        .reporting(metrics_num_episodes_for_smoothing=config.batch_days)
        .training(
            train_batch_size_per_learner=samples,
            minibatch_size=samples // config.minibatches,
            num_epochs=config.epochs,
            lr=config.learning_rate,
            gamma=config.discount,
            lambda_=config.trace,
            clip_param=config.clip,
            # RLlib clamps the squared error of values; then large errors have no gradient.
            vf_clip_param=math.inf,
            use_kl_loss=False,
            entropy_coeff=config.entropy,
            grad_clip=None,
        )
    )
    environment = {
        "case": config.training_case(simulator.case),
        "price_variation": config.price_variation,
        "seed": seed,
    }
    if config.policies == "joint":
        register_env("gridedge_joint", make_joint_days)
        algorithm.environment("gridedge_joint", env_config=environment)
        return _joint(algorithm, config, simulator)
    if config.policies == "shared":
        environment |= {"central": config.algorithm == "mappo", "credit": config.credit}
        register_env("gridedge_shared", make_shared_days)
        algorithm.environment("gridedge_shared", env_config=environment)
        return _shared(algorithm, config, simulator)
    register_env("gridedge_pettingzoo", make_pettingzoo_days)
    algorithm.environment("gridedge_pettingzoo", env_config=environment)
    return _by_agent(algorithm, config, simulator)


def make_joint_days(context: dict[str, Any]) -> JointDays:
    """The vector environment of the joint form."""
    simulator = make_simulator(case=context["case"])
    return JointDays(simulator, context.get("num_envs", 1), context["price_variation"])


def make_shared_days(context: dict[str, Any]) -> SharedDays:
    """The vector environment of homes that share parameters."""
    return SharedDays(
        make_simulator(case=context["case"]),
        context.get("num_envs", 1),
        context["price_variation"],
        context["central"],
        context["credit"],
    )


def make_pettingzoo_days(context: EnvContext) -> PettingZooDays:
    """RLlib's view of `gridedge_env.parallel_env`; every runner has days of its own."""
    entropy = [context["seed"], context.worker_index]
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    return PettingZooDays(GridEdgeParallelEnv(make_simulator(case=context["case"])), seed)


def modules_of(config: RLConfig, simulator: Simulator) -> dict[str, str]:
    """Name of the module that decides for each agent."""
    fleet = simulator.fleet
    modules = fleet.names if config.policies == "separate" else fleet.agent_kinds
    return dict(zip(fleet.names, modules, strict=True))


def _joint(algorithm: PPOConfig, config: RLConfig, simulator: Simulator) -> PPOConfig:
    model = {"kinds": simulator.fleet.agent_kinds}
    return _as_one_agent(algorithm, config, simulator, JointActorCritic, model, JointPPOLearner)


def _shared(algorithm: PPOConfig, config: RLConfig, simulator: Simulator) -> PPOConfig:
    model = {"homes": homes_of(simulator), "correction": Correction.of(simulator)}
    algorithm.training(grad_clip=LARGEST_GRADIENT, grad_clip_by="global_norm")
    return _as_one_agent(algorithm, config, simulator, SharedActorCritic, model, SharedPPOLearner)


def _as_one_agent(
    algorithm: PPOConfig,
    config: RLConfig,
    simulator: Simulator,
    module: type[RLModule],
    model: dict[str, Any],
    learner: type[JointPPOLearner],
) -> PPOConfig:
    """A fleet that is one agent to RLlib; days side by side are a vector environment."""
    runners = max(1, config.env_runners)
    model |= {
        "central": config.algorithm == "mappo",
        "hidden_sizes": config.hidden_sizes,
        "initial_deviation": config.initial_deviation,
        "seed": simulator.case.seed,
    }
    return (
        algorithm.env_runners(
            num_envs_per_env_runner=math.ceil(config.batch_days / runners),
            gym_env_vectorize_mode="vector_entry_point",
        )
        .rl_module(rl_module_spec=RLModuleSpec(module_class=module, model_config=model))
        .training(
            learner_class=learner,
            learner_config_dict={"reward_scale": config.reward_scale / simulator.case.demand.scale},
        )
    )


def _by_agent(algorithm: PPOConfig, config: RLConfig, simulator: Simulator) -> PPOConfig:
    modules = modules_of(config, simulator)
    names = list(dict.fromkeys(modules.values()))
    model = DefaultModelConfig(
        fcnet_hiddens=list(config.hidden_sizes),
        fcnet_activation="tanh",
        head_fcnet_hiddens=[],
        vf_share_layers=False,
        log_std_clip_param=math.inf,
        free_log_std=True,
    )
    specs = {name: RLModuleSpec(model_config=model) for name in names}
    # RLlib counts a batch in steps of agents here, a minibatch in those of each module's agents.
    samples = config.batch_days * simulator.clock.steps * simulator.num_agents
    return (
        algorithm.env_runners(env_runner_cls=OrderedRunner)
        .multi_agent(
            policies=names,  # in their order, which a set of names has anew in each process
            policy_mapping_fn=lambda agent, *args, **kwargs: modules[agent],
            count_steps_by="agent_steps",
        )
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
        .training(
            train_batch_size_per_learner=samples,
            minibatch_size=samples // len(names) // config.minibatches,
        )
    )

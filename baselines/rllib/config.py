"""The configuration of an RLlib run, and what it means to RLlib."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.tune.registry import register_env

import gridedge_env
from baselines.rllib.environment import JointDays, PettingZooDays
from baselines.rllib.learner import JointPPOLearner
from baselines.rllib.module import JointActorCritic
from gradmap_trainer.config import CONFIG_FILE, STEPS_PER_DAY, write_whole
from gridedge_env.limits import Limits
from gridedge_env.options import check_whole_number
from gridedge_env.parallel import GridEdgeParallelEnv
from gridedge_env.simulator import Simulator

# RLlib keeps books for every agent's module at every step; beyond this it crawls.
MOST_SEPARATE_MODULES = 100


@dataclass(frozen=True)
class RLConfig:
    """What `python -m baselines.rllib.train` takes.

    Attributes:
        run: folder of the run.
        algorithm: "ippo", every agent's critic sees what the agent sees; "mappo", one critic sees
            the state of the whole fleet.
        policies: "joint": unshared, the fleet as one agent to RLlib. "by-kind": one policy for all
            devices of a kind, "separate": one each; both through PettingZoo, by RLlib's own PPO,
            with its own networks.
        feeder: a built-in feeder's name, or a folder of tables.
        num_agents: number of homes.
        seed: chooses homes, initial weights, training days and exploration.
        seconds: training time, without start-up, validation and evaluation.
        batch_days: days per iteration.
        price_variation: standard deviation of the logarithm of a random factor on each training
            day's prices ("joint" only).
        epochs: passes over an iteration's samples.
        minibatches: optimiser steps per pass.
        hidden_sizes: units of each network's hidden layers.
        learning_rate: Adam's, at the beginning.
        final_learning_rate: Adam's, when the time is up.
        clip: largest change of a likelihood ratio per iteration that still earns.
        discount: of later rewards.
        trace: λ of the advantage estimation.
        initial_deviation: standard deviation of the policies' outputs at the beginning ("joint").
        reward_scale: of the rewards that are learned from, per € and ordinary home ("joint").
        penalty: € per unit of the network's violation that every agent pays. What all pay together
            is `num_agents` times as much: at 100, an agent feels all that it does to the network as
            the environment's own reward counts it.
        voltage_margin: pu that the penalty begins before the voltage limits.
        loading_margin: share of rating that it begins before the rating.
        env_runners: processes that sample; 0: the one that learns. Through a worker that fails, the
            run fails.
        validation_days: days of the validation year played after every iteration for the log.
        checkpoint_seconds: training time between checkpoints.
        evaluation_days: days of the test year to evaluate on when training is done; 0: none.
        foresight_iterations: effort of the perfect-foresight optimum in that evaluation.
    """

    run: str = "runs/rllib"
    algorithm: Literal["ippo", "mappo"] = "ippo"
    policies: Literal["joint", "by-kind", "separate"] = "joint"
    feeder: str = "ieee123"
    num_agents: int = 1000
    seed: int = 0
    seconds: float = 600.0
    batch_days: int = 16
    price_variation: float = 0.0
    epochs: int = 2
    minibatches: int = 8
    hidden_sizes: tuple[int, ...] = (16, 16)
    learning_rate: float = 1.5e-2
    final_learning_rate: float = 1.5e-3
    clip: float = 0.2
    discount: float = 1.0
    trace: float = 0.95
    initial_deviation: float = 0.5
    reward_scale: float = 1.0
    penalty: float = 10.0
    voltage_margin: float = 0.0
    loading_margin: float = 0.0
    env_runners: int = 0
    validation_days: int = 8
    checkpoint_seconds: float = 60.0
    evaluation_days: int = 28
    foresight_iterations: int = 300

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            check_whole_number(getattr(self, name), least, name)
        for name in _POSITIVE:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name}: got {value!r}, expected a positive number")
        for name in ("discount", "trace"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, expected 0 to 1")
        if self.batch_days * STEPS_PER_DAY < self.minibatches:
            raise ValueError(
                f"minibatches: got {self.minibatches}, expected at most "
                f"{self.batch_days * STEPS_PER_DAY} (batch_days x {STEPS_PER_DAY})"
            )
        if self.policies != "joint" and self.algorithm != "ippo":
            raise ValueError(
                f"algorithm: got {self.algorithm!r} with policies {self.policies!r}, "
                "expected 'ippo': a centralised critic needs 'joint' policies"
            )
        if self.policies == "separate" and self.num_agents > MOST_SEPARATE_MODULES:
            raise ValueError(
                f"num_agents: got {self.num_agents} with separate policies, expected at most "
                f"{MOST_SEPARATE_MODULES}, or 'joint' policies, which are unshared too"
            )

    def make_simulator(self) -> Simulator:
        """The case, with the penalty and margins of training."""
        limits = Limits().tightened(self.voltage_margin, self.loading_margin)
        return gridedge_env.make_simulator(
            self.feeder,
            self.num_agents,
            seed=self.seed,
            penalty=self.penalty * self.num_agents,
            limits=limits,
        )

    def make_test_simulator(self) -> Simulator:
        """The case by the limits as they are."""
        return gridedge_env.make_simulator(self.feeder, self.num_agents, seed=self.seed)


_LEAST = {
    "num_agents": 1,
    "seed": 0,
    "batch_days": 1,
    "epochs": 1,
    "minibatches": 1,
    "env_runners": 0,
    "validation_days": 1,
    "evaluation_days": 0,
    "foresight_iterations": 0,
}
_POSITIVE = (
    "seconds",
    "learning_rate",
    "final_learning_rate",
    "clip",
    "initial_deviation",
    "reward_scale",
)


def save_config(config: RLConfig, folder: Path) -> None:
    """Write `config.json`."""
    write_whole(folder / CONFIG_FILE, json.dumps(asdict(config), indent=2) + "\n")


def load_config(folder: Path) -> RLConfig:
    """Read `config.json` of a run.

    Raises:
        FileNotFoundError: no run in the folder.
        ValueError: it is not the configuration of an RLlib run.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"run: {path} not found, expected the folder of an RLlib run")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        names = {field.name for field in fields(RLConfig)}
        if set(record) != names:
            raise ValueError(f"fields {sorted(names ^ set(record))} are missing or unknown")
        return RLConfig(**{**record, "hidden_sizes": tuple(record["hidden_sizes"])})
    except (ValueError, TypeError) as error:
        raise ValueError(f"run: {path} is not an RLlib run's configuration: {error}") from error


def algorithm_config(config: RLConfig, simulator: Simulator, seed: int) -> PPOConfig:
    """PPO as RLlib is to run it.

    Args:
        config: the run.
        simulator: its case, whose fleet and sizes count.
        seed: of this session; a resumed run goes on with other days than it began with.
    """
    samples = config.batch_days * STEPS_PER_DAY
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
            entropy_coeff=0.0,
            grad_clip=None,
        )
    )
    environment = {"config": config}
    if config.policies == "joint":
        register_env("gridedge_joint", make_joint_days)
        algorithm.environment("gridedge_joint", env_config=environment)
        return _joint(algorithm, config, simulator)
    register_env("gridedge_pettingzoo", make_pettingzoo_days)
    algorithm.environment("gridedge_pettingzoo", env_config=environment)
    return _by_agent(algorithm, config, simulator)


def make_joint_days(context: dict[str, Any]) -> JointDays:
    """The vector environment of the joint form."""
    config: RLConfig = context["config"]
    return JointDays(config.make_simulator(), context.get("num_envs", 1), config.price_variation)


def make_pettingzoo_days(context: dict[str, Any]) -> PettingZooDays:
    """RLlib's view of `gridedge_env.parallel_env`."""
    return PettingZooDays(GridEdgeParallelEnv(context["config"].make_simulator()))


def module_of(config: RLConfig, agent: str) -> str:
    """Name of the module that decides for an agent."""
    return agent if config.policies == "separate" else agent.rpartition("_")[0]


def _joint(algorithm: PPOConfig, config: RLConfig, simulator: Simulator) -> PPOConfig:
    runners = max(1, config.env_runners)
    model = {
        "central": config.algorithm == "mappo",
        "counts": simulator.fleet.counts,
        "hidden_sizes": config.hidden_sizes,
        "initial_deviation": config.initial_deviation,
        "seed": config.seed,
    }
    return (
        algorithm.env_runners(
            num_envs_per_env_runner=math.ceil(config.batch_days / runners),
            gym_env_vectorize_mode="vector_entry_point",
        )
        .rl_module(rl_module_spec=RLModuleSpec(module_class=JointActorCritic, model_config=model))
        .training(
            learner_class=JointPPOLearner,
            learner_config_dict={"reward_scale": config.reward_scale / simulator.fleet.scale},
        )
    )


def _by_agent(algorithm: PPOConfig, config: RLConfig, simulator: Simulator) -> PPOConfig:
    names = list(dict.fromkeys(module_of(config, agent) for agent in simulator.fleet.names))
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
    samples = config.batch_days * STEPS_PER_DAY * config.num_agents
    return (
        algorithm.multi_agent(
            policies=set(names),
            policy_mapping_fn=lambda agent, *args, **kwargs: module_of(config, agent),
            count_steps_by="agent_steps",
        )
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
        .training(
            train_batch_size_per_learner=samples,
            minibatch_size=samples // len(names) // config.minibatches,
        )
    )

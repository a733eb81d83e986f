"""BenchMARL's MAPPO: a task of one's own, on days side by side; other algorithms are a line.

Run it with `python examples/benchmarl_mappo.py [iterations]` after `pip install -e '.[learners]'`;
its 40 iterations take about a minute.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory

from benchmarl.algorithms import MappoConfig
from benchmarl.environments.common import TaskClass
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig
from torch import Tensor, nn
from torchrl.data import Composite
from torchrl.envs import EnvBase

import gridedge_env
from gridedge_env.evaluation import evaluate, evaluation_days, summarise
from gridedge_env.state import Result
from gridedge_env.torchrl_env import TorchRLEnv

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("iterations", nargs="?", type=int, default=40)
ITERATIONS = parser.parse_args().iterations
if ITERATIONS < 1:
    parser.error(f"iterations: got {ITERATIONS}, expected a whole number of at least 1")

DAYS = 32
SIMULATOR = gridedge_env.make_simulator("ieee13", num_agents=30)


def reward(result: Result) -> Tensor:
    """Each home pays its own bill and, as a team, for all that is wrong on the feeder."""
    return -(result.cost + result.penalty * result.violation[:, None]) / 100.0


class Feeder(TaskClass):
    """What BenchMARL asks of a task: the environment, and which of its entries are what."""

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: str
    ) -> Callable[[], EnvBase]:
        """Days side by side; their order is the seed's."""

        def make() -> EnvBase:
            env = TorchRLEnv(SIMULATOR, num_envs, reward=reward)
            env.set_seed(seed)
            return env

        return make

    def supports_continuous_actions(self) -> bool:
        return True

    def supports_discrete_actions(self) -> bool:
        return False

    def max_steps(self, env: EnvBase) -> int:
        return SIMULATOR.clock.steps

    def has_render(self, env: EnvBase) -> bool:
        return False

    def group_map(self, env: EnvBase) -> dict[str, list[str]]:
        return env.group_map

    def observation_spec(self, env: EnvBase) -> Composite:
        known = env.full_observation_spec_unbatched
        return Composite({group: known[group] for group in env.group_map})

    def state_spec(self, env: EnvBase) -> Composite:
        return Composite(state=env.full_observation_spec_unbatched["state"])

    def action_spec(self, env: EnvBase) -> Composite:
        return env.full_action_spec_unbatched

    def info_spec(self, env: EnvBase) -> None:
        return None

    def action_mask_spec(self, env: EnvBase) -> None:
        return None

    @staticmethod
    def env_name() -> str:
        return "gridedge"


frames = DAYS * SIMULATOR.clock.steps
config = ExperimentConfig.get_from_yaml()
config.gamma, config.lr = 1.0, 3e-3  # the books are closed at midnight
config.on_policy_n_envs_per_worker = DAYS
config.on_policy_collected_frames_per_batch = frames
config.on_policy_minibatch_size = frames // 4
config.on_policy_n_minibatch_iters = 4
config.max_n_iters, config.max_n_frames = ITERATIONS, None
config.evaluation, config.loggers = False, []

algorithm = MappoConfig.get_from_yaml()
algorithm.lmbda = 1.0
network = MlpConfig([64, 64], layer_class=nn.Linear, activation_class=nn.Tanh)
with TemporaryDirectory() as config.save_folder:
    experiment = Experiment(Feeder("feeder", {}), algorithm, network, seed=0, config=config)
    experiment.run()
print(f"{ITERATIONS * frames} steps of 30 agents in {time.process_time():.0f} s of processor time")

# Days of another year, which nobody learned from, beside rules.
policies = {"mappo": TorchRLEnv(SIMULATOR, DAYS).policy_of(experiment.policy)}
days = evaluation_days(SIMULATOR, "validation", 14)
found = evaluate(SIMULATOR, policies, days, "validation", foresight_iterations=0)
print(f"\n{'on days never seen':20s}{'€/day':>8s}{'half-hours outside limits':>28s}")
for method, episode in found.episodes.items():
    outcome = summarise(episode, SIMULATOR.case.limits)
    print(f"{method:20s}{outcome['cost']:8.0f}{outcome['any_steps']:28.1%}")

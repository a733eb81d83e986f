"""The fleet as one RLModule: unshared actors, and unshared or centralised critics."""

from __future__ import annotations

import math
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from gradmap_trainer.policies import Policies


class JointActorCritic(TorchRLModule, ValueFunctionAPI):
    """Gaussian policies of all agents, with GradMAP's networks as their means.

    Critics are networks like the actors. IPPO's see their agent's own observation. MAPPO's are
    centralised: they also see the state of the fleet, as mean and spread of the private fields over
    each kind of device.

    `model_config` holds: `central`, bool; `kinds`, what each agent has; `hidden_sizes`,
    of actors and critics; `initial_deviation`, of the outputs; `seed`, of the weights.

    Attributes:
        actor: the policies without noise: a `gridedge_env.reference.Policy`.
        log_deviation: (agents, action_size), trained too.
    """

    def setup(self) -> None:
        """Make the networks; RLlib calls this."""
        super().setup()
        config = self.model_config
        hidden, seed = tuple(config["hidden_sizes"]), config["seed"]
        agents, private_size = self.observation_space["private"].shape
        (shared_size,) = self.observation_space["shared"].shape
        action_size, device = self.action_space.shape[1], torch.device("cpu")
        rows: dict[str, list[int]] = {}
        for agent, kind in enumerate(config["kinds"]):
            rows.setdefault(kind, []).append(agent)
        self.rows_of_kinds = list(rows.values())
        self.actor = Policies(agents, private_size, shared_size, action_size, hidden, seed, device)
        self.log_deviation = nn.Parameter(
            torch.full(
                (agents, action_size),
                math.log(config["initial_deviation"]),
                dtype=torch.float32,
                device=device,
            )
        )
        self.central = config["central"]
        if self.central:
            shared_size += 2 * len(self.rows_of_kinds) * private_size
        self.critic = Policies(agents, private_size, shared_size, 1, hidden, seed + 1, device)

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        with torch.no_grad():
            return {Columns.ACTIONS: self._means(batch)}

    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        with torch.no_grad():
            means = self._means(batch)
            actions = means + self.log_deviation.exp() * torch.randn_like(means)
            return {
                Columns.ACTIONS: actions,
                Columns.ACTION_LOGP: log_probability(actions, means, self.log_deviation),
            }

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        means = self._means(batch)
        return {
            Columns.ACTION_LOGP: log_probability(batch[Columns.ACTIONS], means, self.log_deviation),
            Columns.VF_PREDS: self.compute_values(batch),
        }

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """What each agent can expect for the rest of the day: (samples, agents)."""
        private, shared = batch[Columns.OBS]["private"], batch[Columns.OBS]["shared"]
        if self.central:
            shared = self._fleet_state(private, shared)
        return _outputs(self.critic, private, shared)[..., 0]

    def _means(self, batch: dict[str, Any]) -> Tensor:
        """(samples, agents, action_size)."""
        observation = batch[Columns.OBS]
        return _outputs(self.actor, observation["private"], observation["shared"])

    def _fleet_state(self, private: Tensor, shared: Tensor) -> Tensor:
        """(samples, shared fields and pooled private fields)."""
        kinds = [private[:, rows] for rows in self.rows_of_kinds]
        means = [kind.mean(dim=1) for kind in kinds]
        spreads = [kind.std(dim=1, correction=0) for kind in kinds]
        return torch.cat((shared, *means, *spreads), dim=-1)


def log_probability(actions: Tensor, means: Tensor, log_deviation: Tensor) -> Tensor:
    """Of every agent's action, (samples, agents, action_size): (samples, agents)."""
    distance = (actions - means) * (-log_deviation).exp()
    density = -0.5 * distance.square() - log_deviation - 0.5 * math.log(2.0 * math.pi)
    return density.sum(dim=-1)


def _outputs(networks: Policies, private: Tensor, shared: Tensor) -> Tensor:
    """Outputs of stacked networks with samples outermost: (samples, agents, outputs)."""
    return networks.outputs(private.permute(1, 2, 0), shared.T).permute(2, 0, 1)

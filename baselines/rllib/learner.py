"""PPO for a fleet that is one agent to RLlib: ratios, advantages and clipping stay per agent."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.connectors.learner import (
    AddOneTsToEpisodesAndTruncate,
    GeneralAdvantageEstimation,
)
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from torch import Tensor

from baselines.rllib.environment import AGENT_REWARDS

# Actions this near to one another in likelihood make no advantage: below it, no division.
SMALLEST_SPREAD = 1e-4
# What the learner reports of itself.
LEARNER_METRICS = ("clip_fraction", "value_explained")


class AgentAdvantages(ConnectorV2):
    """Adds advantages and value targets of every agent, (samples, agents), to a batch of days."""

    def __init__(
        self,
        input_observation_space: Any = None,
        input_action_space: Any = None,
        *,
        discount: float,
        trace: float,
        reward_scale: float,
    ) -> None:
        super().__init__(input_observation_space, input_action_space)
        self.discount = discount
        self.trace = trace
        self.reward_scale = reward_scale

    def __call__(
        self, *, rl_module: Any, episodes: list[Any], batch: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        """See `ConnectorV2`; the batch holds the episodes one after the other."""
        days = np.stack([[info[AGENT_REWARDS] for info in day.get_infos()[1:]] for day in episodes])
        for module_id, columns in batch.items():
            with torch.no_grad():
                values = rl_module[module_id].unwrapped().compute_values(columns)
            rewards = self.reward_scale * torch.from_numpy(days).to(values)
            advantages = generalised_advantages(
                rewards.transpose(0, 1),
                values.unflatten(0, rewards.shape[:2]).transpose(0, 1),
                self.discount,
                self.trace,
            )
            advantages = advantages.transpose(0, 1).flatten(0, 1)
            self.finish(rl_module[module_id].unwrapped(), columns, values, advantages)
        return batch

    def finish(
        self, module: Any, columns: dict[str, Any], values: Tensor, advantages: Tensor
    ) -> None:
        """Add what is learned from to the columns of a batch.

        Args:
            module: that learns.
            columns: of the batch, to be added to.
            values: (samples, agents) by the module.
            advantages: likewise, of GAE.
        """
        columns[Postprocessing.VALUE_TARGETS] = advantages + values
        columns[Postprocessing.ADVANTAGES] = standardise(advantages)


class JointPPOLearner(PPOTorchLearner):
    """Independent PPO of every agent, all in one batch.

    The loss is summed over agents and averaged over samples: each agent's gradient is what it would
    be if it learned alone. (Gradients must not be clipped by their common norm.)

    Attributes:
        advantages: connector that adds them.
    """

    advantages: type[AgentAdvantages] = AgentAdvantages

    def build(self) -> None:
        """Replace RLlib's advantages, one number a step, by one for each agent."""
        super().build()
        # Days are complete and nothing comes after midnight: no value to add at the end.
        for replaced in (AddOneTsToEpisodesAndTruncate, GeneralAdvantageEstimation):
            self._learner_connector.remove(replaced.__name__)
        self._learner_connector.append(
            self.advantages(
                discount=self.config.gamma,
                trace=self.config.lambda_,
                reward_scale=self.config.learner_config_dict["reward_scale"],
            )
        )

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Clipped surrogate and squared error of the values."""
        ratio = (fwd_out[Columns.ACTION_LOGP] - batch[Columns.ACTION_LOGP]).exp()
        surrogate = clipped_surrogate(ratio, batch[Postprocessing.ADVANTAGES], config.clip_param)
        error = (fwd_out[Columns.VF_PREDS] - batch[Postprocessing.VALUE_TARGETS]).square()
        value_loss = error.clamp(max=config.vf_clip_param)
        with torch.no_grad():
            clipped = ((ratio - 1.0).abs() > config.clip_param).float().mean()
            spread = batch[Postprocessing.VALUE_TARGETS].var(dim=0).mean()
            explained = 1.0 - error.mean() / spread.clamp(min=1e-8)
        reported = dict(zip(LEARNER_METRICS, (clipped, explained), strict=True))
        self.metrics.log_dict(reported, key=module_id, window=1)
        return (config.vf_loss_coeff * value_loss - surrogate).sum(dim=1).mean()


def generalised_advantages(
    rewards: Tensor, values: Tensor, discount: float, trace: float
) -> Tensor:
    """Generalised advantage estimation (Schulman et al., 2016, equation 16).

    Args:
        rewards: (steps, ...) of whole episodes.
        values: (steps, ...) expected at the beginning of each step; 0 after the last.
        discount: of later rewards.
        trace: λ; 1 trusts the rewards alone.
    """
    following = torch.cat((values[1:], torch.zeros_like(values[:1])))
    surprise = rewards + discount * following - values
    advantages = torch.empty_like(values)
    running = torch.zeros_like(values[0])
    for step in reversed(range(len(values))):
        running = surprise[step] + discount * trace * running
        advantages[step] = running
    return advantages


def standardise(advantages: Tensor) -> Tensor:
    """To mean 0 and spread 1 over the samples of each agent: (samples, agents)."""
    mean = advantages.mean(dim=0)
    spread = advantages.std(dim=0, correction=0).clamp(min=SMALLEST_SPREAD)
    return (advantages - mean) / spread


def clipped_surrogate(ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """PPO's objective (Schulman et al., 2017, equation 7) of each agent's sample."""
    return torch.minimum(ratio * advantages, ratio.clamp(1.0 - clip, 1.0 + clip) * advantages)

"""PPO for homes that share parameters, as Yu et al. (2022) have it."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from torch import Tensor
from torch.nn import functional

from baselines.rllib.learner import (
    LEARNER_METRICS,
    SMALLEST_SPREAD,
    AgentAdvantages,
    JointPPOLearner,
    clipped_surrogate,
)

# Errors of normalised values beyond this count linearly.
HUBER = 10.0


class SharedAdvantages(AgentAdvantages):
    """Values to learn are normalised by their running scale, advantages over each kind of home."""

    def finish(
        self, module: Any, columns: dict[str, Any], values: Tensor, advantages: Tensor
    ) -> None:
        """See `AgentAdvantages`."""
        returns = advantages + values
        module.rescale(returns)
        columns[Postprocessing.VALUE_TARGETS] = module.normalised(returns)
        columns[Columns.VF_PREDS] = module.normalised(values)
        columns[Postprocessing.ADVANTAGES] = standardise_kinds(
            advantages, module.critic.kind_of_agent
        )


class SharedPPOLearner(JointPPOLearner):
    """The loss is the mean over samples and agents."""

    advantages = SharedAdvantages

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Clipped surrogate, clipped Huber loss of the values, entropy."""
        ratio = (fwd_out[Columns.ACTION_LOGP] - batch[Columns.ACTION_LOGP]).exp()
        surrogate = clipped_surrogate(ratio, batch[Postprocessing.ADVANTAGES], config.clip_param)
        values, targets = fwd_out[Columns.VF_PREDS], batch[Postprocessing.VALUE_TARGETS]
        value_loss = clipped_value_loss(values, batch[Columns.VF_PREDS], targets, config.clip_param)
        with torch.no_grad():
            clipped = ((ratio - 1.0).abs() > config.clip_param).float().mean()
            error = (values - targets).square().mean()
            explained = 1.0 - error / targets.var(correction=0).clamp(min=1e-8)
        reported = dict(zip(LEARNER_METRICS, (clipped, explained), strict=True))
        self.metrics.log_dict(reported, key=module_id, window=1)
        entropy = self.module[module_id].unwrapped().entropy
        loss = config.vf_loss_coeff * value_loss.mean() - surrogate.mean()
        return loss - config.entropy_coeff * entropy


def clipped_value_loss(values: Tensor, before: Tensor, targets: Tensor, clip: float) -> Tensor:
    """The worse of the Huber losses of values, and of values at most `clip` from those before."""
    near = before + (values - before).clamp(-clip, clip)
    losses = [
        functional.huber_loss(x, targets, reduction="none", delta=HUBER) for x in (values, near)
    ]
    return torch.maximum(*losses)


def standardise_kinds(advantages: Tensor, kind_of_agent: Tensor) -> Tensor:
    """To mean 0 and spread 1 over the samples of all agents of a kind: (samples, agents)."""
    scaled = torch.empty_like(advantages)
    for kind in kind_of_agent.unique():
        own = kind_of_agent == kind
        part = advantages[:, own]
        spread = part.std(correction=0).clamp(min=SMALLEST_SPREAD)
        scaled[:, own] = (part - part.mean()) / spread
    return scaled

"""The surrogate that reuses a gradient, and the inner loop that goes down it.

For samples of observations o, outputs z in the rollout and gradients G there, each policy descends

    mean max(G d, G clip(d, -e, e)),  d = policy(o) - z

A sample that has moved by more than the trust region e in the direction that pays earns nothing
more; one that has moved in the wrong direction is always called back. Agents do not interact.
"""

from __future__ import annotations

import numpy as np
import torch

from gradmap_trainer.kernels import descent
from gradmap_trainer.kernels.descent import Samples
from gradmap_trainer.policies import Policies
from gridedge_env.transfer import to_device


def descend(
    policies: Policies,
    optimiser: torch.optim.Optimizer,
    samples: Samples,
    orders: np.ndarray,
    minibatches: int,
    trust_region: float,
) -> None:
    """Take `minibatches` optimiser steps down the surrogate in each epoch.

    Args:
        policies: changed in place.
        optimiser: of their weights; changed in place.
        samples: see `Samples`.
        orders: (epochs, samples) order in which each epoch takes them.
        minibatches: parts of equal size, to within one sample.
        trust_region: largest change of an output that still earns; infinite: none.
    """
    networks = policies.networks()
    if descent.can_descend(networks, optimiser, samples):
        descent.descend(networks, optimiser, samples, orders, minibatches, trust_region)
        return
    for order in to_device(torch.from_numpy(orders), samples[0].device):
        # Shuffled as a whole: gathering each minibatch by itself takes a fifth longer.
        shuffled = [values[..., order] for values in samples]
        parts = (values.tensor_split(minibatches, dim=-1) for values in shuffled)
        for own, common, before, earned in zip(*parts, strict=True):
            change = policies.outputs(own, common) - before
            bounded = change.clamp(-trust_region, trust_region)
            loss = torch.maximum(earned * change, earned * bounded).sum() / len(common[0])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

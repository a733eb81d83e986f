"""The inner loop by the compiled kernel."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from gradmap_trainer.kernels.descent_layout import Adam, lay_out
from gradmap_trainer.kernels.networks import Networks, addresses
from gradmap_trainer.kernels.outputs import can_compute
from gridedge_env.compiled.running import run_blocks

# Private observations (agents, entries, samples), shared ones (entries, samples), outputs in the
# rollout and gradients there (agents, actions, samples).
Samples: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]


def can_descend(networks: Networks, optimiser: torch.optim.Optimizer, samples: Samples) -> bool:
    """Whether kernels can take an optimiser's steps on these samples: if it is plain Adam."""
    private, shared, before, earned = samples
    outputs = (len(private), networks.units[-1], shared.shape[1])
    return (
        type(optimiser) is torch.optim.Adam
        and len(optimiser.param_groups) == 1
        and not any(optimiser.param_groups[0][name] for name in ("amsgrad", "maximize"))
        and optimiser.param_groups[0]["weight_decay"] == 0.0
        and before.shape == earned.shape == outputs
        and before.dtype == earned.dtype == torch.float32
        and can_compute(networks, private, shared)
    )


def descend(
    networks: Networks,
    optimiser: torch.optim.Optimizer,
    samples: Samples,
    orders: np.ndarray,
    minibatches: int,
    trust_region: float,
) -> None:
    """See `surrogate.descend`. Weights and Adam's state change in place, as with PyTorch."""
    from gradmap_trainer.kernels import descent_kernel

    parameters = networks.parameters
    moments = [_moments(optimiser, parameter) for parameter in parameters]
    private, shared, before, earned = (x.contiguous().numpy() for x in samples)
    ends = np.cumsum([0, *(len(part) for part in np.array_split(orders[0], minibatches))])
    layout, sizes, tensors = lay_out(networks, orders, ends)
    places = [addresses(parameters)]
    places += [addresses(m[name] for m in moments) for name in ("exp_avg", "exp_avg_sq")]
    run_blocks(
        descent_kernel.descend,
        len(private),
        layout,
        sizes,
        _adam(optimiser, int(moments[0]["step"]), len(orders) * minibatches),
        np.stack(places),
        tensors,
        private,
        shared,
        before.ravel(),
        earned.ravel(),
        ends,
        np.float32(trust_region),
    )
    for moment in moments:
        moment["step"] += len(orders) * minibatches


def _moments(optimiser: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """Adam's state of a parameter, fresh before the first step."""
    state = optimiser.state[parameter]
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        state["exp_avg"] = torch.zeros_like(parameter, requires_grad=False)
        state["exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
    return state


def _adam(optimiser: torch.optim.Optimizer, done: int, steps: int) -> Adam:
    """Settings of the next `steps` steps after the first `done`."""
    (group,) = optimiser.param_groups
    first, second = group["betas"]
    number = np.arange(done + 1, done + steps + 1)
    return Adam(
        rate=(group["lr"] / (1.0 - first**number)).astype(np.float32),
        correction=(1.0 / np.sqrt(1.0 - second**number)).astype(np.float32),
        first_decay=first,
        second_decay=second,
        epsilon=group["eps"],
    )

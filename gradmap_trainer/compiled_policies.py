"""What compiled kernels do for policies in single precision on a CPU; the same as PyTorch.

The kernels, `outputs_kernel` and `descent_kernel`, are imported when first needed: without Numba,
never.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gridedge_env.compiled.running import numba_is_there, run_blocks

if TYPE_CHECKING:
    from gradmap_trainer.descent_kernel import Adam, Layout, Sizes
    from gradmap_trainer.policies import Policies

# Private observations (agents, entries, samples), shared ones (entries, samples), outputs in the
# rollout and gradients there (agents, actions, samples).
Samples: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]


def can_compute(policies: Policies, private: Tensor, shared: Tensor) -> bool:
    """Whether kernels can do what `Policies.outputs` does for these observations.

    Kernels do not look where they read: what does not fit is for PyTorch to complain about.
    """
    parameters = _parameters(policies)
    return (
        numba_is_there()
        and all(x.dtype == torch.float32 and x.device.type == "cpu" for x in (private, shared))
        and all(x.dtype == torch.float32 and x.is_contiguous() for x in parameters)
        and private.shape == (len(parameters[0]), parameters[0].shape[2], shared.shape[1])
        and len(shared) == parameters[1].shape[2]
    )


def can_descend(policies: Policies, optimiser: torch.optim.Optimizer, samples: Samples) -> bool:
    """Whether kernels can take an optimiser's steps on these samples: if it is plain Adam."""
    private, shared, before, earned = samples
    outputs = (len(private), policies.biases[-1].shape[1], shared.shape[1])
    return (
        type(optimiser) is torch.optim.Adam
        and len(optimiser.param_groups) == 1
        and not any(optimiser.param_groups[0][name] for name in ("amsgrad", "maximize"))
        and optimiser.param_groups[0]["weight_decay"] == 0.0
        and before.shape == earned.shape == outputs
        and before.dtype == earned.dtype == torch.float32
        and can_compute(policies, private, shared)
    )


def outputs(policies: Policies, private: Tensor, shared: Tensor) -> Tensor:
    """See `Policies.outputs`; without gradients."""
    from gradmap_trainer import outputs_kernel

    parameters = _parameters(policies)
    tensors, places = _units_in_turn(tuple(tuple(p.shape[1:]) for p in parameters))
    agents, _, samples = private.shape
    result = torch.empty(agents, policies.biases[-1].shape[1], samples)
    run_blocks(
        outputs_kernel.outputs,
        agents,
        _addresses(parameters),
        tensors,
        places,
        private.detach().contiguous().numpy(),
        shared.detach().contiguous().numpy(),
        result.numpy(),
    )
    return result


def descend(
    policies: Policies,
    optimiser: torch.optim.Optimizer,
    samples: Samples,
    orders: np.ndarray,
    minibatches: int,
    trust_region: float,
) -> Tensor:
    """See `surrogate.descend`. Weights and Adam's state change in place, as with PyTorch."""
    from gradmap_trainer import descent_kernel

    parameters = _parameters(policies)
    moments = [_moments(optimiser, parameter) for parameter in parameters]
    private, shared, before, earned = (x.contiguous().numpy() for x in samples)
    ends = np.cumsum([0, *(len(part) for part in np.array_split(orders[0], minibatches))])
    layout, sizes, tensors = _layout(policies, orders, ends)
    addresses = [_addresses(parameters)]
    addresses += [_addresses([m[name] for m in moments]) for name in ("exp_avg", "exp_avg_sq")]
    outside = np.zeros(len(private), np.int64)
    run_blocks(
        descent_kernel.descend,
        len(private),
        layout,
        sizes,
        _adam(optimiser, int(moments[0]["step"]), len(orders) * minibatches),
        np.stack(addresses),
        tensors,
        private,
        shared,
        before.ravel(),
        earned.ravel(),
        ends,
        np.float32(trust_region),
        outside,
    )
    for moment in moments:
        moment["step"] += len(orders) * minibatches
    return torch.tensor(outside.sum() / (before[..., 0].size * (ends[-1] - ends[-2])))


def _parameters(policies: Policies) -> list[Tensor]:
    """All parameters in the kernels' order, (agents, units, columns) each."""
    weights = (policies.private_weight, policies.shared_weight, *policies.weights)
    return [*weights, *policies.biases]


def _addresses(tensors: list[Tensor]) -> np.ndarray:
    return np.array([tensor.data_ptr() for tensor in tensors])


def _moments(optimiser: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """Adam's state of a parameter, fresh before the first step."""
    state = optimiser.state[parameter]
    if not state:
        state["step"] = torch.zeros(())
        state["exp_avg"] = torch.zeros_like(parameter, requires_grad=False)
        state["exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
    return state


def _adam(optimiser: torch.optim.Optimizer, done: int, steps: int) -> Adam:
    """Settings of the next `steps` steps after the first `done`."""
    from gradmap_trainer.descent_kernel import Adam

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


@cache
def _units_in_turn(shapes: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Tables `tensors` and `places` of the kernel `outputs` for parameters (units, columns)."""
    from gridedge_env.compiled.networks import BLOCK

    places = [np.arange(max(columns for _, columns in shapes))]
    tensors = []
    for units, columns in shapes:
        tensors.append((units, columns, sum(map(len, places))))
        places.append(np.resize(np.arange(units) * columns, _whole(units, BLOCK)))
    return np.array(tensors), np.concatenate(places)


def _layout(
    policies: Policies, orders: np.ndarray, ends: np.ndarray
) -> tuple[Layout, Sizes, np.ndarray]:
    """Where the kernel `descend` has everything: its `layout`, `sizes` and `tensors`.

    Args:
        policies: of whose networks.
        orders: (epochs, samples).
        ends: (minibatches + 1,) samples before each minibatch, and in all.
    """
    from gradmap_trainer.descent_kernel import LANES, Layout, Sizes
    from gridedge_env.compiled.networks import BLOCK

    *units, actions = [bias.shape[1] for bias in policies.biases]
    own, everybodys = policies.private_weight.shape[2], policies.shared_weight.shape[2]
    width = [_whole(n, LANES) for n in units]
    fan_in = [_whole(own + everybodys, BLOCK), *width[:-1]]

    # Parameters: of each layer its weights, then its biases.
    sizes = [n * w for n, w in zip(fan_in, width, strict=True)]
    sizes = [*itertools.chain(*zip(sizes, width, strict=True)), actions * width[-1], actions]
    *starts, parameters = itertools.accumulate(sizes, initial=0)
    weight, bias = starts[::2], starts[1::2]
    tensors = [(units[0], own, weight[0], 1, width[0])]
    tensors.append((units[0], everybodys, weight[0] + own * width[0], 1, width[0]))
    for k in range(1, len(units)):
        tensors.append((units[k], units[k - 1], weight[k], 1, width[k]))
    tensors.append((actions, units[-1], weight[-1], width[-1], 1))
    tensors += [(n, 1, place, 1, 0) for n, place in zip((*units, actions), bias, strict=True)]

    # Activations, and where each level has its samples; a last block may want more of them.
    most = _whole(int(np.diff(ends).max()), BLOCK)
    levels = [orders.shape[1] * fan_in[0], *(most * w for w in width)]
    *level, activations = itertools.accumulate(levels, initial=0)
    order = np.pad(orders, ((0, 0), (0, BLOCK))).ravel()
    rows = [place + np.arange(most) * w for place, w in zip(level[1:], width, strict=True)]
    tables = [np.arange(max(*fan_in, *width)), order * fan_in[0], *rows]
    layout = Layout(
        actions=actions,
        layers=len(units),
        fan_in=np.array(fan_in),
        width=np.array(width),
        weight=np.array(weight),
        bias=np.array(bias),
        level=np.array(level),
        rows=np.cumsum([len(table) for table in tables])[:-1],
        places=np.concatenate(tables),
        order=order,
    )
    return layout, Sizes(_whole(parameters, LANES), activations), np.array(tensors)


def _whole(count: int, size: int) -> int:
    """The next multiple of `size`."""
    return -(-count // size) * size

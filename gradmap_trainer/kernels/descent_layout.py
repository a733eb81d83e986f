"""What the kernel of the inner loop is given: where everything is, and Adam's settings."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from gradmap_trainer.kernels.networks import Networks

# Numbers in a vector: units are padded to a multiple.
LANES = 16


class Layout(NamedTuple):
    """Where everything is. Level 0 are the observations, level k the activations of layer k.

    Arrays to callers, pointers to their first entries inside the kernel.

    Attributes:
        actions: outputs of a network.
        layers: hidden layers.
        fan_in: (layers,) entries of the level below each hidden layer, padded.
        width: (layers,) units of the hidden layers, padded.
        weight: (layers + 1,) place of each layer's weights among the parameters: (fan in, width) of
            a hidden layer, (actions, width) of the output layer.
        bias: (layers + 1,) place of each layer's biases.
        level: (layers + 1,) place of each level among the activations, (samples, width).
        rows: (layers + 1,) where in `places` each level has the places of its samples; level 0 has
            them epoch by epoch, in that epoch's order.
        places: tables of places, the whole numbers from 0 first.
        order: (epochs, samples and a block more) samples as each epoch takes them.
    """

    actions: int
    layers: int
    fan_in: Any
    width: Any
    weight: Any
    bias: Any
    level: Any
    rows: Any
    places: Any
    order: Any


class Sizes(NamedTuple):
    """Numbers in the parts of a work array: all parameters, and all levels of activations."""

    parameters: int
    activations: int


class Adam(NamedTuple):
    """Adam's settings; what depends on the number of steps has one entry a step.

    Attributes:
        rate: learning rate over the first moment's bias correction.
        correction: one over the root of the second moment's bias correction.
        first_decay: of the first moment.
        second_decay: of the second moment.
        epsilon: keeps denominators from 0.
    """

    rate: np.ndarray
    correction: np.ndarray
    first_decay: float
    second_decay: float
    epsilon: float


def lay_out(
    networks: Networks, orders: np.ndarray, ends: np.ndarray
) -> tuple[Layout, Sizes, np.ndarray]:
    """Where the kernel has everything: its `layout`, `sizes` and `tensors`.

    Args:
        networks: of all agents.
        orders: (epochs, samples).
        ends: (minibatches + 1,) samples before each minibatch, and in all.
    """
    from gridedge_env.compiled.networks import BLOCK

    *units, actions = networks.units
    own, everybodys = networks.private_size, networks.shared_size
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

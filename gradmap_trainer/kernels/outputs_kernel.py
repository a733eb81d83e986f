"""Compiled kernel of the policies' outputs for few samples, agent by agent.

Samples are in the lanes of a vector, and weights are read where they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gridedge_env.compiled.networks import BLOCK, combine, numbers_of, tanh
from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import alike, load, store

# Samples at a time: a fleet is played for a few days at once.
FEW = 8


@kernel
def outputs(
    addresses: Any,
    tensors: Any,
    places: Any,
    private: Any,
    shared: Any,
    out: Any,
    first: int,
    last: int,
) -> None:
    """Outputs of the networks of the agents from `first` to before `last`.

    Args:
        addresses: (tensors,) of the parameters: weights of the first layer, private then shared,
            and of the others, and the biases of all.
        tensors: (tensors, 3) of each parameter its units and columns, and where in `places` the
            first columns of its units are, repeated to fill a block.
        places: the whole numbers from 0, then what `tensors` says.
        private: (agents, private entries, samples).
        shared: (shared entries, samples).
        out: (agents, actions, samples).
        first: number of the first agent.
        last: one more than the last agent's.
    """
    own, samples, layers = private.shape[1], private.shape[2], len(addresses) // 2
    rows = max(own + shared.shape[0], tensors[:, 0].max() + BLOCK)
    numbers = np.zeros(3 * rows * FEW, np.float32)
    seen, below = pointer(numbers, 0), pointer(numbers, rows * FEW)
    above, sequence = pointer(numbers, 2 * rows * FEW), pointer(places, 0)
    like = load(seen, 0, FEW)
    for begin in range(0, samples, FEW):
        count = min(FEW, samples - begin)
        for entry in range(shared.shape[0]):
            for lane in range(count):
                seen[(own + entry) * FEW + lane] = shared[entry, begin + lane]
        for agent in range(first, last):
            for entry in range(own):
                for lane in range(count):
                    seen[entry * FEW + lane] = private[agent, entry, begin + lane]
            for layer in range(layers):
                units = tensors[layer + 1, 0]
                bias = numbers_of(addresses[layers + 1 + layer], units, agent, numbers)
                for unit in range(-(-units // BLOCK) * BLOCK):
                    store(above, unit * FEW, alike(bias[min(unit, units - 1)], like))
                # The first layer has two matrices, numbers 0 and 1.
                for k in range(0 if layer == 0 else layer + 1, layer + 2):
                    columns, outer = tensors[k, 1], pointer(places, tensors[k, 2])
                    weight = numbers_of(addresses[k], units * columns, agent, numbers)
                    entries = below if layer else pointer(seen, k * own * FEW)
                    combine(like, entries, FEW, columns, weight, outer, units, sequence, above)
                for place in range(0, units * FEW, FEW):
                    store(below, place, tanh(load(above, place, FEW)))
            for action in range(out.shape[1]):
                for lane in range(count):
                    out[agent, action, begin + lane] = above[action * FEW + lane]
    numbers[0] = 0.0  # what pointers point to must live until here

"""Compiled kernel of the inner loop: agent by agent, all epochs of Adam down the surrogate.

Everything of an agent stays in the processor's nearest caches. Units are in the lanes of a vector:
multiplying by weights and adding up their gradient are then sums of vectors times numbers, without
a sum across lanes. An agent's weights and Adam's moments are first copied to work arrays in which
each layer's units are padded to a multiple of `LANES`. What is padded begins at zero and has zero
gradients: it stays zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gradmap_trainer.kernels.descent_layout import LANES, Adam, Layout, Sizes
from gridedge_env.compiled.networks import BLOCK, combine, numbers_of, tanh
from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import alike, load, square_root, store, total


class Work(NamedTuple):
    """Pointers to an agent's numbers: parameters, what Adam makes of them, and of samples.

    Attributes:
        weights: all parameters.
        gradient: of the parameters.
        moment: first moment of the gradients.
        square: second moment of the gradients.
        activations: all levels.
        deltas: derivatives by the sums that activations are of; level 0 is not used.
        turned: a layer's weights (width, fan in).
    """

    weights: Any
    gradient: Any
    moment: Any
    square: Any
    activations: Any
    deltas: Any
    turned: Any


@kernel
def descend(
    layout: Layout,
    sizes: Sizes,
    adam: Adam,
    addresses: Any,
    tensors: Any,
    private: Any,
    shared: Any,
    before: Any,
    earned: Any,
    ends: Any,
    trust_region: Any,
    first: int,
    last: int,
) -> None:
    """Epochs of Adam down the clipped surrogate, for the agents from `first` to before `last`.

    Args:
        layout: see there.
        sizes: see there.
        adam: see there.
        addresses: (3, tensors) of parameters, their first moments and their second moments.
        tensors: (tensors, 5) of each parameter its units and columns, and in the work array the
            place of the first number, the step to the next unit and the step to the next column.
        private: (agents, private entries, samples).
        shared: (shared entries, samples).
        before: (agents * actions * samples,) outputs in the rollout.
        earned: (agents * actions * samples,) gradients.
        ends: (minibatches + 1,) samples before each minibatch, and in all.
        trust_region: largest change of an output that still earns.
        first: number of the first agent.
        last: one more than the last agent's.
    """
    own, samples, minibatches = private.shape[1], shared.shape[1], len(ends) - 1
    widest = layout.width.max()
    numbers = np.zeros(4 * sizes.parameters + 2 * sizes.activations + widest * widest, np.float32)
    work = Work(
        pointer(numbers, 0),
        pointer(numbers, sizes.parameters),
        pointer(numbers, 2 * sizes.parameters),
        pointer(numbers, 3 * sizes.parameters),
        pointer(numbers, 4 * sizes.parameters),
        pointer(numbers, 4 * sizes.parameters + sizes.activations),
        pointer(numbers, 4 * sizes.parameters + 2 * sizes.activations),
    )
    at = Layout(
        layout.actions,
        layout.layers,
        pointer(layout.fan_in, 0),
        pointer(layout.width, 0),
        pointer(layout.weight, 0),
        pointer(layout.bias, 0),
        pointer(layout.level, 0),
        pointer(layout.rows, 0),
        pointer(layout.places, 0),
        pointer(layout.order, 0),
    )
    stride, per_epoch = layout.fan_in[0], len(layout.order) // (len(adam.rate) // minibatches)
    for entry in range(shared.shape[0]):
        for sample in range(samples):
            work.activations[sample * stride + own + entry] = shared[entry, sample]

    for agent in range(first, last):
        _fetch(work.weights, addresses, tensors, 0, agent)
        _fetch(work.moment, addresses, tensors, 1, agent)
        _fetch(work.square, addresses, tensors, 2, agent)
        for entry in range(own):
            for sample in range(samples):
                work.activations[sample * stride + entry] = private[agent, entry, sample]
        first_output = agent * layout.actions * samples
        for step in range(len(adam.rate)):
            epoch, part = step // minibatches, step % minibatches
            begin, count = ends[part], ends[part + 1] - ends[part]
            skipped = epoch * per_epoch + begin
            for place in range(0, sizes.parameters, LANES):
                store(work.gradient, place, alike(0.0, load(work.gradient, place, LANES)))
            for place in range(layout.level[1], sizes.activations, LANES):
                store(work.deltas, place, alike(0.0, load(work.deltas, place, LANES)))
            seen = pointer(at.places, layout.rows[0] + skipped)
            _forward(at, work, seen, count)
            _surrogate(
                at, work, pointer(before, first_output), pointer(earned, first_output), samples,
                pointer(at.order, skipped), count, trust_region,
            )  # fmt: skip
            _backward(at, work, seen, count)
            _adam_step(
                work, sizes.parameters, adam.rate[step], adam.correction[step],
                adam.first_decay, adam.second_decay, adam.epsilon,
            )  # fmt: skip
        _put_back(work.weights, addresses, tensors, 0, agent)
        _put_back(work.moment, addresses, tensors, 1, agent)
        _put_back(work.square, addresses, tensors, 2, agent)
    numbers[0] = 0.0  # what pointers point to must live until here


@kernel
def _forward(at: Layout, work: Work, seen: Any, count: int) -> None:
    """Activations of all hidden layers for a minibatch, whose observations are at `seen`."""
    for layer in range(at.layers):
        width = at.width[layer]
        level = pointer(work.activations, at.level[layer + 1])
        size = -(-count // BLOCK) * BLOCK * width
        for unit in range(0, width, LANES):
            bias = load(work.weights, at.bias[layer] + unit, LANES)
            for place in range(unit, size, width):
                store(level, place, bias)
        rows = seen if layer == 0 else pointer(at.places, at.rows[layer])
        weight = pointer(work.weights, at.weight[layer])
        entries = at.fan_in[layer]
        like = load(work.weights, 0, LANES)
        combine(like, weight, width, entries, work.activations, rows, count, at.places, level)
        for place in range(0, size, LANES):
            store(level, place, tanh(load(level, place, LANES)))


@kernel
def _surrogate(
    at: Layout,
    work: Work,
    before: Any,
    earned: Any,
    samples: int,
    order: Any,
    count: int,
    trust_region: Any,
) -> None:
    """The output layer, the surrogate's slope there, and back to the last hidden layer.

    Adds to the output layer's gradient and to the last level of deltas.
    """
    width, level = at.width[at.layers - 1], at.level[at.layers]
    for action in range(at.actions):
        weight = pointer(work.weights, at.weight[at.layers] + action * width)
        gradient = pointer(work.gradient, at.weight[at.layers] + action * width)
        bias = at.bias[at.layers] + action
        for k in range(count):
            activations = pointer(work.activations, level + k * width)
            deltas = pointer(work.deltas, level + k * width)
            summed = load(activations, 0, LANES) * load(weight, 0, LANES)
            for unit in range(LANES, width, LANES):
                summed = summed + load(activations, unit, LANES) * load(weight, unit, LANES)
            sample = action * samples + order[k]
            change = total(summed) + work.weights[bias] - before[sample]
            bounded = min(max(change, -trust_region), trust_region)
            slope = earned[sample] / np.float32(count)
            if slope * change < slope * bounded:
                slope = np.float32(0.0)
            work.gradient[bias] = work.gradient[bias] + slope
            for unit in range(0, width, LANES):
                along = load(gradient, unit, LANES) + slope * load(activations, unit, LANES)
                store(gradient, unit, along)
                back = load(deltas, unit, LANES) + slope * load(weight, unit, LANES)
                store(deltas, unit, back)


@kernel
def _backward(at: Layout, work: Work, seen: Any, count: int) -> None:
    """Add the gradients of all hidden layers, from the last level of deltas on downwards."""
    for layer in range(at.layers - 1, -1, -1):
        width, entries, weight = at.width[layer], at.fan_in[layer], at.weight[layer]
        deltas = pointer(work.deltas, at.level[layer + 1])
        activations = pointer(work.activations, at.level[layer + 1])
        for unit in range(0, width, LANES):
            summed = alike(0.0, load(deltas, unit, LANES))
            for place in range(unit, count * width, width):
                activation = load(activations, place, LANES)
                delta = load(deltas, place, LANES) * (1.0 - activation * activation)
                store(deltas, place, delta)
                summed = summed + delta
            store(work.gradient, at.bias[layer] + unit, summed)
        below = seen if layer == 0 else pointer(at.places, at.rows[layer])
        gradient = pointer(work.gradient, weight)
        like = load(work.weights, 0, LANES)
        combine(like, deltas, width, count, work.activations, at.places, entries, below, gradient)
        if layer > 0:
            for entry in range(entries):
                for unit in range(width):
                    number = work.weights[weight + entry * width + unit]
                    work.turned[unit * entries + entry] = number
            rows = pointer(at.places, at.rows[layer + 1])
            lower = pointer(work.deltas, at.level[layer])
            combine(like, work.turned, entries, width, work.deltas, rows, count, at.places, lower)


@kernel
def _adam_step(
    work: Work,
    size: int,
    rate: Any,
    correction: Any,
    first_decay: float,
    second_decay: float,
    epsilon: float,
) -> None:
    """One step of Adam (Kingma and Ba 2015), as torch.optim.Adam takes it."""
    for place in range(0, size, LANES):
        slope = load(work.gradient, place, LANES)
        first, second = load(work.moment, place, LANES), load(work.square, place, LANES)
        first = first + (slope - first) * (1.0 - first_decay)
        second = second * second_decay + slope * slope * (1.0 - second_decay)
        store(work.moment, place, first)
        store(work.square, place, second)
        change = rate * first / (square_root(second) * correction + epsilon)
        store(work.weights, place, load(work.weights, place, LANES) - change)


@kernel
def _fetch(work: Any, addresses: Any, tensors: Any, kind: int, agent: int) -> None:
    """Copy what is an agent's to a part of the work array."""
    for k in range(len(tensors)):
        units, columns, place = tensors[k, 0], tensors[k, 1], tensors[k, 2]
        unit_step, column_step = tensors[k, 3], tensors[k, 4]
        tensor = numbers_of(addresses[kind, k], units * columns, agent, work)
        for unit in range(units):
            for column in range(columns):
                number = tensor[unit * columns + column]
                work[place + unit * unit_step + column * column_step] = number


@kernel
def _put_back(work: Any, addresses: Any, tensors: Any, kind: int, agent: int) -> None:
    """And back."""
    for k in range(len(tensors)):
        units, columns, place = tensors[k, 0], tensors[k, 1], tensors[k, 2]
        unit_step, column_step = tensors[k, 3], tensors[k, 4]
        tensor = numbers_of(addresses[kind, k], units * columns, agent, work)
        for unit in range(units):
            for column in range(columns):
                number = work[place + unit * unit_step + column * column_step]
                tensor[unit * columns + column] = number

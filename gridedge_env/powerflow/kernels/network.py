# mypy: ignore-errors
"""The network of a feeder in kernels: its packed arrays, and substitutions with its factor.

Rows of L and of its transpose are *gathered*: a sum stays in registers until it is complete.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import lanes_of, load_like, store
from gridedge_env.powerflow.kernels.blocks import get, put
from gridedge_env.powerflow.kernels.layout import (
    ACROSS,
    COLUMN,
    DEVICE,
    ENTER_DEVICE,
    ENTER_START,
    ENTER_WEIGHT,
    INTO_WEAK,
    KIND,
    LAWS,
    NO_LOAD,
    NODE,
    PIVOT,
    RESPONSE,
    REST,
    START,
    VALUE,
    WEAK,
)


class Sections(NamedTuple):
    """Sizes of a feeder, and pointers to its sections: see `layout`."""

    branches: int
    nodes: int
    kept: int
    weaks: int
    start: Any
    column: Any
    node: Any
    enter_start: Any
    enter_device: Any
    device: Any
    kind: Any
    weak: Any
    value: Any
    pivot: Any
    enter_weight: Any
    across: Any
    no_load: Any
    law: Any
    rest: Any
    into_weak: Any
    response: Any


@kernel
def sections_of(index, ends, number, marks):
    """Find the sections."""
    return Sections(
        ends[KIND + 1] - ends[KIND],
        ends[NODE + 1] - ends[NODE],
        ends[ENTER_START + 1] - ends[ENTER_START] - 1,
        ends[WEAK + 1] - ends[WEAK],
        pointer(index, ends[START]),
        pointer(index, ends[COLUMN]),
        pointer(index, ends[NODE]),
        pointer(index, ends[ENTER_START]),
        pointer(index, ends[ENTER_DEVICE]),
        pointer(index, ends[DEVICE]),
        pointer(index, ends[KIND]),
        pointer(index, ends[WEAK]),
        pointer(number, marks[VALUE]),
        pointer(number, marks[PIVOT]),
        pointer(number, marks[ENTER_WEIGHT]),
        pointer(number, marks[ACROSS]),
        pointer(number, marks[NO_LOAD]),
        pointer(number, marks[LAWS]),
        pointer(number, marks[REST]),
        pointer(number, marks[INTO_WEAK]),
        pointer(number, marks[RESPONSE]),
    )


@kernel
def substitute(like, net, i, x):
    """x <- Y^-1 C^T i, at the nodes that sweeps keep."""
    next_weak = 0
    for row in range(net.kept):
        re, im = like, like
        if next_weak < net.weaks and net.weak[next_weak] == row:
            for j in range(net.branches):
                at = 2 * (next_weak * net.branches + j)
                a, b = net.into_weak[at], net.into_weak[at + 1]
                if a != 0.0 or b != 0.0:
                    i_re, i_im = get(like, i, j)
                    re, im = re + (a * i_re - b * i_im), im + (a * i_im + b * i_re)
            next_weak += 1
        else:
            for k in range(net.enter_start[row], net.enter_start[row + 1]):
                i_re, i_im = get(like, i, net.enter_device[k])
                weight = net.enter_weight[k]
                re, im = re + weight * i_re, im + weight * i_im
            re, im = gathered(like, net, x, row, re, im)
        put(like, x, net.node[row], re, im)
    back_substitute(like, net, x)


@kernel
def back_substitute(like, net, x):
    """x <- L^-T D^-1 x, at the nodes that sweeps keep."""
    for row in range(net.kept - 1, -1, -1):
        re, im = get(like, x, net.node[row])
        a, b = net.pivot[2 * row], net.pivot[2 * row + 1]
        re, im = a * re - b * im, a * im + b * re
        re, im = gathered(like, net, x, net.kept + row, re, im)
        put(like, x, net.node[row], re, im)


@kernel
def complete(like, net, x):
    """From Y^-1 C^T i at the nodes that sweeps keep to V at all nodes, pu."""
    for k in range(net.nodes - 1, net.kept - 1, -1):
        re, im = gathered(like, net, x, net.kept + net.nodes + k, like, like)
        put(like, x, net.node[k], re, im)
    lanes = lanes_of(like)
    for k in range(2 * net.nodes):
        store(x, k * lanes, load_like(x, k * lanes, like) + net.rest[k])


@kernel
def gathered(like, net, x, row, re, im):
    """Less row `row` of the triangles times x."""
    more_re, more_im = like, like  # two short chains of sums instead of one
    for k in range(net.start[row], net.start[row + 1]):
        x_re, x_im = get(like, x, net.column[k])
        a, b = net.value[2 * k], net.value[2 * k + 1]
        re, im = re - a * x_re, im - a * x_im
        more_re, more_im = more_re + b * x_im, more_im - b * x_re
    return re + more_re, im + more_im


@kernel
def across_device(like, net, x, j):
    """Voltage across device j."""
    re, im = get(like, x, net.device[2 * j])
    re, im = net.across[2 * j] * re, net.across[2 * j] * im
    if net.device[2 * j + 1] >= 0:
        x_re, x_im = get(like, x, net.device[2 * j + 1])
        weight = net.across[2 * j + 1]
        re, im = re + weight * x_re, im + weight * x_im
    return re, im


@kernel
def add_of_nodes(like, net, x, aside, g):
    """g <- g + the transpose of V = v0 + K i times x, a cotangent of V; x does not survive."""
    for k in range(net.nodes):
        re, im = get(like, x, k)
        put(like, x, k, re, 0.0 - im)
    for k in range(net.kept, net.nodes):
        re, im = get(like, x, net.node[k])
        re, im = gathered(like, net, x, 2 * net.kept + k, re, im)
        put(like, x, net.node[k], re, im)
    for k in range(net.kept):
        re, im = get(like, x, net.node[k])
        re, im = gathered(like, net, x, 2 * net.kept + k, re, im)
        re, im = gathered(like, net, x, k, re, im)
        put(like, x, net.node[k], re, im)
    # What weak pivots make large is kept apart: most devices do not see it.
    for k in range(net.weaks):
        row = net.weak[k]
        re, im = get(like, x, net.node[row])
        a, b = net.pivot[2 * row], net.pivot[2 * row + 1]
        put(like, aside, k, a * re - b * im, a * im + b * re)
        put(like, x, net.node[row], like, like)
    back_substitute(like, net, x)
    for j in range(net.branches):
        re, im = across_device(like, net, x, j)
        for k in range(net.weaks):
            at = 2 * (k * net.branches + j)
            a, b = net.into_weak[at], net.into_weak[at + 1]
            w_re, w_im = get(like, aside, k)
            re, im = re + (a * w_re - b * w_im), im + (a * w_im + b * w_re)
        g_re, g_im = get(like, g, j)
        put(like, g, j, g_re + re, g_im - im)

# mypy: ignore-errors
"""Node voltages of given device currents, V = v0 + K i, and the transpose of K; see `sweeps`."""

from __future__ import annotations

import numpy as np

from gridedge_env.compiled.pointers import pointer, pointer_at
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import lanes_of, store, zeros
from gridedge_env.powerflow.kernels.blocks import into_lanes, out_of_lanes
from gridedge_env.powerflow.kernels.network import (
    add_of_nodes,
    complete,
    sections_of,
    substitute,
)

# Bytes of a vector: as many scenarios as keep a feeder of thousands of nodes in the cache.
WIDTH = 64


@kernel
def node_voltages(index, ends, number, marks, batch, current, nodes, first, last):
    """Write V of the blocks `first` to `last`.

    Args:
        index: with `ends`, `number` and `marks`: the network, see `PackedNetwork`.
        batch: how many scenarios there are.
        current: address of i, (batch, 2 branches), kVA per pu.
        nodes: address of V, (batch, 2 nodes), pu.
        first: number of the first block.
        last: the one after the last.
    """
    like, net = zeros(number, WIDTH), sections_of(index, ends, number, marks)
    lanes = lanes_of(like)
    room = _room(like, net, number)
    x = pointer(room, 0)
    i = pointer(x, 2 * net.nodes * lanes)
    for block in range(first, last):
        scenario = block * lanes
        used = min(lanes, batch - scenario)
        into_lanes(like, pointer_at(current, number), scenario, used, net.branches, i)
        substitute(like, net, i, x)
        complete(like, net, x)
        out_of_lanes(like, x, scenario, used, net.nodes, pointer_at(nodes, number))
    room[0] = 0.0  # keeps it until here


@kernel
def currents_of_nodes(index, ends, number, marks, batch, of_nodes, of_current, first, last):
    """Write K^T times a cotangent of V, (batch, 2 nodes), likewise: (batch, 2 branches)."""
    like, net = zeros(number, WIDTH), sections_of(index, ends, number, marks)
    lanes = lanes_of(like)
    room = _room(like, net, number)
    x = pointer(room, 0)
    i = pointer(x, 2 * net.nodes * lanes)
    aside = pointer(i, 2 * net.branches * lanes)
    for block in range(first, last):
        scenario = block * lanes
        used = min(lanes, batch - scenario)
        into_lanes(like, pointer_at(of_nodes, number), scenario, used, net.nodes, x)
        for k in range(2 * net.branches):
            store(i, k * lanes, like)
        add_of_nodes(like, net, x, aside, i)
        out_of_lanes(like, i, scenario, used, net.branches, pointer_at(of_current, number))
    room[0] = 0.0  # keeps it until here


@kernel
def _room(like, net, number):
    """Work array of the vectors above, on a boundary of 64 bytes."""
    vectors = 2 * (net.nodes + net.branches + net.weaks)
    raw = np.empty(vectors * lanes_of(like) + 64 // number.itemsize, number.dtype)
    skip = (-raw.ctypes.data % 64) // number.itemsize
    return raw[skip : skip + vectors * lanes_of(like)]

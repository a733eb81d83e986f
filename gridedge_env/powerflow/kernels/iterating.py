# mypy: ignore-errors
"""Sweeps of a block of scenarios, of the power flow and of its adjoint."""

from __future__ import annotations

from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import load_like, magnitude, select, store
from gridedge_env.powerflow.kernels.blocks import bound, get, greater, put
from gridedge_env.powerflow.kernels.laws import inject
from gridedge_env.powerflow.kernels.network import across_device, substitute
from gridedge_env.powerflow.kernels.progress import proceed


@kernel
def sweep(like, net, rule, bounded, used, progress, s, u, i, x, spare):
    """u <- u0 + Z i(u, S) until all have settled or are slow; i and x belong to the last u.

    Where a scenario stands still its currents do, and with them all that follows from them.
    """
    relaxation = net.response[0]
    under_way = rule.sweeps > 0
    while under_way:
        still = load_like(progress.moving, 0, like) < 0.5
        for j in range(net.branches):
            inject(like, net, j, u, s, still, i, spare)
        substitute(like, net, i, x)
        most = like
        for j in range(net.branches):
            re, im = across_device(like, net, x, j)
            re, im = re + net.no_load[2 * j], im + net.no_load[2 * j + 1]
            if bounded:
                re, im = bound(re), bound(im)
            if relaxation < 1.0:
                re, im = _part_way(like, u, j, re, im, relaxation)
            most = _change(like, u, j, re, im, most)
            put(like, u, j, re, im)
        store(progress.change, 0, most)
        under_way = proceed(rule, progress, used)


@kernel
def sweep_back(like, net, rule, used, progress, slope, g, c, i, x):
    """c <- g + Z D^T c, conjugated, until all have settled or are slow."""
    relaxation = net.response[0]
    under_way = True
    while under_way:
        for j in range(net.branches):
            re, im = get(like, c, j)
            _feed_back(like, slope, j, re, im, i)
        substitute(like, net, i, x)
        still = load_like(progress.moving, 0, like) < 0.5
        most = like
        for j in range(net.branches):
            re, im = across_device(like, net, x, j)
            g_re, g_im = get(like, g, j)
            re, im = g_re + re, g_im + im
            if relaxation < 1.0:
                re, im = _part_way(like, c, j, re, im, relaxation)
            most = _change(like, c, j, re, im, most)
            was_re, was_im = get(like, c, j)
            put(like, c, j, select(still, was_re, re), select(still, was_im, im))
        store(progress.change, 0, most)
        under_way = proceed(rule, progress, used)


@kernel
def find_missing(like, net, still, slope, g, c, i, x):
    """i <- g + Z D^T c - c, conjugated; 0 where lanes are still."""
    for j in range(net.branches):
        re, im = get(like, c, j)
        _feed_back(like, slope, j, re, im, i)
    substitute(like, net, i, x)
    for j in range(net.branches):
        re, im = across_device(like, net, x, j)
        g_re, g_im = get(like, g, j)
        c_re, c_im = get(like, c, j)
        re, im = re + (g_re - c_re), im + (g_im - c_im)
        put(like, i, j, select(still, like, re), select(still, like, im))


@kernel
def _part_way(like, x, j, re, im, share):
    """A share of the way from x_j to re + j im."""
    was_re, was_im = get(like, x, j)
    return was_re + share * (re - was_re), was_im + share * (im - was_im)


@kernel
def _change(like, x, j, re, im, most):
    """The greater of `most` and what x_j is away from re + j im."""
    was_re, was_im = get(like, x, j)
    return greater(greater(most, magnitude(re - was_re)), magnitude(im - was_im))


@kernel
def _feed_back(like, slope, j, re, im, i):
    """i_j <- D^T (re + j im), conjugated."""
    a, b = get(like, slope, 2 * j)
    c, d = get(like, slope, 2 * j + 1)
    put(like, i, j, a * re + b * im, c * re + d * im)

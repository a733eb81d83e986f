# mypy: ignore-errors
"""The load laws of `load_models` in kernels: currents, and their derivatives."""

from __future__ import annotations

from gridedge_env.compiled.inverses import inverse_root, reciprocal
from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import alike, lanes_of, load_like, select, somewhere, store
from gridedge_env.powerflow.kernels.blocks import get, put
from gridedge_env.powerflow.kernels.layout import (
    ABOVE,
    CURRENT,
    CURVE,
    EXPONENTIAL,
    FOLDED_CONDUCTANCE,
    FOLDED_SUSCEPTANCE,
    GRADIENT,
    HIGHEST,
    IMPEDANCE,
    INTERCEPT,
    LAW,
    LOCAL,
    LOWEST,
    NOMINAL_BELOW,
    P_CURRENT,
    P_EXPONENT,
    P_IMPEDANCE,
    P_POWER,
    PIECES,
    POWER,
    Q_CURRENT,
    Q_EXPONENT,
    Q_IMPEDANCE,
    Q_POWER,
)

SMALLEST_SQUARE = 1e-12


@kernel
def inject(like, net, j, u, s, still, i, spare):
    """i_j <- current that device j injects at power s_j and voltage u_j; lanes may be still."""
    re, im = get(like, u, j)
    p, q = get(like, s, j)
    square, law = re * re + im * im, pointer(net.law, LAW * j)
    kind = net.kind[j]
    outside = (square < max(law[LOWEST] * law[LOWEST], SMALLEST_SQUARE)) | (
        square > law[HIGHEST] * law[HIGHEST]
    )
    if kind == IMPEDANCE:
        pass
    elif (kind > CURRENT and kind != LOCAL) or somewhere(outside):
        by_p, by_q, _, _ = _factors(like, net, law, kind, square, spare)
        p, q = by_p * p, by_q * q
    elif kind == POWER:
        factor = reciprocal(square)
        p, q = factor * p, factor * q
    elif kind == LOCAL:
        inverse = inverse_root(square)
        factor, voltage = inverse * inverse, square * inverse
        by_p, _ = _curve(like, pointer(net.response, 1), voltage)
        by_q, _ = _curve(like, pointer(net.response, 1 + CURVE), voltage)
        p, q = factor * by_p * p, factor * by_q * q
    else:
        factor = inverse_root(square)
        p, q = factor * p, factor * q
    i_re, i_im = 0.0 - p * re - q * im, q * re - p * im
    a, b = law[FOLDED_CONDUCTANCE], law[FOLDED_SUSCEPTANCE]
    if a != 0.0 or b != 0.0:
        i_re, i_im = i_re + (a * re - b * im), i_im + (a * im + b * re)
    was_re, was_im = get(like, i, j)
    put(like, i, j, select(still, was_re, i_re), select(still, was_im, i_im))


@kernel
def differentiate(like, net, j, s, u, slope, factor, spare):
    """slope <- (di/du)^T of device j between conjugates, factor <- g_p, g_q; see `load_models`."""
    law = pointer(net.law, LAW * j)
    re, im = get(like, u, j)
    p, q = get(like, s, j)
    by_p, by_q, p_slope, q_slope = _factors(like, net, law, net.kind[j], re * re + im * im, spare)
    put(like, factor, j, by_p, by_q)
    along_re = 2.0 * (p_slope * p * re + q_slope * q * im)
    along_im = 2.0 * (p_slope * p * im - q_slope * q * re)
    p, q = by_p * p, by_q * q
    a, b = law[FOLDED_CONDUCTANCE], law[FOLDED_SUSCEPTANCE]
    put(like, slope, 2 * j, a - p - along_re * re, along_im * re - q - b)
    put(like, slope, 2 * j + 1, q + along_re * im + b, a - p - along_im * im)


@kernel
def _factors(like, net, law, kind, square, spare):
    """g_p, g_q, dg_p / d|u|², dg_q / d|u|² of a law; see `LoadModel`."""
    square = select(square < SMALLEST_SQUARE, SMALLEST_SQUARE, square)
    inverse = inverse_root(square)
    by_square, root = reciprocal(square), square * inverse
    if kind == EXPONENTIAL:
        lanes = lanes_of(like)
        store(spare, 0, root)
        for w in range(lanes):
            spare[lanes + w] = spare[w] ** (law[P_EXPONENT] - 2.0)
            spare[2 * lanes + w] = spare[w] ** (law[Q_EXPONENT] - 2.0)
        by_p, by_q = load_like(spare, lanes, like), load_like(spare, 2 * lanes, like)
        p_slope = (0.5 * law[P_EXPONENT] - 1.0) * by_p * by_square
        q_slope = (0.5 * law[Q_EXPONENT] - 1.0) * by_q * by_square
    else:
        power, current = law[P_POWER] * by_square, law[P_CURRENT] * inverse
        by_p = power + current + law[P_IMPEDANCE]
        p_slope = 0.0 - (power + 0.5 * current) * by_square
        power, current = law[Q_POWER] * by_square, law[Q_CURRENT] * inverse
        by_q = power + current + law[Q_IMPEDANCE]
        q_slope = 0.0 - (power + 0.5 * current) * by_square
    below, above = root < law[LOWEST], root > law[HIGHEST]
    if somewhere(below | above):
        nominal = root <= law[NOMINAL_BELOW]
        outside = select(nominal, 1.0, law[GRADIENT] + law[INTERCEPT] * inverse)
        bend = select(nominal, like, (-0.5 * law[INTERCEPT]) * inverse * by_square)
        by_p = select(above, law[ABOVE], select(below, outside, by_p))
        by_q = select(above, law[ABOVE], select(below, outside, by_q))
        p_slope = select(above, like, select(below, bend, p_slope))
        q_slope = select(above, like, select(below, bend, q_slope))
    if kind == LOCAL:
        half = 0.5 * inverse
        share, gain = _curve(like, pointer(net.response, 1), root)
        by_p, p_slope = share * by_p, share * p_slope + half * gain * by_p
        share, gain = _curve(like, pointer(net.response, 1 + CURVE), root)
        by_q, q_slope = share * by_q, share * q_slope + half * gain * by_q
    return by_p, by_q, p_slope, q_slope


@kernel
def _curve(like, curve, voltage):
    """The value of a curve at a voltage, and what it gains per pu there; see `Curve`."""
    value, slope = alike(curve[0], like), like
    for k in range(PIECES):
        start, end, gain = curve[3 * k + 1], curve[3 * k + 2], curve[3 * k + 3]
        if gain != 0.0:
            before, behind = voltage < start, voltage > end
            way = select(before, like, select(behind, end - start, voltage - start))
            value = value + gain * way
            slope = slope + select(before | behind, like, gain)
    return value, slope

"""How a feeder lies in the arrays of the kernels: `packed_network` writes by it, they read by it.

An array is a row of sections. Complex numbers are pairs, real parts first.
"""

from __future__ import annotations

# Sections of `index`, whole numbers. There are four triangles: L between the rows that sweeps keep,
# its transpose, the rows of L towards the rows left out, and the columns of these.
INDEX = range(8)
(
    START,  # begins of the rows of the triangles
    COLUMN,  # their columns
    NODE,  # of each row
    ENTER_START,  # begins of what enters at each kept row
    ENTER_DEVICE,  # devices that enter there
    DEVICE,  # two nodes of each device; -1: ground
    KIND,  # kind of law of each device
    WEAK,  # rows of weak pivots
) = INDEX

# Sections of `number`, reals.
NUMBER = range(9)
(
    VALUE,  # entries of the triangles (complex)
    PIVOT,  # 1 / pivots (complex)
    ENTER_WEIGHT,  # weights of what enters
    ACROSS,  # two weights of each device
    NO_LOAD,  # no-load voltages of the devices (complex)
    LAWS,  # LAW numbers of each device
    REST,  # no-load voltages of the nodes (complex)
    INTO_WEAK,  # `Elimination.into_weak` (complex)
    RESPONSE,  # `LoadModel.relaxation`, then CURVE numbers for P and as many for Q
) = NUMBER

# Kinds of laws.
POWER, CURRENT, IMPEDANCE, MIXED, EXPONENTIAL, LOCAL = range(6)

# Numbers of a law.
LAW = 16
(
    P_POWER,  # parts of g_p with exponents 0, 1, 2
    P_CURRENT,
    P_IMPEDANCE,
    Q_POWER,  # those of g_q
    Q_CURRENT,
    Q_IMPEDANCE,
    LOWEST,  # edges of the band
    HIGHEST,
    NOMINAL_BELOW,  # voltage below which the impedance is the nominal one
    GRADIENT,  # and intercept of the current below the band
    INTERCEPT,
    ABOVE,  # g above the band
    FOLDED_CONDUCTANCE,
    FOLDED_SUSCEPTANCE,
    P_EXPONENT,
    Q_EXPONENT,
) = range(LAW)

# Pieces of a curve, and its numbers: the first value; begin, end and gain of each piece.
PIECES = 3
CURVE = 1 + 3 * PIECES

# What is unusual about a scenario: it has not settled; a voltage is so low or high that someone
# must judge it.
UNSETTLED, EXTREME = 1, 2

"""Primitive admittance matrices of single elements, in siemens: pure functions of their data.

The conventions are OpenDSS's (R. Dugan and D. Montenegro, *OpenDSS Reference Guide*, EPRI), so that
voltages agree with it to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

ComplexArray = NDArray[np.complex128]
FloatArray = NDArray[np.float64]


def line_admittance(
    resistance: FloatArray, reactance: FloatArray, capacitance: FloatArray, frequency: float
) -> ComplexArray:
    """A line as a pi: series impedance, half the capacitance at each end.

    Args:
        resistance, reactance: (phases, phases) ohm of the whole line.
        capacitance: (phases, phases) farad of the whole line.
        frequency: Hz.

    Returns:
        (2 · phases, 2 · phases): the from terminal's conductors, then the to terminal's.
    """
    series = np.linalg.inv(resistance + 1j * reactance)
    shunt = 1j * math.pi * frequency * capacitance
    return np.block([[series + shunt, -series], [-series, series + shunt]])


def leakage_impedance(resistance: Sequence[float], reactance: Sequence[float]) -> ComplexArray:
    """Short-circuit impedance of one phase of a transformer, seen with winding 1 shorted.

    The impedances of all pairs of windings determine it.

    Args:
        resistance: per unit, one per winding.
        reactance: per unit, one per pair of windings, in the order (1,2), (1,3), ..., (2,3), ...

    Returns:
        (windings - 1, windings - 1) per unit.
    """
    count = len(resistance)
    pair_impedance = {
        (i, j): complex(resistance[i] + resistance[j], x)
        for (i, j), x in zip(combinations(range(count), 2), reactance, strict=True)
    }
    impedance = np.zeros((count - 1, count - 1), dtype=np.complex128)
    for i in range(1, count):
        impedance[i - 1, i - 1] = pair_impedance[0, i]
        for j in range(i + 1, count):
            mutual = (pair_impedance[0, i] + pair_impedance[0, j] - pair_impedance[i, j]) / 2
            impedance[i - 1, j - 1] = impedance[j - 1, i - 1] = mutual
    return impedance


def coil_difference(voltage: Sequence[float] | FloatArray) -> FloatArray:
    """(windings - 1, windings): per-unit voltages of coils 2, 3, ... less that of coil 1.

    Args:
        voltage: V across each coil at 1 per unit, taps included.
    """
    count = len(voltage)
    return np.hstack([-np.ones((count - 1, 1)), np.eye(count - 1)]) / np.asarray(voltage)


def source_admittance(positive_sequence: complex, zero_sequence: complex) -> ComplexArray:
    """(3, 3) Norton admittance of a source from its sequence impedances in ohm."""
    mutual = (zero_sequence - positive_sequence) / 3
    impedance = positive_sequence * np.eye(3) + mutual
    return np.asarray(np.linalg.inv(impedance), dtype=np.complex128)

"""What kernels of networks are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from gridedge_env.compiled.networks import tanh
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import load, store

LANES = 16


@kernel
def tangents(x: Any, out: Any) -> None:
    for place in range(0, len(x), LANES):
        store(out, place, tanh(load(x, place, LANES)))


def test_the_hyperbolic_tangent() -> None:
    """Within 5e-7 anywhere, and relative to the value where that is small; NaN is not lost.

    The rational function is within 2e-7, coefficients and arithmetic in single precision add a few
    units of 6e-8.
    """
    small = np.geomspace(1e-30, 1e-2, 1600, dtype=np.float32)
    x = np.concatenate((np.linspace(-12.0, 12.0, 160_000, dtype=np.float32), small))
    x[:3] = -np.inf, np.inf, 0.0
    found = np.empty_like(x)
    tangents(x, found)
    expected = np.tanh(x.astype(np.float64))
    assert np.abs(found - expected).max() < 5e-7
    assert np.abs(found[-1600:] / expected[-1600:] - 1.0).max() < 5e-7
    assert np.abs(found).max() <= 1.0
    assert found[2] == 0.0
    x[5] = np.nan
    tangents(x, found)
    assert np.flatnonzero(np.isnan(found)).tolist() == [5]

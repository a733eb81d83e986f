"""Vectors against NumPy, lane by lane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gridedge_env.compiled import vectors
from gridedge_env.compiled.running import kernel

LANES = 16
TYPES = [np.float32, np.float64]


@kernel
def arithmetic(x: Any, y: Any, out: Any) -> None:
    a, b = vectors.load(x, 0, LANES), vectors.load(y, 3, LANES)
    vectors.store(out, 0, 2.0 * a - b / 4)
    vectors.store(out, LANES, vectors.square_root(vectors.magnitude(a + b)))
    vectors.store(out, 2 * LANES, vectors.select((a > b) | (a < -1.0), a, 7.0))
    vectors.store(out, 3 * LANES, vectors.alike(0.5, a))


@kernel
def reduced(x: Any, bound: float) -> tuple[float, float, bool]:
    a = vectors.load(x, 0, LANES)
    return vectors.total(a), vectors.largest(a), vectors.somewhere(a >= bound)


@pytest.mark.parametrize("dtype", TYPES)
def test_each_lane_by_itself(dtype: type) -> None:
    """An operation rounds once, a fused one less: two units of rounding at values up to 8."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=LANES).astype(dtype), rng.normal(size=LANES + 3).astype(dtype)
    out = np.zeros(4 * LANES, dtype)
    arithmetic(x, y, out)
    a, b = x, y[3:]
    expected = np.concatenate(
        (
            2.0 * a - b / 4.0,
            np.sqrt(np.abs(a + b)),
            np.where((a > b) | (a < -1.0), a, 7.0),
            np.full(LANES, 0.5),
        )
    )
    np.testing.assert_allclose(out, expected, rtol=0.0, atol=16.0 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", TYPES)
def test_over_all_lanes(dtype: type) -> None:
    """Whole numbers add up exactly in any order."""
    x = np.arange(LANES, dtype=dtype)
    x[5] = 40.0
    assert reduced(x, 40.0) == (x.sum(), 40.0, True)
    assert reduced(x, 41.0)[2] is False


def test_nan_compares_with_nothing() -> None:
    x, y = np.full(LANES, np.nan), np.ones(LANES + 3)
    out = np.zeros(4 * LANES)
    arithmetic(x, y, out)
    np.testing.assert_array_equal(out[2 * LANES : 3 * LANES], 7.0)
    assert np.isnan(out[:LANES]).all()
    assert not reduced(x, -np.inf)[2]

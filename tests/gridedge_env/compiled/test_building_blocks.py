"""Tiles that are turned, and inverses without division."""

from __future__ import annotations

import numpy as np
import pytest

from gridedge_env.compiled.running import numba_is_there

if not numba_is_there():
    pytest.skip("needs Numba", allow_module_level=True)

import numba

from gridedge_env.compiled.inverses import inverse_root, reciprocal
from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.turning import tile_side, turn_tile
from gridedge_env.compiled.vectors import load, store


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_turning_a_tile(dtype: type) -> None:
    @numba.njit
    def turn(source, target, width):
        place = pointer(source, 3)
        turn_tile(place, width, pointer(target, 0), 2 * width)
        return tile_side(place)

    side, width = 64 // np.dtype(dtype).itemsize, 21
    source = np.arange(side * width, dtype=dtype)
    target = np.full(2 * side * width, -1.0, dtype=dtype)
    assert turn(source, target, width) == side
    tile = source.reshape(side, width)[:, 3 : 3 + side]
    written = target.reshape(side, 2 * width)
    assert np.array_equal(written[:, :side], tile.T)
    assert (written[:, side:] == -1.0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverses(dtype: type) -> None:
    """To two units in the last place; in single, an estimate with a Newton step may take four."""

    @numba.njit(fastmath={"contract", "nsz", "arcp", "reassoc"})
    def invert(values, first, second):
        for k in range(0, len(values), 16):
            x = load(values, k, 16)
            store(first, k, reciprocal(x))
            store(second, k, inverse_root(x))

    values = np.geomspace(1e-12, 1e12, 1600).astype(dtype)
    first, second = np.empty_like(values), np.empty_like(values)
    invert(values, first, second)
    exact = values.astype(np.longdouble)
    units = 4.0 if dtype == np.float32 else 2.0
    for found, expected in ((first, 1.0 / exact), (second, 1.0 / np.sqrt(exact))):
        assert np.abs(found / expected - 1.0).max() < units * np.finfo(dtype).eps

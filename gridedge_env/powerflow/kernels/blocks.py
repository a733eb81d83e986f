# mypy: ignore-errors
"""A block of scenarios in the lanes of vectors: reading, writing, moving between it and a batch.

Real number k of a block is one vector, at k * lanes; a complex number is two, real part first.
`like` is any vector of the width in use.
"""

from __future__ import annotations

from gridedge_env.compiled.pointers import pointer
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.turning import tile_side, turn_tile
from gridedge_env.compiled.vectors import lanes_of, load_like, rounded, select, store

BOUND = 3.0


@kernel
def get(like, x, k):
    """Complex number k of a block."""
    at = 2 * k * lanes_of(like)
    return load_like(x, at, like), load_like(x, at + lanes_of(like), like)


@kernel
def put(like, x, k, re, im):
    """Write complex number k of a block."""
    at = 2 * k * lanes_of(like)
    store(x, at, re)
    store(x, at + lanes_of(like), im)


@kernel
def greater(a, b):
    """The greater of two vectors in every lane; a where b is not a number."""
    return select(b > a, b, a)


@kernel
def bound(value):
    """Within ±BOUND; NaN stays."""
    value = select(value > BOUND, BOUND, value)
    return select(value < -BOUND, -BOUND, value)


@kernel
def copy(like, source, as_source, numbers, target):
    """So many real numbers of a block, rounded to another precision."""
    lanes = lanes_of(like)
    for k in range(0, numbers * lanes, lanes):
        store(target, k, rounded(load_like(source, k, as_source), like))


@kernel
def copy_some(like, chosen, source, as_source, numbers, target):
    """The same in the chosen lanes alone."""
    lanes = lanes_of(like)
    for k in range(0, numbers * lanes, lanes):
        value = rounded(load_like(source, k, as_source), like)
        store(target, k, select(chosen, value, load_like(target, k, like)))


@kernel
def into_lanes(like, source, scenario, used, columns, target):
    """Complex rows of a batch, real parts first, to lanes; the last scenario fills what is left."""
    lanes, side, width = lanes_of(like), tile_side(source), 2 * columns
    whole_rows, whole_columns = used // side * side, columns // side * side
    for part in range(2):
        for w in range(0, whole_rows, side):
            row = pointer(source, (scenario + w) * width + part * columns)
            for j in range(0, whole_columns, side):
                turn_tile(
                    pointer(row, j), width, pointer(target, (2 * j + part) * lanes + w), 2 * lanes
                )
        for w in range(lanes):
            row = pointer(source, (scenario + min(w, used - 1)) * width + part * columns)
            for j in range(whole_columns if w < whole_rows else 0, columns):
                target[(2 * j + part) * lanes + w] = row[j]


@kernel
def out_of_lanes(like, source, scenario, used, columns, target):
    """The reverse."""
    lanes, side, width = lanes_of(like), tile_side(source), 2 * columns
    whole_rows, whole_columns = used // side * side, columns // side * side
    for part in range(2):
        for w in range(0, whole_rows, side):
            row = pointer(target, (scenario + w) * width + part * columns)
            for j in range(0, whole_columns, side):
                turn_tile(
                    pointer(source, (2 * j + part) * lanes + w), 2 * lanes, pointer(row, j), width
                )
        for w in range(used):
            row = pointer(target, (scenario + w) * width + part * columns)
            for j in range(whole_columns if w < whole_rows else 0, columns):
                row[j] = source[(2 * j + part) * lanes + w]

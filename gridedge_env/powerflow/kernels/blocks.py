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
    for part in range(2):
        own, to = pointer(source, part * columns), pointer(target, part * lanes_of(like))
        _turn_in(like, own, scenario, used, columns, 2 * columns, to, 2)


@kernel
def out_of_lanes(like, source, scenario, used, columns, target):
    """The reverse."""
    for part in range(2):
        own, to = pointer(source, part * lanes_of(like)), pointer(target, part * columns)
        _turn_out(like, own, scenario, used, columns, 2 * columns, to, 2)


@kernel
def pairs_into_lanes(like, source, scenario, used, columns, target):
    """As `into_lanes`, of rows that have each imaginary part behind its real part."""
    _turn_in(like, source, scenario, used, 2 * columns, 2 * columns, target, 1)


@kernel
def pairs_out_of_lanes(like, source, scenario, used, columns, target):
    """The reverse."""
    _turn_out(like, source, scenario, used, 2 * columns, 2 * columns, target, 1)


@kernel
def _turn_in(like, source, scenario, used, columns, width, target, step):
    """Real columns of rows of a width, to every step-th vector."""
    lanes, side = lanes_of(like), tile_side(source)
    whole_rows, whole_columns = used // side * side, columns // side * side
    for w in range(0, whole_rows, side):
        row = pointer(source, (scenario + w) * width)
        for j in range(0, whole_columns, side):
            to = pointer(target, step * j * lanes + w)
            turn_tile(pointer(row, j), width, to, step * lanes)
    for w in range(lanes):
        row = pointer(source, (scenario + min(w, used - 1)) * width)
        for j in range(whole_columns if w < whole_rows else 0, columns):
            target[step * j * lanes + w] = row[j]


@kernel
def _turn_out(like, source, scenario, used, columns, width, target, step):
    """The reverse."""
    lanes, side = lanes_of(like), tile_side(source)
    whole_rows, whole_columns = used // side * side, columns // side * side
    for w in range(0, whole_rows, side):
        row = pointer(target, (scenario + w) * width)
        for j in range(0, whole_columns, side):
            own = pointer(source, step * j * lanes + w)
            turn_tile(own, step * lanes, pointer(row, j), width)
    for w in range(used):
        row = pointer(target, (scenario + w) * width)
        for j in range(whole_columns if w < whole_rows else 0, columns):
            row[j] = source[step * j * lanes + w]

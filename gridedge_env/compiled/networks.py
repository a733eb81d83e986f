"""What kernels of many small networks are made of: sums of vectors times numbers, and tanh.

Parameters come to such kernels as addresses. As arrays their number would be part of a kernel's
type, and every depth of the networks would be compiled for itself.
"""

from __future__ import annotations

from typing import Any

from gridedge_env.compiled.pointers import pointer_at
from gridedge_env.compiled.running import kernel
from gridedge_env.compiled.vectors import alike, lanes_of, load_like, select, store

# So many sums are under way at once, in registers: an addition takes a while, but many may overlap.
BLOCK = 8
FLOAT_BYTES = 4


@kernel
def combine(
    like: Any,
    vectors: Any,
    width: int,
    terms: int,
    numbers: Any,
    outer: Any,
    results: int,
    inner: Any,
    out: Any,
) -> None:
    """Add to result r the sum over t of vector t times number (r, t). All arrays are pointers.

    Args:
        like: a vector with as many lanes as are to be taken at a time.
        vectors: (terms, width).
        width: numbers in a vector, a multiple of the lanes.
        terms: number of vectors.
        numbers: number (r, t) is at `outer[r] + inner[t]`.
        outer: (results,); a last block that is not full reads, computes and adds a whole one.
        results: number of sums.
        inner: (terms,).
        out: (results, width).
    """
    for r in range(0, results, BLOCK):
        p0, p1, p2, p3 = outer[r], outer[r + 1], outer[r + 2], outer[r + 3]
        p4, p5, p6, p7 = outer[r + 4], outer[r + 5], outer[r + 6], outer[r + 7]
        for unit in range(0, width, lanes_of(like)):
            place = r * width + unit
            s0, s1 = load_like(out, place, like), load_like(out, place + width, like)
            s2, s3 = (
                load_like(out, place + 2 * width, like),
                load_like(out, place + 3 * width, like),
            )
            s4, s5 = (
                load_like(out, place + 4 * width, like),
                load_like(out, place + 5 * width, like),
            )
            s6, s7 = (
                load_like(out, place + 6 * width, like),
                load_like(out, place + 7 * width, like),
            )
            for t in range(terms):
                vector, p = load_like(vectors, t * width + unit, like), inner[t]
                s0 = s0 + vector * numbers[p0 + p]
                s1 = s1 + vector * numbers[p1 + p]
                s2 = s2 + vector * numbers[p2 + p]
                s3 = s3 + vector * numbers[p3 + p]
                s4 = s4 + vector * numbers[p4 + p]
                s5 = s5 + vector * numbers[p5 + p]
                s6 = s6 + vector * numbers[p6 + p]
                s7 = s7 + vector * numbers[p7 + p]
            store(out, place, s0)
            store(out, place + width, s1)
            store(out, place + 2 * width, s2)
            store(out, place + 3 * width, s3)
            store(out, place + 4 * width, s4)
            store(out, place + 5 * width, s5)
            store(out, place + 6 * width, s6)
            store(out, place + 7 * width, s7)


@kernel
def tanh(x: Any) -> Any:
    """Hyperbolic tangent of every lane, within 5e-7; NaN stays NaN.

    An odd rational function of degrees 7 and 8, the best in the largest relative error (2e-7) up to
    8, from where on the tangent is 1 to within 3e-7. Evaluating it in single precision adds the
    rest.
    """
    x = select(x > 8.0, alike(8.0, x), x)
    x = select(x < -8.0, alike(-8.0, x), x)
    s = x * x
    above = s * (s * (s * 1.1430482e-5 + 2.9515052e-3) + 1.2926216e-1) + 9.9999987e-1
    below = s * (s * (s * (s * 2.4592336e-7 + 2.3871930e-4) + 2.3817845e-2) + 4.6259437e-1) + 1.0
    return x * above / below


@kernel
def numbers_of(address: int, size: int, agent: int, like: Any) -> Any:
    """Pointer to the `size` numbers of an agent in a tensor (agents, ...) in single precision."""
    return pointer_at(address + FLOAT_BYTES * size * agent, like)

"""Transposing between rows of a batch and the lanes of vectors, a square tile at a time."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gridedge_env.compiled.pointers import Pointer

TILE_BYTES = 64


@intrinsic
def tile_side(typing: Any, place: Any) -> Any:
    """Rows and columns of a tile of such numbers: 8 doubles or 16 singles."""
    if not isinstance(place, Pointer):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant(types.intp, _side(place))

    return types.intp(place), lower


@intrinsic
def turn_tile(typing: Any, source: Any, source_stride: Any, target: Any, target_stride: Any) -> Any:
    """Row r of the tile at `target` becomes column r of that at `source`; strides between rows."""
    if not (isinstance(source, Pointer) and source == target):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        element = context.get_value_type(source.dtype)
        side, align = _side(source), TILE_BYTES // _side(source)
        row = ir.VectorType(element, side).as_pointer()

        def row_at(place: Any, stride: Any, number: int) -> Any:
            offset = builder.mul(stride, stride.type(number))
            return builder.bitcast(builder.gep(place, [offset]), row)

        rows = [builder.load(row_at(args[0], args[1], k), align=align) for k in range(side)]
        # Exchange one bit of the row's number with that of the lane's after the other.
        bit = 1
        while bit < side:
            for k in range(side):
                if not k & bit:
                    pair = rows[k], rows[k | bit]
                    low = [c if not c & bit else side + c - bit for c in range(side)]
                    high = [c + bit if not c & bit else side + c for c in range(side)]
                    rows[k], rows[k | bit] = (
                        builder.shuffle_vector(
                            *pair, ir.Constant(ir.VectorType(ir.IntType(32), side), lanes)
                        )
                        for lanes in (low, high)
                    )
            bit *= 2
        for k, value in enumerate(rows):
            builder.store(value, row_at(args[2], args[3], k), align=align)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), lower


def _side(place: Any) -> int:
    side: int = 8 * TILE_BYTES // place.dtype.bitwidth
    return side

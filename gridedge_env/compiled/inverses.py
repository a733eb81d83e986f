"""1 / x and 1 / √x of vectors, in double precision without its slow division and root.

Division and roots of doubles take long, those of singles less. From the result in single
precision, one step of third order (Householder) makes 24 right bits 72, of which rounding leaves
all but the last.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gridedge_env.compiled.vectors import Vector


def _in_single(builder: Any, value: Any, root: bool) -> Any:
    """1 / x or 1 / √x of a vector of doubles, good to single precision."""
    lanes = value.type.count
    single = ir.VectorType(ir.FloatType(), lanes)
    near = builder.fptrunc(value, single)
    if root:
        kind = ir.FunctionType(single, [single])
        name = f"llvm.sqrt.v{lanes}f32"
        near = builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [near])
    near = builder.fdiv(_number(single, 1.0), near)
    return builder.fpext(near, value.type)


def _number(kind: Any, number: float) -> Any:
    return ir.Constant(kind, [ir.Constant(kind.element, number)] * kind.count)


@intrinsic
def reciprocal(typing: Any, vector: Any) -> Any:
    """1 / x of every lane; of doubles between 1e-30 and 1e30."""
    if not isinstance(vector, Vector):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (x,) = args
        one = _number(x.type, 1.0)
        if vector.element == types.float32:
            return builder.fdiv(one, x)
        near = _in_single(builder, x, root=False)
        error = builder.fsub(one, builder.fmul(x, near))
        return builder.fadd(
            near, builder.fmul(near, builder.fadd(error, builder.fmul(error, error)))
        )

    return vector(vector), lower


@intrinsic
def inverse_root(typing: Any, vector: Any) -> Any:
    """1 / √x of every lane; of doubles between 1e-30 and 1e30."""
    if not isinstance(vector, Vector):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (x,) = args
        one = _number(x.type, 1.0)
        if vector.element == types.float32:
            kind = ir.FunctionType(x.type, [x.type])
            name = f"llvm.sqrt.v{vector.lanes}f32"
            root = builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [x])
            return builder.fdiv(one, root)
        near = _in_single(builder, x, root=True)
        error = builder.fsub(one, builder.fmul(x, builder.fmul(near, near)))
        slope = builder.fadd(_number(x.type, 0.5), builder.fmul(error, _number(x.type, 0.375)))
        return builder.fadd(near, builder.fmul(near, builder.fmul(error, slope)))

    return vector(vector), lower

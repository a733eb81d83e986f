"""ONNX's operators in NumPy, of version 13, as far as gradmap-export needs them.

https://onnx.ai/onnx/operators/ says what each does. Whatever is no attribute is an array, or None
where it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridedge_gateway.model import TYPES

Array: TypeAlias = NDArray[Any]
Operator: TypeAlias = Callable[..., Any]


def _clip(x: Array, least: Array | None = None, most: Array | None = None) -> Array:
    x = x if least is None else np.maximum(x, least)
    return x if most is None else np.minimum(x, most)


def _divide(x: Array, y: Array) -> Array:
    """Of whole numbers the whole part."""
    if x.dtype.kind == "f":
        return np.divide(x, y)
    return np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))


def _modulo(x: Array, y: Array, fmod: int = 0) -> Array:
    return np.fmod(x, y) if fmod else np.mod(x, y)


def _power(x: Array, y: Array) -> Array:
    return np.power(x, y).astype(x.dtype)


def _shrink(x: Array, bias: float = 0.0, lambd: float = 0.5) -> Array:
    zero, away = x.dtype.type(0.0), x.dtype.type(bias)
    return np.where(x < -lambd, x + away, np.where(x > lambd, x - away, zero))


def _sum_of_products(
    a: Array,
    b: Array,
    c: Array | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    scale = a.dtype.type
    product = scale(alpha) * ((a.T if transA else a) @ (b.T if transB else b))
    return product if c is None else product + scale(beta) * c


def _running_sum(x: Array, axis: Array, exclusive: int = 0, reverse: int = 0) -> Array:
    along = axis.item()  # also of an array of one
    ordered = np.flip(x, along) if reverse else x
    found = np.cumsum(ordered, along, dtype=x.dtype)
    found = found - ordered if exclusive else found
    return np.flip(found, along) if reverse else found


def _reduced(
    how: Operator, x: Array, axes: Sequence[int] | None = None, keepdims: int = 1
) -> Array:
    along = None if axes is None or len(axes) == 0 else tuple(int(axis) for axis in axes)
    return np.asarray(how(x, axis=along, keepdims=bool(keepdims)))


def _place_of(
    how: Operator, x: Array, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> Array:
    """Of equal ones the first."""
    if select_last_index:
        raise ValueError("select_last_index: got 1, expected 0")
    return np.asarray(how(x, axis=axis, keepdims=bool(keepdims)))


def _cast(x: Array, to: int) -> Array:
    return x.astype(TYPES[to])


def _concatenated(*parts: Array, axis: int) -> Array:
    return np.concatenate(parts, axis)


def _filled(shape: Array, value: Array | None = None) -> Array:
    return np.full(shape.tolist(), np.float32(0.0) if value is None else value[0])


def _expanded(x: Array, shape: Array) -> Array:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist())))


def _reshaped(x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[k] if size == 0 else size for k, size in enumerate(shape.tolist())])


def _squeezed(x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, None if axes is None else tuple(axes.tolist()))


def _unsqueezed(x: Array, axes: Array) -> Array:
    rank = x.ndim + axes.size
    new = [axis % rank for axis in axes.tolist()]
    return x[tuple(None if axis in new else slice(None) for axis in range(rank))]


def _transposed(x: Array, perm: Sequence[int] | None = None) -> Array:
    return np.transpose(x, perm)


def _sliced(
    x: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None
) -> Array:
    along = range(len(starts)) if axes is None else axes.tolist()
    strides = [1] * len(starts) if steps is None else steps.tolist()
    parts = [slice(None)] * x.ndim
    for axis, start, end, stride in zip(
        along, starts.tolist(), ends.tolist(), strides, strict=True
    ):
        parts[axis] = slice(start, end, stride)
    return x[tuple(parts)]


def _split(x: Array, sizes: Array, axis: int = 0) -> list[Array]:
    return np.split(x, np.cumsum(sizes)[:-1].tolist(), axis)


def _padded(x: Array, pads: Array, value: Array | None = None, mode: str = "constant") -> Array:
    """Where a pad is negative, so much is taken off."""
    if mode != "constant":
        raise ValueError(f"Pad: got the mode {mode}, expected constant")
    before, after = pads.reshape(2, -1).tolist()
    sizes = [b + n + a for b, n, a in zip(before, x.shape, after, strict=True)]
    padded = np.full(sizes, x.dtype.type(0) if value is None else value)
    sides = list(zip(before, after, strict=True))
    inner = tuple(slice(max(b, 0), -a if a > 0 else None) for b, a in sides)
    kept = tuple(slice(max(-b, 0), a if a < 0 else None) for b, a in sides)
    padded[inner] = x[kept]
    return padded


def _taken(x: Array, places: Array, axis: int = 0) -> Array:
    return np.take(x, places, axis)


def _taken_along(x: Array, places: Array, axis: int = 0) -> Array:
    return np.take_along_axis(x, places, axis)


def _put_along(x: Array, places: Array, values: Array, axis: int = 0) -> Array:
    found = x.copy()
    np.put_along_axis(found, places, values, axis)
    return found


def _put(x: Array, places: Array, values: Array) -> Array:
    found = x.copy()
    found[tuple(np.moveaxis(places, -1, 0))] = values
    return found


def _variadic(how: Operator) -> Operator:
    return lambda *parts: reduce(how, parts)


OPERATORS: dict[str, Operator] = {
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "ArgMax": partial(_place_of, np.argmax),
    "ArgMin": partial(_place_of, np.argmin),
    "Cast": _cast,
    "Ceil": np.ceil,
    "Clip": _clip,
    "Concat": _concatenated,
    "ConstantOfShape": _filled,
    "Cos": np.cos,
    "CumSum": _running_sum,
    "Div": _divide,
    "Equal": np.equal,
    "Exp": np.exp,
    "Expand": _expanded,
    "Floor": np.floor,
    "Gather": _taken,
    "GatherElements": _taken_along,
    "Gemm": _sum_of_products,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Identity": lambda x: x,
    "IsNaN": np.isnan,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Log": np.log,
    "MatMul": np.matmul,
    "Max": _variadic(np.maximum),
    "Min": _variadic(np.minimum),
    "Mod": _modulo,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Pad": _padded,
    "Pow": _power,
    "Reciprocal": np.reciprocal,
    "ReduceMax": partial(_reduced, np.max),
    "ReduceMean": partial(_reduced, np.mean),
    "ReduceMin": partial(_reduced, np.min),
    "ReduceProd": partial(_reduced, np.prod),
    "ReduceSum": partial(_reduced, np.sum),
    "Relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "Reshape": _reshaped,
    "Round": np.rint,
    "ScatterElements": _put_along,
    "ScatterND": _put,
    "Shape": lambda x: np.array(x.shape, np.int64),
    "Shrink": _shrink,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Sign": np.sign,
    "Sin": np.sin,
    "Slice": _sliced,
    "Split": _split,
    "Sqrt": np.sqrt,
    "Squeeze": _squeezed,
    "Sub": np.subtract,
    "Tanh": np.tanh,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
    "Where": np.where,
}

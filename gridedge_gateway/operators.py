"""ONNX's operators in NumPy, of version 13, as far as gradmap-export needs them.

https://onnx.ai/onnx/operators/ says what each does. What an operator acts on are arrays, or None
where it does without one; its attributes are keywords.
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


def _shrink(x: Array, bias: float, lambd: float) -> Array:
    zero, away = x.dtype.type(0.0), x.dtype.type(bias)
    return np.where(x < -lambd, x + away, np.where(x > lambd, x - away, zero))


def _reduced(
    how: Operator, x: Array, axes: Sequence[int] | None = None, keepdims: int = 1
) -> Array:
    along = None if axes is None else tuple(axes)
    return np.asarray(how(x, axis=along, keepdims=bool(keepdims)))


def _place_of_least(x: Array, axis: int, keepdims: int, select_last_index: int) -> Array:
    """Of equal ones the first."""
    if select_last_index:
        raise ValueError(f"select_last_index: got {select_last_index}, expected 0")
    return np.asarray(np.argmin(x, axis=axis, keepdims=bool(keepdims)))


def _unsqueezed(x: Array, axes: Array) -> Array:
    rank = x.ndim + axes.size
    new = [axis % rank for axis in axes.tolist()]
    return x[tuple(None if axis in new else slice(None) for axis in range(rank))]


def _reshaped(x: Array, shape: Array) -> Array:
    """Where a size is 0, it stays."""
    return x.reshape([x.shape[k] if size == 0 else size for k, size in enumerate(shape.tolist())])


def _sliced(
    x: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None
) -> Array:
    count = len(starts)
    along = range(count) if axes is None else axes.tolist()
    strides = [1] * count if steps is None else steps.tolist()
    parts = [slice(None)] * x.ndim
    for number, axis in enumerate(along):
        parts[axis] = slice(int(starts[number]), int(ends[number]), strides[number])
    return x[tuple(parts)]


def _padded(x: Array, pads: Array, value: Array | None = None, mode: str = "constant") -> Array:
    """Where a pad is negative, so much is taken off."""
    if mode != "constant":
        raise ValueError(f"mode: got {mode}, expected constant")
    before, after = pads.reshape(2, -1).tolist()
    sides = list(zip(before, x.shape, after, strict=True))
    padded = np.full([b + n + a for b, n, a in sides], 0 if value is None else value, x.dtype)
    inner = tuple(slice(max(b, 0), -a if a > 0 else None) for b, _, a in sides)
    padded[inner] = x[tuple(slice(max(-b, 0), a if a < 0 else None) for b, _, a in sides)]
    return padded


def _put(x: Array, places: Array, values: Array) -> Array:
    found = x.copy()
    found[tuple(np.moveaxis(places, -1, 0))] = values
    return found


def _put_along(x: Array, places: Array, values: Array, axis: int) -> Array:
    found = x.copy()
    np.put_along_axis(found, places, values, axis)
    return found


OPERATORS: dict[str, Operator] = {
    # Number by number.
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "Cast": lambda x, to: x.astype(TYPES[to]),
    "Clip": _clip,
    "Cos": np.cos,
    "Div": _divide,
    "Equal": np.equal,
    "Exp": np.exp,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Identity": lambda x: x,
    "IsNaN": np.isnan,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Log": np.log,
    "Max": lambda *parts: reduce(np.maximum, parts),
    "Min": lambda *parts: reduce(np.minimum, parts),
    "Mod": np.mod,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Pow": lambda x, y: np.power(x, y).astype(x.dtype),
    "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "Round": np.rint,
    "Shrink": _shrink,
    "Sign": np.sign,
    "Sin": np.sin,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Tanh": np.tanh,
    "Where": np.where,
    # Along axes.
    "ArgMin": _place_of_least,
    "CumSum": lambda x, axis: np.cumsum(x, axis.item(), x.dtype),
    "Gemm": lambda a, b, c: a @ b + c,
    "MatMul": np.matmul,
    "ReduceMax": partial(_reduced, np.max),
    "ReduceMean": partial(_reduced, np.mean),
    "ReduceMin": partial(_reduced, np.min),
    "ReduceSum": partial(_reduced, np.sum),
    # Of shapes and places.
    "Concat": lambda *parts, axis: np.concatenate(parts, axis),
    "ConstantOfShape": lambda shape, value: np.full(shape.tolist(), value[0]),
    "Expand": lambda x, shape: np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape))),
    "Gather": lambda x, places, axis: np.take(x, places, axis),
    "GatherElements": lambda x, places, axis: np.take_along_axis(x, places, axis),
    "Pad": _padded,
    "Reshape": _reshaped,
    "ScatterElements": _put_along,
    "ScatterND": _put,
    "Shape": lambda x: np.array(x.shape, np.int64),
    "Slice": _sliced,
    "Split": lambda x, sizes, axis: np.split(x, np.cumsum(sizes)[:-1].tolist(), axis),
    "Squeeze": lambda x, axes: np.squeeze(x, tuple(axes)),
    "Transpose": lambda x, perm: np.transpose(x, perm),
    "Unsqueeze": _unsqueezed,
}

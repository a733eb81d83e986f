"""Vectors of a fixed number of lanes as first-class values in Numba kernels.

`load(array, offset, LANES)` reads LANES neighbours of a flat array as one value, which LLVM keeps
in as many registers as the machine needs (AVX-512, AVX2, NEON). Arithmetic, comparisons and the
functions below work on all lanes at once; a plain number counts as the same number in every lane.

Plain inner loops over so few elements run two to three times slower: short ones are unrolled to
scalar code before LLVM could make vectors of them, and sums never stay in registers.

A change here has all kernels compiled anew, on disk, too: see `cache`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from gridedge_env.compiled.pointers import Pointer

# NaN and infinity keep their meaning; sums may be reordered, products and sums fused.
FAST_MATH = frozenset({"contract", "nsz", "arcp", "reassoc"})


class Vector(types.Type):
    """Type of a vector: `element` is types.float32 or types.float64."""

    def __init__(self, element: types.Float, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"vector<{element} x {lanes}>")


class Mask(types.Type):
    """Type of the outcome of a comparison: one truth value a lane."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"mask<{lanes}>")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        element = manager.lookup(vector.element).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, mask: Mask) -> None:
        super().__init__(manager, mask, ir.VectorType(ir.IntType(1), mask.lanes))


def _spread(builder: Any, value: Any, lanes: int) -> Any:
    """The same number in every lane."""
    empty = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    place = ir.Constant(ir.IntType(32), 0)
    return builder.shuffle_vector(builder.insert_element(empty, value, place), empty, first)


def _as_vectors(context: Any, builder: Any, sig: Any, args: Any, vector: Vector) -> list[Any]:
    return [
        value
        if isinstance(kind, Vector)
        else _spread(builder, context.cast(builder, value, kind, vector.element), vector.lanes)
        for kind, value in zip(sig.args, args, strict=True)
    ]


def _the_vector(args: Any) -> Vector | None:
    """The vector type of an operation between vectors, or between one and a number."""
    vectors = [kind for kind in args if isinstance(kind, Vector)]
    same = len(set(vectors)) == 1
    fitting = all(isinstance(kind, (Vector, types.Number)) for kind in args)
    return vectors[0] if same and fitting else None


def _operator(function: Any, result: Callable[[Vector], types.Type], emit: Any) -> None:
    @infer_global(function)
    class _Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            vector = _the_vector(args)
            if vector is None:
                return None
            # Plain numbers come as whatever they are and are converted when lowered.
            return signature(result(vector), *args)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = next(kind for kind in sig.args if isinstance(kind, Vector))
        return emit(builder, *_as_vectors(context, builder, sig, args, vector))

    for kinds in ((Vector, Vector), (types.Number, Vector), (Vector, types.Number)):
        lower_builtin(function, *kinds)(lower)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(
        _function,
        lambda vector: vector,
        lambda builder, a, b, name=_instruction: getattr(builder, name)(a, b),
    )
for _function, _comparison in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
):
    _operator(
        _function,
        lambda vector: Mask(vector.lanes),
        lambda builder, a, b, name=_comparison: builder.fcmp_ordered(name, a, b),
    )


@infer_global(operator.or_)
class _Or(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        first, second = args
        return signature(first, *args) if isinstance(first, Mask) and first == second else None


@lower_builtin(operator.or_, Mask, Mask)
def _lower_or(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.or_(*args)


def _address(context: Any, builder: Any, sig: Any, args: Any, vector: Vector) -> Any:
    """Of the vector at an offset in a flat, contiguous array, or from a pointer on."""
    array, offset = sig.args[0], context.cast(builder, args[1], sig.args[1], types.intp)
    data = args[0]
    if not isinstance(array, Pointer):
        data = context.make_array(array)(context, builder, data).data
    pointer = builder.gep(data, [offset])
    return builder.bitcast(pointer, context.get_value_type(vector).as_pointer())


def _flat(array: Any) -> bool:
    if isinstance(array, Pointer):
        return True
    return isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"


@intrinsic(prefer_literal=True)
def load(typing: Any, array: Any, offset: Any, lanes: Any) -> Any:
    """`lanes` neighbours of a flat array from `offset` on; `lanes` is a constant."""
    if not _flat(array) or not isinstance(lanes, types.IntegerLiteral):
        return None
    vector = Vector(array.dtype, lanes.literal_value)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _address(context, builder, sig, args, vector)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp, lanes), lower


@intrinsic(prefer_literal=True)
def zeros(typing: Any, array: Any, width: Any) -> Any:
    """A vector of zeros as wide as `width` bytes, a constant, of numbers like those of an array."""
    if not _flat(array) or not isinstance(width, types.IntegerLiteral):
        return None
    vector = Vector(array.dtype, 8 * width.literal_value // array.dtype.bitwidth)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(vector), None)

    return vector(array, width), lower


@intrinsic
def load_like(typing: Any, array: Any, offset: Any, vector: Any) -> Any:
    """As `load`, with as many lanes as a vector at hand: for helpers that serve several widths."""
    if not _flat(array) or not isinstance(vector, Vector) or array.dtype != vector.element:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _address(context, builder, sig, args, vector)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp, vector), lower


@intrinsic
def lanes_of(typing: Any, vector: Any) -> Any:
    """Number of lanes of a vector, a constant to the compiler."""
    if not isinstance(vector, Vector):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant(types.intp, vector.lanes)

    return types.intp(vector), lower


@intrinsic
def zeros_like(typing: Any, array: Any, vector: Any) -> Any:
    """A vector of zeros with as many lanes as another, of numbers like those of an array."""
    if not _flat(array) or not isinstance(vector, Vector):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(sig.return_type), None)

    return Vector(array.dtype, vector.lanes)(array, vector), lower


@intrinsic
def rounded(typing: Any, value: Any, vector: Any) -> Any:
    """A vector's lanes in the precision of another vector with as many."""
    if not all(isinstance(kind, Vector) for kind in (value, vector)) or value.lanes != vector.lanes:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if value == vector:
            return args[0]
        narrower = value.element.bitwidth > vector.element.bitwidth
        convert = builder.fptrunc if narrower else builder.fpext
        return convert(args[0], context.get_value_type(vector))

    return vector(value, vector), lower


@intrinsic
def store(typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write a vector to a flat array from `offset` on."""
    if not _flat(array) or not isinstance(value, Vector):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _address(context, builder, sig, args, value)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), lower


@intrinsic
def alike(typing: Any, number: Any, vector: Any) -> Any:
    """A vector like `vector` with `number` in every lane."""
    if not isinstance(vector, Vector) or not isinstance(number, types.Number):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = context.cast(builder, args[0], number, vector.element)
        return _spread(builder, value, vector.lanes)

    return vector(number, vector), lower


@intrinsic
def select(typing: Any, mask: Any, chosen: Any, otherwise: Any) -> Any:
    """`chosen` in the lanes where the mask holds, `otherwise` in the others."""
    vector = _the_vector((chosen, otherwise))
    if vector is None or not isinstance(mask, Mask) or mask.lanes != vector.lanes:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pair = signature(vector, *sig.args[1:])
        return builder.select(args[0], *_as_vectors(context, builder, pair, args[1:], vector))

    return vector(mask, chosen, otherwise), lower


@intrinsic
def somewhere(typing: Any, mask: Any) -> Any:
    """Whether a mask holds in any lane."""
    if not isinstance(mask, Mask):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(mask.lanes))
        return builder.icmp_unsigned("!=", bits, bits.type(0))

    return types.boolean(mask), lower


def _unary(name: str) -> Any:
    def typer(typing: Any, vector: Any) -> Any:
        if not isinstance(vector, Vector):
            return None

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            kind = ir.FunctionType(args[0].type, [args[0].type])
            called = f"llvm.{name}.v{vector.lanes}f{vector.element.bitwidth}"
            function = cgutils.get_or_insert_function(builder.module, kind, called)
            return builder.call(function, args)

        return vector(vector), lower

    return typer


@intrinsic
def square_root(typing: Any, vector: Any) -> Any:
    """Square root of every lane."""
    return _unary("sqrt")(typing, vector)


@intrinsic
def magnitude(typing: Any, vector: Any) -> Any:
    """Absolute value of every lane."""
    return _unary("fabs")(typing, vector)


def _fold(builder: Any, value: Any, lanes: int, combine: Callable[[Any, Any], Any]) -> Any:
    """Combine all lanes, a power of two, half with half."""
    while lanes > 1:
        lanes //= 2
        empty = ir.Constant(value.type, ir.Undefined)
        halves = [
            builder.shuffle_vector(
                value,
                empty,
                ir.Constant(
                    ir.VectorType(ir.IntType(32), lanes), list(range(begin, begin + lanes))
                ),
            )
            for begin in (0, lanes)
        ]
        value = combine(*halves)
    return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))


@intrinsic
def total(typing: Any, vector: Any) -> Any:
    """Sum over the lanes."""
    if not isinstance(vector, Vector):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _fold(builder, args[0], vector.lanes, builder.fadd)

    return vector.element(vector), lower


@intrinsic
def largest(typing: Any, vector: Any) -> Any:
    """Greatest of the lanes; where one is NaN, any of them."""
    if not isinstance(vector, Vector):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def greater(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        return _fold(builder, args[0], vector.lanes, greater)

    return vector.element(vector), lower

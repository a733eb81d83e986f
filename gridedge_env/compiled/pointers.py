"""Flat arrays without owner as first-class values in Numba kernels.

Numba counts references to an array wherever one is handed to a function, in inner loops too, and
spills every register around the count. `pointer(array)` is what helpers take instead: read and
written like the array, for as long as the array lives.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model


class Pointer(types.Type):
    """Type of a pointer to numbers of type `dtype`."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"pointer<{dtype}>")


@register_model(Pointer)
class _PointerModel(models.PrimitiveModel):
    def __init__(self, manager: Any, pointer: Pointer) -> None:
        element = manager.lookup(pointer.dtype).get_data_type()
        super().__init__(manager, pointer, ir.PointerType(element))


@intrinsic
def pointer(typing: Any, array: Any, offset: Any) -> Any:
    """To the entry at `offset` of a flat, contiguous array, or behind another pointer.

    Numba frees an array of its own after the last use that it sees: let there be one at the end.
    """
    flat = isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"
    if not (flat or isinstance(array, Pointer)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        begin, offset = args[0], context.cast(builder, args[1], sig.args[1], types.intp)
        if flat:
            begin = context.make_array(array)(context, builder, begin).data
        return builder.gep(begin, [offset])

    return Pointer(array.dtype)(array, offset), lower


@intrinsic
def pointer_at(typing: Any, address: Any, array: Any) -> Any:
    """To what is at an address, as a number: numbers like those of an array or behind a pointer."""
    if not isinstance(array, (types.Array, Pointer)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = context.cast(builder, args[0], sig.args[0], types.intp)
        return builder.inttoptr(place, context.get_value_type(sig.return_type))

    return Pointer(array.dtype)(address, array), lower


@infer_global(operator.getitem)
class _Read(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        place, index = args
        if isinstance(place, Pointer) and isinstance(index, types.Integer):
            return signature(place.dtype, place, types.intp)
        return None


@infer_global(operator.setitem)
class _Write(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        place, index, _ = args
        if isinstance(place, Pointer) and isinstance(index, types.Integer):
            return signature(types.none, place, types.intp, place.dtype)
        return None


@lower_builtin(operator.getitem, Pointer, types.Integer)
def _lower_read(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    place, index = args
    dtype = sig.args[0].dtype
    return context.unpack_value(builder, dtype, builder.gep(place, [index]))


@lower_builtin(operator.setitem, Pointer, types.Integer, types.Any)
def _lower_write(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    place, index, value = args
    dtype = sig.args[0].dtype
    value = context.cast(builder, value, sig.args[2], dtype)
    context.pack_value(builder, dtype, value, builder.gep(place, [index]))
    return context.get_dummy_value()

"""An ONNX model as it lies in a file: what gradmap-export writes of the format's protocol buffers.

A message is a row of fields, each a number that says what it is and a value. The numbers below are
those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import math
import struct
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Message: TypeAlias = dict[int, list[Any]]  # values of fields by number

# Of the values of tensors, by the format's number.
SINGLE, DOUBLE = "float32", "float64"
TYPES = {1: SINGLE, 6: "int32", 7: "int64", 9: "bool", 11: DOUBLE}
# How a field's value lies there: as a number, or as bytes, how many of which is said before them or
# by the kind of field.
VARINT, SIZED, SIZES = 0, 2, {1: 8, 5: 4}
# Bits before the last seven of a number.
LONGEST_VARINT = 63


@dataclass(frozen=True, slots=True)
class Node:
    """An operation of a graph.

    Attributes:
        operator: its name in ONNX.
        inputs: names of what it acts on; "" where it does without one.
        outputs: names of what it makes.
        attributes: by name, numbers, lists of them, text or arrays.
        last: names of what nothing needs after it.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    last: tuple[str, ...]


@dataclass(frozen=True)
class Described:
    """What is said of an array: its type, and its shape, -1 where a size is free."""

    type: str
    shape: tuple[int, ...]

    def fits(self, array: NDArray[Any]) -> bool:
        """Whether an array is such a one."""
        return (
            array.dtype == self.type
            and array.ndim == len(self.shape)
            and all(size in (-1, has) for size, has in zip(self.shape, array.shape, strict=True))
        )

    def in_double_precision(self) -> Described:
        """The same, in place of single precision."""
        return replace(self, type=DOUBLE) if self.type == SINGLE else self


@dataclass(frozen=True)
class Model:
    """A graph, and what is said of it.

    Attributes:
        nodes: in an order in which they can be worked out.
        constants: arrays by name.
        inputs: by name.
        outputs: likewise.
        metadata: texts by name.
    """

    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    inputs: dict[str, Described]
    outputs: dict[str, Described]
    metadata: dict[str, str]

    @classmethod
    def of(cls, data: bytes) -> Model:
        """Of a file's bytes.

        Raises:
            ValueError: they are no model.
        """
        model = _message(data)
        (graph,) = (_message(sub) for sub in model[7])
        inputs, outputs = (dict(_described(sub) for sub in graph.get(n, ())) for n in (11, 12))
        entries = (_message(sub) for sub in model.get(14, ()))
        return cls(
            _nodes(tuple(graph.get(1, ())), frozenset(outputs)),
            dict(_tensor(sub) for sub in graph.get(5, ())),
            inputs,
            outputs,
            {entry[1][0].decode(): entry[2][0].decode() for entry in entries},
        )

    def in_double_precision(self) -> Model:
        """The same, in place of single precision."""
        return replace(
            self,
            constants={name: _widened(values) for name, values in self.constants.items()},
            inputs={name: told.in_double_precision() for name, told in self.inputs.items()},
            outputs={name: told.in_double_precision() for name, told in self.outputs.items()},
        )


def _widened(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(DOUBLE) if values.dtype == SINGLE else values


def _message(data: bytes) -> Message:
    """The fields of a message: values by number, in their order."""
    found: Message = {}
    value: int | bytes
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
        else:
            size, at = _varint(data, at) if kind == SIZED else (SIZES.get(kind, len(data)), at)
            value, at = data[at : at + size], at + size
        if at > len(data):
            raise ValueError("got what is no ONNX model, expected a file of gradmap-export")
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, and where the next value begins."""
    value, shift = 0, 0
    while True:
        if shift > LONGEST_VARINT:
            raise ValueError("got what is no ONNX model, expected a file of gradmap-export")
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value - (1 << 64) if value >> 63 else value, at


@lru_cache(maxsize=256)  # customers with the same kinds of devices have the same ones
def _nodes(messages: tuple[bytes, ...], needed: frozenset[str]) -> tuple[Node, ...]:
    """In their order; of what is needed in the end none is the last use."""
    found, after = list[Node](), {"", *needed}
    for said in map(_message, reversed(messages)):
        inputs, outputs = (
            tuple(sys.intern(name.decode()) for name in said.get(number, ())) for number in (1, 2)
        )
        last = tuple({*inputs, *outputs} - after)
        after |= {*inputs, *outputs}
        attributes = dict(_attribute(sub) for sub in said.get(5, ()))
        found.append(Node(said[4][0].decode(), inputs, outputs, attributes, last))
    return tuple(reversed(found))


def _attribute(data: bytes) -> tuple[str, Any]:
    said = _message(data)
    name, kind = said[1][0].decode(), said[20][0]
    if kind == 1:
        return name, struct.unpack("<f", said[2][0])[0]
    if kind == 2:
        return name, said[3][0]
    if kind == 3:
        return name, said[4][0].decode()
    if kind == 4:
        return name, _tensor(said[5][0])[1]
    if kind == 7:
        return name, said.get(8, [])
    raise ValueError(f"{name}: got an attribute of kind {kind}, expected a number, text or array")


def _tensor(data: bytes) -> tuple[str, NDArray[Any]]:
    said = _message(data)
    name, shape = said.get(8, [b""])[0].decode(), said.get(1, [])
    values = np.frombuffer(said.get(9, [b""])[0], np.dtype(TYPES[said[2][0]]).newbyteorder("<"))
    if values.size != math.prod(shape):
        raise ValueError(f"{name}: got {values.size} values, expected those of the shape {shape}")
    return sys.intern(name), values.reshape(shape)


def _described(data: bytes) -> tuple[str, Described]:
    said = _message(data)
    tensor = _message(_message(said[2][0])[1][0])
    sizes = (_message(sub) for shape in tensor.get(2, ()) for sub in _message(shape).get(1, ()))
    shape = tuple(size.get(1, [-1])[0] for size in sizes)
    return said[1][0].decode(), Described(TYPES[tensor[1][0]], shape)

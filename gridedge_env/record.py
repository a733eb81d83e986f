"""Records: frozen dataclasses whose tensors are cut, joined, moved and copied as one.

A field says in its metadata which axis of its tensor is the batch; all others belong to every item
of the batch alike:

    @dataclass(frozen=True, eq=False)
    class State(Record):
        energy: Tensor = field(metadata=batch())  # (batch, batteries)
        capacity: Tensor  # (batteries,)

    first = states.take(slice(1))
    both = State.cat([first, second])

Fields may also be records, NumPy arrays, tuples, lists and mappings of all these, or anything that
just stays as it is. `eq=False` leaves `==` to `Record`, which compares tensors by their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass, replace
from functools import cache, cached_property
from typing import Any, ClassVar, SupportsIndex, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from gridedge_env.checks import check_type, shown

Index: TypeAlias = "slice | Sequence[int] | Tensor"
RecordT = TypeVar("RecordT", bound="Record")

_AXIS = "batch_axis"


def batch(axis: int = 0) -> dict[str, int]:
    """Metadata of a field whose tensor has the batch at this axis."""
    return {_AXIS: axis}


class Record:
    """Base of frozen dataclasses of tensors; see the module."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    __hash__ = None  # type: ignore[assignment]

    def take(self: RecordT, index: Index) -> RecordT:
        """Some items of the batch, in this order; a slice gives views.

        Raises:
            ValueError: an index that is no slice, sequence or tensor of one dimension.
        """
        place = _placed(index)

        def cut(values: Any, axis: int | None) -> Any:
            if axis is None:
                return values
            # NumPy would take a tensor of one number for that number, and lose the axis.
            of_array = isinstance(values, np.ndarray) and isinstance(place, Tensor)
            own = place.cpu().numpy() if of_array else place  # type: ignore[union-attr]
            return values[(*axis * [slice(None)], own)]

        return self._each(cut, lambda record: record.take(index))

    @classmethod
    def cat(cls: type[RecordT], records: Sequence[RecordT]) -> RecordT:
        """All items of several records, one after the other.

        Raises:
            ValueError: no record, one of another type, or a field that is of no batch differs
                between them, or has items of different shapes.
        """
        if not records:
            raise ValueError("records: got none, expected at least one")
        for record in records:
            check_type(record, cls, "records", f"a {cls.__name__} each")
        joined = {
            entry.name: _joined([getattr(record, entry.name) for record in records], entry)
            for entry in fields(cls)
        }
        return cls(**joined)

    def to(
        self: RecordT, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> RecordT:
        """The same on a device, real and complex tensors in the precision of `dtype`."""

        def moved(values: Any, axis: int | None) -> Any:
            if not isinstance(values, Tensor):
                return values
            precision = dtype if values.is_floating_point() else None
            if dtype is not None and values.is_complex():
                precision = dtype.to_complex()
            return values.to(device=device, dtype=precision)

        return self._each(moved, lambda record: record.to(device, dtype))

    def mean(self: RecordT) -> RecordT:
        """A batch of one: the mean of all items."""

        def averaged(values: Any, axis: int | None) -> Any:
            return values if axis is None else values.mean(axis, keepdims=True)

        return self._each(averaged, lambda record: record.mean())

    def clone(self: RecordT, sharing: Collection[str] = ()) -> RecordT:
        """A copy that shares no tensor but those of the fields in `sharing`."""

        def copied(values: Any, axis: int | None) -> Any:
            if isinstance(values, Tensor):
                return values.clone()
            return values.copy() if isinstance(values, np.ndarray) else values

        return self._each(copied, lambda record: record.clone(), sharing)

    def detach(self: RecordT) -> RecordT:
        """The same numbers in the same memory, without their graph."""

        def detached(values: Any, axis: int | None) -> Any:
            return values.detach() if isinstance(values, Tensor) else values

        return self._each(detached, lambda record: record.detach())

    @cached_property
    def batches(self) -> set[int]:
        """How many items its tensors have, also those of records in it: one number in a batch."""
        found, kind = set[int](), cast("Any", type(self))
        for name, axis in _axes(kind):
            value = getattr(self, name)
            if isinstance(value, Tensor):
                if axis is not None:
                    found.add(value.shape[axis])
                continue
            for record in value if isinstance(value, tuple) else (value,):
                if isinstance(record, Record):
                    found |= record.batches
        return found

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal: tensors in shape, type, place and every number."""
        if type(self) is not type(other):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def _each(
        self: RecordT,
        of_values: Callable[[Any, int | None], Any],
        of_record: Callable[[Record], Record],
        but: Collection[str] = (),
    ) -> RecordT:
        """The record with `of_values(values, batch axis)` of every plain field but some."""

        def changed(value: Any, axis: int | None) -> Any:
            if isinstance(value, Tensor):  # nearly all of them, many times a step
                return of_values(value, axis)
            if isinstance(value, Record):
                return of_record(value)
            if isinstance(value, tuple | list) and any(map(_is_changed, value)):
                return type(value)(changed(entry, axis) for entry in value)
            if isinstance(value, Mapping):
                return {name: changed(entry, axis) for name, entry in value.items()}
            return None if value is None else of_values(value, axis)

        named = {
            entry.name: changed(getattr(self, entry.name), entry.metadata.get(_AXIS))
            for entry in fields(self)
            if entry.name not in but
        }
        return replace(self, **named)


@cache
def _axes(kind: Any) -> tuple[tuple[str, int | None], ...]:
    """Of a type of record: fields by name, and where their batch is."""
    return tuple((entry.name, entry.metadata.get(_AXIS)) for entry in fields(kind))


def _placed(index: Index) -> slice | list[int] | Tensor:
    """An index that cuts one axis and keeps it."""
    if isinstance(index, slice) or (isinstance(index, Tensor) and index.dim() == 1):
        return index
    if isinstance(index, Tensor) or not isinstance(index, Iterable):
        raise ValueError(f"index: got {shown(index)}, expected a slice, numbers or a row of them")
    rows = list(index)
    for row in rows:
        check_type(row, (SupportsIndex, np.bool_), "index", "whole numbers, or True and False")
    return rows


def _is_changed(value: Any) -> bool:
    """Whether there is something in it to cut, move or copy."""
    return isinstance(value, Record | Tensor | np.ndarray)


def _joined(values: list[Any], entry: Field[Any]) -> Any:
    first, axis = values[0], entry.metadata.get(_AXIS)
    if isinstance(first, Record):
        return type(first).cat(values)
    if isinstance(first, tuple | list) and any(map(_is_changed, first)):
        if len({len(value) for value in values}) > 1:
            raise ValueError(f"{entry.name}: got different numbers of entries, expected as many")
        parts = zip(*values, strict=True)
        return type(first)(_joined(list(part), entry) for part in parts)
    if isinstance(first, Mapping):
        for value in values[1:]:
            if value.keys() != first.keys():
                raise ValueError(
                    f"{entry.name}: got {', '.join(map(str, value))} and "
                    f"{', '.join(map(str, first))}, expected the same names in all"
                )
        return {name: _joined([value[name] for value in values], entry) for name in first}
    for kind, cat in ((Tensor, torch.cat), (np.ndarray, np.concatenate)):
        if axis is not None and all(isinstance(value, kind) for value in values):
            try:
                return cat(values, axis)
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    f"{entry.name}: got items of different shapes, expected the same ({error})"
                ) from error
    for value in values[1:]:
        if not _same(first, value):
            told = f"{shown(value)} and {shown(first)}"
            raise ValueError(f"{entry.name}: got {told}, expected the same in all")
    return first


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        alike = one.dtype == other.dtype and one.device == other.device
        return alike and torch.equal(one, other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, tuple | list) and type(one) is type(other):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if type(one) is not type(other):
        return False
    if is_dataclass(one) and not isinstance(one, Record):
        return all(_same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    try:
        return bool(one == other)
    except (RuntimeError, ValueError) as error:
        raise TypeError(f"got {type(one).__name__}, which cannot be compared") from error

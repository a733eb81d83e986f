"""Records: cut, joined, moved, copied and compared as one."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from gridedge_env.record import Record, batch


@dataclass(frozen=True, eq=False)
class Part(Record):
    """One tensor with the batch first."""

    energy: Tensor = field(metadata=batch())


@dataclass(frozen=True, eq=False)
class Whole(Record):
    """Every sort of field; three items in the batch."""

    parts: tuple[Part, ...]
    part: Part
    named: Mapping[str, np.ndarray] = field(metadata=batch())
    later: Tensor = field(metadata=batch(1))
    row: Tensor = field(metadata=batch())
    capacity: Tensor
    name: str
    taps: Tensor | None = field(default=None, metadata=batch())


def whole() -> Whole:
    return Whole(
        parts=(Part(torch.tensor([1.0, 2.0, 3.0])), Part(torch.tensor([4.0, 5.0, 6.0]))),
        part=Part(torch.tensor([7.0, 8.0, 9.0])),
        named={"cost": np.array([10.0, 11.0, 12.0])},
        later=torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        row=torch.tensor([0, 1, 2]),
        capacity=torch.tensor([20.0, 30.0]),
        name="fleet",
    )


def test_take_by_hand() -> None:
    taken = whole().take([2, 0])
    assert [part.energy.tolist() for part in taken.parts] == [[3.0, 1.0], [6.0, 4.0]]
    assert taken.part.energy.tolist() == [9.0, 7.0]
    assert taken.named["cost"].tolist() == [12.0, 10.0]
    assert taken.later.tolist() == [[3.0, 1.0], [6.0, 4.0]]
    assert taken.row.tolist() == [2, 0]
    assert (taken.capacity.tolist(), taken.name, taken.taps) == ([20.0, 30.0], "fleet", None)


def test_a_slice_gives_views_and_an_index_copies() -> None:
    record = whole()
    record.take(slice(1, 3)).later[0, 0] = -1.0
    assert record.later[0].tolist() == [1.0, -1.0, 3.0]
    record.take(torch.tensor([1])).row[0] = 9
    assert record.row.tolist() == [0, 1, 2]


def test_cat_is_the_inverse_of_take() -> None:
    record = whole()
    assert Whole.cat([record.take([0]), record.take(slice(1, 3))]) == record
    assert Whole.cat([record]) == record
    assert Whole.cat([record, record]).later.shape == (2, 6)


def test_records_that_are_not_of_one_batch_are_refused() -> None:
    record, other = whole(), whole()
    other.capacity[1] = 31.0
    with pytest.raises(ValueError, match=r"capacity: got .*31.* and .*30.*, expected the same"):
        Whole.cat([record, other])
    with pytest.raises(ValueError, match="records: got none, expected at least one"):
        Whole.cat([])
    with pytest.raises(ValueError, match="records: got None, expected a Whole each"):
        Whole.cat([record, None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"later: got items of different shapes, .*Expected size"):
        Whole.cat([record, replace(other, later=torch.ones(3, 3))])
    long = [replace(record, capacity=torch.full((500,), float(k))) for k in range(2)]
    with pytest.raises(ValueError, match=r"^capacity: got .* and .*, expected the same in all$"):
        Whole.cat(long)  # in one line


def test_equal_means_every_number_and_its_type() -> None:
    record = whole()
    assert record == whole()
    assert record != record.take([0, 1, 1])
    assert record != record.to(dtype=torch.float64)
    assert record != "fleet"
    for change in (
        lambda r: r.parts[1].energy.__setitem__(0, 0.0),
        lambda r: r.named["cost"].__setitem__(0, 0.0),
        lambda r: r.row.__setitem__(0, 5),
    ):
        other = whole()
        change(other)
        assert record != other
    assert Part(torch.tensor([torch.nan])) != Part(torch.tensor([torch.nan]))
    with pytest.raises(TypeError, match="unhashable"):
        hash(record)


def test_precision_is_that_of_real_and_complex_numbers() -> None:
    moved = whole().to("cpu", torch.float64)
    assert moved.later.dtype == moved.parts[0].energy.dtype == torch.float64
    assert moved.row.dtype == torch.int64
    assert moved.named["cost"].dtype == np.float64
    phasor = Part(torch.tensor([1.0 + 2.0j])).to(dtype=torch.float64)
    assert phasor.energy.dtype == torch.complex128
    assert whole().to("cpu") == whole()


def test_a_clone_shares_nothing_but_what_it_is_told_to() -> None:
    record = whole()
    copy = record.clone(sharing=("capacity",))
    assert copy == record
    assert copy.capacity is record.capacity
    for mine, its in (
        (record.later, copy.later),
        (record.parts[0].energy, copy.parts[0].energy),
        (record.part.energy, copy.part.energy),
    ):
        assert mine.data_ptr() != its.data_ptr()
    copy.named["cost"][0] = 0.0
    assert record.named["cost"][0] == 10.0


def test_gradients_flow_through_cuts_and_copies() -> None:
    leaf = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    part = Part(leaf)
    total = Part.cat([part.take([2]), part.clone().take(slice(2))]).energy @ torch.tensor(
        [1.0, 10.0, 100.0]
    )
    (gradient,) = torch.autograd.grad(total, leaf)
    assert gradient.tolist() == [10.0, 100.0, 1.0]
    assert not part.detach().energy.requires_grad
    assert part.detach().energy.data_ptr() == leaf.data_ptr()


@pytest.mark.parametrize("index", [[1], torch.tensor([1]), torch.tensor([False, True, False])])
def test_one_item_keeps_its_axis_in_every_sort_of_field(index: object) -> None:
    one = whole().take(index)
    assert one.part.energy.tolist() == [8.0]
    assert one.named["cost"].tolist() == [11.0]
    assert one.later.tolist() == [[2.0], [5.0]]


@pytest.mark.parametrize("index", [1, torch.tensor(1), torch.tensor([[0, 1]]), None])
def test_an_index_of_another_shape_is_refused(index: object) -> None:
    with pytest.raises(ValueError, match="^index: got .*, expected a slice, numbers or a row"):
        whole().take(index)


def test_an_index_of_no_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="^index: got 'a', expected whole numbers, or True and"):
        whole().take(["a"])  # type: ignore[list-item]
    assert whole().take([True, False, True]) == whole().take(np.array([0, 2]))


def test_mappings_that_differ_in_their_names_are_refused() -> None:
    other = replace(whole(), named={"cost": np.zeros(3), "tax": np.zeros(3)})
    for pair in ([whole(), other], [other, whole()]):
        with pytest.raises(ValueError, match="^named: got .*tax.*expected the same names in all"):
            Whole.cat(pair)


@dataclass(frozen=True, eq=False)
class Several(Record):
    """Tensors in a tuple, in a list, and in something that is no record."""

    tensors: tuple[Tensor, ...] = field(metadata=batch())
    arrays: list[np.ndarray] = field(metadata=batch())
    other: object


@dataclass(frozen=True)
class Plain:
    """No record."""

    numbers: Tensor


def test_tensors_in_tuples_and_lists_are_cut_joined_copied_and_compared() -> None:
    several = Several((torch.arange(3.0),), [np.arange(3)], Plain(torch.arange(2.0)))
    assert Several.cat([several.take([0]), several.take([1, 2])]) == several
    assert several.clone() == several
    assert several.clone().tensors[0] is not several.tensors[0]
    assert several.to(dtype=torch.float64).tensors[0].dtype == torch.float64
    assert pickle.loads(pickle.dumps(several)) == several
    assert replace(several, other=Plain(torch.zeros(2))) != several


def test_what_cannot_be_compared_says_so() -> None:
    several = Several((), [], pd.Series([1, 2]))
    with pytest.raises(TypeError, match="got Series, which cannot be compared"):
        _ = several == replace(several, other=pd.Series([1, 2]))

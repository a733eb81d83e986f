"""Files that no gateway could use, damaged or with a right checksum."""

from __future__ import annotations

import itertools
import json

import numpy as np
import onnx
import pytest
from onnxruntime import InferenceSession

from gridedge_gateway import Controller
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.packing import SEAL, sealed


def of_device(**change):
    """A customer whose devices say something else."""

    def changed(customer):
        for device in customer["devices"]:
            device.update(change)

    return "customer", changed


def without_last(customer):
    customer["devices"].pop()


def of_shape(customer):
    customer["begin"] = {name: [1.0] for name in customer["begin"]}


def twice(customer):
    customer["devices"] *= 2


@pytest.fixture
def write(battery_file, tmp_path):
    """Writes a file with other metadata."""

    def written(entry, change):
        model, path = onnx.load(battery_file), tmp_path / "odd.onnx"
        kept = {prop.key: prop.value for prop in model.metadata_props if prop.key != "crc32"}
        if callable(change):
            said = json.loads(kept[entry])
            change(said)
            kept[entry] = json.dumps(said)
        elif change is None:
            del kept[entry]
        else:
            kept[entry] = change
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, kept)
        path.write_bytes(sealed(model.SerializeToString()))
        return path

    return written


@pytest.mark.parametrize(
    ("entry", "change"),
    [
        *((entry, None) for entry in ("format", "case", "customer", "graphs")),
        ("case", "{"),
        ("customer", "[]"),
        ("graphs", '{"sense": "AAAA"}'),
        ("graphs", lambda graphs: graphs.pop("operate")),
        ("case", lambda case: case.update(time_zone="Mars/Olympus")),
        ("case", lambda case: case.update(time_zone="../../etc/passwd")),
        ("case", lambda case: case.update(step_minutes=0)),
        ("case", lambda case: case.update(steps=50)),
        *(of_device(full_power=power) for power in (0.0, -5.0, float("nan"), "5", 1e999)),
        of_device(inverter_rating=float("nan")),
        of_device(inverter_rating=-1.0),
        of_device(slot=9),
        of_device(name=5),
        *(
            ("customer", lambda customer, name=name: customer.update(name=name))
            for name in (5, None, "", "\ud800", 300 * "x")
        ),
        ("customer", lambda customer: customer.update(nominal_voltage=0.0)),
        ("customer", lambda customer: customer.update(mean_demand=float("nan"))),
        ("customer", lambda customer: customer.update(begin={})),
        ("customer", without_last),
        ("customer", of_shape),
        ("customer", twice),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(write, entry, change):
    with pytest.raises(ValueError, match=r"odd\.onnx: .*") as refused:
        Controller.load(write(entry, change))
    assert len(str(refused.value)) < 2000


def test_what_is_no_model_is_refused_by_name(tmp_path):
    path = tmp_path / "odd.onnx"
    path.write_bytes(sealed(b"hello"))
    with pytest.raises(ValueError, match=r"odd\.onnx: got .*, expected a file of gradmap-export"):
        CustomerFile(path)


def test_a_file_with_the_same_contents_is_used(write, battery_file):
    assert Controller.load(write("customer", lambda customer: None)).file.devices == (
        Controller.load(battery_file).file.devices
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_policy_does_not_hide_what_is_no_number(battery_file, tmp_path, number):
    """In any layer's weights, or in the observation."""
    model = onnx.load(battery_file)
    acts = InferenceSession(battery_file, providers=["CPUExecutionProvider"])
    observation = np.zeros((1, acts.get_inputs()[0].shape[1]), np.float32)
    assert np.isfinite(acts.run(None, {"observation": observation})[0]).all()
    observation[0, -1] = np.nan
    assert np.isnan(acts.run(None, {"observation": observation})[0]).all()
    for entry in model.graph.initializer:
        if entry.name == f"weight_{number}":
            weights = onnx.numpy_helper.to_array(entry).copy()
            weights[0, 0] = np.nan
            entry.CopyFrom(onnx.numpy_helper.from_array(weights, entry.name))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(sealed(model.SerializeToString()))
    with pytest.raises(ValueError, match=r"broken\.onnx: got weights that are no numbers"):
        Controller.load(broken)


def test_a_damaged_file_is_refused(battery_file, tmp_path):
    """At any length, and with any one of some bits turned."""
    data, damaged = battery_file.read_bytes(), tmp_path / "damaged.onnx"
    random = np.random.default_rng(0)
    lengths = [0, 1, len(SEAL), len(data) - 1, *random.integers(0, len(data), 50).tolist()]
    bits = random.integers(0, 8 * len(data), 200).tolist()
    flipped = (
        data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]
        for bit in bits
    )
    for content in itertools.chain((data[:length] for length in lengths), flipped, [data + b"0"]):
        damaged.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"damaged\.onnx: got a damaged file, or none of gradmap-export"
        ):
            Controller.load(damaged)
    with pytest.raises(FileNotFoundError):
        Controller.load(tmp_path / "none.onnx")


def test_a_file_of_another_format_is_refused(battery_file, tmp_path):
    model = onnx.load(battery_file)
    for entry in model.metadata_props:
        entry.value = "1" if entry.key == "format" else entry.value
    other = tmp_path / "other.onnx"
    other.write_bytes(sealed(model.SerializeToString()))
    with pytest.raises(ValueError, match=r"other\.onnx: got the format 1, expected 3"):
        Controller.load(other)

"""A file for a gateway that somebody sends: its texts stand in topics, templates, on terminals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridedge_gateway.cli import main as gateway
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.packing import SEAL, SIGNS, sealed
from tests.gridedge_gateway.house import write_house

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_house(tmp_path_factory.mktemp("files"))


def changed(
    house: Path, folder: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]
) -> Path:
    """The file with another case and customer in its metadata, and a right checksum."""
    data = house.read_bytes()
    model = onnx.ModelProto.FromString(data[: -len(SEAL) - SIGNS])
    told = {prop.key: prop.value for prop in model.metadata_props}
    case, customer = json.loads(told["case"]), json.loads(told["customer"])
    change(case, customer)
    onnx.helper.set_model_props(
        model, {**told, "case": json.dumps(case), "customer": json.dumps(customer)}
    )
    file = folder / "changed.onnx"
    file.write_bytes(sealed(model.SerializeToString()))
    return file


ESCAPE = "\x1b]0;here\x07"
CHANGES: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "a name that acts on terminals": (lambda case, own: own.update(name=ESCAPE), "name: got|metad"),
    "a place that does": (lambda case, own: own.update(place=ESCAPE), "metadata: got"),
    "a case that does": (lambda case, own: case.update(name=ESCAPE), "metadata: got"),
    "a name of lines": (lambda case, own: own.update(name="a\nb"), "metadata: got"),
    "no name": (lambda case, own: own.update(name=""), "expected a name of up to"),
    "a name that turns": (lambda case, own: own.update(name="a\u202eb"), "metadata: got"),
    "a name that is none": (lambda case, own: own.update(name=7), "name: got 7"),
    "a name too long": (
        lambda case, own: own.update(name="/" * 100),
        "expected a name of up to 220",
    ),
    "a template for a device": (
        lambda case, own: own["devices"][0].update(name="x }}{{ states.lock.door }}"),
        "devices: got the name",
    ),
    "a template for a reading": (
        lambda case, own: own["devices"][0]["readings"][0].update(name="x{{7*7}}"),
        "devices: got the name",
    ),
    "a zone elsewhere": (
        lambda case, own: case.update(time_zone="../../etc/passwd"),
        "expected|got",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_texts_that_would_act_are_refused(
    house: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    change, told = CHANGES[what]
    file = changed(house, tmp_path, change)
    with pytest.raises(ValueError, match=rf"changed\.onnx: .*({told})"):
        CustomerFile(file)
    with pytest.raises(SystemExit):
        gateway(["inspect", str(file)])
    printed = capsys.readouterr()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", printed.out + printed.err)


def test_those_that_would_not_are_not(house: Path, tmp_path: Path) -> None:
    name = "../<b>{{7*7}}</b> [/x] é"
    file = changed(house, tmp_path, lambda case, own: own.update(name=name))
    assert CustomerFile(file).customer["name"] == name

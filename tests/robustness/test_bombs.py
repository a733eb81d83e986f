"""What unpacks to more than there is memory for is refused before it does."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gridedge_env import load_feeder
from gridedge_env.scenarios import load_metered_demand, unpacking
from gridedge_env.scenarios.series import Faults, read_meters
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.model import Model
from gridedge_gateway.packing import MOST_UNPACKED, arrays_of, packed, sealed, unpacked

SLACK = 2**16


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files may unpack to a few bytes, so that bombs need not be large."""
    monkeypatch.setattr(unpacking, "ALWAYS", SLACK)


@pytest.mark.usefixtures("small")
def test_gzip(tmp_path: Path) -> None:
    """Of one part, and of many that each are small: a thousand times as large."""
    line = b"0" * SLACK
    for number, bomb in enumerate((gzip.compress(100 * line), 100 * gzip.compress(line))):
        path = tmp_path / f"{number}.csv.gz"
        path.write_bytes(bomb)
        told = r"\.csv\.gz: got a gzip file of more than [\d,]+ bytes, expected less"
        with pytest.raises(Faults, match=told):
            read_meters(path, time_zone="UTC")
        with pytest.raises(ValueError, match=told):
            load_metered_demand(path)


@pytest.mark.usefixtures("small")
def test_parquet(tmp_path: Path) -> None:
    """A value that comes a million times takes a few bytes."""
    path = tmp_path / "meters.parquet"
    table = pd.DataFrame({"timestamp": np.zeros(10**6), "home": np.zeros(10**6)})
    table.to_parquet(path, compression="zstd")
    told = r"\.parquet: got a Parquet file of 1,000,000 rows of 2 columns, expected [\d,]+ bytes"
    with pytest.raises(Faults, match=told):
        read_meters(path, time_zone="UTC")
    with pytest.raises(ValueError, match=told):
        load_metered_demand(path)


def test_what_tables_become_is_no_bomb(tmp_path: Path) -> None:
    """Constant demand of a year shrinks to a thousandth, too."""
    lines = b"timestamp,a\n" + b"2024-01-01T00:00:00,0\n" * 10_000
    assert unpacking.unpacked(gzip.compress(lines)) == lines
    assert unpacking.unpacked(lines) == lines


def test_graphs_of_customers_files() -> None:
    assert unpacked(packed(b"0" * 1000)) == b"0" * 1000
    for bomb in (packed(b"0" * (MOST_UNPACKED + 1)), packed(b"0" * 1000)[:16]):
        with pytest.raises((ValueError, zlib.error)):
            unpacked(bomb)


def test_arrays() -> None:
    """By the archive's own word or the array's, whichever is more; in no other packing."""
    file = io.BytesIO()
    np.savez_compressed(file, a=np.zeros(10_000), b=np.array(["x"]))
    assert arrays_of(file, 100_000)["a"].shape == (10_000,)
    with pytest.raises(ValueError, match="got 80,[0-9]+ bytes of arrays, expected 80,000 at most"):
        arrays_of(file, 80_000)
    for damaged in (b"", b"PK\3\4", file.getvalue()[:-30], b"PK" + file.getvalue()[2:-10]):
        with pytest.raises(ValueError, match="got no archive of arrays"):
            arrays_of(io.BytesIO(damaged), 100_000)


def test_numbers_without_end() -> None:
    """Of a graph: each byte more makes adding them up take longer."""
    with pytest.raises(ValueError, match="what is no ONNX model"):
        Model.of(b"\xff" * 10**7)


def test_text_that_is_nested_too_deep(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.ModelProto()
    onnx.helper.set_model_props(model, {"format": "2", "case": "[" * 10**5, "customer": "{}"})
    file = tmp_path / "deep.onnx"
    file.write_bytes(sealed(model.SerializeToString()))
    with pytest.raises(ValueError, match=r"deep\.onnx: got .*expected a file of gradmap-export"):
        CustomerFile(file)
    load_feeder("ieee13").save(tmp_path / "feeder")
    (tmp_path / "feeder" / "feeder.json").write_text("[" * 10**5)
    with pytest.raises(ValueError, match=r"feeder\.json: maximum recursion depth"):
        load_feeder(tmp_path / "feeder")


def test_what_is_packed_is_text() -> None:
    assert json.loads(json.dumps(packed(b"x"))) == packed(b"x")
    assert base64.b64decode(packed(b"x"))

"""The street in examples/ is what its script makes, and small."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from examples.street.make import main

STREET = Path(__file__).parents[1] / "examples" / "street"


def cells(path: Path) -> list[list[str]]:
    """Cells of a table, compressed or not."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return [line.split(";" if path.name.startswith("meters") else ",") for line in text.split()]


def numbers(row: list[str]) -> list[float]:
    """What stands behind the timestamp."""
    return [float(cell.replace(",", ".") or 0.0) for cell in row[1:]]


LAST_DIGIT = {"meters.csv.gz": 0.0011, "prices.csv.gz": 0.011, "weather.csv.gz": 1.01}


def test_the_street_is_what_its_script_makes(tmp_path: Path) -> None:
    """To the last digit of a number, which may round otherwise on another machine."""
    main(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert {path.name for path in STREET.iterdir() if path.is_file()} == made | {
        *("README.md", "case.toml", "make.py")
    }
    assert sum(path.stat().st_size for path in STREET.iterdir()) < 1_000_000
    for name in made:
        ours, theirs = cells(tmp_path / name), cells(STREET / name)
        assert [len(row) for row in ours] == [len(row) for row in theirs]
        for one, other in zip(ours, theirs, strict=True):
            if one != other:
                assert one[0] == other[0]
                np.testing.assert_allclose(numbers(one), numbers(other), atol=LAST_DIGIT[name])

"""Packed files, of which a few bytes could become more than there is memory for."""

from __future__ import annotations

import gzip
import io
import zlib

GZIP = b"\x1f\x8b"
# Bytes that any file may become, and how many times its own if that is more: gzip and Parquet can
# make a thousand times as many of some, but not of a table's.
ALWAYS, MOST_TIMES = 2**28, 100


def unpacked(content: bytes) -> bytes:
    """A file's bytes, unpacked where they are gzip's.

    Raises:
        ValueError: they are damaged, or become too many.
    """
    if not content.startswith(GZIP):
        return content
    most = _most(content)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            data = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as damage:
        raise ValueError(f"got a damaged gzip file ({damage}), expected a whole one") from damage
    if len(data) > most:
        raise ValueError(f"got a gzip file of more than {most:,} bytes, expected less")
    return data


def check_parquet(content: bytes) -> None:
    """Refuse a Parquet file that says to be too large.

    Raises:
        ValueError: so it says.
    """
    import pyarrow as pa
    import pyarrow.parquet

    told, most = pyarrow.parquet.read_metadata(pa.BufferReader(content)), _most(content)
    if 8 * told.num_rows * told.num_columns > most:
        size = f"{told.num_rows:,} rows of {told.num_columns:,} columns"
        raise ValueError(f"got a Parquet file of {size}, expected {most:,} bytes at most")


def _most(content: bytes) -> int:
    return max(ALWAYS, MOST_TIMES * len(content))

"""How a customer's file holds what ONNX has no place for, and how a damaged one is known.

What is packed can become a thousand times as large: it is unpacked as far as it may be.
"""

from __future__ import annotations

import base64
import math
import zlib
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from numpy.lib import format
from numpy.typing import NDArray

# The last entry of a file's metadata, as ONNX writes it, is "crc32": a checksum of all bytes before
# it, in eight signs. What stands behind a model in a file belongs to it, by the rules of protobuf.
SEAL = b"\x72\x11\x0a\x05crc32\x12\x08"
SIGNS = 8


# Bytes of a graph, or of the public plan's program; a day's, the largest, has half a million.
MOST_UNPACKED = 2**26


def packed(data: bytes) -> str:
    """The text for some bytes: compressed by zlib, in base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpacked(text: str) -> bytes:
    """The bytes that a text is for.

    Raises:
        ValueError: they are more than there may be.
    """
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(base64.b64decode(text), MOST_UNPACKED)
    if not unpacking.eof:
        raise ValueError(f"got no whole data of up to {MOST_UNPACKED:,} bytes, expected such")
    return data


def sealed(model: bytes) -> bytes:
    """A model with its seal."""
    return model + SEAL + f"{zlib.crc32(model):0{SIGNS}x}".encode("ascii")


def is_whole(file: bytes) -> bool:
    """Whether a file is as `sealed` made it."""
    model = file[: -len(SEAL) - SIGNS]
    return len(model) > 0 and sealed(model) == file


def arrays_of(file: Path | IO[bytes], most: int) -> dict[str, NDArray[Any]]:
    """The arrays of an archive of NumPy's, by name; none of them is of objects.

    Args:
        file: of `numpy.savez`.
        most: bytes that they may have, all together.

    Raises:
        ValueError: it is no such archive, or has more in it.
    """
    try:
        with ZipFile(file) as archive:
            entries = archive.infolist()
            size = sum(_size(archive, entry) for entry in entries)
            if size > most:
                raise ValueError(f"got {size:,} bytes of arrays, expected {most:,} at most")
            return {e.filename.removesuffix(".npy"): _array(archive, e) for e in entries}
    except (BadZipFile, EOFError, KeyError, OSError, RuntimeError, zlib.error) as error:
        raise ValueError(f"got no archive of arrays ({error})") from error


def _array(archive: ZipFile, entry: ZipInfo) -> NDArray[Any]:
    with archive.open(entry) as member:
        return format.read_array(member, allow_pickle=False)


def _size(archive: ZipFile, entry: ZipInfo) -> int:
    """Bytes of an array: as the archive says, or as its own header does, which NumPy believes."""
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"got {entry.filename!r:.80} packed in an odd way, expected NumPy's")
    with archive.open(entry) as member:
        version = format.read_magic(member)
        first = version == (1, 0)
        read = format.read_array_header_1_0 if first else format.read_array_header_2_0
        shape, _, kind = read(member)
    return max(entry.file_size, kind.itemsize * math.prod(shape))

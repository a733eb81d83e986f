"""How a customer's file holds what ONNX has no place for, and how a damaged one is known."""

from __future__ import annotations

import base64
import zlib

# The last entry of a file's metadata, as ONNX writes it, is "crc32": a checksum of all bytes before
# it, in eight signs. What stands behind a model in a file belongs to it, by the rules of protobuf.
SEAL = b"\x72\x11\x0a\x05crc32\x12\x08"
SIGNS = 8


def packed(data: bytes) -> str:
    """The text for some bytes: compressed by zlib, in base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpacked(text: str) -> bytes:
    """The bytes that a text is for."""
    return zlib.decompress(base64.b64decode(text))


def sealed(model: bytes) -> bytes:
    """A model with its seal."""
    return model + SEAL + f"{zlib.crc32(model):0{SIGNS}x}".encode("ascii")


def is_whole(file: bytes) -> bool:
    """Whether a file is as `sealed` made it."""
    model = file[: -len(SEAL) - SIGNS]
    return len(model) > 0 and sealed(model) == file

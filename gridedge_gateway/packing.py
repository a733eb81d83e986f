"""How a customer's file holds what ONNX has no place for, and how a damaged one is known."""

from __future__ import annotations

import base64
import hashlib
import zlib

# The last entry of the file's metadata, as ONNX writes it: "sha256" and 64 signs, those of all
# bytes before it. What stands behind a model in a file belongs to it, by the rules of protobuf.
SEAL = b"\x72\x4a\x0a\x06sha256\x12\x40"


def packed(data: bytes) -> str:
    """The text for some bytes: compressed by zlib, in base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpacked(text: str) -> bytes:
    """The bytes that a text is for."""
    return zlib.decompress(base64.b64decode(text))


def sealed(model: bytes) -> bytes:
    """A model with its seal."""
    return model + SEAL + hashlib.sha256(model).hexdigest().encode("ascii")


def is_whole(file: bytes) -> bool:
    """Whether a file is as `sealed` made it."""
    model = file[: -len(SEAL) - 64]
    return len(model) > 0 and sealed(model) == file

"""Bytes as text, for metadata: compressed by zlib, in base64."""

from __future__ import annotations

import base64
import zlib


def packed(data: bytes) -> str:
    """The text for some bytes."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpacked(text: str) -> bytes:
    """The bytes that a text is for."""
    return zlib.decompress(base64.b64decode(text))

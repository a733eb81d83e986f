"""Names that anybody may have given, where they could act: in paths, topics, on terminals."""

from __future__ import annotations

import re
from typing import Any

# Bytes. File systems allow 255, and ".onnx.4194304.temporary" may come behind.
LONGEST_FILE_NAME = 220
# Control characters, breaks of lines, turns of the direction of writing, halves of characters.
UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
# What has a meaning of its own in paths and topics.
UNFIT = re.compile(r'[/+#%\\:*?"<>|\x00-\x1f\x7f]')
# What is hidden, or a folder; what commands take for an option; what Windows takes for a device,
# whatever its suffix.
RESERVED = re.compile(
    r"[.-]|(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)", re.IGNORECASE
)


def check_line(value: Any, field: str, expected: str) -> str:
    """Text that fits in a line, without spaces at its ends; `expected` says of what.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, str) or UNPRINTED.search(value) or value != value.strip():
        raise ValueError(f"{field}: got {value!r:.80}, expected {expected}")
    return value


def check_name(value: Any, field: str) -> str:
    """A name that tables hold as it is, and that can be that of a file.

    Raises:
        ValueError: anything else.
    """
    check_line(value, field, "a name in one line, without spaces at its ends")
    if not value or len(fit(value).encode()) > LONGEST_FILE_NAME:
        expected = f"a name of up to {LONGEST_FILE_NAME} bytes as that of a file"
        raise ValueError(f"{field}: got {value!r:.80}, expected {expected}")
    return value


def fit(name: str) -> str:
    """A name as part of a path or topic, with no more to it than that.

    Signs that cannot be are written as in an address of the web: "a/b" is "a%2Fb".
    """
    plain = UNFIT.sub(_in_code, name)
    return _in_code(plain[0]) + plain[1:] if RESERVED.match(plain) else plain


def cell(text: str) -> str:
    """Text for spreadsheets: before what they would take for a formula, there is a "'"."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def printable(text: str) -> str:
    """Lines for a terminal: what would act on that is written as in Python's literals."""
    lines = (UNPRINTED.sub(lambda sign: repr(sign[0])[1:-1], line) for line in text.split("\n"))
    return "\n".join(lines)


def _in_code(sign: re.Match[str] | str) -> str:
    return f"%{ord(sign[0]):02X}"

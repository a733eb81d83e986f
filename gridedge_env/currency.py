"""What a case's money is called; no amount is ever converted."""

from __future__ import annotations

import re
from typing import Any

from gridedge_env.checks import shown
from gridedge_gateway.names import check_line

EURO = "€"

_AS_WRITTEN = re.compile(r"[^\s\d/]{1,8}")


def check_currency(value: Any, name: str) -> str:
    """A currency as it is to stand beside amounts.

    Raises:
        ValueError: no sign or short word.
    """
    expected = "a currency such as '€' or 'CHF'"
    if not _AS_WRITTEN.fullmatch(check_line(value, name, expected)):
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    return value

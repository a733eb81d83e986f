"""What a case's money is called; no amount is ever converted."""

from __future__ import annotations

import re
from typing import Any

from gridedge_env.checks import shown

EURO = "€"

_AS_WRITTEN = re.compile(r"[^\s\d/]{1,8}")


def check_currency(value: Any, name: str) -> str:
    """A currency as it is to stand beside amounts.

    Raises:
        ValueError: no sign or short word.
    """
    if not isinstance(value, str) or not _AS_WRITTEN.fullmatch(value):
        raise ValueError(f"{name}: got {shown(value)}, expected a currency such as '€' or 'CHF'")
    return value

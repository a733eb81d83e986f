"""What commands print: text as it stands, whoever has written it."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from gridedge_gateway.names import printable


class Terminal(Console):
    """A console to which brackets are brackets, and control characters nothing."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """See `Console`, whose texts and cells all come through here."""
        return super().render_str(printable(text), **options)


def complain(command: str, what: str) -> None:
    """Say what is wrong, which may have several lines."""
    print(f"{command}: {printable(what)}", file=sys.stderr)

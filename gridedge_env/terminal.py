"""What commands print, text as it stands, whoever has written it; and the paths they are given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from gridedge_gateway.mistakes import named_path
from gridedge_gateway.names import printable

# To parse a command line by: `with RULES: tyro.cli(...)`.
RULES = ConstructorRegistry()


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


@RULES.primitive_rule
def _path(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
    """A path has a name: of none Python makes the current folder."""
    if info.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: named_path(words[0]),
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    )

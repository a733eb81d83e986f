"""A run's configuration as the flags of a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import tyro
from tyro.constructors import PrimitiveConstructorSpec, PrimitiveTypeInfo

from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gridedge_env.case import CaseSettings
from gridedge_env.scenarios import (
    EXPORT_KINDS,
    IMPORT_KINDS,
    ExportPrice,
    ImportPrice,
    tariff_from_record,
)
from gridedge_env.terminal import RULES

ParsedT = TypeVar("ParsedT")
# The kinds of price that a field of a tariff may have, by its type.
PRICES: dict[Any, tuple[str, Mapping[str, Any]]] = {
    ImportPrice: ("imports", IMPORT_KINDS),
    ExportPrice: ("exports", EXPORT_KINDS),
}


@dataclass(frozen=True)
class TrainFlags(TrainConfig):
    """As `TrainConfig`; the fields of the case are flags like all others, `--num-agents`."""

    case: Annotated[CaseSettings, tyro.conf.arg(name="")] = USUAL_CASE

    @staticmethod
    def of(config: TrainConfig) -> TrainFlags:
        """Flags whose defaults are a configuration."""
        return TrainFlags(**{**vars(config), "case": config.case or USUAL_CASE})

    @property
    def config(self) -> TrainConfig:
        """The configuration."""
        return TrainConfig(**vars(self))


def read_flags(
    command: Callable[..., ParsedT], name: str, arguments: Sequence[str] | None = None
) -> ParsedT:
    """What `tyro.cli` makes of a command, whose flags may include those of a case."""
    with RULES:
        return tyro.cli(command, prog=name, args=arguments)


def check_own_case(settings: CaseSettings | None, usual: CaseSettings) -> None:
    """Refuse options of the default case beside a case that was brought.

    Args:
        settings: what was asked for; None: nothing.
        usual: the default case.

    Raises:
        ValueError: there are some.
    """
    if settings not in (None, usual):
        raise ValueError(
            "case: got a case of your own and options of the default case, expected one of them"
        )


def price_record(words: Sequence[str]) -> dict[str, Any]:
    """The record of a price from its words; a name that comes several times is a list.

    Raises:
        ValueError: a word after the first is not NAME=VALUE.
    """
    values: dict[str, list[float | str]] = {}
    for word in words[1:]:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"tariff: got {word!r}, expected NAME=VALUE after {words[0]!r}")
        values.setdefault(name, []).append(_number(text))
    kind = {"kind": words[0]} if words else {}
    return kind | {name: v[0] if len(v) == 1 else v for name, v in values.items()}


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@RULES.primitive_rule
def _price(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """A price is its kind and the fields of that."""
    if info.type not in PRICES:
        return None
    side, kinds = PRICES[info.type]

    def read(words: list[str]) -> ImportPrice | ExportPrice:
        price = getattr(tariff_from_record({side: price_record(words)}), side)
        assert isinstance(price, ImportPrice | ExportPrice)
        return price

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{{{','.join(kinds)}}} [NAME=VALUE ...]",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, info.type),
        str_from_instance=lambda price: price.words(),
    )


TrainFlags.__doc__ = TrainConfig.__doc__

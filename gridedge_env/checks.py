"""Checks of what users give; a `ValueError` names the field, what came and what was expected."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, SupportsIndex

from gridedge_gateway.mistakes import regular_file

# What people mean by a number. Prices, powers and weights are computed with in single precision,
# their squares among them, which ends at 3e38.
LARGEST_NUMBER = 1e15
# Of what is positive, and so may be divided by.
SMALLEST_POSITIVE = 1e-15
# What is counted: more would fill a machine's memory, or take longer than anybody waits.
LARGEST_COUNT = 10**9
LARGEST_SEED = 2**63 - 1
# Bytes for which there must be room where something is to be written.
LEAST_ROOM = 2**16


def shown(value: Any) -> str:
    """What came, for a message: at most 80 signs, in one line."""
    try:
        lines = repr(value).splitlines()
    except ValueError:  # a whole number of thousands of digits
        lines = [f"{type(value).__name__} of too many digits"]
    return " ".join(line.strip() for line in lines)[:80]


def check_whole_number(
    value: SupportsIndex, least: int, name: str, most: float = LARGEST_COUNT
) -> int:
    """A whole number from `least` to `most`, as an int."""
    try:
        whole = None if isinstance(value, bool) else operator.index(value)
    except (TypeError, RuntimeError):  # a tensor that has a shape alone
        whole = None
    if whole is None or not least <= whole <= most:
        has_end = most < LARGEST_COUNT or (whole is not None and whole > most)
        wanted = f"from {least} to {most}" if has_end else f"of at least {least}"
        raise ValueError(f"{name}: got {shown(value)}, expected a whole number {wanted}")
    return whole


def whole_number(least: int) -> Callable[[Any, str], int]:
    """The check of a whole number of at least `least`, for `settle`."""
    return lambda value, name: check_whole_number(value, least, name)


def check_seed(value: SupportsIndex, name: str = "seed") -> int:
    """A case's seed, as an int; others are drawn from it, by PyTorch, too, whose have 64 bits."""
    return check_whole_number(value, 0, name, LARGEST_SEED)


def check_entropy(value: SupportsIndex, name: str = "seed") -> int:
    """A seed that is mixed before use, and may have as many bits as it likes, as an int."""
    return check_whole_number(value, 0, name, math.inf)


def check_number(
    value: Any,
    name: str,
    expected: str = "a finite number",
    accept: Callable[[float], bool] = lambda number: True,
) -> float:
    """A number within `LARGEST_NUMBER` that is accepted, as Python's; `expected` says which are."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number:
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    try:  # as Python's first: files hold no others, and a float16 has no 1e15 to be compared with
        number = value if type(value) in (int, float) else float(value)
    except OverflowError:
        number = math.inf
    if not accept(number):
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    if not abs(number) <= LARGEST_NUMBER:
        is_none = number != number  # NaN alone is not itself
        within = "" if is_none else f" within ±{LARGEST_NUMBER:g}"
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}{within}")
    return number


def check_positive(value: Any, name: str) -> float:
    """A positive number that single precision can divide by."""
    expected = f"a positive number of at least {SMALLEST_POSITIVE:g}"
    return check_number(value, name, expected, lambda number: number >= SMALLEST_POSITIVE)


def check_not_negative(value: Any, name: str) -> float:
    """Zero or a positive number."""
    return check_number(value, name, "a number of at least 0", lambda number: number >= 0.0)


def check_share(value: Any, name: str) -> float:
    """A share that is not the whole."""
    return check_number(
        value, name, "a share from 0 to below 1", lambda number: 0.0 <= number < 1.0
    )


def check_source_voltage(value: Any, name: str) -> float:
    """The voltage behind a feeder's source, pu: beyond 0.5 to 1.5 it is another unit or a slip."""
    return check_number(
        value, name, "a number from 0.5 to 1.5 (pu)", lambda number: 0.5 <= number <= 1.5
    )


def check_flag(value: Any, name: str) -> bool:
    """True or False, and nothing that counts as one of them."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: got {shown(value)}, expected True or False")
    return value


def check_text(value: Any, name: str, expected: str) -> str:
    """Text that is not blank; `expected` says of what."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    return value


def check_choice(value: Any, name: str, choices: Collection[str]) -> None:
    """Refuse what is none of some names. Nothing but a name is compared: of arrays, not all can be.

    Raises:
        ValueError: names it, what came and what was expected.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: got {shown(value)}, expected one of {', '.join(choices)}")


def check_type(value: Any, kind: type | tuple[type, ...], name: str, expected: str) -> None:
    """Something of a type; `expected` says it in words."""
    if not isinstance(value, kind):
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")


def check_members(value: Any, members: Collection[str], name: str, expected: str) -> None:
    """Something with these attributes; `expected` says what has them."""
    missing = [member for member in members if not hasattr(value, member)]
    if missing:
        raise ValueError(
            f"{name}: got {shown(value)} without {', '.join(missing)}, expected {expected}"
        )


def check_callable(value: Any, name: str, expected: str) -> None:
    """Something that can be called; `expected` says it in words."""
    if not callable(value):
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")


def settle(record: Any, place: str = "", /, **checks: Callable[[Any, str], Any]) -> None:
    """Keep in a frozen record what checks make of its fields, as it begins.

    Args:
        record: what is being made.
        place: before the names of its fields, "tariff.".
        **checks: by the name of a field, from what came and what to call it to what is kept.
    """
    for name, check in checks.items():
        object.__setattr__(record, name, check(getattr(record, name), f"{place}{name}"))


def check_known(names: Collection[str], known: Collection[str], what: str) -> None:
    """Only names that are known."""
    for name in names:
        if name not in known:
            raise ValueError(f"{what}: unknown {name!r}, expected one of {', '.join(known)}")


@contextmanager
def renamed(**names: str) -> Iterator[None]:
    """Let errors name fields as the user wrote them.

    Args:
        **names: the written name by the one that an error begins with: `unit="demand_unit"`.
    """
    try:
        yield
    except ValueError as error:
        field, _, problem = str(error).partition(":")
        if field not in names:
            raise
        raise ValueError(f"{names[field]}:{problem}") from error


def check_links(folder: Path, name: str) -> None:
    """Refuse a folder with links that lead out of it, or nowhere: what is written goes there."""
    home = folder.resolve()
    for path in filter(Path.is_symlink, folder.rglob("*")):
        try:
            is_within = home in path.resolve().parents
        except (OSError, RuntimeError):  # it leads to itself
            is_within = False
        if not is_within or not path.exists():
            raise ValueError(f"{name}: {path} is a link out of the folder or to nothing")


def check_writable(path: Path, name: str) -> None:
    """Refuse a file that cannot be written, before there is anything to write; make its folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent) as file:
            file.write(bytes(LEAST_ROOM))
        if path.exists():
            with regular_file(path).open("ab"):
                pass
    except OSError as error:
        raise ValueError(
            f"{name}: got {path}, expected a file that can be written ({error.strerror})"
        ) from error
